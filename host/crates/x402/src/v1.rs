//! Version 1 on the wire. Source: x402 specification v1.
//!
//! The types are as strict as the clients that are still in use: a `null` or a missing `mimeType` breaks them.

use serde::{Deserialize, Serialize};

use super::{Object, X402Version};

/// The challenge of a server: the JSON body of a 402.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentRequired {
    /// The number 1.
    pub x402_version: X402Version<1>,
    /// The reason why the request was not served; always a string.
    pub error: String,
    /// The ways to pay that version 1 can express.
    pub accepts: Vec<PaymentRequirements>,
}

/// One way to pay. Keys are written in the order of the specification's challenge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentRequirements {
    /// Only `exact` exists in version 1.
    pub scheme: String,
    /// A name such as `base-sepolia`, not CAIP-2.
    pub network: String,
    /// Atomic units, decimal digits.
    pub max_amount_required: String,
    /// The token's contract.
    pub asset: String,
    /// The address that receives the money.
    pub pay_to: String,
    /// An absolute URL.
    pub resource: String,
    /// Plain text; may be empty, never absent.
    pub description: String,
    /// May be empty, never absent.
    pub mime_type: String,
    /// The endpoint's input and output. Absent or an object, never `null` when we write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<Object>,
    /// A positive integer.
    pub max_timeout_seconds: u64,
    /// The token's EIP-712 `name` and `version`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<Object>,
}

/// The payment of a client: the `X-PAYMENT` header. Untrusted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentPayload {
    /// The number 1.
    pub x402_version: X402Version<1>,
    /// `exact`.
    pub scheme: String,
    /// A name; some clients write CAIP-2, which is understood too.
    pub network: String,
    /// The fields of the scheme.
    pub payload: Object,
}
