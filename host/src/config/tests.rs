use std::time::Duration;

use alloy::primitives::U256;
use coinslot_plugin::{Limits, Quota};

use super::*;
use crate::catalog::PriceOverride;

pub(super) fn read_text(text: &str, base: &str) -> Result<Config, Vec<String>> {
    parse(text, Path::new(base), document::config)
}

pub(super) const GOOD: &str = r#"
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
    let config = read_text(GOOD, "/srv").expect("a good file");
    assert_eq!(config.server.public_url.as_deref(), Some("https://api.example.com"));
    assert_eq!(config.plugins.folder, Path::new("/srv/plugins"));
    let AcceptConfig { accept, facilitators } = &config.payment.accepts[0];
    assert_eq!(accept.asset.address, "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913");
    assert_eq!(accept.asset.eip712.as_ref().map(|d| d.name.as_str()), Some("USD Coin"));
    assert_eq!(facilitators, &["main"]);
}

/// A key can have any character, in quotation marks.
#[test]
fn a_problem_does_not_drive_the_terminal_that_shows_it() {
    let list = read_text("\"a\\u001b[2Jb\\nERROR c\" = 1", "").expect_err("no such key");
    let shown = Problems { file: "coinslot.toml".into(), list }.to_string();
    assert!(shown.contains("a\u{fffd}[2Jb"), "{shown}");
    assert!(!shown.contains(|c: char| c.is_control() && c != '\n'), "{shown:?}");
}

