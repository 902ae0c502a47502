//! Answers of a facilitator that is sloppy, broken or lies, over a real socket.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use alloy::primitives::{Address, B256, U256};
use bytes::Bytes;
use coinslot_x402::exact::Authorization;
use coinslot_x402::facilitator::PaymentRequest;
use coinslot_x402::price::{Amount, Asset, Price};
use coinslot_x402::{Network, Version, Versions, X402Version, v1, v2};
use http::{HeaderMap, Response};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};

use super::{Credential, Remote, RemoteConfig, RemoteError, SettleEnd};
use crate::cdp::{CdpKey, tests as cdp};
use crate::testing::{SELLER, parse, payload, serve};
use crate::{Facilitator, Finality, PayerKind, Proof, Settlement, Verification};

const PAYER: Address = Address::repeat_byte(0xab);
const HASH: &str = "0x1111111111111111111111111111111111111111111111111111111111111111";

fn price() -> Price {
    Price {
        amount: Amount(U256::from(10_000)),
        asset: Arc::new(Asset::known(&Network::eip155(84532), None).expect("known")),
        pay_to: SELLER.to_string().into(),
        max_timeout_seconds: 60,
        flow: coinslot_x402::Flow::Authorization,
        quote: None,
        versions: Versions::Both,
    }
}

fn authorization() -> Authorization {
    Authorization {
        from: PAYER,
        to: SELLER,
        value: U256::from(10_000),
        valid_after: U256::ZERO,
        valid_before: U256::from(4_000_000_000_u64),
        nonce: B256::repeat_byte(5),
    }
}

fn payment() -> PaymentRequest {
    let requirements = price().requirements();
    let accepted = serde_json::to_value(&requirements).expect("JSON");
    PaymentRequest::V2 {
        payload: v2::PaymentPayload {
            x402_version: X402Version,
            resource: None,
            accepted: accepted.as_object().expect("an object").clone(),
            payload: payload(&authorization(), &vec![1; 65].into()),
            extensions: None,
        },
        requirements,
        declaration: None,
    }
}

fn payment_v1() -> PaymentRequest {
    PaymentRequest::V1 {
        payload: v1::PaymentPayload {
            x402_version: X402Version,
            scheme: "exact".to_owned(),
            network: "base-sepolia".to_owned(),
            payload: payload(&authorization(), &vec![1; 65].into()),
        },
        requirements: price().requirements_v1("http://127.0.0.1/", "", "").expect("version 1 knows the network"),
    }
}

/// What the scripted facilitator heard: method and path, headers, body.
type Heard = Arc<Mutex<Vec<(String, HeaderMap, Bytes)>>>;

/// A facilitator that always answers the same.
async fn scripted(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> (String, Heard) {
    let heard = Heard::default();
    let (record, body, headers) = (heard.clone(), body.to_owned(), headers.to_vec());
    let address = serve(move |request| {
        let (record, body, headers) = (record.clone(), body.clone(), headers.clone());
        async move {
            let line = format!("{} {}", request.method(), request.uri().path());
            let head = request.headers().clone();
            let sent = request.into_body().collect().await.expect("a body").to_bytes();
            record.lock().expect("not poisoned").push((line, head, sent));
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(name, value);
            }
            response.body(Full::new(body.into())).expect("a response")
        }
    })
    .await;
    (format!("http://{address}"), heard)
}

fn remote(url: &str) -> Remote {
    let mut config = RemoteConfig::new(parse(url));
    config.verify_timeout = Duration::from_millis(400);
    config.settle_timeout = Duration::from_millis(400);
    Remote::new(config).expect("a usable URL")
}

async fn verified(status: u16, body: &str) -> Verification {
    let (url, _) = scripted(status, &[], body).await;
    remote(&url).verify(&payment()).await
}

async fn settled(status: u16, body: &str) -> Settlement {
    let (url, _) = scripted(status, &[], body).await;
    remote(&url).settle(&payment()).await
}

fn success(change: impl FnOnce(&mut Value)) -> String {
    let mut answer = json!({
        "success": true,
        "payer": PAYER.to_string().to_lowercase(),
        "transaction": HASH,
        "network": "eip155:84532",
    });
    change(&mut answer);
    answer.to_string()
}

