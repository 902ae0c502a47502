//! Pays for answers and checks the answer, the receipt, the balances, and what the guest sees.

use alloy::primitives::U256;
use coinslot_tests::{DevHost, Wallet, decode, encode, guest};
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn a_payment_transfers_exactly_the_price_and_buys_the_answer() {
    let host = DevHost::builder().plugin("aurora.wasm", &guest("aurora")).start().await;
    let (payer, chain) = (host.payer(0), host.chain());
    let before = (chain.balance(payer.address()).await, chain.balance(host.seller()).await);
    let url = host.url("/api/gitignore?stack=rust");
    let challenge = host.client().get(&url).send().await.expect("an answer");
    let payment = payer.pay(&challenge);
    let reply = host.client().get(&url).header("PAYMENT-SIGNATURE", payment.header()).send().await.expect("an answer");
    assert_eq!(reply.status(), 200);
    let receipt = decode(reply.headers()["payment-response"].to_str().expect("ASCII"));
    assert_eq!(receipt["success"], true);
    assert_eq!(receipt["network"], "eip155:84532");
    assert!(reply.headers()["cache-control"].to_str().expect("ASCII").contains("private"));
    let transaction = receipt["transaction"].as_str().expect("a transaction");
    assert_eq!(chain.receipt(transaction).await["status"], "0x1");
    let payer_said = receipt["payer"].as_str().expect("a payer");
    assert!(payer_said.eq_ignore_ascii_case(&payer.address().to_string()), "{payer_said}");
    assert!(reply.text().await.expect("a body").contains("target"));
    let price = U256::from(10_000);
    assert_eq!(chain.balance(payer.address()).await, before.0 - price);
    assert_eq!(chain.balance(host.seller()).await, before.1 + price);
    host.wait_for_ledger(&["delivered"]).await;
}

#[tokio::test]
async fn a_version_1_client_pays_from_the_body_and_gets_its_own_receipt_header() {
    let host = DevHost::builder().plugin("aurora.wasm", &guest("aurora")).start().await;
    let url = host.url("/api/gitignore?stack=python");
    let challenge: Value = host.client().get(&url).send().await.expect("an answer").json().await.expect("JSON");
    let payment = host.payer(0).pay_v1(&challenge["accepts"][0]);
    let reply = host.client().get(&url).header("X-PAYMENT", payment.header()).send().await.expect("an answer");
    assert_eq!(reply.status(), 200);
    assert!(!reply.headers().contains_key("payment-response"));
    let receipt = decode(reply.headers()["x-payment-response"].to_str().expect("ASCII"));
    assert_eq!(receipt["success"], true);
    assert_eq!(receipt["network"], "base-sepolia");
    assert_eq!(host.chain().balance(host.seller()).await, U256::from(10_000));
}

#[tokio::test]
async fn the_guest_sees_the_receipt_and_no_credential() {
    let host = DevHost::builder().plugin("echo.wasm", &guest("echo")).start().await;
    let payer = host.payer(1);
    let challenge = host.client().post(host.url("/echo")).body("hello").send().await.expect("an answer");
    let payment = payer.pay(&challenge);
    let reply = host
        .client()
        .post(host.url("/echo"))
        .header("PAYMENT-SIGNATURE", payment.header())
        .header("x-mine", "kept")
        .body("hello")
        .send()
        .await
        .expect("an answer");
    assert_eq!(reply.status(), 200);
    let seen: Value = reply.json().await.expect("JSON");
    assert_eq!(seen["body"], "hello");
    assert_eq!(seen["receipt"]["amount"], "0.01");
    assert_eq!(seen["receipt"]["network"], "eip155:84532");
    assert_eq!(seen["receipt"]["payer"], payer.address().to_checksum(None));
    let headers = seen["headers"].to_string().to_ascii_lowercase();
    assert!(headers.contains("x-mine") && !headers.contains("payment"), "{headers}");
}