#[test]
fn the_public_address_may_have_the_path_that_a_proxy_removes() {
    let read = |url: &str| {
        let config = read_text(&GOOD.replace("https://api.example.com/", url), "");
        config.map(|config| config.server.public_url.unwrap_or_default()).map_err(|problems| problems.join("\n"))
    };
    for (url, known) in [
        ("https://api.example.com:8443", "https://api.example.com:8443"),
        ("https://api.example.com/paid/", "https://api.example.com/paid"),
        ("http://10.0.0.1/a/b", "http://10.0.0.1/a/b"),
    ] {
        assert_eq!(read(url).as_deref(), Ok(known));
    }
    for url in ["https://a.example/?q", "https://a.example/#f", "https://u:p@a.example", "https://a.example//b"] {
        let problem = read(url).expect_err(url);
        assert!(problem.contains("the path that a proxy removes"), "{problem}");
    }
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
max_timeout = "1s"
facilitator = "other"
[facilitator.main]
bearer_env = "TOKEN"
[facilitator.fast]
rpc = "https://rpc.example.com"
poll_interval = "19ms"
[limits]
cpu_time = "0s"
[server]
max_connections = 0
max_connections_per_client = 0
keep_alive = "0s"
drain_timeout = "61m"
trusted_proxies = ["10.0.0.0/8", "fd00::1", "proxy.internal"]
[health]
pause = "5s"
longest_pause = "10ms"
[plugin.Loud]
[plugin.quiet.limits]
log = "2GiB"
max_memory_per_plugin = "1MiB"
max_instances = 3
max_instances_per_plugin = 0
[plugin.quiet.health]
pause = "0s"
[plugin.warm]
reuse = { total = 1, concurrent = 1001 }
[plugin.crowded]
reuse = { total = 4, concurrent = 5 }
[plugin.empty]
reuse = { total = 4, concurrent = 0 }
"#;
    let problems = read_text(bad, "").expect_err("a bad file").join("\n");
    for key in [
        "listen:",
        "public_url:",
        "accept[0].network:",
        "accept[0].pay_to:",
        "accept[0].max_timeout: from 1m to 1d",
        "accept[0].facilitator:",
        "facilitator.main:",
        "facilitator.fast.poll_interval: at least 20ms",
        "hosts[1]:",
        "limits.cpu_time: from 1ms to 10m",
        "server.max_connections:",
        "server.max_connections_per_client: from 1 to 1000000",
        "server.keep_alive: from 1s to 1h",
        "server.drain_timeout: from 0s to 1h",
        "server.trusted_proxies[2]:",
        "plugin.Loud: not a plugin's name",
        "health.longest_pause: at least `pause`",
        "plugin.quiet.limits.log: from 0B to 1GiB",
        "plugin.quiet.limits.max_memory_per_plugin: from 2MiB to 1024GiB",
        "plugin.quiet.limits.max_instances_per_plugin: at least 1",
        "plugin.quiet.limits.max_instances: it is for all plugins together",
        "plugin.quiet.health.pause: from 1ms to 1h",
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
    let config = read_text(&tls, "/srv").expect("a good file");
    let files = TlsFiles { certificates: "/srv/tls/cert.pem".into(), key: "/etc/key.pem".into(), strict_for: None };
    assert_eq!((config.server.tls.clone(), config.server.scheme()), (Some(files), "https"));
    assert!(config.origin(config.server.listen).starts_with("https://"));
    let plain = read_text(&format!("public_url = \"http://api.example.com\"\n{tls}"), "");
    assert!(plain.expect_err("an address without TLS").join("\n").contains("public_url:"));
}

#[test]
fn money_is_not_sent_to_the_contract_of_its_own_asset() {
    let lost = GOOD.replace("network =", "asset = \"USDC\"\nnetwork =");
    let config = read_text(&lost, "").expect("a good file");
    let accept = &config.payment.accepts[0].accept;
    let (asset, pay_to) = (accept.asset.address.clone(), accept.pay_to.to_string());
    let problems = read_text(&lost.replace(&pay_to, &asset), "").expect_err("nobody could take it out");
    assert!(problems.join("\n").contains("accept[0].pay_to: this is the contract"), "{problems:?}");
}

#[test]
fn hosts_are_kept_as_they_are_compared() {
    let config = read_text(&format!("hosts = [\"Health.Internal:8402\"]\n{GOOD}"), "");
    assert_eq!(config.expect("a good file").server.hosts, ["health.internal:8402"]);
    let slowest = GOOD.replace(
        "url = \"https://facilitator.example.com\"",
        "rpc = \"https://rpc.example.com\"\npoll_interval = \"20ms\"",
    );
    read_text(&slowest, "").expect("the least that is allowed");
}

#[test]
fn unknown_keys_are_refused() {
    let problems = read_text(&format!("lisen = \"x\"\n{GOOD}[server]\ntimeout = 1\n"), "").expect_err("misspelt keys");
    assert!(problems.iter().any(|problem| problem.starts_with("lisen: there is no such key: did you mean listen? ")));
    let of_server = "server.timeout: there is no such key; there are drain_timeout, ";
    assert!(problems.iter().any(|problem| problem.starts_with(of_server)), "{problems:?}");
}

/// A price that fits both bounds does not exist, and the operator read that a plugin is wrong.
#[test]
fn a_least_price_above_the_greatest_is_refused_with_its_key() {
    let pins = |least: &str, most: &str| {
        let text = format!("{GOOD}[plugin.shelf]\nmin_price = {least}\nmax_price = {most}\n");
        read_text(&text, "").map(drop).map_err(|problems| problems.join("\n"))
    };
    let refused = pins("0.06", "0.05").expect_err("no price fits");
    assert_eq!(refused, "plugin.shelf.min_price: above max_price, which is 0.05: no price fits both");
    for (least, most) in [("0.05", "0.05"), ("0.050", "0.05"), ("\"9\"", "10"), ("\"2 EURC\"", "1")] {
        assert_eq!(pins(least, most), Ok(()), "{least} {most}");
    }
}

#[test]
fn a_slip_of_the_syntax_is_answered_with_what_to_write() {
    let plain = |lines: &str| format!("{lines}\n{GOOD}");
    let below = |lines: &str| format!("{GOOD}{lines}\n");
    let accept = GOOD.replace("[[accept]]", "[accept]");
    let facilitator = GOOD.replace("[facilitator.main]", "[facilitator]");
    for (text, problem) in [
        (accept, "accept: a table is not a list: write [[accept]]"),
        (facilitator, "is not a table: write [facilitator.NAME] above the keys"),
        (plain("trusted_proxies = []"), "trusted_proxies: there is no such key here: it belongs into [server]"),
        (
            below("[server]\ntrusted_proxies = \"127.0.0.1\""),
            "`127.0.0.1` is not a list of texts: write [\"127.0.0.1\"]",
        ),
        (below("[plugin.shelf]\nkeyvalue = \"yes\""), "plugin.shelf.keyvalue: write `keyvalue = true`, or a table"),
        (
            below("[plugin.shelf]\nprefix = \"shelf\""),
            "plugin.shelf.prefix: a path begins with a slash: write \"/shelf\"",
        ),
        (below("[limits]\ncpu_time = \"20m\""), "limits.cpu_time: from 1ms to 10m, and not 20m"),
    ] {
        let problems = read_text(&text, "").expect_err(problem).join("\n");
        assert!(problems.contains(problem), "{problem} is missing from:\n{problems}");
    }
    let bare = GOOD.replace("https://facilitator.example.com", "facilitator.example.com");
    let problems = read_text(&bare, "").expect_err("no scheme").join("\n");
    assert!(problems.contains("is not a URL: write \"https://facilitator.example.com\""), "{problems}");
    // Keys of nodes are in paths, and the message gets to logs, pages and webhooks.
    for url in
        ["facilitator.example.com/v3/s3cret", "https://ann:s3cret@facilitator.example.com:80a/v3/s3cret?k=s3cret"]
    {
        let text = GOOD.replace("https://facilitator.example.com", url);
        let problems = read_text(&text, "").expect_err("no URL").join("\n");
        assert!(problems.contains("facilitator.example.com") && !problems.contains("s3cret"), "{problems}");
    }
}

#[test]
fn an_asset_may_have_several_facilitators_the_preferred_first() {
    let with = |line: &str| {
        let text = GOOD.replace("[facilitator.main]", &format!("{line}\n[facilitator.main]"));
        format!(
            "{text}[facilitator.cdp]\nurl = \"https://api.cdp.coinbase.com/platform/v2/x402\"\ncdp_key_id_env = \"ID\"\ncdp_key_secret_env = \"SECRET\"\n"
        )
    };
    let config = read_text(&with("facilitator = [\"cdp\", \"main\"]"), "").expect("a good file");
    assert_eq!(config.payment.accepts[0].facilitators, ["cdp", "main"]);
    let FacilitatorConfig::Remote(RemoteFacilitator { credential, strip_query, .. }) =
        &config.payment.facilitators["cdp"]
    else {
        panic!("not remote");
    };
    let expected = CredentialSource::Cdp { id_env: "ID".to_owned(), secret_env: "SECRET".to_owned() };
    assert_eq!(*credential, expected);
    assert!(strip_query, "unless the file says otherwise");
    for (line, problem) in [
        ("", "there are several"),
        ("facilitator = []", "empty"),
        ("facilitator = [\"main\", \"main\"]", "main is named twice"),
        ("facilitator = [\"main\", \"other\"]", "no [facilitator.other]"),
        ("facilitator = 1", "accept[0].facilitator: `1` is neither a text nor a list of texts"),
    ] {
        let problems = read_text(&with(line), "").expect_err(line).join("\n");
        assert!(problems.contains(problem), "{line}: {problems}");
    }
}

#[test]
fn a_credential_is_whole_and_belongs_to_a_facilitator_over_http() {
    for (lines, problem) in [
        ("cdp_key_id_env = \"A\"", "belong together"),
        ("cdp_key_secret_env = \"A\"", "belong together"),
        ("bearer_env = \"A\"\ncdp_key_id_env = \"B\"\ncdp_key_secret_env = \"C\"", "not all"),
        ("settle_timeout = \"5ms\"", "settle_timeout: from 100ms to 5m"),
    ] {
        let problems = read_text(&format!("{GOOD}{lines}\n"), "").expect_err(lines).join("\n");
        assert!(problems.contains("facilitator.main") && problems.contains(problem), "{lines}: {problems}");
    }
    let local = GOOD.replace("url = \"https://facilitator.example.com\"", "rpc = \"https://rpc.example.com\"");
    for line in ["bearer_env = \"A\"", "cdp_key_id_env = \"A\"", "strip_query = false", "verify_timeout = \"1s\""] {
        let problems = read_text(&format!("{local}{line}\n"), "").expect_err(line).join("\n");
        assert!(problems.contains("belongs to a remote facilitator"), "{line}: {problems}");
    }
}

#[test]
fn receipts_are_signed_by_one_named_key_or_not_at_all() {
    let config = |receipts: &str| read_text(&format!("{GOOD}{receipts}"), "/srv");
    assert_eq!(config("").expect("a good file").payment.receipts, None);
    let named = config("[receipts]\nkey_env = \"RECEIPT_KEY\"").expect("a good file");
    assert_eq!(named.payment.receipts, Some(KeySource::Env("RECEIPT_KEY".to_owned())));
    let filed = config("[receipts]\nkey_file = \"receipt.key\"").expect("a good file");
    assert_eq!(filed.payment.receipts, Some(KeySource::File("/srv/receipt.key".into())));
    for bad in ["[receipts]", "[receipts]\nkey_env = \"A\"\nkey_file = \"b\""] {
        assert!(config(bad).expect_err("no key, or two").join("\n").contains("receipts:"));
    }
}

fn local(lines: &str) -> Result<FacilitatorConfig, Vec<String>> {
    let file = GOOD.replace("url = \"https://facilitator.example.com\"", "rpc = \"https://rpc.example.com\"");
    let config = read_text(&format!("{file}{lines}"), "/srv")?;
    Ok(config.payment.facilitators["main"].clone())
}

#[test]
fn settling_here_has_its_own_settings() {
    let Ok(FacilitatorConfig::Local(LocalFacilitator { keys, settlement, .. })) = local("") else {
        panic!("a good file")
    };
    assert_eq!(keys, [KeySource::Env("COINSLOT_GAS_KEY".to_owned())]);
    assert_eq!(settlement, SettlementConfig::default());

    let lines = r#"
key_file = ["one.key", "/two.key"]
confirmations = 3
batch_delay = "5ms"
batch_payments = 50
max_gas_price = 0.1
gas_budget_per_day = 0.05
low_balance = "1 ether"
"#;
    let Ok(FacilitatorConfig::Local(LocalFacilitator { keys, settlement, .. })) = local(lines) else {
        panic!("a good file")
    };
    assert_eq!(keys, [KeySource::File("/srv/one.key".into()), KeySource::File("/two.key".into())]);
    let ether = U256::from(10).pow(U256::from(18));
    let expected = SettlementConfig {
        confirmations: Some(3),
        batch_delay: Some(Duration::from_millis(5)),
        batch_payments: Some(50),
        max_gas_price: Some(100_000_000),
        gas_budget_per_day: Some(ether / U256::from(20)),
        low_balance: Some(ether),
    };
    assert_eq!(settlement, expected);
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
        ("max_gas_price = 0", "max_gas_price"),
        ("gas_budget_per_day = 5e-2", "gas_budget_per_day"),
        ("batch_delay = \"6s\"", "batch_delay: from 0s to 5s"),
        ("batch_delay = 40", "batch_delay: 40 has no unit"),
    ];
    for (line, key) in wrong {
        let problems = local(line).expect_err(line).join("\n");
        assert!(problems.contains(key), "{line}: {problems}");
    }
    let remote = read_text(&format!("{GOOD}confirmations = 2\n"), "").expect("of the node of a remote one, too");
    let FacilitatorConfig::Remote(remote) = &remote.payment.facilitators["main"] else { panic!("not remote") };
    assert_eq!(remote.confirmations, Some(2));
    let remote = read_text(&format!("{GOOD}batch_payments = 2\n"), "").expect_err("a remote one");
    assert!(remote.join("\n").contains("facilitator.main.batch_payments"), "{remote:?}");
}