#[tokio::test]
async fn a_complete_answer_is_believed() {
    let valid = json!({"isValid": true, "payer": PAYER.to_string()}).to_string();
    let expected = Verification::Valid { payer: PAYER.to_string(), kind: PayerKind::Unknown };
    assert_eq!(verified(200, &valid).await, expected);
    match settled(200, &success(|_| {})).await {
        Settlement::Settled { settlement: settled, .. } => assert_eq!(settled.transaction, HASH),
        other => panic!("{other:?}"),
    }
    // Version 1 names the network.
    let named = success(|answer| answer["network"] = json!("base-sepolia"));
    let (url, heard) = scripted(200, &[], &named).await;
    let settlement = remote(&url).settle(&payment_v1()).await;
    assert!(matches!(settlement, Settlement::Settled { .. }), "{settlement:?}");
    let (_, _, body) = heard.lock().expect("not poisoned")[0].clone();
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(body["x402Version"], 1);
    assert_eq!(body["paymentRequirements"]["maxAmountRequired"], "10000");
}

#[tokio::test]
async fn no_malformed_verification_is_valid_and_none_blames_the_payer() {
    let payer = PAYER.to_string();
    let other = Address::repeat_byte(1).to_string();
    let cases = [
        (200, json!({"isValid": true, "payer": other}).to_string()),
        (200, json!({"isValid": "true", "payer": payer}).to_string()),
        (200, json!({"payer": payer}).to_string()),
        (200, json!({"isValid": false}).to_string()),
        (200, json!({"isValid": false, "invalidReason": "unexpected_verify_error"}).to_string()),
        (200, "<html>ok</html>".to_owned()),
        (200, String::new()),
        (200, "null".to_owned()),
        (200, format!("{{\"isValid\": true, \"payer\": \"{payer}\"")),
        (201, json!({"isValid": true, "payer": payer}).to_string()),
        (400, json!({"isValid": true, "payer": payer}).to_string()),
        (302, json!({"isValid": true, "payer": payer}).to_string()),
        (500, json!({"isValid": false, "invalidReason": "invalid_payload"}).to_string()),
        (502, "Bad Gateway".to_owned()),
        (401, json!({"error": "no key"}).to_string()),
        (429, String::new()),
    ];
    for (status, body) in cases {
        let verification = verified(status, &body).await;
        assert!(matches!(verification, Verification::Unavailable(_)), "{status} {body}: {verification:?}");
    }
}

#[tokio::test]
async fn a_refusal_keeps_its_reason_with_200_and_with_4xx() {
    let body = json!({"isValid": false, "invalidReason": "insufficient_funds", "payer": null});
    for status in [200, 400, 402, 412] {
        let Verification::Invalid { reason, .. } = verified(status, &body.to_string()).await else {
            panic!("{status}: not refused");
        };
        assert_eq!(reason, "insufficient_funds");
    }
    let body = json!({
        "success": false, "errorReason": "invalid_exact_evm_transaction_failed",
        "transaction": HASH, "network": "eip155:84532",
    });
    for status in [200, 400, 402] {
        let expected = Settlement::Refused {
            reason: "invalid_exact_evm_transaction_failed".to_owned(),
            message: None,
            transaction: HASH.to_owned(),
            finality: Finality::Open,
        };
        assert_eq!(settled(status, &body.to_string()).await, expected, "{status}");
    }
}

#[tokio::test]
async fn no_malformed_settlement_is_a_success_or_a_refusal() {
    let failed = |reason: Value| {
        json!({"success": false, "errorReason": reason, "transaction": "", "network": "eip155:84532"}).to_string()
    };
    let set = |key: &'static str, value: Value| success(move |answer| answer[key] = value);
    let without = |key: &'static str| {
        success(move |answer| {
            answer.as_object_mut().expect("an object").remove(key);
        })
    };
    let cases = [
        (200, set("transaction", json!(""))),
        (200, set("transaction", json!("pending"))),
        (200, set("transaction", Value::Null)),
        (200, set("network", json!("eip155:8453"))),
        (200, set("network", json!("base"))),
        (200, set("payer", json!(Address::repeat_byte(1)))),
        (200, set("amount", json!("1"))),
        (200, set("success", json!("true"))),
        (200, without("success")),
        (200, without("transaction")),
        (200, without("network")),
        (200, failed(Value::Null)),
        (200, failed(json!(""))),
        (200, failed(json!("settlement_pending"))),
        (200, failed(json!("unexpected_settle_error"))),
        (200, "{}".to_owned()),
        (200, "<html>502 Bad Gateway</html>".to_owned()),
        (200, "x".repeat(600 * 1024)),
        (400, success(|_| {})),
        (202, success(|_| {})),
        (307, success(|_| {})),
        (500, success(|_| {})),
        (503, failed(json!("insufficient_funds"))),
        (504, String::new()),
        (401, json!({"error": "no key"}).to_string()),
    ];
    for (status, body) in cases {
        let settlement = settled(status, &body).await;
        let shown: String = body.chars().take(200).collect();
        assert!(matches!(settlement, Settlement::Unknown { .. }), "{status} {shown}: {settlement:?}");
    }
    // A hash is kept where there is one.
    let pending = json!({"success": false, "errorReason": "settlement_pending",
        "transaction": HASH, "network": "eip155:84532"});
    let Settlement::Unknown { transaction, .. } = settled(200, &pending.to_string()).await else {
        panic!("not open");
    };
    assert_eq!(transaction.as_deref(), Some(HASH));
}

