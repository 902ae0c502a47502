//! Looks at the dashboard over real sockets while real payments come: its numbers, its sign-in, hostile texts,
//! rollbacks, and its pages in a browser.

use std::time::{Duration, Instant};

use coinslot_tests::{BrowserPage, NodeFault, SeenPage, ServeHost, TestChain, altered, component, guest, look_at};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, StatusCode, Url};
use serde_json::Value;

use crate::admin::{ask, metrics_with, sample};

const ADMIN: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n";

const MINUTE: Duration = Duration::from_secs(60);

const PAGES: [&str; 6] = ["/", "/payments", "/money", "/plugins", "/chain", "/config"];

/// A browser that follows nothing by itself.
fn browser() -> Client {
    Client::builder().redirect(Policy::none()).build().expect("a client")
}

/// A form, as a browser sends it.
fn form(post: RequestBuilder, fields: &[(&str, &str)]) -> RequestBuilder {
    let encoded = Url::parse_with_params("http://form", fields).expect("a URL");
    let body = encoded.query().unwrap_or_default().to_owned();
    post.header("content-type", "application/x-www-form-urlencoded").body(body)
}

async fn page(host: &ServeHost, path: &str) -> String {
    let answer = browser().get(format!("{}{path}", host.admin())).send().await.expect("an answer");
    assert_eq!(answer.status(), 200, "{path}");
    assert_eq!(answer.headers()["content-type"], "text/html; charset=utf-8");
    answer.text().await.expect("a page")
}

/// The text of the element that has this attribute.
fn text_of<'p>(page: &'p str, attribute: &str) -> &'p str {
    let (_, rest) = page.split_once(attribute).unwrap_or_else(|| panic!("no {attribute} in:\n{page}"));
    let (_, text) = rest.split_once('>').expect("the end of a tag");
    text.split('<').next().expect("a text")
}

/// The value of a field of a form.
fn field<'p>(page: &'p str, name: &str) -> &'p str {
    let (_, rest) = page.split_once(&format!("name=\"{name}\" value=\"")).expect("the field");
    rest.split('"').next().expect("a value")
}