const GRANTS: &str = r#"
[plugin.rates]
http = ["https://api.example.com", "http://127.0.0.1:9000", { origin = "http://billing.internal:8080", private = true }]
secrets = [
  { origin = "https://api.example.com", header = "Authorization", value_env = "API_KEY", prefix = "Bearer " },
  { origin = "http://billing.internal:8080", header = "x-key", value_file = "key" },
]
keyvalue = { total_size = "10KiB", keys = 7 }
[plugin.rates.config]
greeting = "hello"
retries = 3
loud = true
[plugin.notes]
keyvalue = true
"#;

#[test]
fn a_plugin_is_granted_what_its_table_names_and_nothing_else() {
    let config = read_text(&format!("{GOOD}{GRANTS}"), "/srv").expect("a good file");
    let rates = &config.plugins.by_name["rates"];
    let shown: Vec<String> = rates.http.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["https://api.example.com", "http://127.0.0.1:9000", "http://billing.internal:8080 (private)"]);
    assert_eq!(rates.secrets[0].value, KeySource::Env("API_KEY".to_owned()));
    assert_eq!(rates.secrets[1].value, KeySource::File("/srv/key".into()));
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    assert_eq!(rates.config, [pair("greeting", "hello"), pair("loud", "true"), pair("retries", "3")]);
    let quota = rates.keyvalue.expect("granted");
    assert_eq!((quota.bytes, quota.keys), (10 << 10, 7));
    let notes = &config.plugins.by_name["notes"];
    assert!(notes.http.is_empty() && notes.secrets.is_empty() && notes.config.is_empty());
    assert_eq!(notes.keyvalue, Some(coinslot_plugin::Quota::default()));
}

