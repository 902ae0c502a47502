//! Opens the pages for people: the index, the page of an endpoint, and the 402 of a browser.

use std::time::Duration;

use coinslot_tests::{BrowserPage, DevHost, SeenPage, TestChain, altered, declaring, guest, look_at};
use reqwest::{Method, RequestBuilder, StatusCode};

const MOZILLA: &str = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0";
const HTML: &str = "text/html,application/xhtml+xml,*/*;q=0.8";

trait AsBrowser {
    fn in_browser(self) -> Self;
}

impl AsBrowser for RequestBuilder {
    fn in_browser(self) -> Self {
        self.header("user-agent", MOZILLA).header("accept", HTML)
    }
}

/// The names of the header fields of an answer that do not differ from one answer to the next.
fn names(answer: &reqwest::Response) -> Vec<String> {
    answer.headers().keys().map(|name| name.as_str().to_owned()).collect()
}

#[tokio::test]
async fn a_browser_gets_a_page_with_the_challenge_and_everyone_else_gets_json() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["answers", "echo"], "").await;
    let client = reqwest::Client::new();
    let url = host.url("/answers/text");
    let page = client.get(&url).in_browser().send().await.expect("an answer");
    assert_eq!(page.status(), StatusCode::PAYMENT_REQUIRED);
    let json = client.get(&url).send().await.expect("an answer");
    for name in names(&json) {
        assert!(page.headers().contains_key(&name), "{name} is missing");
    }
    let header = |name: &str| page.headers()[name].to_str().expect("ASCII").to_owned();
    assert_eq!(header("content-type"), "text/html; charset=utf-8");
    assert_eq!(header("cache-control"), "no-store");
    let policy = header("content-security-policy");
    for part in ["default-src 'none'", "script-src 'sha256-", "frame-ancestors 'none'", "base-uri 'none'"] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
    // A program, a script of a page, the head alone, another method, and a payment that is wrong.
    let others = [
        client.get(&url),
        client.get(&url).in_browser().header("sec-fetch-mode", "cors"),
        client.head(&url).in_browser(),
        client.get(&url).header("accept", HTML),
        client.get(&url).header("user-agent", MOZILLA),
        client.get(&url).in_browser().header("payment-signature", "bm90IGpzb24="),
        client.request(Method::POST, host.url("/echo")).in_browser().header("content-type", "application/json"),
    ];
    for request in others {
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.headers()["content-type"], "application/json", "{answer:?}");
        assert!(!answer.headers().contains_key("content-security-policy"));
        assert!(answer.headers().contains_key("payment-required"));
    }
    // The form of a browser, for a route that is prepared and for one with a query.
    for path in ["/echo", "/echo?a=1"] {
        let form = client.post(host.url(path)).in_browser().body("a=1");
        let form = form.header("content-type", "application/x-www-form-urlencoded").send().await.expect("an answer");
        assert_eq!(
            (form.status(), &form.headers()["content-type"]),
            (StatusCode::PAYMENT_REQUIRED, &"text/html; charset=utf-8".parse().expect("a value"))
        );
    }
}

#[tokio::test]
async fn an_operator_switches_the_pages_off_without_a_restart() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["answers"], "").await;
    let client = reqwest::Client::new();
    let open = |path: &str| client.get(host.url(path)).in_browser().send();
    assert_eq!(open("/").await.expect("an answer").status(), StatusCode::OK);
    host.write_configuration(&format!("{}[discover]\nindex = false\npaywall = false\n", host.configuration()));
    host.signal("HUP");
    while open("/").await.expect("an answer").status() != StatusCode::NOT_FOUND {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let challenge = open("/answers/text").await.expect("an answer");
    assert_eq!(challenge.status(), StatusCode::PAYMENT_REQUIRED);
    assert_eq!(challenge.headers()["content-type"], "application/json");
}

