//! Reads what the result of a call says about money.

use coinslot_x402::{Object, SettlementResponse, Version};
use rmcp::model::{CallToolResult, ContentBlock};
use serde_json::Value;

use crate::cli::pay::{ChargedWord, Outcome, precedes_settlement};
use crate::wallet::ReceivedChallenge;

/// The longest pause before the same payment is sent again, in seconds, whatever the server asks for.
const MAX_PAUSE: u64 = 10;

/// The payment requirements in a result, if it asks for a payment: as a value, or as the text of the first content.
pub(super) fn challenge(result: &CallToolResult) -> Option<ReceivedChallenge> {
    let document = required(result)?;
    let version = match document.get("x402Version").and_then(Value::as_u64) {
        Some(1) => Version::V1,
        _ => Version::V2,
    };
    ReceivedChallenge::of(version, &document).ok()
}

fn required(result: &CallToolResult) -> Option<Object> {
    // A Coinslot host says which status an answer has: an error that only looks like a challenge is one of a plugin.
    let is_other = about(result, "status").is_some_and(|status| status.as_u64() != Some(402));
    if result.is_error != Some(true) || is_other {
        return None;
    }
    let asks = |document: &Object| document.contains_key("x402Version") && document.contains_key("accepts");
    let structured = result.structured_content.as_ref().and_then(Value::as_object).filter(|object| asks(object));
    structured.cloned().or_else(|| {
        let text = result.content.first().and_then(ContentBlock::as_text)?;
        serde_json::from_str::<Object>(&text.text).ok().filter(asks)
    })
}

/// The settlement of a paid call.
pub(super) fn receipt(result: &CallToolResult) -> Option<SettlementResponse> {
    serde_json::from_value(result.meta.as_ref()?.get("x402/payment-response")?.clone()).ok()
}

/// The outcome of a payment, by the result of its call.
pub(super) fn outcome(result: &CallToolResult) -> Outcome {
    let receipt = receipt(result);
    let is_error = result.is_error == Some(true);
    let status = match (about(result, "status").and_then(Value::as_u64), is_error, required(result)) {
        (Some(status), _, _) => u16::try_from(status).unwrap_or(500),
        (None, false, _) => 200,
        (None, true, Some(_)) => 402,
        // A tool that fails is not settled, says the transport of x402 for MCP.
        (None, true, None) if receipt.is_none() => return Outcome::NotServed,
        (None, true, None) => 500,
    };
    if let Some(outcome) = Outcome::by_receipt(status, receipt.as_ref()) {
        return outcome;
    }
    let word = about(result, "charged").or_else(|| result.structured_content.as_ref()?.get("charged"));
    let word = ChargedWord::of(word.and_then(Value::as_str));
    Outcome::by_word(status, word, || reason(result).is_some_and(|reason| precedes_settlement(&reason)))
}

/// The server's reason why a payment was not taken.
pub(super) fn reason(result: &CallToolResult) -> Option<String> {
    let of_receipt = receipt(result).and_then(|receipt| receipt.error_reason);
    let of_document = || {
        let of_text = || serde_json::from_str(&result.content.first()?.as_text()?.text).ok();
        let document: Value = result.structured_content.clone().or_else(of_text)?;
        let text = document.get("message").or_else(|| document.get("error"))?;
        text.as_str().map(str::to_owned)
    };
    of_receipt.or_else(of_document)
}

/// The pause that the server asks for before the same call, in seconds.
pub(super) fn pause(result: &CallToolResult) -> u64 {
    let asked = about(result, "retryAfter").and_then(|value| value.as_str()?.parse::<u64>().ok());
    asked.unwrap_or(2).clamp(1, MAX_PAUSE)
}

/// The progress of the last notice that the server has sent about the call.
pub(super) fn progress(result: &CallToolResult) -> Option<f64> {
    about(result, "progress")?.as_f64()
}

/// A fact that a Coinslot host tells about its answer.
fn about<'r>(result: &'r CallToolResult, key: &str) -> Option<&'r Value> {
    result.meta.as_ref()?.get("coinslot/answer")?.get(key)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn result(value: Value) -> CallToolResult {
        serde_json::from_value(value).expect("a result")
    }

    #[test]
    fn a_result_says_whether_a_payment_was_taken() {
        let paid = json!({ "success": true, "transaction": "0x1", "network": "eip155:1" });
        let failed =
            json!({ "success": false, "errorReason": "settlement_pending", "transaction": "", "network": "x" });
        let of_host =
            |status: u16, charged: &str| json!({ "coinslot/answer": { "status": status, "charged": charged } });
        let required = json!({ "x402Version": 2, "error": "invalid_signature", "accepts": [] });
        for (value, expected) in [
            (json!({ "content": [], "_meta": { "x402/payment-response": paid } }), Outcome::Answered),
            (json!({ "content": [] }), Outcome::Answered),
            (json!({ "content": [], "isError": true }), Outcome::NotServed),
            (json!({ "isError": true, "_meta": { "x402/payment-response": paid } }), Outcome::Owed),
            (json!({ "isError": true, "_meta": { "x402/payment-response": failed } }), Outcome::Unknown),
            (json!({ "isError": true, "structuredContent": required }), Outcome::Unknown),
            (json!({ "isError": true, "_meta": of_host(503, "unknown") }), Outcome::Unknown),
            (json!({ "isError": true, "_meta": of_host(503, "no") }), Outcome::TryAgain),
            (json!({ "isError": true, "_meta": of_host(422, "no") }), Outcome::NotServed),
            (json!({ "isError": true, "structuredContent": required, "_meta": of_host(402, "no") }), Outcome::Refused),
        ] {
            assert_eq!(outcome(&result(value.clone())), expected, "{value}");
        }
    }

    #[test]
    fn requirements_are_read_from_the_value_or_from_the_text() {
        let required = json!({ "x402Version": 2, "accepts": [] });
        let as_text = json!({ "isError": true, "content": [{ "type": "text", "text": required.to_string() }] });
        assert!(challenge(&result(json!({ "isError": true, "structuredContent": required }))).is_some());
        assert!(challenge(&result(as_text)).is_some());
        assert!(challenge(&result(json!({ "isError": false, "structuredContent": required }))).is_none());
        assert!(challenge(&result(json!({ "isError": true, "structuredContent": { "error": "x" } }))).is_none());
        let of_host = |status: Value| {
            let meta = json!({ "coinslot/answer": { "status": status } });
            result(json!({ "isError": true, "structuredContent": required, "_meta": meta }))
        };
        assert!(challenge(&of_host(json!(402))).is_some());
        assert!(challenge(&of_host(json!(418))).is_none(), "a plugin has written it");
        assert!(challenge(&of_host(json!("402"))).is_none());
    }
}
