//! A browser that pays on a page of the host gets its pass as a cookie.

use coinslot_tests::{ServeHost, TestChain, decode, encode};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::Value;

use super::{field, is_challenged};

const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

/// Both routes of the guest cost a cent and sell a pass.
const CONFIG: &str = "[plugin.echo.routes.\"GET /echo\"]
price = \"0.01\"
pass = { seconds = 3600, requests = 3 }
[plugin.echo.routes.\"POST /echo\"]
pass = { seconds = 600, requests = 3 }
";

/// A request as a page of this host makes it.
fn page(host: &ServeHost, method: Method) -> RequestBuilder {
    let request = Client::new().request(method, host.url("/echo")).header("user-agent", BROWSER);
    let request = request.header("sec-fetch-site", "same-origin").header("sec-fetch-mode", "cors");
    request.header("x-coinslot-page", "1")
}

async fn send(request: RequestBuilder) -> Response {
    request.send().await.expect("an answer")
}

/// Pays on a page, and returns the field with the cookie.
async fn pay(host: &ServeHost, chain: &TestChain, method: Method) -> String {
    let payment = chain.payer(0).pay(&send(page(host, method.clone())).await).header();
    let paid = send(page(host, method).header("PAYMENT-SIGNATURE", &payment)).await;
    assert_eq!(paid.status(), 200, "{}", host.log());
    field(&paid, "set-cookie").to_owned()
}

/// The part of the field that a browser sends back.
fn pair(cookie: &str) -> &str {
    cookie.split(';').next().unwrap_or_default()
}

#[tokio::test]
async fn a_browser_comes_back_with_a_cookie_that_no_page_plugin_or_log_sees() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], CONFIG).await;
    let cookie = pay(&host, &chain, Method::GET).await;
    let (name, token) = pair(&cookie).split_once('=').expect("a cookie");
    assert!(name.starts_with("coinslot_pass_") && token.len() == 64, "{cookie}");
    assert_eq!(cookie.split_once(';').expect("attributes").1, " Path=/echo; Max-Age=3600; HttpOnly; SameSite=Lax");
    for left in [2, 1, 0] {
        let free = send(page(&host, Method::GET).header("cookie", format!("theme=dark; {}; a=b", pair(&cookie)))).await;
        assert_eq!(free.status(), 200, "{}", host.log());
        assert!(field(&free, "ratelimit").starts_with(&format!("\"pass\";r={left}")), "{free:?}");
        assert!(field(&free, "set-cookie").is_empty());
        let said: Value = free.json().await.expect("JSON");
        assert!(!said.to_string().contains(token), "the plugin sees no cookie: {said}");
    }
    let used_up = send(page(&host, Method::GET).header("cookie", pair(&cookie))).await;
    is_challenged(&used_up, "pass_used_up");
    // The visitor may pay again, on the page that everybody gets.
    let request = Client::new().get(host.url("/echo")).header("user-agent", BROWSER).header("accept", "text/html");
    let visited = send(request.header("cookie", pair(&cookie))).await;
    is_challenged(&visited, "Payment required");
    assert!(field(&visited, "content-type").starts_with("text/html"), "{visited:?}");
    assert!(!host.log().contains(token), "{}", host.log());
    let ledger = std::fs::read(host.path(".coinslot/ledger.db")).expect("a file");
    assert!(!ledger.windows(token.len()).any(|bytes| bytes == token.as_bytes()), "the ledger has a hash alone");
    assert_eq!(chain.payments_received().await, 1);
}

#[tokio::test]
async fn a_lost_answer_is_fetched_with_the_same_cookie_and_a_program_gets_none() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], CONFIG).await;
    let payment = chain.payer(0).pay(&send(page(&host, Method::GET)).await).header();
    let first = send(page(&host, Method::GET).header("PAYMENT-SIGNATURE", &payment)).await;
    let again = send(page(&host, Method::GET).header("PAYMENT-SIGNATURE", &payment)).await;
    assert_eq!(again.status(), 200, "{}", host.log());
    assert!(!field(&first, "set-cookie").is_empty());
    assert_eq!(field(&first, "set-cookie"), field(&again, "set-cookie"));
    let program = send(Client::new().get(host.url("/echo")).header("PAYMENT-SIGNATURE", &payment)).await;
    assert!(program.status() == 200 && field(&program, "set-cookie").is_empty(), "{program:?}");
    let foreign = Client::new().get(host.url("/echo")).header("user-agent", BROWSER);
    let foreign = foreign
        .header("x-coinslot-page", "1")
        .header("sec-fetch-site", "cross-site")
        .header("PAYMENT-SIGNATURE", &payment);
    assert!(field(&send(foreign).await, "set-cookie").is_empty(), "a page of another site");
}

