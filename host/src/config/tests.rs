use alloy::primitives::U256;

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
    assert_eq!(by, &["main"]);
}

#[test]
fn every_problem_is_reported_at_once_with_its_key() {
    let bad = r#"
listen = "here"
public_url = "api.example.com"
hosts = ["health.internal:8402", "https://api.example.com"]
[[accept]]
network = "nowhere"
pay_to = "0x123"
max_timeout_seconds = 1
facilitator = "other"
[facilitator.main]
bearer_env = "TOKEN"
[facilitator.fast]
rpc = "https://rpc.example.com"
poll_ms = 19
[limits]
cpu_ms = 0
[server]
max_connections = 0
drain_seconds = 3601
trusted_proxies = ["10.0.0.0/8", "fd00::1", "proxy.internal"]
[health]
pause_ms = 5000
longest_pause_ms = 10
[plugin.Loud]
[plugin.quiet.limits]
log_kib = 9999999
instances = 0
instances_per_plugin = 3
[plugin.quiet.health]
pause_ms = 0
[plugin.warm]
reuse = { total = 1, concurrent = 1001 }
[plugin.crowded]
reuse = { total = 4, concurrent = 5 }
[plugin.empty]
reuse = { total = 4, concurrent = 0 }
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
        "facilitator.fast.poll_ms: at least 20",
        "hosts[1]:",
        "limits.cpu_ms:",
        "server.max_connections:",
        "server.drain_seconds:",
        "server.trusted_proxies[2]:",
        "plugin.Loud: not a plugin's name",
        "health.longest_pause_ms: at least pause_ms",
        "plugin.quiet.limits.log_kib: from 0 to",
        "plugin.quiet.limits.instances: at least 1",
        "plugin.quiet.limits.instances_per_plugin: here it is `instances`",
        "plugin.quiet.health.pause_ms: from 1 to",
        "plugin.warm.reuse.total: from 2 to",
        "plugin.warm.reuse.concurrent: from 1 to 1000",
        "plugin.crowded.reuse.concurrent: more than total",
        "plugin.empty.reuse.concurrent: from 1 to 1000",
    ] {
        assert!(problems.contains(key), "{key} is missing from:\n{problems}");
    }
}

#[test]
fn a_certificate_is_found_beside_the_file_and_makes_every_address_https() {
    let tls = format!("{GOOD}[tls]\ncert = \"tls/cert.pem\"\nkey = \"/etc/key.pem\"\n");
    let tls = tls.lines().filter(|line| !line.starts_with("public_url")).collect::<Vec<_>>().join("\n");
    let config = Config::parse(&tls, Path::new("/srv")).expect("a good file");
    let files = TlsFiles { certificates: "/srv/tls/cert.pem".into(), key: "/etc/key.pem".into() };
    assert_eq!((config.tls.clone(), config.scheme()), (Some(files), "https"));
    assert!(config.origin(config.listen).starts_with("https://"));
    let plain = Config::parse(&format!("public_url = \"http://api.example.com\"\n{tls}"), Path::new(""));
    assert!(plain.expect_err("an address without TLS").join("\n").contains("public_url:"));
}

#[test]
fn money_is_not_sent_to_the_contract_of_its_own_asset() {
    let lost = GOOD.replace("network =", "asset = \"USDC\"\nnetwork =");
    let config = Config::parse(&lost, Path::new("")).expect("a good file");
    let (asset, pay_to) = (config.accepts[0].0.asset.address.clone(), config.accepts[0].0.pay_to.to_string());
    let problems = Config::parse(&lost.replace(&pay_to, &asset), Path::new("")).expect_err("nobody could take it out");
    assert!(problems.join("\n").contains("accept[0].pay_to: this is the contract"), "{problems:?}");
}

#[test]
fn hosts_are_kept_as_they_are_compared() {
    let config = Config::parse(&format!("hosts = [\"Health.Internal:8402\"]\n{GOOD}"), Path::new(""));
    assert_eq!(config.expect("a good file").hosts, ["health.internal:8402"]);
    let slowest =
        GOOD.replace("url = \"https://facilitator.example.com\"", "rpc = \"https://rpc.example.com\"\npoll_ms = 20");
    Config::parse(&slowest, Path::new("")).expect("the least that is allowed");
}

