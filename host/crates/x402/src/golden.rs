//! The specification's own examples, byte for byte, through our types and back.
//!
//! `golden/*.json` are the JSON examples of the x402 specifications of 2026-04-21: `v1_*` and `v2_*`
//! of `x402-specification-v1.md` and `-v2.md`, `*_http_*` and `headers.json` of `transports-v1/http.md`
//! and `transports-v2/http.md`, `*_exact_evm` and `*_erc7710` of `schemes/exact/scheme_exact_evm.md`.
//! Examples with comments in place of values are left out. Where we write something else on purpose,
//! the test says why and pins what we write.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::facilitator::{PaymentRequest, Supported, VerifyResponse};
use super::header::{self, PaymentPayload};
use super::{SettlementResponse, Version, v1, v2};

macro_rules! golden {
    ($name:literal) => {
        include_str!(concat!("golden/", $name, ".json"))
    };
}

/// Reads an example as `T`, and gives what we write for it, laid out as in the specification.
fn rewritten<T: DeserializeOwned + Serialize>(example: &str) -> String {
    let read: T = serde_json::from_str(example).expect("an example is of its type");
    serde_json::to_string_pretty(&read).expect("our types are written") + "\n"
}

/// The bytes that come out are the bytes that went in.
#[track_caller]
fn same_bytes<T: DeserializeOwned + Serialize>(example: &str) {
    assert_eq!(rewritten::<T>(example), example);
}

/// As [`same_bytes`], of an example whose line breaks or indents are irregular in the document: every
/// byte outside of white space, in its order.
#[track_caller]
fn same_but_layout<T: DeserializeOwned + Serialize>(example: &str) {
    let dense = |json: &str| {
        let value: Value = serde_json::from_str(json).expect("JSON");
        value.to_string()
    };
    assert_eq!(dense(&rewritten::<T>(example)), dense(example));
}

/// We write `pinned` for the example.
#[track_caller]
fn written_as<T: DeserializeOwned + Serialize>(example: &str, pinned: &str) {
    assert_ne!(example, pinned);
    assert_eq!(rewritten::<T>(example), pinned);
}

#[test]
fn v2_payment_required() {
    // Sections 5.1.1; transport HTTP, "Payment Required Signaling".
    same_bytes::<v2::PaymentRequired>(golden!("v2_payment_required"));
    same_bytes::<v2::PaymentRequired>(golden!("v2_http_payment_required"));
}

#[test]
fn v2_payment_payload() {
    // Section 5.2.1; transport HTTP, "Payment Payload Transmission"; scheme exact on EVM, EIP-3009 and
    // ERC-7710.
    same_but_layout::<v2::PaymentPayload>(golden!("v2_payment_payload"));
    same_bytes::<v2::PaymentPayload>(golden!("v2_http_payment_payload"));
    same_bytes::<v2::PaymentPayload>(golden!("v2_payment_payload_exact_evm"));
    same_bytes::<v2::PaymentPayload>(golden!("v2_payment_payload_erc7710"));
}

#[test]
fn v2_settlement_response() {
    // Section 5.3.1; transport HTTP, "Settlement Response Delivery".
    same_bytes::<SettlementResponse>(golden!("v2_settlement_response"));
    same_bytes::<SettlementResponse>(golden!("v2_http_settlement_response_success"));
    same_bytes::<SettlementResponse>(golden!("v2_http_settlement_response_failure"));
}

/// Section 7 writes `payer` before `transaction`, section 5.3 and the headers after `network`. One
/// message has one order here: that of the headers.
fn payer_last(example: &str) -> String {
    let payer = example.lines().find(|line| line.contains("\"payer\"")).expect("the example names the payer");
    let rest: Vec<&str> = example.lines().filter(|line| *line != payer).collect();
    let (end, fields) = rest.split_last().expect("a closing brace");
    let payer = payer.trim_end_matches(',');
    format!("{},\n{payer}\n{end}\n", fields.join("\n"))
}

#[test]
fn settle_responses_are_written_in_the_order_of_the_headers() {
    // v2 section 7.2, v1 section 7.2.
    for example in [
        golden!("v2_settle_response_success"),
        golden!("v2_settle_response_failure"),
        golden!("v1_settle_response_success"),
        golden!("v1_settle_response_failure"),
    ] {
        written_as::<SettlementResponse>(example, &payer_last(example));
    }
}