/// Texts of plugins and of requests are texts.
#[tokio::test]
async fn no_text_of_a_plugin_or_a_request_becomes_markup() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["answers"], "").await;
    let client = reqwest::Client::new();
    let hostile = "</script><script>alert(1)</script><img src=x onerror=alert(1)>";
    let paywall = format!("/answers/text?word={}", hostile.replace('<', "%3C").replace('>', "%3E").replace(' ', "%20"));
    for path in ["/", "/.well-known/coinslot/endpoint?POST%20%2Fanswers%2Forder", &paywall] {
        let page =
            client.get(host.url(path)).in_browser().send().await.expect("an answer").text().await.expect("a page");
        assert!(page.contains("alert(1)"), "{path} shows it");
        assert!(
            !page.contains("<script>alert") && !page.contains("<img src=x") && !page.contains('\u{202e}'),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_plugin_that_names_the_first_path_goes_before_the_index() {
    let builder = DevHost::builder();
    std::fs::write(builder.path("plugins/first.wasm"), declaring("/ free")).expect("a component");
    let host = builder.start().await;
    let first = host.client().get(host.url("/")).in_browser().send().await.expect("an answer");
    let policies: Vec<_> = first.headers().get_all("content-security-policy").iter().collect();
    assert_eq!(policies.len(), 1, "that of a plugin, and not that of a page of the host");
    assert!(policies[0].as_bytes().starts_with(b"sandbox "), "{first:?}");
    let unknown = host.client().get(host.url("/.well-known/coinslot/endpoint?GET%20%2Fnothing")).in_browser();
    assert_eq!(unknown.send().await.expect("an answer").status(), StatusCode::NOT_FOUND);
}

/// In `coinslot dev` a person without a wallet pays, and no other host has such a wallet.
#[tokio::test(flavor = "multi_thread")]
async fn a_development_host_has_a_wallet_in_its_pages_and_a_host_for_production_has_none() {
    let host = DevHost::builder().plugin("answers.wasm", &guest("answers")).start().await;
    let before = host.chain().balance(host.payer(0).address()).await;
    let mut page = BrowserPage::open();
    page.go(&host.url("/"));
    page.sees("h1", "Coinslot on this machine");
    page.click("a[href$='GET%20%2Fanswers%2F%7Bkind%7D']");
    page.select("[data-name=kind]", "json");
    page.click("#send");
    page.sees("#state", "Paid 0.01 USDC");
    page.sees("#answer-body pre", "12345678901234567890");
    let after = host.chain().balance(host.payer(0).address()).await;
    assert_eq!((before - after).to::<u64>(), 10_000);
    let path = "/.well-known/coinslot/test-wallet?balance";
    let balance = host.client().get(host.url(path)).send().await.expect("an answer");
    assert_eq!(balance.status(), StatusCode::OK);
    assert!(!balance.headers().contains_key("access-control-allow-origin"), "it is for pages of this host");
    // A page can have its own name lead to this machine (DNS rebinding), and is then of the same origin.
    let rebound = host.client().get(host.url(path)).header("host", "evil.example").send().await.expect("an answer");
    assert_eq!(rebound.status(), StatusCode::NOT_FOUND);
    let chain = TestChain::start().await;
    let production = chain.serve(&["answers"], "").await;
    let none = reqwest::get(production.url(path)).await.expect("an answer");
    assert_eq!(none.status(), StatusCode::NOT_FOUND);
    let page =
        reqwest::Client::new().get(production.url("/answers/text")).in_browser().send().await.expect("an answer");
    assert!(page.text().await.expect("a page").contains("\"testWallet\":null"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_are_faultless_on_small_and_large_screens_in_light_and_dark() {
    let chain = TestChain::start().await;
    let operator = "[discover]\nname = \"Acme Answers\"\n\
                    description = \"Answers of every kind, each for a cent.\\nAsk as often as you like.\"\n\
                    email = \"sales@example.com\"\nwebsite = \"https://example.com\"\n\
                    terms = \"https://example.com/terms\"\naccent = \"#ffb000\"\n";
    let host = chain.serve(&["answers", "echo", "schemas", "quoter"], operator).await;
    let empty = chain.serve(&[], "").await;
    let pages = [
        ("index", host.url("/")),
        ("index-empty", empty.url("/")),
        ("endpoint", host.url("/.well-known/coinslot/endpoint?POST%20%2Fanswers%2Forder")),
        ("endpoint-free", host.url("/.well-known/coinslot/endpoint?GET%20%2Fanswers%2Ffree")),
    ];
    let pages: Vec<(String, String)> = pages.map(|(name, url)| (format!("public-{name}"), url)).into();
    let seen = look_at(&pages, None);
    faultless(&seen);
    let index = &seen[0].text;
    for text in
        ["Acme Answers", "Answers of each kind", "0.01 USDC", "on Base Sepolia", "Terms of sale", "sales@example.com"]
    {
        assert!(index.contains(text), "{text} is missing:\n{index}");
    }
}

/// A host may sell hundreds of things.
#[tokio::test(flavor = "multi_thread")]
async fn an_index_of_five_hundred_endpoints_is_one_page() {
    let chain = TestChain::start().await;
    let host = chain.serve(&[], "").await;
    for many in ["many:249", "many:251"] {
        host.install(&format!("{}.wasm", many.replace(':', "-")), &altered("answers", "many:000", many));
    }
    let page = loop {
        let page = reqwest::get(host.url("/")).await.expect("an answer").text().await.expect("a page");
        if page.matches("<article>").count() == 500 {
            break page;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert!(page.len() < 1 << 20, "{} bytes", page.len());
    faultless(&look_at(&[("public-index-many".to_owned(), host.url("/"))], None));
}

fn faultless(seen: &[SeenPage]) {
    let faults: Vec<String> = seen
        .iter()
        .filter(|page| page.status != 200 || !page.faults.is_empty())
        .map(|page| format!("{} ({}): {}", page.name, page.status, page.faults.join("\n    ")))
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
