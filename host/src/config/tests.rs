use super::*;

const GOOD: &str = r#"
listen = "127.0.0.1:0"
public_url = "https://api.example.com/"
[[accept]]
network = "base"
pay_to = "0xC0140eEa19bD90a7cA75882d5218eFaF20426e42"
[facilitator.main]
url = "https://facilitator.example.com"
"#;

#[test]
fn a_small_file_is_enough() {
    let config = Config::parse(GOOD, Path::new("/srv")).expect("a good file");
    assert_eq!(config.public_url.as_deref(), Some("https://api.example.com"));
    assert_eq!(config.plugins, Path::new("/srv/plugins"));
    let (accept, by) = &config.accepts[0];
    assert_eq!(accept.asset.address, "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913");
    assert_eq!(accept.asset.eip712.as_ref().map(|d| d.name.as_str()), Some("USD Coin"));
    assert_eq!(by, "main");
}

#[test]
fn every_problem_is_reported_at_once_with_its_key() {
    let bad = r#"
listen = "here"
public_url = "api.example.com"
[[accept]]
network = "nowhere"
pay_to = "0x123"
max_timeout_seconds = 1
facilitator = "other"
[facilitator.main]
rpc = "https://rpc.example.com"
url = "https://facilitator.example.com"
[limits]
cpu_ms = 0
"#;
    let problems = Config::parse(bad, Path::new("")).expect_err("a bad file").join("\n");
    for key in [
        "listen:",
        "public_url:",
        "accept[0].network:",
        "accept[0].pay_to:",
        "accept[0].max_timeout_seconds:",
        "accept[0].facilitator:",
        "facilitator.main:",
        "limits.cpu_ms:",
    ] {
        assert!(problems.contains(key), "{key} is missing from:\n{problems}");
    }
}

#[test]
fn unknown_keys_are_refused() {
    let problems = Config::parse(&format!("lisen = \"x\"\n{GOOD}"), Path::new("")).expect_err("a misspelt key");
    assert!(problems[0].contains("lisen"), "{problems:?}");
}

fn local(lines: &str) -> Result<FacilitatorConfig, Vec<String>> {
    let file = GOOD.replace("url = \"https://facilitator.example.com\"", "rpc = \"https://rpc.example.com\"");
    let config = Config::parse(&format!("{file}{lines}"), Path::new("/srv"))?;
    Ok(config.facilitators["main"].clone())
}

#[test]
fn settling_here_has_its_own_settings() {
    let Ok(FacilitatorConfig::Local { keys, settling, .. }) = local("") else { panic!("a good file") };
    assert_eq!(keys, [KeySource::Env("COINSLOT_GAS_KEY".to_owned())]);
    assert_eq!(settling, Settling::default());

    let lines = r#"
key_file = ["one.key", "/two.key"]
confirmations = 3
batch_delay_ms = 5
batch_payments = 50
max_gas_price_gwei = "0.1"
gas_budget_per_day = "0.05"
low_balance = "1"
"#;
    let Ok(FacilitatorConfig::Local { keys, settling, .. }) = local(lines) else { panic!("a good file") };
    assert_eq!(keys, [KeySource::File("/srv/one.key".into()), KeySource::File("/two.key".into())]);
    let ether = U256::from(10).pow(U256::from(18));
    let expected = Settling {
        confirmations: Some(3),
        batch_delay: Some(Duration::from_millis(5)),
        batch_payments: Some(50),
        max_gas_price: Some(100_000_000),
        gas_budget_per_day: Some(ether / U256::from(20)),
        low_balance: Some(ether),
    };
    assert_eq!(settling, expected);
}

#[test]
fn a_wrong_setting_of_settling_is_named() {
    let wrong = [
        ("key_env = []", "at least one key"),
        ("confirmations = 0", "confirmations"),
        ("batch_payments = 0", "batch_payments"),
        ("gas_budget_per_day = \"1e18\"", "gas_budget_per_day"),
        ("low_balance = \"-1\"", "low_balance"),
        ("low_balance = \"0.0000000000000000001\"", "low_balance"),
        ("max_gas_price_gwei = \"0\"", "max_gas_price_gwei"),
    ];
    for (line, key) in wrong {
        let problems = local(line).expect_err(line).join("\n");
        assert!(problems.contains(key), "{line}: {problems}");
    }
    let remote = Config::parse(&format!("{GOOD}confirmations = 2\n"), Path::new("")).expect_err("a remote one");
    assert!(remote.join("\n").contains("facilitator.main.confirmations"), "{remote:?}");
}
