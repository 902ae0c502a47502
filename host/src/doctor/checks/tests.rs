//! Bends one part of a good challenge at a time: the check of that part names it, and no other does.

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE};
use bytes::Bytes;
use serde_json::{Value, json};

use super::{examine_challenge, names};
use crate::doctor::Outcome::{self, Failed, Skipped, Warning};
use crate::doctor::facts::ChallengeFacts;

const USDC: &str = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913";
const PAY_TO: &str = "0xC0140eEa19bD90a7cA75882d5218eFaF20426e42";
const URL: &str = "https://api.example.com/weather";

/// The documents of both versions.
struct Bent {
    v2: Value,
    v1: Value,
}

impl Bent {
    fn good() -> Self {
        let extra = json!({ "name": "USD Coin", "version": "2" });
        let v2 = json!({
            "x402Version": 2, "error": "Payment required",
            "resource": { "url": URL, "description": "The weather, in K\u{f6}ln", "mimeType": "application/json" },
            "accepts": [{
                "scheme": "exact", "network": "eip155:8453", "amount": "10000", "asset": USDC, "payTo": PAY_TO,
                "maxTimeoutSeconds": 60, "extra": extra,
            }],
        });
        let v1 = json!({
            "x402Version": 1, "error": "Payment required",
            "accepts": [{
                "scheme": "exact", "network": "base", "maxAmountRequired": "10000", "asset": USDC, "payTo": PAY_TO,
                "resource": URL, "description": "The weather", "mimeType": "application/json",
                "maxTimeoutSeconds": 60, "extra": extra,
            }],
        });
        Self { v2, v1 }
    }

    fn facts(&self, header: &dyn Fn(&str) -> String) -> ChallengeFacts {
        let body = if self.v1.is_null() { Bytes::new() } else { self.v1.to_string().into() };
        let headers = if self.v2.is_null() { Vec::new() } else { vec![header(&self.v2.to_string()).into_bytes()] };
        let mut facts = ChallengeFacts::new(headers, body);
        facts.called = Some(URL.parse().expect("a URL"));
        facts.media_type = Some("application/json".to_owned());
        facts
    }
}

/// The checks that found something.
fn problems(facts: &ChallengeFacts) -> Vec<(&'static str, Outcome)> {
    let found = examine_challenge(facts).into_iter().filter(super::super::Finding::is_problem);
    found.map(|finding| (finding.check, finding.outcome)).collect()
}

#[test]
fn a_good_challenge_passes_every_check_and_none_has_two_names() {
    let facts = Bent::good().facts(&|json| BASE64_STANDARD.encode(json));
    let found = examine_challenge(&facts);
    assert_eq!(problems(&facts), [], "{found:#?}");
    let skipped: Vec<_> =
        found.iter().filter(|finding| finding.outcome == Skipped).map(|finding| finding.check).collect();
    assert_eq!(skipped, ["extensions"]);
    let mut all = names();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), names().len());
}

/// A place in the documents, and the value that is put there. `null` for the whole document leaves it out.
#[test]
fn each_defect_of_a_challenge_is_named_by_its_check() {
    let v1_price = |price: &str| json!({ "maxAmountRequired": price });
    for (place, value, check, outcome) in [
        ("/v2/x402Version", json!("2"), "required-fields", Failed),
        ("/v2/resource/url", json!(""), "required-fields", Failed),
        ("/v2/accepts/0/amount", json!(10_000), "required-fields", Failed),
        ("/v2/accepts/0/maxTimeoutSeconds", json!(60.5), "required-fields", Failed),
        ("/v2/error", json!({ "issues": [] }), "required-fields", Failed),
        ("/v2/accepts/0/networkId", json!(8453), "required-fields", Warning),
        ("/v2/extensions", json!({ "bazaar": "yes" }), "extensions", Failed),
        ("/v2/extensions", json!({ "bazaar": { "info": 1, "schema": { "type": "object" } } }), "extensions", Failed),
        ("/v2/accepts/0/payTo", json!("0x1234"), "addresses", Failed),
        ("/v2/accepts/0/maxTimeoutSeconds", json!(5), "timeout", Warning),
        ("/v2/accepts/0/maxTimeoutSeconds", json!(86_400), "timeout", Warning),
        ("/v2/accepts/0/extra/name", json!("USDC"), "token-domain", Failed),
        ("/v2/accepts/0/extra", json!({}), "token-domain", Failed),
        ("/v2/resource/url", json!("http://api.example.com/weather"), "resource-url", Failed),
        ("/v2/resource/url", json!("http://127.0.0.1:3000/weather"), "resource-url", Failed),
        ("/v2/resource/url", json!("/weather"), "resource-url", Failed),
        ("/v2/resource/description", json!("x".repeat(800)), "resource-texts", Warning),
        ("/v2/resource/description", json!("a\u{202e}b"), "resource-texts", Warning),
        ("/v1/accepts/0/mimeType", Value::Null, "v1-body", Failed),
        ("/v1/accepts/0/outputSchema", Value::Null, "v1-body", Failed),
        ("/v1/accepts/0/resource", json!("/weather"), "v1-body", Failed),
        ("/v1/error", json!({ "name": "ZodError" }), "v1-body", Failed),
        ("/v1/accepts/0/maxAmountRequired", v1_price("20000")["maxAmountRequired"].clone(), "versions-agree", Failed),
        ("/v1/accepts/0/payTo", json!("0x1234567890123456789012345678901234567890"), "versions-agree", Failed),
    ] {
        let Bent { v2, v1 } = Bent::good();
        let mut both = json!({ "v2": v2, "v1": v1 });
        let (parent, key) = place.rsplit_once('/').expect("a place");
        both.pointer_mut(parent)
            .and_then(Value::as_object_mut)
            .expect("an object")
            .insert(key.to_owned(), value.clone());
        let bent = Bent { v2: both["v2"].take(), v1: both["v1"].take() };
        let found = problems(&bent.facts(&|json| BASE64_STANDARD.encode(json)));
        assert!(found.contains(&(check, outcome)), "{place} = {value}: {found:?}");
        // The versions differ where one of them is bent.
        let others: Vec<_> = found.iter().filter(|(name, _)| ![check, "versions-agree"].contains(name)).collect();
        assert!(others.is_empty(), "{place} = {value}: {others:?}");
    }
}