#[test]
fn a_grant_that_would_not_do_what_it_says_is_refused() {
    let bad = r#"
[plugin.rates]
http = ["api.example.com", "https://*.example.com", "https://*.example.com", "http://plain.example.com", "http://*",
        { origin = "https://*", private = true }]
keyvalue = { total_size = "0B" }
secrets = [
  { origin = "https://elsewhere.example", header = "authorization", value_env = "A" },
  { origin = "https://*.example.com", header = "authorization", value_env = "A" },
  { origin = "http://plain.example.com", header = "authorization", value_env = "A" },
  { origin = "https://a.example.com", header = "x-payment", value_env = "A" },
  { origin = "https://a.example.com", header = "a b", value_env = "A" },
  { origin = "https://a.example.com", header = "x-key" },
  { origin = "https://a.example.com", query = "a b", value_env = "A" },
  { origin = "https://a.example.com", header = "x-key", query = "key", value_env = "A" },
]
"#;
    let problems = read_text(&format!("{GOOD}{bad}"), "").expect_err("a bad file").join("\n");
    for problem in [
        "plugin.rates.http[0]: `api.example.com` is not a URL",
        "plugin.rates.http[2]: https://*.example.com is named twice",
        "plugin.rates.http[4]: `http://*` has a `*`",
        "plugin.rates.http[5]: https://* is for public servers",
        "plugin.rates.keyvalue.total_size: from 1KiB to 16GiB",
        "plugin.rates.secrets[0].origin: the plugin's `http` does not allow",
        "plugin.rates.secrets[1].origin: a secret belongs to one origin",
        "plugin.rates.secrets[2].origin: a secret is not sent over http://",
        "plugin.rates.secrets[3].header: this header field belongs to",
        "plugin.rates.secrets[4].header: `a b`",
        "plugin.rates.secrets[5]: name the secret's variable",
        "plugin.rates.secrets[6].query: the name of a parameter",
        "plugin.rates.secrets[7]: name the header field that carries the secret in header, or the parameter in query",
    ] {
        assert!(problems.contains(problem), "{problem} is missing from:\n{problems}");
    }
    let unknown = format!("{GOOD}[plugin.rates]\nhttps = []\n");
    assert!(read_text(&unknown, "").is_err_and(|list| list[0].contains("plugin.rates.https")), "unknown keys");
}

