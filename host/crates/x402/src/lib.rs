//! The x402 protocol: wire types of versions 1 and 2, header encoding, and the pure rules of each
//! scheme.
//!
//! Nothing here does I/O, reads a clock or knows another room: rules take `now` as an argument and
//! answer with the protocol's own reason strings. Field names are the specification's, letter for
//! letter. What a client sent is kept as it came (`serde_json` values in order) where it is echoed
//! or forwarded, and typed where a rule needs it.

pub mod exact;
pub mod facilitator;
mod flow;
#[cfg(test)]
mod golden;
pub mod header;
pub mod identifier;
mod network;
mod number;
pub mod offer_receipt;
pub mod price;
pub mod reason;
mod time;
pub mod v1;
pub mod v2;

pub use flow::Flow;
pub use network::{Network, NetworkError};
pub(crate) use number::uint256;
pub use reason::Reason;
pub use time::UnixTime;

/// A JSON object in the order in which its keys came.
pub type Object = serde_json::Map<String, serde_json::Value>;

/// The protocol version, a JSON number on the wire: 1 or 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// `X-PAYMENT` and a JSON body.
    V1,
    /// `PAYMENT-SIGNATURE` and the `PAYMENT-REQUIRED` header.
    V2,
}

impl Version {
    /// Both, the newer first.
    pub const ALL: [Self; 2] = [Self::V2, Self::V1];

    /// The number on the wire.
    pub fn number(self) -> u64 {
        match self {
            Self::V1 => 1,
            Self::V2 => 2,
        }
    }
}

/// The versions in which something can be paid: never none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Versions {
    Both,
    Only(Version),
}

impl Versions {
    /// Those that are possible; none if there is none.
    pub fn of(possible: impl Fn(Version) -> bool) -> Option<Self> {
        match (possible(Version::V1), possible(Version::V2)) {
            (true, true) => Some(Self::Both),
            (true, false) => Some(Self::Only(Version::V1)),
            (false, true) => Some(Self::Only(Version::V2)),
            (false, false) => None,
        }
    }

    /// Whether it can be paid in this version.
    pub fn contains(self, version: Version) -> bool {
        match self {
            Self::Both => true,
            Self::Only(only) => only == version,
        }
    }
}

/// `x402Version` as a type: serialises as the number `N` and refuses any other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct X402Version<const N: u64>;

impl<const N: u64> serde::Serialize for X402Version<N> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(N)
    }
}

impl<'de, const N: u64> serde::Deserialize<'de> for X402Version<N> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let found = u64::deserialize(deserializer)?;
        if found == N {
            Ok(Self)
        } else {
            Err(serde::de::Error::custom(format_args!("x402Version is {found}, expected {N}")))
        }
    }
}

/// The outcome of a settlement as clients and facilitators exchange it: the `PAYMENT-RESPONSE`
/// header, the `X-PAYMENT-RESPONSE` header and the body of a facilitator's `/settle`.
///
/// Source: x402 specification v2, section 5.3; v1 is the same without `amount` and `extensions`. Keys
/// are written in the order of the specification's header examples.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SettlementResponse {
    /// Whether the money moved. An HTTP 200 with `false` here is a failure.
    pub success: bool,
    /// The reason, when it did not. Some facilitators write it in snake case.
    #[serde(default, alias = "error_reason", skip_serializing_if = "Option::is_none")]
    pub error_reason: Option<String>,
    /// More about the reason, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// The transaction's hash; empty when nothing was broadcast. Some facilitators leave it out of
    /// failures: read as empty.
    #[serde(default, deserialize_with = "null_as_default")]
    pub transaction: String,
    /// CAIP-2 in version 2, the network's name in version 1.
    #[serde(default, deserialize_with = "null_as_default")]
    pub network: String,
    /// The payer's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payer: Option<String>,
    /// What was charged, in atomic units, where it can differ from what was authorised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<String>,
    /// Keyed by extension.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extensions: Option<Object>,
    /// Scheme-specific.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<Object>,
}

/// Published servers write `null` where others leave a field out.
fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + serde::Deserialize<'de>,
{
    use serde::Deserialize as _;
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
