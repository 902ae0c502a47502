//! The messages between a server and a facilitator. Source: x402 specification v2, section 7.

#[cfg(test)]
mod tests;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Network, Object, Version, null_as_default, v1, v2};

/// The body of `/verify` and `/settle`: what the client sent, and what *we* asked for (never the
/// client's echo of it).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PaymentRequest {
    /// `X-PAYMENT`.
    V1 { payload: v1::PaymentPayload, requirements: v1::PaymentRequirements },
    /// `PAYMENT-SIGNATURE`. The declaration is our own extension [`crate::bazaar`], for a payment that echoes one.
    V2 { payload: v2::PaymentPayload, requirements: v2::PaymentRequirements, declaration: Option<serde_json::Value> },
}

impl PaymentRequest {
    /// The version both sides speak.
    pub fn version(&self) -> Version {
        match self {
            Self::V1 { .. } => Version::V1,
            Self::V2 { .. } => Version::V2,
        }
    }

    /// The scheme's part of the payment: for `exact` on EVM networks, the authorisation and its signature.
    pub fn payload(&self) -> &Object {
        match self {
            Self::V1 { payload, .. } => &payload.payload,
            Self::V2 { payload, .. } => &payload.payload,
        }
    }

    /// The payer's address as the payload names it. It is not verified, and may be any text.
    pub fn named_payer(&self) -> Option<&str> {
        let payload = self.payload();
        // EIP-3009, and Permit2.
        let authorization = payload.get("authorization").or_else(|| payload.get("permit2Authorization"));
        authorization?.get("from")?.as_str()
    }

    /// The scheme that the payer names.
    pub fn payment_scheme(&self) -> Option<&str> {
        match self {
            Self::V1 { payload, .. } => Some(&payload.scheme),
            Self::V2 { payload, .. } => payload.accepted.get("scheme")?.as_str(),
        }
    }

    /// The network that the payer names, if it is one.
    pub fn payment_network(&self) -> Option<Network> {
        match self {
            Self::V1 { payload, .. } => Network::parse_v1(&payload.network).ok(),
            Self::V2 { payload, .. } => Network::parse(payload.accepted.get("network")?.as_str()?).ok(),
        }
    }

    /// The scheme that the seller asks for.
    pub fn scheme(&self) -> &str {
        match self {
            Self::V1 { requirements, .. } => &requirements.scheme,
            Self::V2 { requirements, .. } => &requirements.scheme,
        }
    }

    /// The network that the seller asks for, if it is one.
    pub fn network(&self) -> Option<Network> {
        match self {
            Self::V1 { requirements, .. } => Network::parse_v1(&requirements.network).ok(),
            Self::V2 { requirements, .. } => Some(requirements.network.clone()),
        }
    }

    /// The network as the seller writes it: CAIP-2, or a name in version 1.
    pub fn network_name(&self) -> &str {
        match self {
            Self::V1 { requirements, .. } => &requirements.network,
            Self::V2 { requirements, .. } => requirements.network.as_str(),
        }
    }

    /// The token that the seller asks for.
    pub fn asset(&self) -> &str {
        match self {
            Self::V1 { requirements, .. } => &requirements.asset,
            Self::V2 { requirements, .. } => &requirements.asset,
        }
    }

    /// The address that the seller wants to be paid at.
    pub fn pay_to(&self) -> &str {
        match self {
            Self::V1 { requirements, .. } => &requirements.pay_to,
            Self::V2 { requirements, .. } => &requirements.pay_to,
        }
    }

    /// The amount that the seller asks for, in atomic units of the token, as text.
    pub fn amount(&self) -> &str {
        match self {
            Self::V1 { requirements, .. } => &requirements.max_amount_required,
            Self::V2 { requirements, .. } => &requirements.amount,
        }
    }

    /// The time that the seller gives a payment from its offer to its settlement.
    pub fn max_timeout_seconds(&self) -> u64 {
        match self {
            Self::V1 { requirements, .. } => requirements.max_timeout_seconds,
            Self::V2 { requirements, .. } => requirements.max_timeout_seconds,
        }
    }

    /// A text of the seller's `extra`, such as the `name` of the token's EIP-712 domain.
    pub fn extra(&self, key: &str) -> Option<&str> {
        let extra = match self {
            Self::V1 { requirements, .. } => requirements.extra.as_ref()?,
            Self::V2 { requirements, .. } => &requirements.extra,
        };
        extra.get(key)?.as_str()
    }

    /// SHA-256 of what the payer signed and the network: the same for one payment however its requirements are
    /// written.
    pub fn fingerprint(&self) -> [u8; 32] {
        let network = self.network_name();
        let mut hash = Sha256::new();
        hash.update((network.len() as u64).to_be_bytes());
        hash.update(network);
        // A JSON object has no way to fail here; should it, such payments count as one, which is safe.
        hash.update(serde_json::to_vec(self.payload()).unwrap_or_default());
        hash.finalize().into()
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
            Self::V2 { payload, requirements, declaration: _ } => {
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
        let (payload, mut requirements) = (wire.payment_payload, wire.payment_requirements);
        // Some servers write `null` where there is nothing.
        if let Some(requirements) = requirements.as_object_mut()
            && requirements.get("extra").is_some_and(serde_json::Value::is_null)
        {
            requirements.remove("extra");
        }
        match wire.x402_version.or(inner) {
            Some(1) => Ok(Self::V1 {
                payload: part("paymentPayload", payload)?,
                requirements: part("paymentRequirements", requirements)?,
            }),
            Some(2) => Ok(Self::V2 {
                payload: part("paymentPayload", payload)?,
                requirements: part("paymentRequirements", requirements)?,
                declaration: None,
            }),
            Some(other) => Err(D::Error::custom(format_args!("x402Version is {other}, expected 1 or 2"))),
            None => Err(D::Error::custom("x402Version is missing")),
        }
    }
}

/// Reads a part of a message. The error names the part, and serde's text the field's type.
fn part<T: DeserializeOwned, E: serde::de::Error>(name: &str, value: serde_json::Value) -> Result<T, E> {
    serde_json::from_value(value).map_err(|error| E::custom(format_args!("{name}: {error}")))
}

/// The answer of `/verify`. As a facilitator we always say the payer when we know it, and always a
/// reason when invalid: strict clients need both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VerifyResponse {
    /// True if the payment would settle.
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
    /// The kinds of payments that can be verified and settled.
    pub kinds: Vec<SupportedKind>,
    /// Extension identifiers.
    #[serde(default, deserialize_with = "null_as_default")]
    pub extensions: Vec<String>,
    /// Addresses that settle, keyed by a CAIP-2 pattern or identifier.
    #[serde(default, deserialize_with = "null_as_default")]
    pub signers: Object,
}

/// The key of [`SupportedKind::extra`] with which a facilitator says `true` if one of its transactions may settle
/// several payments. Our own facilitators say so. Without it, one transaction for two payments is not believed.
pub const SHARED_TRANSACTIONS: &str = "sharedTransactions";

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
    /// The fields that the server must put into `extra` of its requirements, and what else the facilitator says of the
    /// kind, such as [`SHARED_TRANSACTIONS`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<Object>,
}

impl SupportedKind {
    /// The facilitator says that one of its transactions may settle several payments.
    pub fn shares_transactions(&self) -> bool {
        let extra = self.extra.as_ref().and_then(|extra| extra.get(SHARED_TRANSACTIONS));
        extra.and_then(serde_json::Value::as_bool) == Some(true)
    }
}

impl Supported {
    /// True if a payment of this scheme and version on this network can be settled.
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