#[tokio::test]
async fn a_cookie_is_for_its_route_and_what_changes_something_comes_from_a_page_of_this_host() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], CONFIG).await;
    let (got, posted) = (pay(&host, &chain, Method::GET).await, pay(&host, &chain, Method::POST).await);
    let post = |cookie: &str, fields: &[(&str, String)]| {
        let request =
            Client::new().post(host.url("/echo")).header("user-agent", BROWSER).header("cookie", pair(cookie));
        let request = request.header("x-coinslot-page", "1");
        fields.iter().fold(request, |request, (name, value)| request.header(*name, value))
    };
    is_challenged(&send(post(&got, &[])).await, "Payment required");
    // Another name, with the token of the other route.
    let mixed = format!("{}={}", posted.split('=').next().expect("a name"), pair(&got).split('=').nth(1).expect("it"));
    is_challenged(&send(post(&mixed, &[])).await, "Payment required");
    let forged = format!("{}={}", posted.split('=').next().expect("a name"), "0".repeat(64));
    is_challenged(&send(post(&forged, &[])).await, "Payment required");
    for fields in [
        vec![("sec-fetch-site", "cross-site".to_owned()), ("origin", host.url(""))],
        vec![("sec-fetch-site", "same-site".to_owned())],
        vec![("origin", "http://evil.example".to_owned())],
        vec![("origin", "null".to_owned())],
    ] {
        is_challenged(&send(post(&posted, &fields)).await, "Payment required");
    }
    for fields in [vec![("sec-fetch-site", "same-origin".to_owned())], vec![("origin", host.url(""))]] {
        assert_eq!(send(post(&posted, &fields)).await.status(), 200, "{}", host.log());
    }
    assert_eq!(chain.payments_received().await, 2);
}

/// A page of another site can have a visitor's browser open any address of this host, and a browser fetches pages in case
/// that they are opened.
#[tokio::test]
async fn no_other_site_and_no_prefetch_uses_up_the_pass_of_a_visitor() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], CONFIG).await;
    let cookie = pay(&host, &chain, Method::GET).await;
    let visit = |fields: &[(&str, &str)]| {
        let request =
            Client::new().get(host.url("/echo")).header("user-agent", BROWSER).header("cookie", pair(&cookie));
        fields.iter().fold(request, |request, (name, value)| request.header(*name, *value))
    };
    for fields in [
        vec![("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-user", "?1")],
        vec![("sec-fetch-site", "cross-site"), ("sec-fetch-dest", "iframe")],
        vec![("sec-fetch-site", "same-site"), ("sec-fetch-mode", "no-cors")],
        vec![("sec-fetch-site", "none"), ("sec-purpose", "prefetch;prerender")],
        vec![("x-coinslot-page", "1"), ("origin", "null")],
        vec![("x-coinslot-page", "1"), ("sec-fetch-site", "cross-site")],
        // An address that answered with a redirect, and elements and header fields of an answer of this origin.
        vec![("sec-fetch-site", "none"), ("sec-fetch-mode", "navigate"), ("sec-fetch-user", "?1")],
        vec![("sec-fetch-site", "same-origin"), ("sec-fetch-dest", "image")],
        vec![],
    ] {
        is_challenged(&send(visit(&fields)).await, "Payment required");
    }
    let meant = send(page(&host, Method::GET).header("cookie", pair(&cookie))).await;
    assert!(field(&meant, "ratelimit").starts_with("\"pass\";r=2"), "{meant:?}");
}

/// A page of another host of the same site can set a cookie of the same name, which a browser may send first.
#[tokio::test]
async fn a_cookie_of_the_same_name_does_not_hide_a_pass() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], CONFIG).await;
    let cookie = pay(&host, &chain, Method::GET).await;
    let junk = format!("{}={}", cookie.split('=').next().expect("a name"), "0".repeat(64));
    for cookies in [format!("{junk}; {}", pair(&cookie)), format!("{}; {junk}", pair(&cookie))] {
        assert_eq!(send(page(&host, Method::GET).header("cookie", cookies)).await.status(), 200, "{}", host.log());
    }
    assert_eq!(chain.payments_received().await, 1);
}

/// A payment is public once it is settled. Without the secret of a challenge its client is known by its address alone,
/// which its neighbours share.
#[tokio::test]
async fn a_payment_without_the_secret_of_a_challenge_buys_no_cookie() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], CONFIG).await;
    let challenge = send(page(&host, Method::GET)).await;
    let payment = chain.payer(0).pay(&challenge);
    let mut bare = decode(&payment.header());
    let mut made_up = bare.clone();
    bare["accepted"]["extra"].as_object_mut().expect("an object").remove("secret");
    made_up["accepted"]["extra"]["secret"] = "0".repeat(32).into();
    let first = send(page(&host, Method::GET).header("PAYMENT-SIGNATURE", encode(&bare))).await;
    assert_eq!(first.status(), 200, "{}", host.log());
    assert!(field(&first, "set-cookie").is_empty(), "{first:?}");
    // The neighbour adds a secret of its own.
    let neighbour = send(page(&host, Method::GET).header("PAYMENT-SIGNATURE", encode(&made_up))).await;
    let cookie = field(&neighbour, "set-cookie").to_owned();
    if !cookie.is_empty() {
        is_challenged(&send(page(&host, Method::GET).header("cookie", pair(&cookie))).await, "Payment required");
    }
}

#[tokio::test]
async fn over_https_the_cookie_is_for_https_alone() {
    let chain = TestChain::start().await;
    let mut host = chain.serve(&["echo"], CONFIG).await;
    host.write_configuration(&format!("public_url = \"https://api.example\"\n{}", host.configuration()));
    host.restart(&[]).await;
    let named = || page(&host, Method::GET).header("host", "api.example");
    let challenge = send(named()).await;
    let required = decode(field(&challenge, "payment-required"));
    assert_eq!(required["extensions"]["sign-in-with-x"]["info"]["uri"], "https://api.example/echo");
    let payment = chain.payer(0).pay(&challenge).header();
    let paid = send(named().header("PAYMENT-SIGNATURE", &payment)).await;
    assert_eq!(paid.status(), 200, "{}", host.log());
    assert!(field(&paid, "set-cookie").ends_with("; HttpOnly; SameSite=Lax; Secure"), "{paid:?}");
}