/// A facilitator that has settled the payment for another server says one of these.
#[tokio::test]
async fn a_payment_that_was_used_before_it_was_asked_for_is_told_apart() {
    for reason in ["duplicate_settlement", "invalid_exact_evm_nonce_already_used"] {
        for transaction in ["", HASH] {
            let body = json!({"success": false, "errorReason": reason,
                "transaction": transaction, "network": "eip155:84532"});
            let expected = Settlement::Refused {
                reason: reason.to_owned(),
                message: None,
                transaction: transaction.to_owned(),
                finality: Finality::UsedBefore,
            };
            assert_eq!(settled(200, &body.to_string()).await, expected);
        }
    }
}

/// The answers that a sloppy or lying facilitator has been seen to give: none is a success, and none
/// costs more than the connection.
#[tokio::test]
async fn twelve_malformed_answers_release_nothing() {
    let payer = PAYER.to_string();
    let other = Address::repeat_byte(1).to_string();
    let verdicts = [
        ("the wrong payer", json!({"isValid": true, "payer": other}).to_string()),
        ("an array", json!([true, null, null, payer]).to_string()),
        ("duplicate keys", format!("{{\"isValid\": false, \"isValid\": true, \"payer\": \"{payer}\"}}")),
    ];
    for (what, body) in verdicts {
        let verification = verified(200, &body).await;
        assert!(matches!(verification, Verification::Unavailable(_)), "{what}: {verification:?}");
    }
    let set = |key: &'static str, value: Value| success(move |answer| answer[key] = value);
    let whole = success(|_| {});
    let array = json!([true, null, null, HASH, "eip155:84532", payer, null, null, null]).to_string();
    let settlements = [
        ("the wrong payer", 200, set("payer", json!(other))),
        ("success: false without a reason", 200, set("success", json!(false))),
        ("no success", 200, whole.replace("\"success\":true,", "")),
        ("an empty transaction", 200, set("transaction", json!(""))),
        ("the wrong network", 200, set("network", json!("eip155:8453"))),
        ("HTML", 502, "<html><h1>502 Bad Gateway</h1></html>".to_owned()),
        ("an array", 200, array),
        ("truncated", 200, whole[..whole.len() - 2].to_owned()),
        ("duplicate keys", 200, whole.replace("\"success\":true,", "\"success\":false,\"success\":true,")),
        ("another amount", 200, set("amount", json!("10001"))),
        ("no 32 byte hash", 200, set("transaction", json!("0x1234"))),
        ("huge", 200, format!("{}{whole}", " ".repeat(70 * 1024))),
    ];
    for (what, status, body) in settlements {
        let settlement = settled(status, &body).await;
        assert!(matches!(settlement, Settlement::Unknown { .. }), "{what}: {settlement:?}");
    }
    for hash in ["pending", "0x0x11", &format!("0x{HASH}"), &HASH[2..], &format!("{HASH}11")] {
        let settlement = settled(200, &set("transaction", json!(hash))).await;
        let none = matches!(settlement, Settlement::Unknown { transaction: None, .. });
        assert!(none, "{hash} is nothing to look for: {settlement:?}");
    }
}

#[tokio::test]
async fn a_long_reason_does_not_fill_a_header() {
    let long = "x".repeat(5_000);
    let body = json!({"isValid": false, "invalidReason": long, "invalidMessage": long});
    let Verification::Invalid { reason, message, .. } = verified(200, &body.to_string()).await else {
        panic!("not refused");
    };
    assert!(reason.len() == 128 && message.is_some_and(|text| text.len() == 512));
    let body = json!({"success": false, "errorReason": long, "transaction": long, "network": "eip155:84532"});
    let Settlement::Refused { reason, transaction, .. } = settled(200, &body.to_string()).await else {
        panic!("not refused");
    };
    assert!(reason.len() == 128 && transaction.is_empty());
}