#[tokio::test]
async fn pages_say_the_numbers_of_the_api_and_of_prometheus() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["status", "unruly"], ADMIN).await;
    assert!(page(&host, "/").await.contains("No request has come yet"));
    for path in ["/status", "/status?201"] {
        host.buy(chain.payer(0), path, MINUTE).await;
    }
    assert_eq!(host.buy(chain.payer(1), "/unruly?recurse", MINUTE).await.statuses, [500]);
    assert_eq!(reqwest::get(host.url("/nowhere")).await.expect("an answer").status(), 404);
    metrics_with(&host, &[("coinslot_state", "paid")], 2.0).await;
    let prometheus = metrics_with(&host, &[("coinslot_state", "failed")], 1.0).await;

    let now = page(&host, "/").await;
    let requests = |outcome: &str| {
        let labels: &[(&str, &str)] = if outcome == "all" { &[] } else { &[("coinslot_outcome", outcome)] };
        sample(&prometheus, "http_server_request_duration_seconds_count", labels).to_string()
    };
    for outcome in ["all", "challenged", "paid", "failed", "host"] {
        assert_eq!(text_of(&now, &format!("data-outcome=\"{outcome}\"")), requests(outcome), "{outcome}");
    }
    for state in ["paid", "failed", "owed", "unknown", "refused"] {
        // A sum of nothing is minus zero.
        let counted = (sample(&prometheus, "coinslot_payments_total", &[("coinslot_state", state)]) + 0.0).to_string();
        assert_eq!(text_of(&now, &format!("data-payments=\"{state}\"")), counted, "{state}");
    }
    assert!(now.contains("7 in ") && now.contains("Nothing needs your attention"), "{now}");

    let rows = ask(&host, "/api/v1/payments").await;
    let list = page(&host, "/payments").await;
    for row in rows.as_array().expect("payments") {
        let id = row["paymentId"].as_str().expect("an id");
        assert!(list.contains(&format!("/payments/{id}")), "{list}");
        let story = page(&host, &format!("/payments/{id}")).await;
        let transaction = row["transaction"].as_str().expect("a transaction");
        for part in ["0.01", "Claimed", "Verified", "Settlement", "Paid", row["payer"].as_str().expect("a payer")] {
            assert!(story.contains(part), "{part} is missing:\n{story}");
        }
        assert!(story.contains(&format!("https://sepolia.basescan.org/tx/{transaction}")), "{story}");
        for search in [id, transaction, row["payer"].as_str().expect("a payer"), "POST%20/status", "/status"] {
            let answer = reqwest::get(format!("{}/payments?q={search}", host.admin())).await.expect("an answer");
            assert!(answer.text().await.expect("a page").contains(id), "{search}");
        }
    }
    assert!(page(&host, "/payments?q=0x0000000000000000000000000000000000000001").await.contains("No payment fits"));
    assert!(page(&host, "/payments?state=gone").await.contains("`gone` is no state"));

    let given_back = ask(&host, "/api/v1/failed").await[0]["paymentId"].as_str().expect("an id").to_owned();
    assert!(page(&host, &format!("/payments/{given_back}")).await.contains("nothing was charged"));
    let money = page(&host, "/money?period=all").await;
    let revenue = ask(&host, "/api/v1/revenue?by=endpoint").await;
    assert_eq!((&revenue[0]["key"], &revenue[0]["amount"]), (&"POST /status".into(), &"0.02".into()));
    for part in ["Test networks", "0.02", "POST /status", "The plugin failed, and the payment was given back"] {
        assert!(money.contains(part), "{part} is missing:\n{money}");
    }
    assert!(money.contains("Nothing was earned in this time"), "money on a test network is no revenue:\n{money}");
    let plugins = page(&host, "/plugins").await;
    assert!(plugins.contains("0.01 USDC") && plugins.contains("unruly.wasm"), "{plugins}");
    let wallet = ask(&host, "/api/v1/chain").await[0]["wallets"][0]["address"].as_str().expect("a wallet").to_owned();
    assert!(page(&host, "/chain").await.contains(&wallet));
    let (config, key) = (page(&host, "/config").await, std::fs::read_to_string(host.path("key")).expect("a key"));
    assert!(config.contains("key_file") && !config.contains(key.trim().trim_start_matches("0x")), "{config}");
    let nowhere = browser().get(format!("{}/nowhere", host.admin())).send().await.expect("an answer");
    assert_eq!(nowhere.status(), 404);
    assert!(nowhere.text().await.expect("a page").contains("There is no such page"));
}

#[tokio::test]
async fn a_list_of_payments_goes_on_where_its_page_ends() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["status"], ADMIN).await;
    for _ in 0..3 {
        host.buy(chain.payer(0), "/status", MINUTE).await;
    }
    let ids = |rows: &Value| -> Vec<String> {
        let rows = rows.as_array().expect("payments").iter();
        rows.map(|row| row["paymentId"].as_str().expect("an id").to_owned()).collect()
    };
    let all = ids(&ask(&host, "/api/v1/payments").await);
    let first = ids(&ask(&host, "/api/v1/payments?limit=2").await);
    let rest = ids(&ask(&host, &format!("/api/v1/payments?limit=2&after={}", first[1])).await);
    assert_eq!([first, rest.clone()].concat(), all, "three payments of one second, each once");
    let end = page(&host, &format!("/payments?after={}", rest[0])).await;
    assert!(end.contains("Nothing follows") && end.contains("To the newest"), "{end}");
}

