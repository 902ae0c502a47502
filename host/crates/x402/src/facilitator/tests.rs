use serde_json::json;

use super::*;
use crate::SettlementResponse;

fn request(outer: serde_json::Value, inner: u64) -> serde_json::Value {
    let mut request = json!({
        "paymentPayload": {
            "x402Version": inner,
            "scheme": "exact",
            "network": "base-sepolia",
            "accepted": {},
            "payload": {}
        },
        "paymentRequirements": {
            "scheme": "exact",
            "network": if inner == 1 { "base-sepolia" } else { "eip155:84532" },
            "amount": "1",
            "maxAmountRequired": "1",
            "resource": "https://a.example/x",
            "description": "",
            "mimeType": "",
            "asset": "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
            "payTo": "0x209693Bc6afc0C5328bA36FaF03C514EF312287C",
            "maxTimeoutSeconds": 60
        }
    });
    if !outer.is_null() {
        request["x402Version"] = outer;
    }
    request
}

fn version(request: serde_json::Value) -> Result<Version, String> {
    serde_json::from_value::<PaymentRequest>(request)
        .map(|request| request.version())
        .map_err(|error| error.to_string())
}

#[test]
fn the_version_of_a_request_is_said_once_or_twice_but_in_agreement() {
    assert_eq!(version(request(json!(1), 1)), Ok(Version::V1));
    assert_eq!(version(request(json!(2), 2)), Ok(Version::V2));
    assert_eq!(version(request(json!(null), 1)), Ok(Version::V1));
    assert_eq!(version(request(json!(null), 2)), Ok(Version::V2));
    for (outer, inner) in [(json!(1), 2), (json!(2), 1), (json!(3), 3), (json!("2"), 2)] {
        assert!(version(request(outer.clone(), inner)).is_err(), "{outer} {inner}");
    }
    assert!(version(json!({"paymentPayload": {}, "paymentRequirements": {}})).is_err());
    assert!(version(json!({})).is_err());
    assert!(version(json!([])).is_err());
}

#[test]
fn requests_survive_the_wire() {
    for inner in [1, 2] {
        let read: PaymentRequest = serde_json::from_value(request(json!(inner), inner)).expect("well-formed");
        let written = serde_json::to_value(&read).expect("plain");
        assert_eq!(written["x402Version"], json!(inner));
        assert_eq!(serde_json::from_value::<PaymentRequest>(written).expect("our own"), read);
    }
}

#[test]
fn answers_with_nulls_and_unknown_fields_are_read() {
    let supported = json!({
        "kinds": [{"x402Version": 2, "scheme": "exact", "network": "eip155:84532", "extra": null, "new": 1}],
        "extensions": null,
        "signers": null,
        "new": 1
    });
    let supported: Supported = serde_json::from_value(supported).expect("lenient");
    assert_eq!(supported.signers, Object::new());

    let verified = json!({"isValid": true, "invalidReason": null, "payer": null, "new": 1});
    let verified: VerifyResponse = serde_json::from_value(verified).expect("lenient");
    assert!(verified.is_valid);

    // As one published facilitator writes a failure.
    let failed = json!({"success": false, "error_reason": "invalid_payload", "network": null});
    let failed: SettlementResponse = serde_json::from_value(failed).expect("lenient");
    assert_eq!(failed.error_reason.as_deref(), Some("invalid_payload"));
    assert_eq!((failed.transaction.as_str(), failed.network.as_str()), ("", ""));

    assert!(serde_json::from_value::<SettlementResponse>(json!({})).is_err(), "success is needed");
    assert!(serde_json::from_value::<VerifyResponse>(json!({})).is_err(), "isValid is needed");
    assert!(serde_json::from_value::<SettlementResponse>(json!({"success": "true"})).is_err());
}

