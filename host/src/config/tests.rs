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

#[test]
fn receipts_are_signed_by_one_named_key_or_not_at_all() {
    let config = |receipts: &str| Config::parse(&format!("{GOOD}{receipts}"), Path::new("/srv"));
    assert_eq!(config("").expect("a good file").receipts, None);
    let named = config("[receipts]\nkey_env = \"RECEIPT_KEY\"").expect("a good file");
    assert_eq!(named.receipts, Some(KeySource::Env("RECEIPT_KEY".to_owned())));
    let filed = config("[receipts]\nkey_file = \"receipt.key\"").expect("a good file");
    assert_eq!(filed.receipts, Some(KeySource::File("/srv/receipt.key".into())));
    for bad in ["[receipts]", "[receipts]\nkey_env = \"A\"\nkey_file = \"b\""] {
        assert!(config(bad).expect_err("no key, or two").join("\n").contains("receipts:"));
    }
}