#[tokio::test]
async fn pages_allow_nothing_from_elsewhere_and_escape_what_plugins_say() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["status"], ADMIN).await;
    host.install("bad.wasm", &altered("describe-error", "the moon is not full", "<img src=x onerror=1"));
    let begun = Instant::now();
    let plugins = loop {
        let plugins = page(&host, "/plugins").await;
        if plugins.contains("bad.wasm") {
            break plugins;
        }
        assert!(begun.elapsed() < MINUTE, "{plugins}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    for shown in [plugins, page(&host, "/").await] {
        assert!(shown.contains("&lt;img src=x onerror=1") && !shown.contains("<img"), "{shown}");
    }
    let search = page(&host, "/payments?q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E%E2%80%AE").await;
    assert!(search.contains("&lt;script&gt;alert(1)") && !search.contains("<script>") && !search.contains('\u{202e}'));
    for path in PAGES.iter().copied().chain(["/login", "/assets/style.css", "/nowhere", "/api/v1/status"]) {
        let answer = browser().get(format!("{}{path}", host.admin())).send().await.expect("an answer");
        let policy = answer.headers()["content-security-policy"].to_str().expect("ASCII");
        assert!(policy.starts_with("default-src 'none'; style-src 'self'; script-src 'self';"), "{path}: {policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
        let text = answer.text().await.expect("a text");
        assert!(!text.contains(" style=\"") && !text.contains("onclick"), "{path}: {text}");
    }
}

/// A host whose listener has a token.
async fn with_token(chain: &TestChain) -> (ServeHost, &'static str) {
    let token = "0123456789abcdef0123";
    let mut host = chain.serve(&["status"], "").await;
    let config = host.configuration();
    host.write_configuration(&format!("{config}{ADMIN}token_env = \"OPS_TOKEN\"\n"));
    host.restart(&[("OPS_TOKEN", token)]).await;
    (host, token)
}

/// Signs in. Returns the cookie.
async fn sign_in(url: &str, token: &str) -> String {
    let post = form(browser().post(format!("{url}/login")), &[("token", token), ("next", "/money")]);
    let answer = post.send().await.expect("an answer");
    assert_eq!(
        (answer.status(), &answer.headers()["location"]),
        (StatusCode::SEE_OTHER, &"/money".parse().expect("it"))
    );
    let set = answer.headers()["set-cookie"].to_str().expect("ASCII").to_owned();
    for part in ["; HttpOnly", "; SameSite=Strict", "; Path=/"] {
        assert!(set.contains(part), "{set}");
    }
    assert!(!set.contains(token), "the cookie is not the token");
    set.split(';').next().expect("a cookie").to_owned()
}

#[tokio::test]
async fn a_browser_signs_in_and_out() {
    let chain = TestChain::start().await;
    let (host, token) = with_token(&chain).await;
    let (url, client) = (host.admin(), browser());
    let get = async |path: &str, cookie: &str| {
        client.get(format!("{url}{path}")).header("cookie", cookie).send().await.expect("an answer")
    };
    let sent_away = get("/payments?q=/status", "").await;
    assert_eq!(sent_away.status(), 303);
    assert_eq!(sent_away.headers()["location"], "/login?next=%2Fpayments%3Fq%3D%2Fstatus");
    assert_eq!(get("/login", "").await.status(), 200);
    assert_eq!(get("/assets/style.css", "").await.status(), 200);
    assert_eq!(get("/api/v1/status", "").await.status(), 401);

    let cookie = sign_in(&url, token).await;
    let money = get("/money", &cookie).await;
    assert_eq!((money.status().as_u16(), &money.headers()["cache-control"]), (200, &"no-store".parse().expect("it")));
    let proof = field(&money.text().await.expect("a page"), "proof").to_owned();
    assert_eq!(get("/api/v1/status", &cookie).await.status(), 200);
    assert_eq!(get("/money", &format!("{cookie}0")).await.status(), 303, "a session that was made up");

    let sign_out = async |fields: &[(&str, &str)], origin: &str| {
        let post = client.post(format!("{url}/logout")).header("cookie", &cookie).header("origin", origin);
        form(post, fields).send().await.expect("an answer").status().as_u16()
    };
    assert_eq!(sign_out(&[("proof", "0")], &url).await, 403, "a form of no page of this session");
    assert_eq!(sign_out(&[("proof", &proof)], "https://evil.example").await, 403, "a page of another origin");
    assert_eq!(get("/money", &cookie).await.status(), 200);
    assert_eq!(sign_out(&[("proof", &proof)], &url).await, 303);
    assert_eq!(get("/money", &cookie).await.status(), 303, "the session has ended");
    assert!(!host.log().contains(token));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_to_sign_in_looks_right() {
    let chain = TestChain::start().await;
    let (host, token) = with_token(&chain).await;
    let url = host.admin();
    let cookie = sign_in(&url, token).await;
    let mut seen = look_at(&named(&url, "stranger", &["/login", "/money"]), None);
    assert!(seen.iter().all(|page| page.text.contains("Sign in")), "{seen:?}");
    seen.extend(look_at(&named(&url, "signed-in", &["/", "/money"]), Some(&cookie)));
    let signed_in = seen.iter().filter(|page| page.name.starts_with("signed-in"));
    assert_eq!(signed_in.filter(|page| page.text.contains("Sign out")).count(), 8);
    are_faultless(&seen);
}

#[tokio::test]
async fn wrong_tokens_are_refused_and_then_not_even_looked_at() {
    let chain = TestChain::start().await;
    let (host, token) = with_token(&chain).await;
    let url = host.admin();
    let try_token = async |token: &str| {
        let post = form(browser().post(format!("{url}/login")), &[("token", token)]);
        post.send().await.expect("an answer")
    };
    let wrong = try_token("wrong").await;
    assert_eq!(wrong.status(), 401);
    assert!(!wrong.headers().contains_key("set-cookie"));
    assert!(wrong.text().await.expect("a page").contains("This is not the token"));
    for _ in 0..9 {
        let answer = browser().get(format!("{url}/metrics")).bearer_auth("wrong").send().await.expect("an answer");
        assert_eq!(answer.status(), 401);
    }
    let late = try_token(token).await;
    assert_eq!(late.status(), 429, "the right token after many wrong ones would tell that it is right");
    assert!(late.headers().contains_key("retry-after"));
}

#[tokio::test]
async fn a_plugin_is_rolled_back_from_its_page_by_whoever_was_shown_the_page() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["status"], ADMIN).await;
    let url = host.admin();
    assert!(!page(&host, "/plugins").await.contains("Roll back"), "there is no build before");
    host.install("status.wasm", &component("echo"));
    let begun = Instant::now();
    let shown = loop {
        let plugins = page(&host, "/plugins").await;
        if plugins.contains("Roll back") {
            break plugins;
        }
        assert!(begun.elapsed() < MINUTE, "{plugins}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let (proof, to) = (field(&shown, "proof"), field(&shown, "to"));
    let roll_back = async |proof: &str, to: &str| {
        let post =
            form(browser().post(format!("{url}/plugins/status%2Ewasm/rollback")), &[("proof", proof), ("to", to)]);
        post.send().await.expect("an answer").status().as_u16()
    };
    assert_eq!(roll_back("", to).await, 403);
    assert_eq!(roll_back(proof, "0").await, 409, "another build than the one that was shown");
    assert_eq!(ask(&host, "/api/v1/plugins").await[0]["active"]["name"], "echo");
    assert_eq!(roll_back(proof, to).await, 303);
    assert_eq!(ask(&host, "/api/v1/plugins").await[0]["active"]["name"], "status");
    assert_eq!(reqwest::get(host.url("/echo")).await.expect("an answer").status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_page_stays_fresh_and_says_when_the_host_does_not_answer() {
    let chain = TestChain::start().await;
    let (mut host, token) = with_token(&chain).await;
    let url = host.admin();
    let mut page = BrowserPage::open();
    page.go(&format!("{url}/"));
    page.fill("#token", "wrong");
    page.press("Enter");
    page.sees("[role=alert]", "This is not the token");
    page.fill("#token", token);
    page.press("Enter");
    page.sees("h1", "Now");
    page.sees(".empty", "No request has come yet");
    // The first stop of the keyboard leads past the navigation.
    page.press("Tab");
    page.sees("a.skip:focus", "Skip to the content");
    page.press("Enter");
    page.sees("main:focus", "Now");
    page.click("#rates-table summary");

    host.buy(chain.payer(0), "/status", MINUTE).await;
    page.sees("[data-outcome=paid]", "1");
    page.sees("#rates-table[open] table", "not running");
    page.hide(true);
    host.buy(chain.payer(0), "/status", MINUTE).await;
    page.hide(false);
    page.sees("[data-outcome=paid]", "2");

    host.signal("KILL");
    host.wait_for_exit().await;
    page.sees("#stale", "The host has not answered since");
    page.sees("[data-outcome=paid]", "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_look_right_when_empty_busy_and_in_trouble() {
    let chain = TestChain::start().await;
    let node = chain.node().await;
    let mut host = chain.serve_on(&guest("status"), &node).await;
    let config = host.configuration();
    host.write_configuration(&format!("{config}{ADMIN}"));
    host.restart(&[]).await;
    let url = host.admin();
    let pages = |state: &str, paths: &[&str]| named(&url, state, paths);
    let mut seen = look_at(&pages("empty", &PAGES), None);

    host.install("unruly.wasm", &component("unruly"));
    host.install("echo.wasm", &component("echo"));
    for payer in 0..4 {
        for path in ["/status", "/status?201"] {
            host.buy(chain.payer(payer), path, MINUTE).await;
        }
    }
    let begun = Instant::now();
    while ask(&host, "/api/v1/plugins").await.as_array().map(Vec::len) != Some(3) {
        assert!(begun.elapsed() < MINUTE, "{}", host.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    host.buy(chain.payer(0), "/unruly?recurse", MINUTE).await;
    let id = ask(&host, "/api/v1/payments").await[0]["paymentId"].as_str().expect("an id").to_owned();
    let story = format!("/payments/{id}");
    let paths: Vec<&str> = PAGES.iter().copied().chain([&*story]).collect();
    seen.extend(look_at(&pages("busy", &paths), None));

    // After a restart the counters of the process are at zero, and the books go on.
    host.signal("TERM");
    host.wait_for_exit().await;
    host.restart(&[]).await;
    let url = host.admin();
    let pages = |state: &str, paths: &[&str]| named(&url, state, paths);
    let again: Vec<&str> = ["/", "/payments", "/money", "/plugins", "/failed", "/changes", &story].into();
    let again = look_at(&pages("restarted", &again), None);
    let text = |name: &str| {
        &again.iter().find(|page| page.name == format!("restarted-{name}-360-light")).expect("the page").text
    };
    assert!(text("now").contains("Counters begin anew with the host"), "{}", text("now"));
    for part in ["by 8 payments", "Told the price", "Why not"] {
        assert!(text("money").contains(part), "{part} is missing:\n{}", text("money"));
    }
    seen.extend(again);

    let name =
        "a name without any room to break it in half so that it has to be wrapped somewhere.wasm".replace(' ', "");
    host.install(&name, b"not a component");
    host.install("plugin.wasm", &altered("describe-error", "the moon is not full", "<img src=x onerror=1"));
    node.always("*", NodeFault::Hang);
    let begun = Instant::now();
    let in_trouble = |status: &Value| {
        let alerts = status["alerts"].to_string();
        status["ready"] == false && ["is not WebAssembly", "onerror"].iter().all(|part| alerts.contains(part))
    };
    while !in_trouble(&ask(&host, "/api/v1/status").await) {
        assert!(begun.elapsed() < MINUTE, "{}", host.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let trouble = look_at(&pages("trouble", &paths), None);
    let now = trouble.iter().find(|page| page.name == "trouble-now-1440-light").expect("the page");
    for part in ["Takes no payments", "cannot settle on", "is not loaded", "<img src=x onerror=1"] {
        assert!(now.text.contains(part), "{part} is missing:\n{}", now.text);
    }
    seen.extend(trouble);
    are_faultless(&seen);
}

/// Names for pictures of these pages in this state of the host, with their addresses.
fn named(url: &str, state: &str, paths: &[&str]) -> Vec<(String, String)> {
    let name = |path: &str| match path.split('/').nth(1) {
        Some("") | None => "now".to_owned(),
        Some(_) if path.matches('/').count() > 1 => "payment".to_owned(),
        Some(name) => name.to_owned(),
    };
    paths.iter().map(|path| (format!("{state}-{}", name(path)), format!("{url}{path}"))).collect()
}

fn are_faultless(seen: &[SeenPage]) {
    let faults: Vec<String> = seen
        .iter()
        .filter(|page| page.status != 200 || !page.faults.is_empty())
        .map(|page| format!("{} ({}): {}", page.name, page.status, page.faults.join("\n    ")))
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