#[test]
fn verify_and_settle_requests() {
    // v2 section 7.1; the body of /settle is the same.
    same_but_layout::<PaymentRequest>(golden!("v2_verify_request"));
    // v1 section 7.1. Version 1 has two orders of requirements: this, and that of the challenge,
    // which clients see and which is ours. The same keys and values, all the same.
    let example = golden!("v1_verify_request");
    let ours = rewritten::<PaymentRequest>(example);
    let value = |json: &str| serde_json::from_str::<Value>(json).expect("JSON");
    assert_eq!(value(&ours), value(example));
    let pinned = "    \"maxAmountRequired\": \"10000\",\n    \"asset\": \"0x036CbD53842c5426634e7929541eC2318f3dCF7e\",\n    \"payTo\": \"0x209693Bc6afc0C5328bA36FaF03C514EF312287C\",\n    \"resource\": \"https://api.example.com/premium-data\",\n";
    assert!(ours.contains(pinned), "{ours}");
}

#[test]
fn verify_responses() {
    // v2 section 7.1, v1 section 7.1.
    same_bytes::<VerifyResponse>(golden!("v2_verify_response_valid"));
    same_bytes::<VerifyResponse>(golden!("v2_verify_response_invalid"));
    same_bytes::<VerifyResponse>(golden!("v1_verify_response_valid"));
    same_bytes::<VerifyResponse>(golden!("v1_verify_response_invalid"));
}

#[test]
fn supported_kinds() {
    // v2 section 7.3.
    same_but_layout::<Supported>(golden!("v2_supported"));
    // v1 section 7.3 has kinds alone; version 2 requires the other two, and one answer serves both.
    let example = golden!("v1_supported");
    let kinds = example.strip_suffix("  ]\n}\n").expect("ends with the kinds");
    let pinned = format!("{kinds}  ],\n  \"extensions\": [],\n  \"signers\": {{}}\n}}\n");
    written_as::<Supported>(example, &pinned);
}

#[test]
fn v1_payment_required() {
    // Section 5.1.1; transport HTTP, "Payment Required Signaling". `outputSchema` is null in both:
    // legacy clients throw on it, so we leave it out.
    for example in [golden!("v1_payment_required"), golden!("v1_http_payment_required")] {
        let pinned = example.replace("      \"outputSchema\": null,\n", "");
        written_as::<v1::PaymentRequired>(example, &pinned);
    }
}

#[test]
fn v1_payment_payload() {
    // Section 5.2.1; transport HTTP, "Payment Payload Transmission".
    same_bytes::<v1::PaymentPayload>(golden!("v1_payment_payload"));
    same_bytes::<v1::PaymentPayload>(golden!("v1_http_payment_payload"));
}

#[test]
fn v1_settlement_response() {
    // Section 5.3.1; transport HTTP, "Settlement Response Delivery".
    same_bytes::<SettlementResponse>(golden!("v1_settlement_response"));
    same_bytes::<SettlementResponse>(golden!("v1_http_settlement_response"));
}

#[test]
fn payment_headers_decode_to_the_examples_and_encode_to_themselves() {
    // Transport HTTP, the header lines of both versions.
    let header = |name: &str| example_header(name);
    let value = header("payment-signature");
    let Ok(PaymentPayload::V2(payload)) = header::decode(Version::V2, value.as_bytes()) else {
        panic!("the example is a payment");
    };
    assert_eq!(header::encode(&payload), value);
    let example = golden!("v2_http_payment_payload");
    assert_eq!(payload, serde_json::from_str(example).expect("of its type"));

    let value = header("x-payment");
    let Ok(PaymentPayload::V1(payload)) = header::decode(Version::V1, value.as_bytes()) else {
        panic!("the example is a payment");
    };
    assert_eq!(header::encode(&payload), value);
    let example = golden!("v1_http_payment_payload");
    assert_eq!(payload, serde_json::from_str(example).expect("of its type"));
}

#[test]
fn what_we_answer_is_encoded_as_in_the_example_headers() {
    fn check<T: DeserializeOwned + Serialize>(example: &str, header: &str) {
        let document: T = serde_json::from_str(example).expect("of its type");
        assert_eq!(header::encode(&document), example_header(header));
    }
    check::<v2::PaymentRequired>(golden!("v2_http_payment_required"), "payment-required");
    check::<SettlementResponse>(golden!("v2_http_settlement_response_success"), "payment-response");
    check::<SettlementResponse>(golden!("v2_http_settlement_response_failure"), "payment-response-failure");
    check::<SettlementResponse>(golden!("v1_http_settlement_response"), "x-payment-response");
    // Version 1's failure is given as a header only.
    let failure = SettlementResponse {
        success: false,
        error_reason: Some("insufficient_funds".to_owned()),
        error_message: None,
        transaction: String::new(),
        network: "base-sepolia".to_owned(),
        payer: Some("0x857b06519E91e3A54538791bDbb0E22373e36b66".to_owned()),
        amount: None,
        extensions: None,
        extra: None,
    };
    assert_eq!(header::encode(&failure), example_header("x-payment-response-failure"));
}

fn example_header(name: &str) -> String {
    let headers: Value = serde_json::from_str(golden!("headers")).expect("JSON");
    headers[name].as_str().expect("an example").to_owned()
}
