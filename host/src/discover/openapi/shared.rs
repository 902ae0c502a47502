//! Describes the parts that operations refer to: the answers of the host, and the forms of a payment and of an account.

use coinslot_x402::header;
use serde_json::{Map, Value, json};

use super::SIGN_IN;
use crate::allowance::SIGN_IN_WITH_X;

/// The components of the document, with the definitions that schemas refer to.
pub(super) fn components(definitions: Map<String, Value>, takes_sign_in: bool) -> Value {
    let mut schemas = json!({ "Error": error(), "PaymentRequired": payment_required() });
    if let Some(schemas) = schemas.as_object_mut() {
        schemas.extend(definitions);
    }
    let mut components = json!({
        "schemas": schemas,
        "parameters": { "PaymentSignature": payment_signature() },
        "headers": headers(),
        "responses": responses(),
    });
    if takes_sign_in {
        components["securitySchemes"] = json!({ SIGN_IN: {
            "type": "apiKey",
            "in": "header",
            "name": SIGN_IN_WITH_X,
            "description": "Base64 of the JSON by which an account signs in (CAIP-122), made of the 402's extension \
                            sign-in-with-x. It may have a pass, or free requests.",
            "x-agentcash-auth-kind": "siwx",
        } });
    }
    components
}

fn payment_signature() -> Value {
    json!({
        "name": header::PAYMENT_SIGNATURE.to_ascii_uppercase(),
        "in": "header",
        "required": false,
        "description": "The payment, Base64 of a JSON PaymentPayload of x402 version 2. Without it the answer is 402.",
        "schema": { "type": "string" },
    })
}

fn headers() -> Value {
    json!({
        "PaymentRequired": {
            "description": "Base64 of the JSON by which x402 version 2 asks for a payment: the price and the receiver.",
            "schema": { "type": "string" },
        },
        "PaymentResponse": {
            "description": "Base64 of the JSON receipt: whether the payment was settled, and its transaction.",
            "schema": { "type": "string" },
        },
        "RetryAfter": { "description": "Seconds after which to send the same request again.",
                        "schema": { "type": "integer" } },
    })
}

fn responses() -> Value {
    let json_of =
        |name: &str| json!({ "application/json": { "schema": { "$ref": format!("#/components/schemas/{name}") } } });
    let header = |name: &str| json!({ "$ref": format!("#/components/headers/{name}") });
    json!({
        "PaymentRequired": {
            "description": "The price. Version 2 of x402 is in the header, version 1 in the body.",
            "headers": { "PAYMENT-REQUIRED": header("PaymentRequired"), "PAYMENT-RESPONSE": header("PaymentResponse") },
            "content": json_of("PaymentRequired"),
        },
        "Refused": {
            "description": "The request or its payment is not taken. `charged` says whether money was taken.",
            "content": json_of("Error"),
        },
        "Unavailable": {
            "description": "The request was not answered. `charged` says whether money was taken; with `Retry-After`, send \
                            the same request with the same payment again.",
            "headers": { "Retry-After": header("RetryAfter") },
            "content": json_of("Error"),
        },
    })
}

fn error() -> Value {
    json!({
        "type": "object",
        "required": ["error", "message"],
        "properties": {
            "error": { "type": "string", "description": "A stable code." },
            "message": { "type": "string", "description": "What is wrong, and what to do." },
            "charged": { "type": "string", "enum": ["no", "yes", "unknown"],
                         "description": "Whether money was taken for the request." },
        },
    })
}

/// The body of a 402: the challenge of version 1 where something can be paid in it.
fn payment_required() -> Value {
    let text = json!({ "type": "string" });
    json!({
        "type": "object",
        "required": ["error"],
        "properties": {
            "x402Version": { "const": 1 },
            "error": text,
            "message": text,
            "charged": text,
            "accepts": { "type": "array", "items": {
                "type": "object",
                "required": ["scheme", "network", "maxAmountRequired", "asset", "payTo", "resource"],
                "properties": {
                    "scheme": text,
                    "network": text,
                    "maxAmountRequired": { "type": "string", "description": "In atomic units of the asset." },
                    "asset": text,
                    "payTo": text,
                    "resource": text,
                    "description": text,
                    "mimeType": text,
                    "outputSchema": { "type": "object" },
                    "maxTimeoutSeconds": { "type": "integer" },
                    "extra": { "type": "object" },
                },
            } },
        },
    })
}
