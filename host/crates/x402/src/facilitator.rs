//! What a server and a facilitator say to each other. Source: x402 specification v2, section 7.

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use super::{Network, Object, Version, null_as_default, v1, v2};

/// The body of `/verify` and `/settle`: what the client sent, and what *we* asked for (never the
/// client's echo of it).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PaymentRequest {
    /// `X-PAYMENT`.
    V1 { payload: v1::PaymentPayload, requirements: v1::PaymentRequirements },
    /// `PAYMENT-SIGNATURE`.
    V2 { payload: v2::PaymentPayload, requirements: v2::PaymentRequirements },
}

impl PaymentRequest {
    /// The version both sides speak.
    pub fn version(&self) -> Version {
        match self {
            Self::V1 { .. } => Version::V1,
            Self::V2 { .. } => Version::V2,
        }
    }
}

impl Serialize for PaymentRequest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Wire<P, R> {
            x402_version: u8,
            payment_payload: P,
            payment_requirements: R,
        }
        match self {
            Self::V1 { payload, requirements } => {
                Wire { x402_version: 1, payment_payload: payload, payment_requirements: requirements }
                    .serialize(serializer)
            }
            Self::V2 { payload, requirements } => {
                Wire { x402_version: 2, payment_payload: payload, payment_requirements: requirements }
                    .serialize(serializer)
            }
        }
    }
}

impl<'de> Deserialize<'de> for PaymentRequest {
    /// Some servers leave the outer `x402Version` out; the payload's own decides then.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Wire {
            x402_version: Option<u64>,
            payment_payload: serde_json::Value,
            payment_requirements: serde_json::Value,
        }
        let wire = Wire::deserialize(deserializer)?;
        let inner = wire.payment_payload.get("x402Version").and_then(serde_json::Value::as_u64);
        if let (Some(outer), Some(inner)) = (wire.x402_version, inner)
            && outer != inner
        {
            return Err(D::Error::custom(format_args!("x402Version is {outer} outside and {inner} in paymentPayload")));
        }
        match wire.x402_version.or(inner) {
            Some(1) => Ok(Self::V1 {
                payload: serde_json::from_value(wire.payment_payload).map_err(D::Error::custom)?,
                requirements: serde_json::from_value(wire.payment_requirements).map_err(D::Error::custom)?,
            }),
            Some(2) => Ok(Self::V2 {
                payload: serde_json::from_value(wire.payment_payload).map_err(D::Error::custom)?,
                requirements: serde_json::from_value(wire.payment_requirements).map_err(D::Error::custom)?,
            }),
            Some(other) => Err(D::Error::custom(format_args!("x402Version is {other}, expected 1 or 2"))),
            None => Err(D::Error::custom("x402Version is missing")),
        }
    }
}

/// The answer of `/verify`. As a facilitator we always say the payer when we know it, and always a
/// reason when invalid: strict clients need both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VerifyResponse {
    /// Whether the payment would settle.
    pub is_valid: bool,
    /// A reason string of the protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invalid_reason: Option<String>,
    /// More, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invalid_message: Option<String>,
    /// The payer's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payer: Option<String>,
}

/// The answer of `/supported`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Supported {
    /// What can be verified and settled.
    pub kinds: Vec<SupportedKind>,
    /// Extension identifiers.
    #[serde(default, deserialize_with = "null_as_default")]
    pub extensions: Vec<String>,
    /// Addresses that settle, keyed by a CAIP-2 pattern or identifier.
    #[serde(default, deserialize_with = "null_as_default")]
    pub signers: Object,
}

/// One thing a facilitator can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SupportedKind {
    /// 1 or 2.
    pub x402_version: u64,
    /// `exact` and others.
    pub scheme: String,
    /// CAIP-2, or a name in version 1.
    pub network: String,
    /// What the server must put into `extra` of its requirements.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<Object>,
}

impl Supported {
    /// Whether a payment of this scheme and version on this network can be settled.
    pub fn has(&self, version: Version, scheme: &str, network: &Network) -> bool {
        self.kinds.iter().any(|kind| {
            kind.scheme == scheme
                && match version {
                    Version::V1 => kind.x402_version == 1 && Network::parse_v1(&kind.network).as_ref() == Ok(network),
                    Version::V2 => kind.x402_version == 2 && kind.network == network.as_str(),
                }
        })
    }
}
