//! Refuses invalid payments with a stable code and advice, without a run, a claim or a transfer.

use alloy::primitives::U256;
use coinslot_tests::{DevHost, Payment, Wallet, decode, encode, guest, random_word, take_secret};
use serde_json::{Value, json};

struct EchoHost {
    host: DevHost,
    entry: Value,
    /// The same offer in protocol version 1.
    legacy: Value,
}

impl EchoHost {
    async fn open() -> Self {
        let host = DevHost::builder().plugin("echo.wasm", &guest("echo")).start().await;
        let challenge = host.client().post(host.url("/echo")).send().await.expect("an answer");
        let entry = decode(challenge.headers()["payment-required"].to_str().expect("ASCII"))["accepts"][0].clone();
        let legacy = challenge.json::<Value>().await.expect("JSON")["accepts"][0].clone();
        Self { host, entry, legacy }
    }

    async fn send(&self, headers: &[(&str, &str)]) -> reqwest::Response {
        let mut request = self.host.client().post(self.host.url("/echo"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.expect("an answer")
    }

    async fn pay(&self, payment: &Payment) -> (u16, Value) {
        let reply = self.send(&[("PAYMENT-SIGNATURE", &payment.header())]).await;
        let status = reply.status().as_u16();
        let required = reply.headers().get("payment-required").map(|value| decode(value.to_str().expect("ASCII")));
        let body: Value = reply.json().await.expect("JSON");
        assert!(body["message"].as_str().is_some_and(|message| message.len() > 10), "no advice: {body}");
        if let Some(required) = required {
            assert_eq!(required["error"], body["error"], "header and body agree");
        }
        (status, body["error"].clone())
    }

    /// Asserts that these headers are answered with 400, this code, advice, and one offer in header and body.
    async fn assert_refused(&self, headers: &[(&str, &str)], code: &str) {
        let reply = self.send(headers).await;
        let shown: Vec<_> = headers.iter().map(|(name, value)| format!("{name}: {value:.40}")).collect();
        assert_eq!(reply.status(), 400, "{shown:?}");
        let mut required = decode(reply.headers()["payment-required"].to_str().expect("ASCII"));
        take_secret(&mut required["accepts"][0]);
        let body: Value = reply.json().await.expect("JSON");
        assert_eq!((&body["error"], &required["error"]), (&json!(code), &json!(code)), "{shown:?}: {body}");
        assert!(body["message"].as_str().is_some_and(|message| message.len() > 20), "{shown:?}: {body}");
        let mut entry = self.entry.clone();
        take_secret(&mut entry);
        assert_eq!((&required["x402Version"], &required["accepts"][0]), (&json!(2), &entry), "{shown:?}");
        assert_eq!((&body["x402Version"], &body["accepts"][0]), (&json!(1), &self.legacy), "{shown:?}");
        assert_eq!(body["accepts"][0]["resource"], required["resource"]["url"]);
        assert_eq!(body["accepts"][0]["maxAmountRequired"], required["accepts"][0]["amount"]);
    }

    /// Asserts that no money moved, no payment is claimed, and the guest did not run.
    async fn assert_unused(&self) {
        assert_eq!(self.host.chain().balance(self.host.seller()).await, U256::ZERO);
        assert_eq!(self.host.ledger(), [""; 0]);
        assert!(!self.host.log().contains("echo got"));
    }
}

#[tokio::test]
async fn an_unreadable_payment_header_is_400_with_the_challenge() {
    use base64::Engine as _;
    let echo = EchoHost::open().await;
    let json = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let deep = encode(&(0..200).fold(json!(1), |inner, _| json!([inner])));
    let duplicate = json(r#"{"x402Version":2,"x402Version":2,"accepted":{},"payload":{}}"#);
    let (payload, version) = ("invalid_payload", "invalid_x402_version");
    // The header's value, and the codes that it gets as PAYMENT-SIGNATURE and as X-PAYMENT.
    for (value, codes) in [
        (String::new(), [payload; 2]),
        ("!!!".to_owned(), [payload; 2]),
        ("not base64".to_owned(), [payload; 2]),
        ("-_-_".to_owned(), [payload; 2]),
        ("A".repeat(20_000), [payload; 2]),
        (random_word().to_string(), [payload; 2]),
        ("eyJ4".to_owned(), [payload; 2]),
        (json("\u{0}"), [payload; 2]),
        (json("7"), [payload; 2]),
        (json("{}"), [payload; 2]),
        (deep, [payload; 2]),
        (duplicate, [payload; 2]),
        (json(r#"{"x402Version":2}"#), [payload, version]),
        (json(r#"{"x402Version":1}"#), [version, payload]),
        (json(r#"{"x402Version":3,"accepted":{},"payload":{}}"#), [version; 2]),
        (json(r#"{"x402Version":"2","accepted":{},"payload":{}}"#), [version; 2]),
    ] {
        for (header, code) in ["PAYMENT-SIGNATURE", "X-PAYMENT"].into_iter().zip(codes) {
            echo.assert_refused(&[(header, &value)], code).await;
        }
    }
    echo.assert_unused().await;
}

#[tokio::test]
async fn two_payment_credentials_in_one_request_are_refused() {
    let echo = EchoHost::open().await;
    let new = [0, 1].map(|payer| echo.host.payer(payer).pay_entry(&echo.entry).header());
    let old = [0, 1].map(|payer| echo.host.payer(payer).pay_v1(&echo.legacy).header());
    let joined = [new.join(","), old.join(", ")];
    let (signature, x_payment) = ("PAYMENT-SIGNATURE", "X-PAYMENT");
    let other = ("Authorization", "Payment eyJjaGFsbGVuZ2UiOiJ4In0");
    for headers in [
        &[(signature, &*new[0]), (signature, &*new[1])][..],
        &[(signature, &new[0]), (signature, &new[0])],
        &[(x_payment, &old[0]), (x_payment, &old[1])],
        &[(x_payment, &old[0]), (x_payment, &old[0])],
        &[(signature, &new[0]), (x_payment, &old[1])],
        &[(signature, &joined[0])],
        &[(x_payment, &joined[1])],
        &[(signature, &new[0]), other],
        &[(x_payment, &old[0]), other],
        &[(x_payment, &old[0]), ("authorization", "Bearer token, payment eyJ9")],
    ] {
        echo.assert_refused(headers, "invalid_payload").await;
    }
    echo.assert_unused().await;
    // Each payment is valid alone, also beside a credential that is not a payment.
    let bearer = ("Authorization", "Bearer Payment");
    assert_eq!(echo.send(&[other]).await.status(), 402);
    assert_eq!(echo.send(&[(signature, &new[0]), bearer]).await.status(), 200);
    assert_eq!(echo.send(&[(x_payment, &old[1])]).await.status(), 200);
}

#[tokio::test]
async fn a_payment_for_another_offer_matches_nothing() {
    let echo = EchoHost::open().await;
    let payment = echo.host.payer(0).pay_entry(&echo.entry);
    let changes = [
        ("/accepted/scheme", json!("upto")),
        ("/accepted/network", json!("eip155:8453")),
        ("/accepted/amount", json!("9999")),
        ("/accepted/amount", json!(10_000)),
        ("/accepted/asset", json!("0x0000000000000000000000000000000000000001")),
        ("/accepted/payTo", json!("0x0000000000000000000000000000000000000001")),
        ("/accepted/maxTimeoutSeconds", json!(301)),
        ("/accepted/extra/name", json!("USD Coin")),
        ("/accepted/extra", json!({})),
    ];
    for (pointer, value) in changes {
        let (status, error) = echo.pay(&payment.clone().with(pointer, value.clone())).await;
        assert_eq!((status, error), (402, json!("No matching payment requirements")), "{pointer} {value}");
    }
    echo.assert_unused().await;
}

#[tokio::test]
async fn a_signed_amount_receiver_or_window_that_differs_from_the_offer_is_refused() {
    let echo = EchoHost::open().await;
    let payer = echo.host.payer(0);
    let signed = |alter: fn(&mut coinslot_tests::TransferWithAuthorization)| payer.pay_with(&echo.entry, alter);
    let cases = [
        (signed(|a| a.value += U256::from(1)), "invalid_exact_evm_payload_authorization_value_mismatch"),
        (signed(|a| a.value -= U256::from(1)), "invalid_exact_evm_payload_authorization_value_mismatch"),
        (signed(|a| a.to = a.from), "invalid_exact_evm_recipient_mismatch"),
        (signed(|a| a.validBefore = U256::from(1)), "invalid_exact_evm_payload_authorization_valid_before"),
        (signed(|a| a.validBefore = U256::MAX), "invalid_exact_evm_payload_authorization_valid_before"),
        (signed(|a| a.validAfter = U256::MAX - U256::from(1)), "invalid_exact_evm_payload_authorization_valid_after"),
    ];
    for (payment, reason) in cases {
        assert_eq!(echo.pay(&payment).await, (402, json!(reason)));
    }
    echo.assert_unused().await;
}

#[tokio::test]
async fn only_a_signature_by_the_payer_is_accepted() {
    let echo = EchoHost::open().await;
    let (payer, thief) = (echo.host.payer(0), Wallet::poor());
    let good = payer.pay_entry(&echo.entry);
    let pointer = "/payload/signature";
    let text = good.document.pointer(pointer).and_then(Value::as_str).expect("a signature").to_owned();
    let stolen = thief.pay_entry(&echo.entry).with("/payload/authorization/from", json!(payer.address()));
    let mut cases = vec![stolen, good.clone().with("/payload/authorization/nonce", json!(random_word()))];
    let mut bytes = hex::decode(&text[2..]).expect("hex");
    bytes[10] ^= 1;
    cases.push(good.clone().with(pointer, json!(format!("0x{}", hex::encode(&bytes)))));
    cases.push(good.clone().with(pointer, json!(format!("0x{}", "00".repeat(65)))));
    cases.push(good.clone().with(pointer, json!(&text[..text.len() - 2])));
    cases.push(good.clone().with(pointer, json!(format!("{text}00"))));
    cases.push(good.clone().with(pointer, json!("0x")));
    for payment in cases {
        assert_eq!(echo.pay(&payment).await, (402, json!("invalid_exact_evm_signature")));
    }
    echo.assert_unused().await;
}

#[tokio::test]
async fn a_malformed_payload_is_refused_as_invalid_payload() {
    let echo = EchoHost::open().await;
    let good = echo.host.payer(0).pay_entry(&echo.entry);
    for (pointer, value) in [
        ("/payload", json!({})),
        ("/payload/authorization", json!([])),
        ("/payload/signature", json!(7)),
        ("/payload/signature", json!("0xzz")),
        ("/payload/authorization/from", json!("0x12")),
        ("/payload/authorization/value", json!(10_000)),
        ("/payload/authorization/value", json!("010000")),
        ("/payload/authorization/value", json!("1e4")),
        ("/payload/authorization/value", json!("-1")),
        ("/payload/authorization/value", json!(" 10000")),
        ("/payload/authorization/value", json!("9".repeat(90))),
        ("/payload/authorization/nonce", json!("0x1")),
        ("/payload/authorization/validBefore", json!(null)),
    ] {
        let (status, error) = echo.pay(&good.clone().with(pointer, value.clone())).await;
        assert_eq!((status, error), (402, json!("invalid_payload")), "{pointer} {value}");
    }
    echo.assert_unused().await;
}