#[tokio::test]
async fn one_transaction_does_not_pay_twice() {
    let (url, _) = scripted(200, &[], &success(|_| {})).await;
    let remote = remote(&url);
    let PaymentRequest::V2 { payload: mut another, requirements, .. } = payment() else { panic!("version 2") };
    another.payload = payload(&Authorization { nonce: B256::repeat_byte(6), ..authorization() }, &vec![1; 65].into());
    let another = PaymentRequest::V2 { payload: another, requirements, declaration: None };
    assert!(matches!(remote.settle(&payment()).await, Settlement::Settled { .. }));
    assert!(matches!(remote.settle(&payment()).await, Settlement::Settled { .. }), "the same payment may ask again");
    let settlement = remote.settle(&another).await;
    let Settlement::Unknown { transaction, .. } = settlement else { panic!("{settlement:?}") };
    assert_eq!(transaction.as_deref(), Some(HASH), "to be looked for on the chain");
}

#[tokio::test]
async fn no_connection_differs_from_no_answer() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let gone = listener.local_addr().expect("an address");
    drop(listener);
    let attempt = remote(&format!("http://{gone}")).attempt(&payment()).await;
    assert!(matches!(attempt, SettleEnd::NotSent(_)), "{attempt:?}");
    // Accepts, reads, and hangs up.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let rude = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.readable().await;
        }
    });
    let hanging = serve(|_| std::future::pending::<Response<Full<Bytes>>>()).await;
    let (broken, _) = scripted(502, &[], "<html>").await;
    for url in [format!("http://{rude}"), format!("http://{hanging}"), broken] {
        let attempt = remote(&url).attempt(&payment()).await;
        assert!(matches!(attempt, SettleEnd::Unclear(Settlement::Unknown { .. })), "{attempt:?}");
    }
    let pending = json!({"success": false, "errorReason": "settlement_pending", "transaction": HASH});
    let (sound, _) = scripted(200, &[], &pending.to_string()).await;
    let attempt = remote(&sound).attempt(&payment()).await;
    assert!(matches!(attempt, SettleEnd::Answered(Settlement::Unknown { .. })), "{attempt:?}");
}

#[tokio::test]
async fn a_payment_is_sent_in_the_same_bytes_each_time() {
    let (url, heard) = scripted(500, &[], "").await;
    let first = remote(&url);
    let stored = serde_json::to_string(&payment()).expect("JSON");
    let read_again: PaymentRequest = serde_json::from_str(&stored).expect("what was written");
    let _ = first.verify(&payment()).await;
    let _ = first.settle(&payment()).await;
    let _ = remote(&url).settle(&read_again).await;
    let heard = heard.lock().expect("not poisoned");
    assert_eq!(heard.len(), 3);
    assert!(heard.iter().all(|(_, _, body)| *body == heard[0].2));
}

#[tokio::test]
async fn a_facilitator_sees_the_query_only_if_the_operator_wants_it() {
    let asked = "https://api.example.com/people?email=a@example.com#top";
    let PaymentRequest::V2 { mut payload, requirements, .. } = payment() else { panic!("version 2") };
    payload.resource = Some(json!({"url": asked, "description": "People"}));
    let v2 = PaymentRequest::V2 { payload: payload.clone(), requirements: requirements.clone(), declaration: None };
    payload.resource = Some(json!(asked));
    let odd = PaymentRequest::V2 { payload, requirements, declaration: None };
    let PaymentRequest::V1 { payload, mut requirements } = payment_v1() else { panic!("version 1") };
    requirements.resource = asked.to_owned();
    let v1 = PaymentRequest::V1 { payload, requirements };
    for (payment, at) in
        [(&v2, Some("/paymentPayload/resource/url")), (&v1, Some("/paymentRequirements/resource")), (&odd, None)]
    {
        let (url, heard) = scripted(200, &[], "{}").await;
        let _ = remote(&url).verify(payment).await;
        let mut config = RemoteConfig::new(parse(&url));
        config.strip_query = false;
        let _ = Remote::new(config).expect("usable").verify(payment).await;
        let heard = heard.lock().expect("not poisoned");
        let bodies: Vec<Value> = heard.iter().map(|(.., body)| serde_json::from_slice(body).expect("JSON")).collect();
        assert!(!bodies[0].to_string().contains("email"), "{}", bodies[0]);
        assert_eq!(bodies[1].to_string().contains("email"), at.is_some());
        if let Some(at) = at {
            assert_eq!(bodies[0].pointer(at), Some(&json!("https://api.example.com/people")));
        }
    }
}