/// This failed as follows: a client could send PAYMENT-RESPONSE, X-Coinslot-Payment-Id or another name of payments, and
/// the plugin saw it as if the host had written it. A plugin that reads headers rather than its receipt could be told
/// that it was paid. Only the two headers with a payment were removed.
#[tokio::test]
async fn receipt_headers_from_a_client_do_not_reach_the_guest() {
    let host = DevHost::builder().plugin("echo.wasm", &guest("echo")).start().await;
    let forged =
        encode(&json!({ "success": true, "payer": host.seller(), "transaction": "0x00", "amount": "1000000" }));
    let claims = [
        "PAYMENT-RESPONSE",
        "X-PAYMENT-RESPONSE",
        "PAYMENT-REQUIRED",
        "PAYMENT-STATUS",
        "X-PAYMENT-STATUS",
        "X-Coinslot-Payment-Id",
        "Settlement-Overrides",
        "Extension-Responses",
    ];
    let ask = |method: Method| {
        let request = host.client().request(method, host.url("/echo")).header("X-Mine", "kept");
        claims.iter().fold(request, |request, name| request.header(*name, &forged))
    };
    let free = ask(Method::GET).send().await.expect("an answer");
    let challenge = ask(Method::POST).send().await.expect("an answer");
    assert_eq!((free.status().as_u16(), challenge.status().as_u16()), (200, 402));
    let payment = host.payer(0).pay(&challenge).header();
    let paid = ask(Method::POST).header("PAYMENT-SIGNATURE", payment).send().await.expect("an answer");
    for (reply, payer) in [(free, Value::Null), (paid, host.payer(0).address().to_checksum(None).into())] {
        assert_eq!(reply.status(), 200);
        let seen: Value = reply.json().await.expect("JSON");
        assert_eq!(seen["receipt"].get("payer").cloned().unwrap_or_default(), payer);
        let headers = seen["headers"].to_string();
        assert!(headers.contains("x-mine") && !headers.contains(&forged), "{headers}");
    }
}

#[tokio::test]
async fn a_wasi_0_3_guest_is_paid_and_runs_once() {
    let host = DevHost::builder().plugin("echo3.wasm", &guest("echo3")).start().await;
    let payer = host.payer(0);
    let ask = || host.client().post(host.url("/echo3?x=1")).body("hello");
    let challenge = ask().send().await.expect("an answer");
    assert_eq!(challenge.status(), 402);
    assert!(!host.log().contains("echo3 got"));
    let payment = payer.pay(&challenge).header();
    // The second time stands for a client whose answer was lost.
    for _ in 0..2 {
        let reply = ask().header("PAYMENT-SIGNATURE", &payment).send().await.expect("an answer");
        assert_eq!(reply.status(), 200);
        let receipt = decode(reply.headers()["payment-response"].to_str().expect("ASCII"));
        assert_eq!(receipt["success"], true);
        assert_eq!(reply.headers()["x-payer"], payer.address().to_checksum(None));
        assert!(!reply.headers()["x-names"].to_str().expect("ASCII").contains("payment"));
        assert_eq!(reply.text().await.expect("a body"), "hello");
    }
    assert_eq!(host.log().matches("echo3 got").count(), 1, "the guest ran once");
    assert_eq!(host.chain().balance(host.seller()).await, U256::from(10_000));
    host.wait_for_ledger(&["delivered"]).await;
}

#[tokio::test]
async fn a_free_route_is_free_and_has_no_receipt() {
    let host = DevHost::builder().plugin("echo.wasm", &guest("echo")).start().await;
    let reply = host.client().get(host.url("/echo")).send().await.expect("an answer");
    assert_eq!(reply.status(), 200);
    assert!(!reply.headers().contains_key("payment-response"));
    let seen: Value = reply.json().await.expect("JSON");
    assert_eq!(seen["receipt"], Value::Null);
}

#[tokio::test]
async fn a_quoted_price_is_bound_to_its_request() {
    let host = DevHost::builder().plugin("quoter.wasm", &guest("quoter")).start().await;
    let ask = || host.client().post(host.url("/quoter/x")).body("12345");
    let challenge = ask().send().await.expect("an answer");
    assert_eq!(challenge.status(), 402);
    let required = decode(challenge.headers()["payment-required"].to_str().expect("ASCII"));
    assert_eq!(required["accepts"][0]["amount"], "5000");
    let payment = host.payer(0).pay(&challenge);
    // The quote was for five bytes and does not cover nine.
    let other = host.client().post(host.url("/quoter/x")).body("123456789");
    let other = other.header("PAYMENT-SIGNATURE", payment.header()).send().await.expect("an answer");
    assert_eq!(other.status(), 402);
    let required = decode(other.headers()["payment-required"].to_str().expect("ASCII"));
    assert_eq!(required["accepts"][0]["amount"], "9000");
    assert_eq!(host.ledger(), [""; 0]);
    let reply = ask().header("PAYMENT-SIGNATURE", payment.header()).send().await.expect("an answer");
    assert_eq!(reply.status(), 200);
    assert_eq!(host.chain().balance(host.seller()).await, U256::from(5_000));
}