#[test]
fn unknown_keys_are_refused() {
    let problems = Config::parse(&format!("lisen = \"x\"\n{GOOD}"), Path::new("")).expect_err("a misspelt key");
    assert!(problems[0].contains("lisen"), "{problems:?}");
}

#[test]
fn an_asset_may_have_several_facilitators_the_preferred_first() {
    let with = |line: &str| {
        let text = GOOD.replace("[facilitator.main]", &format!("{line}\n[facilitator.main]"));
        format!(
            "{text}[facilitator.cdp]\nurl = \"https://api.cdp.coinbase.com/platform/v2/x402\"\ncdp_key_id_env = \"ID\"\ncdp_key_secret_env = \"SECRET\"\n"
        )
    };
    let config = Config::parse(&with("facilitator = [\"cdp\", \"main\"]"), Path::new("")).expect("a good file");
    assert_eq!(config.accepts[0].1, ["cdp", "main"]);
    let FacilitatorConfig::Remote { credential, strip_query, .. } = &config.facilitators["cdp"] else {
        panic!("not remote");
    };
    let expected = CredentialSource::Cdp { id_env: "ID".to_owned(), secret_env: "SECRET".to_owned() };
    assert_eq!(*credential, expected);
    assert!(strip_query, "unless it is told otherwise");
    for (line, problem) in [
        ("", "there are several"),
        ("facilitator = []", "empty"),
        ("facilitator = [\"main\", \"main\"]", "main is named twice"),
        ("facilitator = [\"main\", \"other\"]", "no [facilitator.other]"),
        ("facilitator = 1", "the name of a facilitator, or a list"),
    ] {
        let problems = Config::parse(&with(line), Path::new("")).expect_err(line).join("\n");
        assert!(problems.contains(problem), "{line}: {problems}");
    }
}

#[test]
fn a_credential_is_whole_and_belongs_to_a_facilitator_over_http() {
    for (lines, problem) in [
        ("cdp_key_id_env = \"A\"", "belong together"),
        ("cdp_key_secret_env = \"A\"", "belong together"),
        ("bearer_env = \"A\"\ncdp_key_id_env = \"B\"\ncdp_key_secret_env = \"C\"", "not all"),
        ("settle_timeout_ms = 5", "settle_timeout_ms: from 100"),
    ] {
        let problems = Config::parse(&format!("{GOOD}{lines}\n"), Path::new("")).expect_err(lines).join("\n");
        assert!(problems.contains("facilitator.main") && problems.contains(problem), "{lines}: {problems}");
    }
    let local = GOOD.replace("url = \"https://facilitator.example.com\"", "rpc = \"https://rpc.example.com\"");
    for line in ["bearer_env = \"A\"", "cdp_key_id_env = \"A\"", "strip_query = false", "verify_timeout_ms = 1000"] {
        let problems = Config::parse(&format!("{local}{line}\n"), Path::new("")).expect_err(line).join("\n");
        assert!(problems.contains("belongs to a remote facilitator"), "{line}: {problems}");
    }
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

const GRANTS: &str = r#"
[plugin.rates]
http = ["https://api.example.com", "http://127.0.0.1:9000", { origin = "http://billing.internal:8080", private = true }]
secrets = [
  { origin = "https://api.example.com", header = "Authorization", value_env = "API_KEY", prefix = "Bearer " },
  { origin = "http://billing.internal:8080", header = "x-key", value_file = "key" },
]
keyvalue = { total_kib = 10, keys = 7 }
[plugin.rates.config]
greeting = "hello"
retries = 3
loud = true
[plugin.notes]
keyvalue = true
"#;

#[test]
fn a_plugin_is_granted_what_its_table_names_and_nothing_else() {
    let config = Config::parse(&format!("{GOOD}{GRANTS}"), Path::new("/srv")).expect("a good file");
    let rates = &config.plugin["rates"];
    let shown: Vec<String> = rates.http.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["https://api.example.com", "http://127.0.0.1:9000", "http://billing.internal:8080 (private)"]);
    assert_eq!(rates.secrets[0].value, KeySource::Env("API_KEY".to_owned()));
    assert_eq!(rates.secrets[1].value, KeySource::File("/srv/key".into()));
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    assert_eq!(rates.config, [pair("greeting", "hello"), pair("loud", "true"), pair("retries", "3")]);
    let quota = rates.keyvalue.expect("granted");
    assert_eq!((quota.bytes, quota.keys), (10 << 10, 7));
    let notes = &config.plugin["notes"];
    assert!(notes.http.is_empty() && notes.secrets.is_empty() && notes.config.is_empty());
    assert_eq!(notes.keyvalue, Some(coinslot_plugin::Quota::default()));
}

