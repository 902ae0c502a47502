//! Tests of quotes: prices and refusals.

use super::*;

fn request(query: Option<&str>) -> QuoteRequest {
    let mut headers = HeaderMap::new();
    headers.insert("cookie", "session=of-another-page".parse().unwrap());
    headers.insert("x-host-only", "forged".parse().unwrap());
    headers.insert("x-kept", "yes".parse().unwrap());
    QuoteRequest {
        method: http::Method::POST,
        route: "/quoter/{kind}".into(),
        params: vec![("kind".into(), "a b".into())],
        query: query.map(str::to_owned),
        headers,
        body: Bytes::from_static(b"twelve bytes"),
    }
}

async fn ask(query: Option<&str>) -> Result<Result<QuotedPrice, QuoteRefusal>, Fault> {
    load("quoter").await.quote(None, request(query)).await
}

fn refusal(status: u16, code: &str, message: &str) -> QuoteRefusal {
    QuoteRefusal { status, code: code.into(), message: message.into(), pointer: None, rule: None }
}

#[tokio::test]
async fn a_quote_depends_on_the_request() {
    assert_eq!(ask(None).await.unwrap(), Ok(QuotedPrice::Amount("0.012".into())));
    assert_eq!(ask(Some("free")).await.unwrap(), Ok(QuotedPrice::Free));
    assert_eq!(
        ask(Some("params")).await.unwrap(),
        Err(refusal(422, "params", "POST /quoter/{kind} [(\"kind\", \"a b\")]"))
    );
}

#[tokio::test]
async fn a_quote_does_not_see_headers_of_the_host() {
    assert_eq!(ask(Some("headers")).await.unwrap(), Err(refusal(400, "seen", "x-kept")));
}

#[tokio::test]
async fn a_quote_has_fifty_milliseconds() {
    // On a busy machine the wall clock may be first.
    let fault = ask(Some("loop")).await.unwrap_err();
    assert!(matches!(&fault, Fault::SlowQuote(text) if text.contains("50 ms")), "{fault:?}");
    let fault = ask(Some("sleep")).await.unwrap_err();
    assert!(matches!(&fault, Fault::SlowQuote(text) if text.contains("waited for more than 250 ms")), "{fault:?}");
}

#[tokio::test]
async fn a_refusal_has_a_client_error_status_and_a_word() {
    for bad in ["402", "500", "code", "amount"] {
        let fault = ask(Some(bad)).await.unwrap_err();
        assert!(matches!(fault, Fault::NoResponse(_)), "{bad}: {fault:?}");
    }
    let long = ask(Some("long")).await.unwrap().unwrap_err();
    assert_eq!(long.message.chars().count(), 2_000);
    assert!(!long.message.contains('\u{1b}'));
    let charge = ask(Some("charge")).await.unwrap().unwrap_err();
    assert_eq!(charge.code, "charge");
}

#[tokio::test]
async fn a_trap_in_a_quote_is_a_fault() {
    assert!(matches!(ask(Some("other")).await.unwrap_err(), Fault::Trap(_)));
    let echo = load("echo").await;
    assert!(matches!(echo.quote(None, request(None)).await.unwrap_err(), Fault::NoResponse(_)));
}