#[tokio::test]
async fn a_payer_without_funds_is_refused_before_the_guest_runs() {
    let host = DevHost::builder().plugin("echo.wasm", &guest("echo")).start().await;
    let challenge = host.client().post(host.url("/echo")).send().await.expect("an answer");
    let payment = Wallet::poor().pay(&challenge);
    let reply = host.client().post(host.url("/echo"));
    let reply = reply.header("PAYMENT-SIGNATURE", payment.header()).send().await.expect("an answer");
    assert_eq!(reply.status(), 402);
    let required = decode(reply.headers()["payment-required"].to_str().expect("ASCII"));
    assert_eq!(required["error"], "invalid_exact_evm_insufficient_balance");
    assert_eq!(host.ledger(), [""; 0], "the claim is released");
}

#[tokio::test]
async fn aurora_sells_all_four_endpoints_at_their_prices() {
    let host = DevHost::builder().plugin("aurora.wasm", &guest("aurora")).start().await;
    let calls = [
        ("GET", "/api/agent-insights?limit=3", Value::Null, 10_000_u64),
        (
            "POST",
            "/api/code-review",
            json!({ "language": "rust", "code": "fn main() { let x: Option<u8> = None; x.unwrap(); }" }),
            50_000,
        ),
        ("GET", "/api/gitignore?stack=rust,node", Value::Null, 10_000),
        ("POST", "/api/debug-error", json!({ "error": "error[E0382]: borrow of moved value: `x`" }), 20_000),
    ];
    for (method, path, body, price) in calls {
        let before = host.chain().balance(host.seller()).await;
        let ask = || {
            let request = host.client().request(method.parse().expect("a method"), host.url(path));
            if body.is_null() { request } else { request.json(&body) }
        };
        let challenge = ask().send().await.expect("an answer");
        assert_eq!(challenge.status(), 402, "{path}");
        let payment = host.payer(0).pay(&challenge);
        let reply = ask().header("PAYMENT-SIGNATURE", payment.header()).send().await.expect("an answer");
        assert_eq!(reply.status(), 200, "{path}: {}", reply.text().await.unwrap_or_default());
        assert!(reply.text().await.expect("a body").len() > 100, "{path}");
        assert_eq!(host.chain().balance(host.seller()).await - before, U256::from(price), "{path}");
    }
}

/// A picture, a compressed file, all byte values, invalid UTF-8 with line breaks, and an empty body.
fn binaries() -> Vec<Vec<u8>> {
    let every: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    vec![
        [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".as_slice(), &every].concat(),
        [b"\x1f\x8b\x08\0".as_slice(), &every].concat(),
        b"\xff\xfeh\0i\0 \xc3\x28 \xf0\x9f \xed\xa0\x80 \0\r\n\r\n0\r\n\r\n".to_vec(),
        Vec::new(),
    ]
}

#[tokio::test]
async fn bytes_come_back_as_they_were_sent() {
    let host =
        DevHost::builder().plugin("echo.wasm", &guest("echo")).plugin("echo3.wasm", &guest("echo3")).start().await;
    for binary in binaries() {
        for path in ["/echo?stream", "/echo3?stream"] {
            let ask = || host.client().post(host.url(path)).header("content-type", "image/png").body(binary.clone());
            let challenge = ask().send().await.expect("an answer");
            let payment = host.payer(0).pay(&challenge).header();
            // The second answer comes from the ledger.
            for time in ["fresh", "stored"] {
                let reply = ask().header("PAYMENT-SIGNATURE", &payment).send().await.expect("an answer");
                assert_eq!(reply.status(), 200, "{path}, {time}");
                assert!(reply.bytes().await.expect("a body") == binary, "{path}, {time}: {:?}..", binary.get(..4));
            }
        }
        let free = host.client().get(host.url("/echo?stream")).body(binary.clone()).send().await.expect("an answer");
        assert!(free.bytes().await.expect("a body") == binary, "free: {:?}..", binary.get(..4));
    }
}
