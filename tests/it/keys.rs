//! Checks keys of customers: how they are made and revoked beside a running host, and what a request with one gets.

use coinslot_tests::{ServeHost, TestChain, run};
use reqwest::{Client, Response};
use serde_json::{Value, json};

use crate::admin::ask;

const ADMIN: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n";

/// Runs `coinslot keys` in the host's folder. Returns its exit code, its output and its errors.
fn keys(host: &ServeHost, arguments: &[&str]) -> (Option<i32>, String, String) {
    let all: Vec<&str> = ["keys"].iter().chain(arguments).copied().collect();
    let output = run(&host.path("."), &all);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Makes a key, and returns it.
fn add(host: &ServeHost, arguments: &[&str]) -> String {
    let all: Vec<&str> = ["add"].iter().chain(arguments).copied().collect();
    let (code, out, error) = keys(host, &all);
    assert_eq!(code, Some(0), "{error}");
    let made: Value = serde_json::from_str(&out).expect("JSON, since it is piped");
    made["key"].as_str().expect("the key, this once").to_owned()
}

async fn with_key(host: &ServeHost, path: &str, key: &str) -> Response {
    let request = Client::new().post(host.url(path)).header("Authorization", format!("Bearer {key}"));
    request.send().await.expect("an answer")
}

async fn error_of(response: Response) -> Value {
    response.json::<Value>().await.expect("JSON")["error"].clone()
}

#[tokio::test]
async fn a_request_with_a_key_is_served_and_the_key_stays_between_customer_and_host() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], ADMIN).await;
    let key = add(&host, &["acme"]);
    assert!(key.starts_with("coinslot_key_") && key.len() == 77, "{key}");
    let (_, listed, _) = keys(&host, &["list"]);
    assert!(listed.contains("\"acme\"") && !listed.contains(&key), "{listed}");
    for (name, value) in [("Authorization", format!("Bearer {key}")), ("X-API-Key", key.clone())] {
        let request = Client::new().post(host.url("/echo?free")).header(name, &value);
        let served = request.send().await.expect("an answer");
        assert_eq!(served.status(), 200, "{}", host.log());
        let said: Value = served.json().await.expect("JSON");
        assert!(!said.to_string().contains(&key), "the plugin sees no key: {said}");
        // On a free route, too.
        let free = Client::new().get(host.url("/echo")).header(name, &value).send().await.expect("an answer");
        assert!(!free.text().await.expect("text").contains(&key));
    }
    let own = Client::new().get(host.url("/echo")).header("Authorization", "Bearer sk-123").send().await;
    assert!(own.expect("an answer").text().await.expect("text").contains("sk-123"), "a plugin's own credentials stay");
    assert!(!host.log().contains(&key));
    for entry in std::fs::read_dir(host.path(".coinslot")).expect("the state").flatten() {
        if entry.path().is_file() {
            let bytes = std::fs::read(entry.path()).expect("a file");
            let found = bytes.windows(key.len()).any(|window| window == key.as_bytes());
            assert!(!found, "{}", entry.path().display());
        }
    }
    let uses = ask(&host, "/api/v1/free").await;
    assert_eq!(uses.as_array().map(Vec::len), Some(2));
    assert_eq!((&uses[0]["kind"], &uses[0]["who"]), (&json!("key"), &json!("acme")));
    let of_key = ask(&host, "/api/v1/keys").await;
    assert_eq!((&of_key[0]["served"], &of_key[0]["state"]), (&json!(2), &json!("active")));
    // The command that asks the listener shows what the one that reads the ledger shows.
    let (url, printed) =
        (host.admin(), |all: &[&str]| String::from_utf8(run(&host.path("."), all).stdout).expect("text"));
    for more in [&["--who", "acme"][..], &["--totals"], &["--format", "table"], &["--totals", "--format", "csv"]] {
        let asked = printed(&[&["free", "--url", &url], more].concat());
        assert_eq!(asked, printed(&[&["ledger", "free"], more].concat()), "{more:?}");
        assert!(asked.contains("key"), "{more:?}: {asked}");
    }
    assert_eq!(chain.payments_received().await, 0);
}