/// A facilitator that validates refused a client's empty resource URL with 400, and three such payments closed the
/// shop.
#[tokio::test]
async fn a_facilitator_sees_nothing_that_a_client_put_beside_its_payment() {
    let plain = payment();
    let PaymentRequest::V2 { mut payload, requirements, .. } = payment() else { panic!("version 2") };
    payload.extensions = json!({"bazaar": {"info": "mine"}}).as_object().cloned();
    payload.accepted["extra"]["mine"] = json!(1);
    payload.accepted.insert("mine".to_owned(), json!(1));
    payload.payload.insert("mine".to_owned(), json!({"deep": [1]}));
    payload.payload["authorization"]["mine"] = json!(1);
    for resource in
        [json!({"url": ""}), json!({"url": "javascript:mine"}), json!({"mine": 1}), json!(["mine"]), json!(1)]
    {
        payload.resource = Some(resource);
        let (url, heard) = scripted(200, &[], "{}").await;
        for payment in [
            &plain,
            &PaymentRequest::V2 { payload: payload.clone(), requirements: requirements.clone(), declaration: None },
        ] {
            let _ = remote(&url).verify(payment).await;
        }
        let heard = heard.lock().expect("not poisoned");
        assert_eq!(String::from_utf8_lossy(&heard[1].2), String::from_utf8_lossy(&heard[0].2));
    }
}

#[tokio::test]
async fn a_cdp_key_signs_each_request_for_its_method_and_path() {
    let (url, heard) = scripted(200, &[], "{}").await;
    let mut config = RemoteConfig::new(parse(&format!("{url}/platform/v2/x402")));
    config.credential = Credential::Cdp(CdpKey::parse("the-id", cdp::ED25519_SECRET).expect("a key"));
    let shown = format!("{config:?}");
    assert!(shown.contains("the-id") && !shown.contains(&cdp::ED25519_SECRET[..8]), "{shown}");
    let remote = Remote::new(config).expect("usable");
    let _ = remote.verify(&payment()).await;
    let _ = remote.settle(&payment()).await;
    let _ = remote.supported().await;
    let host = url.strip_prefix("http://").expect("a loopback address");
    let heard = heard.lock().expect("not poisoned");
    let mut tokens = Vec::new();
    for ((line, headers, _), expected) in heard.iter().zip(["POST verify", "POST settle", "GET supported"]) {
        let (method, path) = expected.split_once(' ').expect("two words");
        assert_eq!(*line, format!("{method} /platform/v2/x402/{path}"));
        let token = headers["authorization"].to_str().expect("ASCII").strip_prefix("Bearer ").expect("a token");
        let (_, claims, signed, signature) = cdp::taken_apart(token);
        cdp::assert_signed(&signed, &signature);
        assert_eq!(claims["uris"], json!([format!("{method} {host}/platform/v2/x402/{path}")]));
        tokens.push(token.to_owned());
    }
    tokens.dedup();
    assert_eq!(tokens.len(), 3);
}

#[tokio::test]
async fn a_facilitator_that_hangs_or_is_gone_decides_nothing() {
    let hanging = serve(|_| std::future::pending::<Response<Full<Bytes>>>()).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let gone = listener.local_addr().expect("an address");
    drop(listener);
    for address in [hanging, gone] {
        let remote = remote(&format!("http://{address}"));
        let began = Instant::now();
        let verification = remote.verify(&payment()).await;
        assert!(matches!(verification, Verification::Unavailable(_)), "{verification:?}");
        let settlement = remote.settle(&payment()).await;
        let sent = address == hanging;
        assert_eq!(matches!(settlement, Settlement::Unknown { transaction: None, .. }), sent, "{settlement:?}");
        assert_eq!(matches!(settlement, Settlement::NotSent { .. }), !sent, "{settlement:?}");
        assert!(remote.supported().await.is_err());
        assert!(began.elapsed() < Duration::from_secs(3));
    }
}

