//! Checks that a payment which an earlier request spent is never called uncharged when a later request ends early.

use std::time::Duration;

use coinslot_tests::{FacilitatorMode, ServeHost, TestChain, decode, encode, guest, raw};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// An address may send two bad payments; the test names its addresses as a proxy would. Bodies above 512 KiB are
/// refused.
const CONFIG: &str = "
[server]
max_held_bytes = \"16MiB\"
trusted_proxies = [\"127.0.0.1\"]
[rate_limits]
failures_per_second = 0.1
[plugin.echo.limits]
request_body = \"512KiB\"
";

/// A response's word about money, in its header and in its body.
struct Heard {
    status: u16,
    header: String,
    field: Option<String>,
    body: String,
}

impl Heard {
    fn of(answer: &str) -> Self {
        let (head, body) = answer.split_once("\r\n\r\n").expect("a response");
        let charged = head.lines().find_map(|line| line.strip_prefix("x-coinslot-charged: "));
        let json: Value = serde_json::from_str(body).unwrap_or_default();
        Self {
            status: head.get(9..12).and_then(|status| status.parse().ok()).expect("a status"),
            header: charged.unwrap_or_else(|| panic!("no header: {answer}")).to_owned(),
            field: json["charged"].as_str().map(ToOwned::to_owned),
            body: body.to_owned(),
        }
    }

    fn assert(&self, name: &str, status: u16, charged: &str) {
        assert_eq!((self.status, &*self.header), (status, charged), "{name}: {}", self.body);
        assert!(self.field.as_deref().is_none_or(|field| field == charged), "{name}: {}", self.body);
        assert!(charged == "no" || !self.body.contains("nothing was charged"), "{name}: {}", self.body);
    }
}

/// Sends a request of these lines, with a payment, from an address of its own.
async fn ask(host: &ServeHost, line: &str, payment: &str, rest: &str) -> Heard {
    let request = format!("{line} HTTP/1.1\r\nhost: h\r\nconnection: close\r\npayment-signature: {payment}\r\n{rest}");
    Heard::of(&raw(&host.url("/"), request.as_bytes()).await)
}

const NO_BODY: &str = "x-forwarded-for: 192.0.2.1\r\ncontent-length: 0\r\n\r\n";
const TOO_LARGE: &str = "x-forwarded-for: 192.0.2.1\r\ntransfer-encoding: chunked\r\n\r\n90000\r\n";
const BROKEN: &str = "x-forwarded-for: 192.0.2.1\r\ntransfer-encoding: chunked\r\n\r\n4\r\nmine\r\nZZ\r\n";

/// A 429, a body that was refused, and everything else that ends a request before the ledger is asked said "nothing was
/// charged", also about a payment that had bought an answer a moment earlier. A client that believes it pays twice.
#[tokio::test]
async fn a_payment_that_was_charged_earlier_is_never_called_uncharged() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo", "aurora"], CONFIG).await;
    let client = reqwest::Client::new();
    let challenge = client.post(host.url("/echo")).send().await.expect("a challenge");
    assert_eq!(challenge.status(), 402, "{}", host.log());
    let paid = chain.payer(0).pay(&challenge).header();
    let fresh = chain.payer(1).pay(&challenge).header();
    let bought = client.post(host.url("/echo")).header("PAYMENT-SIGNATURE", &paid).body("mine").send().await;
    assert_eq!(bought.expect("an answer").status(), 200, "{}", host.log());
    let large = format!("{TOO_LARGE}{}", "x".repeat(0x90000));
    let bad = encode(&json!({ "x402Version": 2, "accepted": {}, "payload": {} }));
    for (payment, charged) in [(&paid, "unknown"), (&fresh, "no")] {
        ask(&host, "POST /echo", payment, &large).await.assert("a body that is too large", 413, charged);
        ask(&host, "POST /echo", payment, BROKEN).await.assert("a body that breaks off", 400, charged);
    }
    // The ledger was not asked here.
    let twice = format!("x-payment: {paid}\r\n{NO_BODY}");
    for (name, line, rest, status) in [
        ("a HEAD", "HEAD /api/gitignore", NO_BODY, 402),
        ("no such path", "POST /nothing", NO_BODY, 404),
        ("no such method", "DELETE /echo", NO_BODY, 405),
        ("a bad path", "POST /a//b", NO_BODY, 400),
        ("two payments", "POST /echo", &twice, 400),
    ] {
        ask(&host, line, &paid, rest).await.assert(name, status, "unknown");
    }
    let without = raw(&host.url("/"), b"POST /nothing HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").await;
    Heard::of(&without).assert("no payment", 404, "no");
    let elsewhere = NO_BODY.replace("192.0.2.1", "192.0.2.7");
    ask(&host, "POST /echo", &bad, NO_BODY).await.assert("no payment of anybody", 402, "no");
    // Two bad payments of an address pass, and one more every ten seconds: a slow machine needs several rounds.
    loop {
        ask(&host, "POST /echo", &bad, &elsewhere).await;
        let heard = ask(&host, "POST /echo", &paid, &elsewhere).await;
        if heard.status == 429 {
            break heard.assert("a limited address", 429, "unknown");
        }
    }
    assert_eq!(chain.payments_received().await, 1);
}