#[tokio::test]
async fn a_revoked_unknown_or_expired_key_is_refused_and_its_holder_may_pay() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], "").await;
    let (revoked, expired) = (add(&host, &["acme"]), add(&host, &["brief", "--expires", "1s"]));
    assert_eq!(with_key(&host, "/echo", &revoked).await.status(), 200);
    assert_eq!(keys(&host, &["revoke", "acme"]).0, Some(0));
    let refused = with_key(&host, "/echo", &revoked).await;
    assert_eq!(refused.status(), 401, "at once, while the host runs");
    assert_eq!(refused.headers()["www-authenticate"], "Bearer error=\"invalid_token\"");
    let body: Value = refused.json().await.expect("JSON");
    assert_eq!((&body["error"], &body["charged"]), (&json!("api_key_revoked"), &json!("no")));
    let unknown = format!("coinslot_key_{}", "0".repeat(64));
    assert_eq!(error_of(with_key(&host, "/echo", &unknown).await).await, "api_key_unknown");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while with_key(&host, "/echo", &expired).await.status() != 401 {
        assert!(std::time::Instant::now() < deadline, "the key never expires");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(error_of(with_key(&host, "/echo", &expired).await).await, "api_key_expired");
    // A payment decides, whatever the key is.
    let challenge = Client::new().post(host.url("/echo")).send().await.expect("a challenge");
    let payment = chain.payer(0).pay(&challenge).header();
    let paid =
        Client::new().post(host.url("/echo")).header("PAYMENT-SIGNATURE", &payment).header("X-API-Key", &revoked);
    assert_eq!(paid.send().await.expect("an answer").status(), 200, "{}", host.log());
}

#[tokio::test]
async fn a_key_has_a_quota_and_a_scope_and_beyond_them_the_answer_has_the_price() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo", "status"], "").await;
    let key = add(&host, &["acme", "--plugin", "echo", "--quota", "1", "--every", "1d"]);
    let served = with_key(&host, "/echo", &key).await;
    assert_eq!(served.status(), 200, "{}", host.log());
    assert_eq!(served.headers()["ratelimit-policy"], "\"key\";q=1;w=86400");
    let exhausted = with_key(&host, "/echo", &key).await;
    assert_eq!(exhausted.status(), 429);
    let wait: u64 = exhausted.headers()["retry-after"].to_str().expect("ASCII").parse().expect("seconds");
    assert!((86_000..=86_400).contains(&wait), "{wait}");
    assert!(exhausted.headers()["ratelimit"].to_str().expect("ASCII").starts_with("\"key\";r=0;t="));
    let payment = chain.payer(0).pay(&exhausted).header();
    let paid = Client::new().post(host.url("/echo")).header("PAYMENT-SIGNATURE", &payment).bearer_auth(&key);
    assert_eq!(paid.send().await.expect("an answer").status(), 200, "the answer has the price: {}", host.log());
    let elsewhere = with_key(&host, "/status", &key).await;
    assert_eq!(elsewhere.status(), 403);
    assert!(elsewhere.headers().contains_key("payment-required"));
    assert_eq!(error_of(elsewhere).await, "api_key_scope");
    let route = add(&host, &["other", "--route", "POST /status"]);
    assert_eq!(with_key(&host, "/status", &route).await.status(), 200);
    assert_eq!(with_key(&host, "/echo", &route).await.status(), 403);
}

#[tokio::test]
async fn of_parallel_requests_with_the_last_of_a_quota_a_single_one_is_served() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], "").await;
    let key = add(&host, &["acme", "--quota", "1", "--every", "forever"]);
    let asked = (0..30).map(|_| {
        let (url, key) = (host.url("/echo"), key.clone());
        tokio::spawn(async move { Client::new().post(url).bearer_auth(key).send().await.expect("an answer").status() })
    });
    let mut statuses = Vec::new();
    for asked in asked.collect::<Vec<_>>() {
        statuses.push(asked.await.expect("no panic").as_u16());
    }
    statuses.sort_unstable();
    assert_eq!((statuses[0], statuses[1], statuses[29]), (200, 429, 429), "{statuses:?}");
    assert_eq!(host.runs_of("echo"), 1);
}

#[tokio::test]
async fn mistakes_of_the_command_have_a_message_and_a_stable_exit_code() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], "").await;
    add(&host, &["acme"]);
    for (arguments, code, part) in [
        (&["add", "acme"][..], 1, "has the name acme"),
        (&["revoke", "nobody"], 1, "`coinslot keys list` shows all"),
        (&["add", ""], 2, "a name has 1 to 64 characters"),
        (&["add", "b", "--quota", "5"], 2, "--every"),
        (&["add", "b", "--quota", "0", "--every", "1d"], 2, "0 is not in 1.."),
        (&["add", "b", "--quota", "5", "--every", "soon"], 2, "--every"),
        (&["add", "b", "--expires", "never"], 2, "is not a duration"),
        (&["list", "-c", "none.toml"], 2, "none.toml"),
    ] {
        let (found, out, error) = keys(&host, arguments);
        assert_eq!(found, Some(code), "{arguments:?}: {out}{error}");
        assert!(error.contains(part), "{arguments:?}: {error}");
    }
    let (_, table, _) = keys(&host, &["list", "--format", "table"]);
    assert!(table.contains("NAME") && table.contains("acme") && table.contains("everything"), "{table}");
}