#[tokio::test]
async fn paths_are_appended_and_the_credential_goes_along() {
    for (suffix, path) in [
        ("", "POST /verify"),
        ("/", "POST /verify"),
        ("/platform/v2/x402", "POST /platform/v2/x402/verify"),
        ("/platform/v2/x402/", "POST /platform/v2/x402/verify"),
    ] {
        let (url, heard) = scripted(200, &[], "{}").await;
        let mut config = RemoteConfig::new(parse(&format!("{url}{suffix}")));
        config.credential = Credential::Bearer("s3cret".to_owned());
        let shown = format!("{config:?}");
        let remote = Remote::new(config).expect("usable");
        assert!(!format!("{shown}{remote:?}").contains("s3cret"));
        let _ = remote.verify(&payment()).await;
        let heard = heard.lock().expect("not poisoned");
        assert_eq!(heard[0].0, path);
        assert_eq!(heard[0].1["authorization"], "Bearer s3cret");
        assert_eq!(heard[0].1["content-type"], "application/json");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let valid = json!({"isValid": true, "payer": PAYER.to_string()}).to_string();
    let (elsewhere, heard) = scripted(200, &[], &valid).await;
    let location: &'static str = format!("{elsewhere}/verify").leak();
    for status in [301, 307, 308] {
        let (url, _) = scripted(status, &[("location", location)], "").await;
        let verification = remote(&url).verify(&payment()).await;
        assert!(matches!(verification, Verification::Unavailable(_)));
    }
    assert!(heard.lock().expect("not poisoned").is_empty());
}

#[test]
fn money_does_not_go_over_plain_http_to_other_machines() {
    let new = |url: &str| Remote::new(RemoteConfig::new(parse(url)));
    for url in ["http://x402.org/facilitator", "http://10.0.0.1/", "ftp://127.0.0.1/"] {
        assert!(matches!(new(url), Err(RemoteError::NotHttps(_))), "{url}");
    }
    for url in ["https://u:p@x402.org/", "https://x402.org/?a=b", "https://x402.org/#a"] {
        let error = new(url).expect_err(url);
        assert!(matches!(error, RemoteError::Decorated(_)), "{url}");
        assert!(!error.to_string().contains("u:p"));
    }
    for url in ["https://x402.org/facilitator", "http://127.0.0.1:1/", "http://[::1]:1/", "http://localhost:1"] {
        assert!(new(url).is_ok(), "{url}");
    }
}

#[tokio::test]
async fn the_start_stops_with_one_line_when_the_network_is_not_listed() {
    let lists = json!({"kinds": [
        {"x402Version": 2, "scheme": "exact", "network": "eip155:84532"},
        {"x402Version": 1, "scheme": "exact", "network": "base-sepolia"},
        {"x402Version": 2, "scheme": "exact", "network": "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1"},
    ]});
    let (url, _) = scripted(200, &[], &lists.to_string()).await;
    let remote = remote(&url);
    let sepolia = Network::eip155(84532);
    assert_eq!(remote.versions("exact", std::slice::from_ref(&sepolia)).await, Ok(vec![Versions::Both]));
    let both = [sepolia.clone(), Network::eip155(8453)];
    let error = remote.versions("exact", &both).await.expect_err("not listed").to_string();
    assert_eq!(
        error,
        format!(
            "facilitator {url} does not support exact on eip155:8453 (it lists: exact on eip155:84532, exact on solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1); use another facilitator or a testnet network"
        )
    );
    let (url, _) = scripted(200, &[], "{\"kinds\":[]}").await;
    let error = self::remote(&url).versions("upto", &[sepolia]).await.expect_err("not listed");
    assert!(error.to_string().contains("(it lists: nothing); use another facilitator"));
}

#[tokio::test]
async fn a_facilitator_of_one_version_is_asked_for_no_other() {
    let sepolia = [Network::eip155(84532)];
    for (version, network, only) in [(1, "base-sepolia", Version::V1), (2, "eip155:84532", Version::V2)] {
        let kind = json!({"x402Version": version, "scheme": "exact", "network": network});
        let (url, _) = scripted(200, &[], &json!({ "kinds": [kind] }).to_string()).await;
        assert_eq!(remote(&url).versions("exact", &sepolia).await, Ok(vec![Versions::Only(only)]));
    }
}

#[tokio::test]
async fn too_many_requests_are_waited_out_as_asked_and_not_for_ever() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    let address = serve(move |_| {
        let nth = counter.fetch_add(1, Ordering::SeqCst);
        async move {
            let busy = Response::builder().status(429).header("retry-after", "1");
            let response = match nth {
                0 => busy.body(Full::default()),
                _ => Response::builder().body(Full::new("{\"kinds\":[]}".into())),
            };
            response.expect("a response")
        }
    })
    .await;
    let began = Instant::now();
    let supported = remote(&format!("http://{address}")).supported().await;
    assert!(supported.expect("the second time").kinds.is_empty());
    assert!(began.elapsed() >= Duration::from_secs(1));

    let (url, heard) = scripted(429, &[("retry-after", "0")], "").await;
    assert!(remote(&url).supported().await.is_err());
    assert_eq!(heard.lock().expect("not poisoned").len(), 3);
}

