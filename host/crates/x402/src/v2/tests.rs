use serde_json::json;

use super::*;

fn offered() -> PaymentRequirements {
    let requirements = json!({
        "scheme": "exact",
        "network": "eip155:84532",
        "amount": "10000",
        "asset": "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
        "payTo": "0x209693Bc6afc0C5328bA36FaF03C514EF312287C",
        "maxTimeoutSeconds": 60,
        "extra": {"name": "USDC", "version": "2", "nested": {"a": [1, 2], "b": null}}
    });
    serde_json::from_value(requirements).expect("well-formed")
}

fn echo() -> Value {
    serde_json::to_value(offered()).expect("plain")
}

fn object(value: Value) -> Object {
    match value {
        Value::Object(object) => object,
        other => panic!("{other} is not an object"),
    }
}

fn payload(accepted: Value, extensions: Option<Value>) -> PaymentPayload {
    PaymentPayload {
        x402_version: X402Version,
        resource: None,
        accepted: object(accepted),
        payload: Object::new(),
        extensions: extensions.map(object),
    }
}

fn matches(accepted: Value) -> bool {
    payload(accepted, None).accepts(&offered())
}

#[test]
fn a_faithful_echo_matches_in_any_order() {
    assert!(matches(echo()));
    let mut reversed: Vec<_> = object(echo()).into_iter().collect();
    reversed.reverse();
    let reversed: Object = reversed.into_iter().collect();
    assert!(matches(Value::Object(reversed)));
}

#[test]
fn a_client_may_add_keys() {
    let mut accepted = echo();
    accepted["further"] = json!(1);
    accepted["extra"]["further"] = json!(1);
    accepted["extra"]["nested"]["further"] = json!(1);
    assert!(matches(accepted));
}

#[test]
fn every_field_of_the_offer_counts_with_its_type() {
    let changes = [
        ("scheme", json!("upto")),
        ("network", json!("eip155:8453")),
        ("amount", json!("9999")),
        ("amount", json!("10001")),
        ("amount", json!("010000")),
        ("amount", json!(10000)),
        ("asset", json!("0x036cbd53842c5426634e7929541ec2318f3dcf7e")),
        ("payTo", json!("0x857b06519E91e3A54538791bDbb0E22373e36b66")),
        ("maxTimeoutSeconds", json!(61)),
        ("maxTimeoutSeconds", json!("60")),
        ("extra", json!(null)),
        ("extra", json!({})),
        ("extra", json!({"name": "USDC", "version": 2, "nested": {"a": [1, 2], "b": null}})),
        ("extra", json!({"name": "USDC", "version": "2", "nested": {"a": [1, 2, 3], "b": null}})),
        ("extra", json!({"name": "USDC", "version": "2", "nested": {"a": [2, 1], "b": null}})),
        ("extra", json!({"name": "USDC", "version": "2", "nested": {"a": [1, 2]}})),
    ];
    for (field, value) in changes {
        let mut accepted = echo();
        accepted[field] = value.clone();
        assert!(!matches(accepted), "{field} {value}");
    }
    for field in object(echo()).keys() {
        let mut accepted = object(echo());
        accepted.remove(field);
        assert!(!matches(Value::Object(accepted)), "{field}");
    }
}

#[test]
fn an_offer_without_extra_matches_with_and_without_it() {
    let bare = PaymentRequirements { extra: Object::new(), ..offered() };
    let written = serde_json::to_value(&bare).expect("plain");
    assert_eq!(written.get("extra"), None, "absent, never null");
    assert!(payload(written.clone(), None).accepts(&bare));
    let mut python = written;
    python["extra"] = json!({});
    assert!(payload(python, None).accepts(&bare));
}

fn advertised() -> Object {
    object(json!({
        "bazaar": {"info": {"input": {"method": "GET"}}, "schema": {}},
        "sign-in-with-x": {"info": {"domain": "example.com", "nonce": "1", "issuedAt": "now"}, "schema": {}}
    }))
}

fn echoes(extensions: Option<Value>) -> bool {
    payload(echo(), extensions).echoes(Some(&advertised()))
}

#[test]
fn extensions_may_be_left_out_added_to_or_invented() {
    assert!(echoes(None));
    assert!(echoes(Some(json!({}))));
    assert!(echoes(Some(Value::Object(advertised()))));
    assert!(echoes(Some(json!({"payment-identifier": {"info": {"id": "1"}}}))));
    let more = json!({"bazaar": {"info": {"input": {"method": "GET", "more": 1}, "more": 1}}});
    assert!(echoes(Some(more)));
    assert!(payload(echo(), Some(json!({"bazaar": 1}))).echoes(None));
}

#[test]
fn advertised_info_may_not_be_contradicted() {
    for bazaar in [
        json!(null),
        json!({}),
        json!({"info": null}),
        json!({"info": {}}),
        json!({"info": {"input": {}}}),
        json!({"info": {"input": {"method": "POST"}}}),
    ] {
        assert!(!echoes(Some(json!({"bazaar": bazaar.clone()}))), "{bazaar}");
    }
}

#[test]
fn fields_made_for_each_challenge_may_differ() {
    let stale = json!({"sign-in-with-x": {"info": {"domain": "example.com", "nonce": "0"}}});
    assert!(echoes(Some(stale)));
    let wrong = json!({"sign-in-with-x": {"info": {"domain": "example.org", "nonce": "1"}}});
    assert!(!echoes(Some(wrong)));
}

#[test]
fn requirements_without_extra_are_read() {
    let mut written = echo();
    written.as_object_mut().expect("an object").remove("extra");
    let read: PaymentRequirements = serde_json::from_value(written).expect("extra is optional");
    assert_eq!(read.extra, Object::new());
}
