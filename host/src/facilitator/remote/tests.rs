//! Answers of a facilitator that is sloppy, broken or lies, over a real socket.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use alloy::primitives::{Address, B256, U256};
use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};

use super::{Remote, RemoteConfig, RemoteError};
use crate::facilitator::testing::{SELLER, parse, payload, serve};
use crate::facilitator::{Facilitator, PayerKind, Settlement, Verification};
use crate::price::{Amount, Asset, Price};
use crate::x402::exact::Authorization;
use crate::x402::facilitator::PaymentRequest;
use crate::x402::{Network, Version, Versions, X402Version, v1, v2};

const PAYER: Address = Address::repeat_byte(0xab);
const HASH: &str = "0x1111111111111111111111111111111111111111111111111111111111111111";

fn price() -> Price {
    Price {
        amount: Amount(U256::from(10_000)),
        asset: Arc::new(Asset::known(&Network::eip155(84532), None).expect("known")),
        pay_to: SELLER.to_string().into(),
        max_timeout_seconds: 60,
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
        Settlement::Settled(settled) => assert_eq!(settled.transaction, HASH),
        other => panic!("{other:?}"),
    }
    // Version 1 names the network.
    let named = success(|answer| answer["network"] = json!("base-sepolia"));
    let (url, heard) = scripted(200, &[], &named).await;
    let settlement = remote(&url).settle(&payment_v1()).await;
    assert!(matches!(settlement, Settlement::Settled(_)), "{settlement:?}");
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
        (200, json!({"isValid": true}).to_string()),
        (200, json!({"isValid": true, "payer": ""}).to_string()),
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
        (200, failed(json!("duplicate_settlement"))),
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
        assert!(matches!(settlement, Settlement::Unknown { transaction: None, .. }), "{settlement:?}");
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
        config.bearer = Some("s3cret".to_owned());
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