#[tokio::test]
async fn a_success_without_a_payer_is_of_the_one_who_signed_and_another_payer_is_not_believed() {
    for payer in [Value::Null, json!("")] {
        let valid = json!({"isValid": true, "payer": payer}).to_string();
        let verification = verified(200, &valid).await;
        let Verification::Valid { payer: named, .. } = verification else { panic!("{verification:?}") };
        assert!(named.eq_ignore_ascii_case(&PAYER.to_string()), "{named}");
        let settlement = settled(200, &success(|answer| answer["payer"] = payer.clone())).await;
        let Settlement::Settled { settlement, .. } = settlement else { panic!("{settlement:?}") };
        assert_eq!(settlement.payer, None);
    }
    let missing = json!({"isValid": true}).to_string();
    assert!(matches!(verified(200, &missing).await, Verification::Valid { .. }));
}

/// A refusal was believed for good whatever its reason, also one that only a broadcast can have.
#[tokio::test]
async fn only_a_reason_that_precedes_a_broadcast_is_final() {
    let refused = |reason: &str, transaction: &str| {
        json!({"success": false, "errorReason": reason, "transaction": transaction, "network": "eip155:84532"})
            .to_string()
    };
    for reason in [
        "invalid_exact_evm_signature",
        "invalid_exact_evm_recipient_mismatch",
        "invalid_exact_evm_insufficient_balance",
        "insufficient_funds",
        "invalid_exact_evm_payload_authorization_valid_before",
    ] {
        let settlement = settled(200, &refused(reason, "")).await;
        assert!(matches!(settlement, Settlement::Refused { finality: Finality::Final, .. }), "{settlement:?}");
        // One that names a transaction follows it.
        let settlement = settled(200, &refused(reason, HASH)).await;
        assert!(matches!(settlement, Settlement::Refused { finality: Finality::Open, .. }), "{settlement:?}");
    }
    for reason in [
        "invalid_exact_evm_transaction_failed",
        "invalid_exact_evm_transaction_simulation_failed",
        "rpc_error",
        "a word of its own",
    ] {
        let settlement = settled(200, &refused(reason, "")).await;
        assert!(matches!(settlement, Settlement::Refused { finality: Finality::Open, .. }), "{settlement:?}");
    }
    // These refuse the caller, and not the payment.
    for status in [401, 403, 429, 500, 503] {
        let settlement = settled(status, &refused("invalid_exact_evm_signature", "")).await;
        assert!(matches!(settlement, Settlement::Unknown { .. }), "{status}: {settlement:?}");
    }
}

/// A payer can bring about whatever a facilitator answers, its failures included, and not that there is no answer.
#[tokio::test]
async fn only_a_settlement_without_any_answer_is_unanswered() {
    let unanswered = |settlement: &Settlement| match settlement {
        Settlement::Unknown { unanswered, .. } => *unanswered,
        other => panic!("{other:?}"),
    };
    let hanging = serve(|_| std::future::pending::<Response<Full<Bytes>>>()).await;
    assert!(unanswered(&remote(&format!("http://{hanging}")).settle(&payment()).await));
    let said = |reason: &str| json!({"success": false, "errorReason": reason, "transaction": HASH}).to_string();
    for (status, body, expected) in [
        (504, "<html>".to_owned(), true),
        (524, String::new(), true),
        (500, "{\"error\":\"internal\"}".to_owned(), false),
        (502, "<html>".to_owned(), false),
        (400, "{\"error\":\"bad request\"}".to_owned(), false),
        (200, "{".to_owned(), false),
        (200, said("unexpected_settle_error"), false),
        (200, said("settlement_pending"), false),
    ] {
        let settlement = settled(status, &body).await;
        assert_eq!(unanswered(&settlement), expected, "{status} {body}: {settlement:?}");
    }
}

#[tokio::test]
async fn of_a_success_only_what_is_small_and_known_is_kept() {
    let long = "x".repeat(20_000);
    let spelt = HASH.replace("0x11", "0xAB");
    let body = success(|answer| {
        answer["transaction"] = json!(spelt);
        answer["errorMessage"] = json!(long);
        answer["extensions"] = json!({ "receipt": long });
        answer["extra"] = json!({ "small": 1 });
        answer["unheard"] = json!(long);
    });
    let Settlement::Settled { settlement, proof } = settled(200, &body).await else { panic!("not settled") };
    assert_eq!(settlement.transaction, spelt.to_ascii_lowercase(), "one hash has one spelling");
    assert_eq!(proof, Proof::Word { alone: true });
    assert_eq!((settlement.error_message, settlement.extensions), (None, None));
    assert_eq!(settlement.extra.map(|extra| extra.len()), Some(1));
}