#[test]
fn what_is_said_of_one_plugin_stands_before_what_is_said_of_all() {
    let text = format!(
        "{GOOD}\n[plugin.warm]\nreuse = {{ total = 64 }}\n[plugin.shared]\nreuse = {{ total = 64, concurrent = 8 }}\n[limits]\nmemory = \"64MiB\"\ncpu_time = \"50ms\"\nmax_instances_per_plugin = 7\n[health]\nfailures = 2\n\
         [plugin.big.limits]\nmemory = \"200MiB\"\nmax_memory_per_plugin = \"1GiB\"\nmax_instances_per_plugin = 2\nlog = \"0B\"\n[plugin.big.health]\nfailures = 0\n\
         [plugin.small.limits]\n"
    );
    let config = read_text(&text, "").expect("a good file");
    assert_eq!((config.plugins.limits.memory >> 20, config.plugins.limits.instances), (64, 7));
    assert_eq!(config.plugins.limits.breaker.failures, 2);
    let big = config.plugins.by_name["big"].limits.clone().expect("its own");
    let expected =
        Limits { memory: 200 << 20, plugin_memory: 1 << 30, instances: 2, log: 0, ..config.plugins.limits.clone() };
    let expected = Limits { breaker: coinslot_plugin::BreakerSettings { failures: 0, ..expected.breaker }, ..expected };
    assert_eq!(big, expected);
    assert_eq!(config.plugins.by_name["small"].limits, None, "as for all");
    let warm = config.plugins.by_name["warm"].limits.clone().expect("its own");
    assert_eq!((warm.reuse, big.reuse), (Some(coinslot_plugin::Reuse { total: 64, concurrent: 1 }), None));
    let shared = config.plugins.by_name["shared"].limits.clone().expect("its own");
    assert_eq!(shared.reuse, Some(coinslot_plugin::Reuse { total: 64, concurrent: 8 }));
}

