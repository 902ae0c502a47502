//! The outcome of a settlement on the wire.

use crate::Object;
use crate::object::null_as_default;

/// The outcome of a settlement as clients and facilitators exchange it: the `PAYMENT-RESPONSE`
/// header, the `X-PAYMENT-RESPONSE` header and the body of a facilitator's `/settle`.
///
/// Source: x402 specification v2, section 5.3. Version 1 has the same fields without `amount` and `extensions`. Keys
/// are written in the order of the specification's header examples.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SettlementResponse {
    /// True if the money moved. An HTTP 200 with `false` here is a failure.
    pub success: bool,
    /// The reason string of a failure. Some facilitators write the key in snake case.
    #[serde(default, alias = "error_reason", skip_serializing_if = "Option::is_none")]
    pub error_reason: Option<String>,
    /// The reason in words, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// The transaction's hash; empty when nothing was broadcast. Some facilitators leave it out of failures, which
    /// reads as empty.
    #[serde(default, deserialize_with = "null_as_default")]
    pub transaction: String,
    /// A CAIP-2 identifier in version 2, the network's name in version 1.
    #[serde(default, deserialize_with = "null_as_default")]
    pub network: String,
    /// The payer's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payer: Option<String>,
    /// The amount charged in atomic units, for schemes in which it can differ from the amount authorised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<String>,
    /// Values of extensions, keyed by extension.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extensions: Option<Object>,
    /// Fields of the scheme's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<Object>,
}