#[test]
fn a_grant_that_would_not_do_what_it_says_is_refused() {
    let bad = r#"
[plugin.rates]
http = ["api.example.com", "https://*.example.com", "https://*.example.com", "http://plain.example.com"]
keyvalue = { total_kib = 0 }
secrets = [
  { origin = "https://elsewhere.example", header = "authorization", value_env = "A" },
  { origin = "https://*.example.com", header = "authorization", value_env = "A" },
  { origin = "http://plain.example.com", header = "authorization", value_env = "A" },
  { origin = "https://a.example.com", header = "x-payment", value_env = "A" },
  { origin = "https://a.example.com", header = "a b", value_env = "A" },
  { origin = "https://a.example.com", header = "x-key" },
]
"#;
    let problems = Config::parse(&format!("{GOOD}{bad}"), Path::new("")).expect_err("a bad file").join("\n");
    for problem in [
        "plugin.rates.http[0]: `api.example.com` is not a URL",
        "plugin.rates.http[2]: https://*.example.com is named twice",
        "plugin.rates.keyvalue.total_kib: from 1",
        "plugin.rates.secrets[0].origin: the plugin's `http` does not allow",
        "plugin.rates.secrets[1].origin: a secret belongs to one origin",
        "plugin.rates.secrets[2].origin: a secret is not sent over http://",
        "plugin.rates.secrets[3].header: this header field belongs to",
        "plugin.rates.secrets[4].header: `a b`",
        "plugin.rates.secrets[5]: name the secret's variable",
    ] {
        assert!(problems.contains(problem), "{problem} is missing from:\n{problems}");
    }
    let unknown = format!("{GOOD}[plugin.rates]\nhttps = []\n");
    assert!(Config::parse(&unknown, Path::new("")).is_err_and(|list| list[0].contains("https")), "unknown keys");
}

#[test]
fn what_is_said_of_one_plugin_stands_before_what_is_said_of_all() {
    let text = format!(
        "{GOOD}\n[plugin.warm]\nreuse = {{ total = 64 }}\n[plugin.shared]\nreuse = {{ total = 64, concurrent = 8 }}\n[limits]\nmemory_mib = 64\ncpu_ms = 50\ninstances_per_plugin = 7\n[health]\nfailures = 2\n\
         [plugin.big.limits]\nmemory_mib = 200\ninstances = 2\nlog_kib = 0\n[plugin.big.health]\nfailures = 0\n\
         [plugin.small.limits]\n"
    );
    let config = Config::parse(&text, Path::new("")).expect("a good file");
    assert_eq!((config.limits.memory >> 20, config.limits.instances), (64, 7));
    assert_eq!(config.limits.patience.failures, 2);
    let big = config.plugin["big"].limits.clone().expect("its own");
    let expected = Limits { memory: 200 << 20, instances: 2, log: 0, ..config.limits.clone() };
    let expected =
        Limits { patience: coinslot_plugin::BreakerSettings { failures: 0, ..expected.patience }, ..expected };
    assert_eq!(big, expected);
    assert_eq!(config.plugin["small"].limits, None, "as for all");
    let warm = config.plugin["warm"].limits.clone().expect("its own");
    assert_eq!((warm.reuse, big.reuse), (Some(coinslot_plugin::Reuse { total: 64, concurrent: 1 }), None));
    let shared = config.plugin["shared"].limits.clone().expect("its own");
    assert_eq!(shared.reuse, Some(coinslot_plugin::Reuse { total: 64, concurrent: 8 }));
}

#[test]
fn a_payment_outlives_the_slowest_plugin() {
    let text = format!("{GOOD}\n[plugin.slow.limits]\nfirst_byte_ms = 290000\n");
    let problems = Config::parse(&text, Path::new("")).expect_err("300 seconds are too short").join("\n");
    assert!(problems.contains("accept[0].max_timeout_seconds"), "{problems}");
}