#[test]
fn a_route_is_changed_by_the_name_that_its_plugin_declares() {
    let text = r#"
[plugin.rates]
mount = "/v1"
pay_to = "0xC0140eEa19bD90a7cA75882d5218eFaF20426e42"
accept = "base"
[plugin.rates.routes]
"GET /now" = { price = 0.002, summary = "Now", enabled = true }
"POST /then/{day}" = { max_price = "0.05 USDC", pay_to = { "base/usdc" = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C" } }
"GET /old" = { price = "free", enabled = false, accept = ["base/USDC"] }
"#;
    let config = read_text(&format!("{GOOD}{text}"), "").expect("a good file");
    let overrides = &config.plugins.by_name["rates"].overrides;
    assert_eq!(overrides.mount.as_ref().map(ToString::to_string).as_deref(), Some("/v1"));
    let price = |route: &str| overrides.routes[route].price.clone();
    assert_eq!(price("GET /now"), Some(PriceOverride::Exact("0.002".to_owned())));
    assert_eq!(price("POST /then/{day}"), Some(PriceOverride::AtMost("0.05 USDC".to_owned())));
    assert_eq!(price("GET /old"), Some(PriceOverride::Free));
    assert_eq!((overrides.routes["GET /now"].is_off, overrides.routes["GET /old"].is_off), (false, true));
    let receivers: Vec<_> = config.plugins.receivers(&config.payment.accepts[0].accept.asset).cloned().collect();
    let both = ["0xC0140eEa19bD90a7cA75882d5218eFaF20426e42", "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"];
    assert_eq!(receivers, both.map(std::sync::Arc::from));
}

#[test]
fn a_change_that_no_plugin_could_have_is_refused_by_its_key() {
    let bad = r#"
[plugin.rates]
mount = "v1"
pay_to = { polygon = "0xC0140eEa19bD90a7cA75882d5218eFaF20426e42", base = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913" }
accept = []
[plugin.other]
mount = "/{any}"
accept = ["base/EURC", "nowhere"]
[plugin.third]
mount = "/"
[plugin.rates.routes]
"/now" = { price = "0.01" }
"get /now" = { price = "0.01" }
"GET /a" = { price = "1e3" }
"GET /b" = { price = "0.00" }
"GET /c" = { price = "0.01", max_price = "0.02" }
"GET /d" = { max_price = "free" }
"GET /e" = { summary = "two\nlines", enabled = "no", cost = 1 }
"#;
    let problems = read_text(&format!("{GOOD}{bad}"), "").expect_err("a bad file").join("\n");
    for problem in [
        "plugin.rates.mount: `v1`: start it with a slash: write a path such as \"/rates\"",
        "plugin.rates.pay_to: no [[accept]] is eip155:137; there is eip155:8453/USDC",
        "plugin.rates.pay_to: 0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913 is the contract of eip155:8453/USDC",
        "plugin.rates.accept: the list is empty",
        "plugin.other.mount: a mount has no parameters",
        "plugin.other.accept: no [[accept]] is eip155:8453/EURC; there is eip155:8453/USDC",
        "plugin.other.accept: `nowhere`",
        "plugin.third.mount: leave it out",
        "plugin.rates.routes.\"/now\": name the route as its plugin declares it",
        "plugin.rates.routes.\"get /now\": name the route as its plugin declares it",
        "plugin.rates.routes.\"GET /a\".price: `1e3` is not an amount",
        "plugin.rates.routes.\"GET /b\".price: above zero; what costs nothing has `price = \"free\"`",
        "plugin.rates.routes.\"GET /c\": write `price` for a price that is the same for each request",
        "plugin.rates.routes.\"GET /d\".max_price: `free` is not an amount",
        "plugin.rates.routes.\"GET /e\".summary: one line of at most 120 characters",
        "plugin.rates.routes.\"GET /e\".enabled: `no`",
        "plugin.rates.routes.\"GET /e\".cost: there is no such key; there are accept, description, enabled",
    ] {
        assert!(problems.contains(problem), "{problem} is missing from:\n{problems}");
    }
}

#[test]
fn a_payment_outlives_the_slowest_plugin() {
    let text = format!("{GOOD}\n[plugin.slow.limits]\nfirst_byte_timeout = \"290s\"\n");
    let problems = read_text(&text, "").expect_err("300 seconds are too short").join("\n");
    assert!(problems.contains("accept[0].max_timeout: at least every plugin's first_byte_timeout"), "{problems}");
}

/// Every key of version 0.1 whose name has changed, and the line that its refusal tells to write.
const OLD_KEYS: &str = r#"
listen = "127.0.0.1:0"
[server]
linger_seconds = 5
drain_seconds = 90
[[accept]]
network = "base"
pay_to = "0xC0140eEa19bD90a7cA75882d5218eFaF20426e42"
max_timeout_seconds = 600
[facilitator.main]
rpc = "https://rpc.example.com"
poll_ms = 150
batch_delay_ms = 40
max_gas_price_gwei = "0.1"
[limits]
memory_mib = 64
cpu_ms = 1500
instances = 9
instances_per_plugin = 3
[health]
longest_pause_ms = 60000
[plugin.one.limits]
instances = 2
request_body_kib = 10240
[plugin.one]
keyvalue = { total_kib = 100 }
[protect]
payments_per_second = 1
[answers]
keep_seconds = 86400
keep_kib = "much"
[ledger]
keep_days = 400
"#;

#[test]
fn an_old_key_is_refused_with_the_line_to_write_instead() {
    let problems = read_text(OLD_KEYS, "").expect_err("an old file");
    for expected in [
        "server.linger_seconds: it is called `shutdown_delay` now, write shutdown_delay = \"5s\"",
        "server.drain_seconds: it is called `drain_timeout` now, write drain_timeout = \"90s\"",
        "accept[0].max_timeout_seconds: it is called `max_timeout` now, write max_timeout = \"10m\"",
        "facilitator.main.poll_ms: it is called `poll_interval` now, write poll_interval = \"150ms\"",
        "facilitator.main.batch_delay_ms: it is called `batch_delay` now, write batch_delay = \"40ms\"",
        "facilitator.main.max_gas_price_gwei: it is called `max_gas_price` now, write max_gas_price = \"0.1\"",
        "limits.memory_mib: it is called `memory` now, write memory = \"64MiB\"",
        "limits.cpu_ms: it is called `cpu_time` now, write cpu_time = \"1500ms\"",
        "limits.instances: it is called `max_instances` now, write max_instances = 9",
        "limits.instances_per_plugin: it is called `max_instances_per_plugin` now, write max_instances_per_plugin = 3",
        "health.longest_pause_ms: it is called `longest_pause` now, write longest_pause = \"1m\"",
        "plugin.one.limits.instances: it is called `max_instances_per_plugin` now, write max_instances_per_plugin = 2",
        "plugin.one.limits.request_body_kib: it is called `request_body` now, write request_body = \"10MiB\"",
        "plugin.one.keyvalue.total_kib: it is called `total_size` now, write total_size = \"100KiB\"",
        "protect: it is called `rate_limits` now, write [rate_limits]",
        "answers.keep_seconds: it is called `keep_for` now, write keep_for = \"1d\"",
        "answers.keep_kib: it is called `max_size` now",
        "ledger.keep_days: it is called `keep_for` now, write keep_for = \"400d\"",
    ] {
        assert!(problems.iter().any(|problem| problem == expected), "{expected} is not in {problems:#?}");
    }
    assert_eq!(problems.len(), 18, "nothing else is wrong: {problems:#?}");
}

#[test]
fn an_amount_is_a_number_or_a_text_and_read_digit_by_digit() {
    let with = |line: &str| read_text(&GOOD.replace("network =", &format!("{line}\nnetwork =")), "");
    for (line, atomic) in [
        ("max_unsettled = 100", 100_000_000_u64),
        ("max_unsettled = \"100\"", 100_000_000),
        ("max_unsettled = 0.000001", 1),
        ("max_unsettled = 9007199254.740993", 9_007_199_254_740_993),
        ("max_unsettled = \"2.5 USDC\"", 2_500_000),
        ("max_unsettled = 1_000.5", 1_000_500_000),
    ] {
        let config = with(line).expect(line);
        assert_eq!(config.payment.accepts[0].accept.max_unsettled.0, U256::from(atomic), "{line}");
    }
    for line in ["max_unsettled = 1e2", "max_unsettled = 0.0000001", "max_unsettled = -1", "max_unsettled = true"] {
        let problems = with(line).expect_err(line).join("\n");
        assert!(problems.contains("accept[0].max_unsettled: "), "{line}: {problems}");
    }
}

/// The example with every commented key and table active: `#key = 1` is one, `# text` is not. With
/// `with_alternatives`, each line above an `# instead: ` is replaced by what follows there.
pub(super) fn uncommented_example(with_alternatives: bool) -> String {
    let mut lines: Vec<&str> = Vec::new();
    for line in include_str!("../../coinslot.example.toml").lines() {
        match line.strip_prefix("# instead: ") {
            Some(alternative) if with_alternatives => *lines.last_mut().expect("a line above") = alternative,
            _ => lines.push(line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line)),
        }
    }
    lines.join("\n")
}

#[test]
fn the_example_parses_and_has_the_defaults() {
    let config = read_text(include_str!("../../coinslot.example.toml"), "").expect("the example as it is");
    let debug = |value: &dyn fmt::Debug| format!("{value:?}");
    let default = Config::default();
    assert_eq!(debug(&config.server), debug(&default.server));
    let config = read_text(&uncommented_example(false), "").expect("the example with every key");
    assert_eq!(debug(&config.state), debug(&default.state));
    assert_eq!(config.plugins.limits, default.plugins.limits);
    assert_eq!(config.plugins.max_instances, default.plugins.max_instances);
    assert_eq!(config.plugins.by_name["rates"].keyvalue, Some(Quota::default()));
    let (rates, defaults) = (config.payment.rate_limits, default.payment.rate_limits);
    assert_eq!(rates.payments_per_second, defaults.payments_per_second);
    assert_eq!(config.payment.flows, default.payment.flows);
    let FacilitatorConfig::Local(local) = &config.payment.facilitators["own"] else { panic!("not local") };
    let LocalFacilitator { keys, poll_interval, .. } = LocalFacilitator::new(local.rpc.clone());
    assert_eq!((&local.keys, local.poll_interval), (&keys, poll_interval));
    assert!(config.payment.receipts.is_some() && config.server.tls.is_some());
}

#[test]
fn the_example_and_the_page_have_every_key_that_the_parser_knows() {
    let mut known = std::collections::BTreeSet::new();
    let mut keys = std::collections::BTreeSet::new();
    for with_alternatives in [false, true] {
        let text = uncommented_example(with_alternatives);
        let reader = Reader::default();
        document::config(&mut reader.document(&text).expect("TOML"), Path::new(""));
        known.extend(reader.known());
        keys.extend(document_keys(&text));
        assert_eq!(reader.into_problems(), Vec::<String>::new());
    }
    assert!(known.contains("plugin.NAME.limits.memory") && known.contains("accept[].network"), "{known:#?}");
    let of_plugins =
        |path: &&String| !path.starts_with("plugin.NAME.limits.") && !path.starts_with("plugin.NAME.health.");
    let missing: Vec<_> = known.difference(&keys).filter(of_plugins).collect();
    assert!(missing.is_empty(), "coinslot.example.toml does not name {missing:#?}");
    let page = include_str!("../../docs/configuration.md");
    let described = |path: &String| {
        let key = path.rsplit('.').next().unwrap_or(path);
        page.contains(&format!("`{key}`")) || page.contains(&format!("[{key}")) || page.contains(&format!(".{key}]"))
    };
    let missing: Vec<_> = known.iter().filter(|path| !described(path)).collect();
    assert!(missing.is_empty(), "docs/configuration.md does not describe {missing:#?}");
}

/// The keys that a document sets, in the notation of [`Reader::known`].
fn document_keys(text: &str) -> std::collections::BTreeSet<String> {
    fn walk(kind: &str, value: &toml::Value, keys: &mut std::collections::BTreeSet<String>) {
        match value {
            toml::Value::Table(table) => {
                for (key, value) in table {
                    let key = match kind {
                        "plugin" | "facilitator" => "NAME",
                        "plugin.NAME.routes" => "ROUTE",
                        _ => key,
                    };
                    let path = if kind.is_empty() { key.to_owned() } else { format!("{kind}.{key}") };
                    walk(&path, value, keys);
                    keys.insert(path);
                }
            }
            toml::Value::Array(array) => array.iter().for_each(|entry| walk(&format!("{kind}[]"), entry, keys)),
            _ => {}
        }
    }
    let mut keys = std::collections::BTreeSet::new();
    walk("", &toml::Value::Table(text.parse().expect("TOML")), &mut keys);
    keys
}

/// A budget that was lowered below the limits of bodies had the host ask for money, run the guest, and answer 503 each
/// time.
#[test]
fn limits_that_never_fit_into_the_budget_of_bytes_are_warned_of() {
    let warnings = |text: &str| {
        let config = read_text(&format!("{GOOD}{text}"), "/srv").expect("a good file");
        crate::host::warnings(&config)
    };
    assert_eq!(warnings(""), [""; 0]);
    let lowered = warnings("[server]\nmax_held_bytes = \"32MiB\"\n");
    assert_eq!(lowered.len(), 1, "{lowered:?}");
    assert!(lowered[0].starts_with("limits: ") && lowered[0].contains("max_held_bytes = \"80MiB\""), "{lowered:?}");
    let raised = warnings("[plugin.big.limits]\nresponse_body = \"100MiB\"\n");
    assert_eq!(raised.len(), 1, "{raised:?}");
    assert!(raised[0].starts_with("plugin.big.limits: ") && raised[0].contains("\"440MiB\""), "{raised:?}");
}

/// An entry that is the address of a metadata service was taken without a word, although no name leads there.
#[test]
fn an_origin_at_which_clouds_serve_credentials_is_warned_of() {
    let entries = ["http://169.254.169.254", "http://[fd00:ec2::254]", "http://10.0.0.1", "https://a.example"];
    let text = format!("{GOOD}[plugin.a]\nhttp = {entries:?}\n");
    let config = read_text(&text, "/srv").expect("a good file");
    let warnings = crate::host::warnings(&config);
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    for (index, warning) in warnings.iter().enumerate() {
        let told = format!("plugin.a.http[{index}]: {} is where clouds serve", entries[index]);
        assert!(warning.starts_with(&told), "{warning}");
    }
}

/// The log of a reload had the file in one line and the reasons in the next ones, which a search for the first one did
/// not find.
#[test]
fn the_problems_of_a_file_are_one_line_for_the_log() {
    let line = |text: &str| {
        let list = read_text(text, "/srv").expect_err("a mistake");
        Problems { file: "coinslot.toml".into(), list }.in_one_line()
    };
    let two = line(&format!("{GOOD}[server]\nteapots = 1\nkettles = 2\n"));
    assert!(two.starts_with("coinslot.toml: ") && two.contains("teapots") && two.contains("; "), "{two}");
    let broken = line("listen = \n");
    assert!(broken.lines().count() == 1 && broken.contains("line 1"), "{broken}");
}

#[test]
fn an_origin_that_buyers_cannot_use_is_told() {
    let said = |more: &str, listen: &str| {
        let good: String =
            GOOD.lines().filter(|line| !line.starts_with("public_url")).map(|line| format!("{line}\n")).collect();
        let config = read_text(&format!("{good}{more}"), "").expect("a good file");
        config.server.unusable_origin(listen.parse().expect("an address"))
    };
    assert_eq!(said("", "127.0.0.1:8402"), None, "for a client of this machine");
    assert_eq!(said("", "192.0.2.1:8402"), None);
    for listen in ["0.0.0.0:8402", "[::]:8402"] {
        let said = said("", listen).expect("a warning");
        assert!(said.contains(listen) && said.contains("`public_url`"), "{said}");
    }
    let proxied = said("[server]\ntrusted_proxies = [\"127.0.0.1\"]\n", "127.0.0.1:8402");
    assert!(proxied.is_some_and(|said| said.contains("trusted_proxies")));
    assert_eq!(said("[server]\ntrusted_proxies = []\n", "127.0.0.1:8402"), None);
    let tls = said("[tls]\ncert = \"a\"\nkey = \"b\"\n", "127.0.0.1:8402");
    assert!(tls.is_some_and(|said| said.contains("https://127.0.0.1:8402")));
}

#[test]
fn refunds_have_a_wallet_a_budget_and_perhaps_a_rule() {
    let with = |table: &str| read_text(&format!("{GOOD}\n[refunds]\n{table}"), "");
    let config = with("key_env = \"K\"\ndaily_budget = [\"$20\", \"15 EURC\"]\npolicy = \"after 24h\"").expect("good");
    let refunds = config.refunds.expect("a wallet");
    let budgets: Vec<_> = refunds.daily_budget.iter().map(|one| (&*one.digits, one.symbol.as_deref())).collect();
    assert_eq!(budgets, [("20", None), ("15", Some("EURC"))]);
    assert_eq!(refunds.after, Some(Duration::from_secs(24 * 60 * 60)));
    let by_command = with("key_file = \"k\"\ndaily_budget = \"$1\"\npolicy = \"by command\"").expect("good");
    assert_eq!(by_command.refunds.and_then(|refunds| refunds.after), None);
    for (table, problem) in [
        ("daily_budget = \"$1\"", "refunds: name the key of the wallet that pays"),
        ("key_env = \"K\"", "refunds.daily_budget: is missing"),
        ("key_env = \"K\"\ndaily_budget = []", "refunds.daily_budget: name an amount"),
        ("key_env = \"K\"\ndaily_budget = [\"$1\", \"2 USD\"]", "a second budget of the same money"),
        ("key_env = \"K\"\ndaily_budget = \"-1\"", "refunds.daily_budget: `-1` is not an amount"),
        ("key_env = \"K\"\ndaily_budget = \"$1\"\npolicy = \"24h\"", "refunds.policy: `24h` is neither"),
        ("key_env = \"K\"\ndaily_budget = \"$1\"\npolicy = \"after 0s\"", "refunds.policy: `after 0s` is neither"),
        ("key_env = \"K\"\nkey_file = \"k\"\ndaily_budget = \"$1\"", "refunds: name the key"),
    ] {
        let problems = with(table).expect_err(table).join("\n");
        assert!(problems.contains(problem), "{table}: {problems}");
    }
}