#[test]
fn each_price_that_stock_clients_do_not_pay_is_named() {
    for (amount, check, outcome) in [
        ("0.01", "amounts", Failed),
        ("0", "amounts", Failed),
        ("010000", "amounts", Failed),
        ("10000000000", "amounts", Warning),
        ("1000001", "client-caps", Warning),
        ("100001", "client-caps", Warning),
    ] {
        let mut bent = Bent::good();
        bent.v2["accepts"][0]["amount"] = amount.into();
        bent.v1["accepts"][0]["maxAmountRequired"] = amount.into();
        let found = problems(&bent.facts(&|json| BASE64_STANDARD.encode(json)));
        assert!(found.contains(&(check, outcome)), "{amount}: {found:?}");
    }
}

#[test]
fn each_defect_of_the_header_is_named_by_its_check() {
    let good = Bent::good();
    let with_padding = |json: &str| format!("{json}{}", " ".repeat((4 - json.len() % 3) % 3));
    for (encode, check) in [
        (
            &(|json: &str| BASE64_STANDARD_NO_PAD.encode(with_padding(json))) as &dyn Fn(&str) -> String,
            "header-encoding",
        ),
        (
            &|json: &str| BASE64_URL_SAFE.encode(format!("{json}   ").replace("The", "\u{3ff}\u{3fe}\u{7ff}")),
            "header-encoding",
        ),
        (&|json: &str| json.to_owned(), "header-encoding"),
        (&|json: &str| BASE64_STANDARD.encode(json.replace("The weather", &"The weather ".repeat(500))), "header-size"),
        (&|_: &str| "!!!".to_owned(), "challenge-header"),
    ] {
        let found = problems(&good.facts(encode));
        assert!(found.iter().any(|(name, _)| *name == check), "{check}: {found:?}");
    }
    let body_alone = Bent { v1: Bent::good().v2, v2: Value::Null };
    assert_eq!(problems(&body_alone.facts(&str::to_owned)), [("challenge-header", Failed)]);
    let v1_alone = Bent { v2: Value::Null, ..Bent::good() };
    assert_eq!(problems(&v1_alone.facts(&str::to_owned)), [("challenge-header", Warning)]);
    let mut twice = good.facts(&|json| BASE64_STANDARD.encode(json));
    twice.headers.push(twice.headers[0].clone());
    assert_eq!(problems(&twice), [("challenge-header", Failed)]);
}

#[test]
fn only_test_money_at_a_public_address_is_named() {
    let mut bent = Bent::good();
    bent.v1 = Value::Null;
    let entry = &mut bent.v2["accepts"][0];
    entry["network"] = "eip155:84532".into();
    entry["asset"] = "0x036CbD53842c5426634e7929541eC2318f3dCF7e".into();
    entry["extra"]["name"] = "USDC".into();
    assert_eq!(problems(&bent.facts(&|json| BASE64_STANDARD.encode(json))), [("networks", Warning)]);
    bent.v2["accepts"][0]["network"] = "base-sepolia".into();
    let found = problems(&bent.facts(&|json| BASE64_STANDARD.encode(json)));
    assert!(found.contains(&("networks", Failed)), "{found:?}");
}

/// What a server sends is bounded and judged, whatever it is.
#[test]
fn no_challenge_makes_a_check_panic() {
    let values = [
        json!(null),
        json!(true),
        json!(-1),
        json!(1e300),
        json!(""),
        json!("\u{0}\u{202e}"),
        json!([]),
        json!({}),
        json!([[]]),
        json!("\u{20ac}\u{20ac}"),
        json!("0x\u{20ac}"),
        json!("eip155:99999999999999999999"),
    ];
    let places = ["x402Version", "error", "resource", "accepts", "extensions"];
    let of_entry = [
        "scheme",
        "network",
        "amount",
        "maxAmountRequired",
        "asset",
        "payTo",
        "maxTimeoutSeconds",
        "extra",
        "resource",
    ];
    for value in &values {
        for version in [1, 2] {
            for place in places {
                let mut document = json!({ "x402Version": version, "accepts": [{}] });
                document[place] = value.clone();
                let text = document.to_string();
                examine_challenge(&ChallengeFacts::new(
                    vec![BASE64_STANDARD.encode(&text).into()],
                    text.clone().into(),
                ));
                examine_challenge(&ChallengeFacts::new(Vec::new(), text.into()));
            }
            for place in of_entry {
                let mut bent = Bent::good();
                let document = if version == 2 { &mut bent.v2 } else { &mut bent.v1 };
                document["accepts"][0][place] = value.clone();
                examine_challenge(&bent.facts(&|json| BASE64_STANDARD.encode(json)));
            }
        }
    }
}