/// A payment bought its answer while another request with it was still sending its body. The other request heard
/// "nothing was charged", because its body did not fit the endpoint.
#[tokio::test]
async fn a_payment_that_is_charged_while_a_body_comes_is_not_called_uncharged() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["aurora"], "[server]\nmin_body_rate = \"0B\"\n").await;
    let code = json!({ "code": "fn main() {}", "language": "rust" }).to_string();
    let client = reqwest::Client::new();
    let post =
        || client.post(host.url("/api/code-review")).header("content-type", "application/json").body(code.clone());
    let challenge = post().send().await.expect("a challenge");
    assert_eq!(challenge.status(), 402, "{}", host.log());
    let payment = chain.payer(0).pay(&challenge).header();

    let address = host.url("").trim_start_matches("http://").trim_end_matches('/').to_owned();
    let mut slow = tokio::net::TcpStream::connect(address).await.expect("a connection");
    let head = format!(
        "POST /api/code-review HTTP/1.1\r\nhost: h\r\nconnection: close\r\npayment-signature: {payment}\r\ncontent-type: application/json\r\ncontent-length: 4\r\n\r\n"
    );
    slow.write_all(head.as_bytes()).await.expect("sent");
    tokio::time::sleep(Duration::from_millis(500)).await;
    let bought = post().header("PAYMENT-SIGNATURE", &payment).send().await.expect("an answer");
    assert_eq!(bought.status(), 200, "{}", host.log());
    slow.write_all(b"null").await.expect("sent");
    let mut answer = String::new();
    slow.read_to_string(&mut answer).await.expect("an answer");
    Heard::of(&answer).assert("a body that does not fit", 409, "unknown");
    assert_eq!(chain.payments_received().await, 5, "five cents, once");
}

/// The second copy of a named payment heard that it was invalid and that nothing was charged, because the first copy,
/// whose client had hung up, had settled it in the meantime.
#[tokio::test]
async fn a_copy_of_a_named_payment_that_another_copy_spends_is_served() {
    let chain = TestChain::start().await;
    let facilitator = chain.facilitator(0).await;
    let host = chain.serve_behind(&guest("echo"), &facilitator.url(), None, "").await;
    let client = reqwest::Client::new();
    let challenge = client.post(host.url("/echo")).send().await.expect("a challenge");
    let required = decode(challenge.headers()["payment-required"].to_str().expect("ASCII"));
    let named = || {
        let mut payment = chain.payer(0).pay(&challenge);
        let mut extensions = required["extensions"].clone();
        extensions["payment-identifier"]["info"]["id"] = json!("order-0123456789");
        payment.document["extensions"] = extensions;
        payment.header()
    };
    let send = |payment: &str| client.post(host.url("/echo")).header("PAYMENT-SIGNATURE", payment);
    facilitator.next_settle(FacilitatorMode::Refuse);
    assert_eq!(send(&named()).send().await.expect("an answer").status(), 402, "the name is taken, and given up");
    let payment = named();
    facilitator.next_verify(FacilitatorMode::Slow(Duration::from_secs(1)));
    facilitator.next_verify(FacilitatorMode::Slow(Duration::from_secs(4)));
    let hung_up = send(&payment).timeout(Duration::from_millis(300)).send().await;
    assert!(hung_up.is_err_and(|error| error.is_timeout()));
    let copy = send(&payment).send().await.expect("an answer");
    assert_eq!((copy.status().as_u16(), chain.payments_received().await, host.runs()), (200, 1, 2), "{}", host.log());
}

/// Payments under the name of an earlier purchase were free of their payer's rate, and each had the facilitator asked.
#[tokio::test]
async fn payments_under_one_name_count_for_the_rate_of_their_payer() {
    let chain = TestChain::start().await;
    let host = chain.serve(&["echo"], "[rate_limits]\npayments_per_second = 0.2\n").await;
    let client = reqwest::Client::new();
    let challenge = client.post(host.url("/echo")).send().await.expect("a challenge");
    let required = decode(challenge.headers()["payment-required"].to_str().expect("ASCII"));
    let mut statuses = Vec::new();
    for _ in 0..6 {
        let mut payment = chain.payer(0).pay(&challenge);
        payment.document["extensions"] = required["extensions"].clone();
        payment.document["extensions"]["payment-identifier"]["info"]["id"] = json!("order-0123456789");
        let request = client.post(host.url("/echo")).header("PAYMENT-SIGNATURE", payment.header());
        statuses.push(request.send().await.expect("an answer").status().as_u16());
    }
    assert_eq!(statuses, [200, 200, 200, 429, 429, 429], "{}", host.log());
    assert_eq!((chain.payments_received().await, host.runs()), (1, 1));
}