#[test]
fn a_kind_is_a_version_a_scheme_and_a_network() {
    let kind = |version, scheme: &str, network: &str| SupportedKind {
        x402_version: version,
        scheme: scheme.to_owned(),
        network: network.to_owned(),
        extra: None,
    };
    let supported = Supported {
        kinds: vec![
            kind(1, "exact", "base-sepolia"),
            kind(1, "exact", "unheard of"),
            kind(2, "exact", "eip155:84532"),
            kind(2, "upto", "eip155:8453"),
        ],
        ..Supported::default()
    };
    let (base, sepolia) = (Network::eip155(8453), Network::eip155(84532));
    assert!(supported.has(Version::V1, "exact", &sepolia));
    assert!(supported.has(Version::V2, "exact", &sepolia));
    assert!(supported.has(Version::V2, "upto", &base));
    assert!(!supported.has(Version::V2, "exact", &base));
    assert!(!supported.has(Version::V1, "exact", &base));
    assert!(!supported.has(Version::V1, "upto", &base));
}

#[test]
fn both_versions_give_the_same_facts_of_a_payment() {
    let requests = [1, 2].map(|version| {
        let mut request = request(json!(version), version);
        request["paymentPayload"]["accepted"] = json!({ "scheme": "exact", "network": "eip155:84532" });
        request["paymentPayload"]["payload"] = json!({ "authorization": { "from": "0xab" } });
        request["paymentRequirements"]["extra"] = json!({ "name": "USDC" });
        serde_json::from_value::<PaymentRequest>(request).expect("well-formed")
    });
    let network = Network::parse("eip155:84532").expect("CAIP-2");
    for request in &requests {
        assert_eq!(request.named_payer(), Some("0xab"));
        assert_eq!((request.payment_scheme(), request.scheme()), (Some("exact"), "exact"));
        assert_eq!(request.payment_network().as_ref(), Some(&network));
        assert_eq!(request.network().as_ref(), Some(&network));
        assert_eq!((request.amount(), request.max_timeout_seconds()), ("1", 60));
        assert_eq!(request.asset(), "0x036CbD53842c5426634e7929541eC2318f3dCF7e");
        assert_eq!(request.pay_to(), "0x209693Bc6afc0C5328bA36FaF03C514EF312287C");
        assert_eq!((request.extra("name"), request.extra("version")), (Some("USDC"), None));
    }
    assert_eq!(requests.each_ref().map(PaymentRequest::network_name), ["base-sepolia", "eip155:84532"]);
}

#[test]
fn the_fingerprint_is_of_what_is_signed_and_of_the_network() {
    let changed = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut request = request(json!(2), 2);
        change(&mut request);
        serde_json::from_value::<PaymentRequest>(request).expect("well-formed").fingerprint()
    };
    let same = changed(&|_| {});
    assert_eq!(changed(&|request| request["paymentRequirements"]["amount"] = json!("2")), same);
    assert_ne!(changed(&|request| request["paymentRequirements"]["network"] = json!("eip155:8453")), same);
    assert_ne!(changed(&|request| request["paymentPayload"]["payload"]["nonce"] = json!("0x1")), same);
}

/// Recovery reads a payment out of the ledger, and a pool must know it again. Its payer may have written any numbers
/// beside what is signed; the first of these read as its neighbour when it was written and read again.
#[test]
fn a_payment_that_was_written_and_read_has_the_same_fingerprint() {
    for number in ["4.570939674669643e203", "7.721876539108461e-81", "-3.0989065991270942e-37", "0.1", "5e-324"] {
        let mut text = request(json!(2), 2).to_string();
        text = text.replacen("\"payload\":{}", &format!("\"payload\":{{\"x\":{number}}}"), 1);
        let mut request: PaymentRequest = serde_json::from_str(&text).expect("a request");
        let fingerprint = request.fingerprint();
        for _ in 0..3 {
            let written = serde_json::to_string(&request).expect("JSON");
            request = serde_json::from_str(&written).expect("what was written");
            assert_eq!(request.fingerprint(), fingerprint, "{number}");
        }
    }
}