/// Answers the nth request with the nth body, and every later one with the last.
async fn in_turn(bodies: &[String]) -> (String, Arc<AtomicUsize>) {
    let (asked, bodies) = (Arc::new(AtomicUsize::new(0)), Arc::new(bodies.to_vec()));
    let counter = asked.clone();
    let address = serve(move |_| {
        let nth = counter.fetch_add(1, Ordering::SeqCst);
        let body = bodies[nth.min(bodies.len() - 1)].clone();
        async move { Response::new(Full::new(body.into())) }
    })
    .await;
    (format!("http://{address}"), asked)
}

#[tokio::test]
async fn what_is_pending_is_asked_for_once_more_within_the_time_out() {
    let answer = |reason: &str, transaction: &str| {
        json!({"success": false, "errorReason": reason, "transaction": transaction, "network": "eip155:84532"})
            .to_string()
    };
    let pending = answer("settlement_pending", HASH);
    let (url, asked) = in_turn(&[pending.clone(), success(|_| {})]).await;
    let settlement = remote(&url).settle(&payment()).await;
    assert!(matches!(settlement, Settlement::Settled { .. }), "{settlement:?}");
    assert_eq!(asked.load(Ordering::SeqCst), 2);

    let (url, asked) = in_turn(std::slice::from_ref(&pending)).await;
    let began = Instant::now();
    let settlement = remote(&url).settle(&payment()).await;
    let Settlement::Unknown { transaction, .. } = settlement else { panic!("{settlement:?}") };
    assert_eq!(transaction.as_deref(), Some(HASH));
    assert_eq!(asked.load(Ordering::SeqCst), 2, "once more, and no oftener");
    assert!(began.elapsed() < Duration::from_secs(3));

    // A transaction was sent, whatever it says of it later.
    let (url, _) = in_turn(&[pending.clone(), answer("invalid_exact_evm_signature", "")]).await;
    let settlement = remote(&url).settle(&payment()).await;
    let Settlement::Refused { transaction, finality, .. } = settlement else { panic!("{settlement:?}") };
    assert_eq!((transaction.as_str(), finality), (HASH, Finality::Open));
    let (url, _) = in_turn(&[pending, "<html>".to_owned()]).await;
    let settlement = remote(&url).settle(&payment()).await;
    let Settlement::Unknown { transaction, .. } = settlement else { panic!("{settlement:?}") };
    assert_eq!(transaction.as_deref(), Some(HASH), "it is not forgotten");
}

#[tokio::test]
async fn a_redirect_names_the_new_address() {
    let (url, _) = scripted(308, &[("location", "https://new.example/x402/supported")], "").await;
    let error = remote(&url).supported().await.expect_err("a redirect");
    assert!(error.message.contains("308") && error.message.contains("https://new.example/x402/supported"), "{error}");
    let Verification::Unavailable(error) = remote(&url).verify(&payment()).await else { panic!("a redirect") };
    assert!(error.message.contains("https://new.example/"), "{error}");
    let Settlement::Unknown { message, .. } = remote(&url).settle(&payment()).await else { panic!("a redirect") };
    assert!(message.contains("https://new.example/"), "{message}");
}

#[tokio::test]
async fn one_transaction_for_two_payments_is_believed_of_a_facilitator_that_says_so() {
    let kind = json!({"x402Version": 2, "scheme": "exact", "network": "eip155:84532",
        "extra": {"sharedTransactions": true}});
    let (supported, settled) = (json!({ "kinds": [kind] }).to_string(), success(|_| {}));
    let address = serve(move |request: http::Request<hyper::body::Incoming>| {
        let body = if request.uri().path() == "/supported" { supported.clone() } else { settled.clone() };
        async move { Response::new(Full::new(Bytes::from(body))) }
    })
    .await;
    let remote = remote(&format!("http://{address}"));
    let another = PaymentRequest::V2 {
        payload: match payment() {
            PaymentRequest::V2 { mut payload, .. } => {
                let other = Authorization { nonce: B256::repeat_byte(6), ..authorization() };
                payload.payload = crate::testing::payload(&other, &vec![1; 65].into());
                payload
            }
            PaymentRequest::V1 { .. } => panic!("version 2"),
        },
        requirements: price().requirements(),
        declaration: None,
    };
    // It was not asked at the start, perhaps because it was down then. The second payment makes up for it.
    assert!(matches!(remote.settle(&payment()).await, Settlement::Settled { .. }));
    let second = remote.settle(&another).await;
    assert!(matches!(second, Settlement::Settled { proof: Proof::Word { alone: false }, .. }), "{second:?}");
}
