//! Version 2 on the wire. Source: x402 specification v2, sections 5.1 and 5.2.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Network, Object, X402Version};

#[cfg(test)]
mod tests;

/// The challenge of a server: the `PAYMENT-REQUIRED` header of a 402.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentRequired {
    /// The number 2.
    pub x402_version: X402Version<2>,
    /// The reason why the request was not served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The resource that is sold.
    pub resource: ResourceInfo,
    /// The ways to pay, at least one, the preferred first: clients take the first they support.
    pub accepts: Vec<PaymentRequirements>,
    /// Keyed by extension. Never `null`: Rust clients refuse it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extensions: Option<Object>,
}

/// The resource that is sold, for people and catalogues.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceInfo {
    /// An absolute URL.
    pub url: String,
    /// Plain text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Media type of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
    /// 1 to 32 characters of printable ASCII.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_name: Option<String>,
    /// At most 5 tags, each of 1 to 32 characters of printable ASCII.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// A URL of http or https, at most 2,048 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icon_url: Option<String>,
}

/// One way to pay: one entry of `accepts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentRequirements {
    /// `exact` and others.
    pub scheme: String,
    /// CAIP-2.
    pub network: Network,
    /// Atomic units, decimal digits.
    pub amount: String,
    /// The token's contract or mint.
    pub asset: String,
    /// The address that receives the money.
    pub pay_to: String,
    /// The longest time from signature to settlement, in seconds; a positive integer (Python refuses fractions).
    pub max_timeout_seconds: u64,
    /// The fields of the scheme: for `exact` on EVM the token's EIP-712 `name` and `version`. Never `null` on the wire,
    /// which no Python or Rust client accepts.
    #[serde(default, skip_serializing_if = "Object::is_empty")]
    pub extra: Object,
}

/// The payment of a client: the `PAYMENT-SIGNATURE` header. Untrusted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentPayload {
    /// The number 2.
    pub x402_version: X402Version<2>,
    /// The client's echo of the resource. Never used for a decision: a client may write anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<Value>,
    /// The client's echo of the entry of `accepts` that it chose, as it came, so that matching is sensitive to JSON
    /// types as in the reference server.
    pub accepted: Object,
    /// The fields of the scheme.
    pub payload: Object,
    /// The client's echo of the server's extensions, with its own additions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extensions: Option<Object>,
}

/// Fields of an extension's `info` that differ in each challenge, so that an echo of an earlier one may differ. Source:
/// the reference server, version 2.27.
const DYNAMIC_INFO: &[(&str, &[&str])] =
    &[("sign-in-with-x", &["nonce", "issuedAt", "expirationTime"]), ("offer-receipt", &["offers"])];

impl PaymentPayload {
    /// True if the client chose this offer.
    ///
    /// Every field but `extra` must be equal, with equal JSON types, whatever the order of keys and whatever further
    /// keys the echo has. In `extra` every key that we advertise must come back with an equal value, recursively; the
    /// client may add keys. Source: the matching of the reference server, version 2.27.
    pub fn accepts(&self, offered: &PaymentRequirements) -> bool {
        let PaymentRequirements { scheme, network, amount, asset, pay_to, max_timeout_seconds, extra } = offered;
        let echoes = |key: &str, ours: &str| self.accepted.get(key).and_then(Value::as_str) == Some(ours);
        let echoed = |key: &str| self.accepted.get(key);
        echoes("scheme", scheme)
            && echoes("network", network.as_str())
            && echoes("amount", amount)
            && echoes("asset", asset)
            && echoes("payTo", pay_to)
            && echoed("maxTimeoutSeconds") == Some(&Value::from(*max_timeout_seconds))
            && (extra.is_empty()
                || echoed("extra").and_then(Value::as_object).is_some_and(|echoed| contains_all(echoed, extra)))
    }

    /// True if the client's echo of our extensions has everything that we advertised in their `info`; if not, the
    /// answer is [`super::Reason::ExtensionEchoMismatch`].
    ///
    /// An extension that the client leaves out, or that we did not advertise, is no contradiction.
    /// Source: the reference server's `validateExtensions`, version 2.27.
    pub fn echoes(&self, advertised: Option<&Object>) -> bool {
        let (Some(echoed), Some(advertised)) = (&self.extensions, advertised) else {
            return true;
        };
        echoed.iter().all(|(key, theirs)| {
            let Some(ours) = advertised.get(key) else {
                return true;
            };
            let dynamic =
                DYNAMIC_INFO.iter().find(|(extension, _)| extension == key).map_or(&[][..], |(_, fields)| fields);
            match (info(theirs), info(ours)) {
                (Value::Object(theirs), Value::Object(ours)) => ours
                    .iter()
                    .filter(|(field, _)| !dynamic.contains(&field.as_str()))
                    .all(|(field, value)| theirs.get(field).is_some_and(|f| contains(f, value))),
                (theirs, ours) => theirs == ours,
            }
        })
    }
}

/// The `info` of an extension, or the whole extension if it has none.
fn info(extension: &Value) -> &Value {
    extension.get("info").unwrap_or(extension)
}

/// True if `echoed` has everything that `ours` has. Arrays are compared whole.
fn contains(echoed: &Value, ours: &Value) -> bool {
    match (echoed, ours) {
        (Value::Object(echoed), Value::Object(ours)) => contains_all(echoed, ours),
        _ => echoed == ours,
    }
}

fn contains_all(echoed: &Object, ours: &Object) -> bool {
    ours.iter().all(|(key, value)| echoed.get(key).is_some_and(|found| contains(found, value)))
}
