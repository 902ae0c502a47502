//! Networks and their names in both versions.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Version;

#[cfg(test)]
mod tests;

/// A network as a CAIP-2 identifier: `eip155:8453`, `solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Network(String);

/// The error of a text that is neither a CAIP-2 identifier nor a name of version 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a network: write a CAIP-2 identifier such as `eip155:8453` (Base) or `eip155:84532` (Base Sepolia)"
)]
pub struct NetworkError(pub String);

/// The error of a text that is neither a name of version 1 nor a CAIP-2 identifier.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{source}, or a name: {}", names())]
pub struct NetworkNameError {
    #[from]
    source: NetworkError,
}

/// The names of version 1, their chain ids, and whether we write them.
///
/// Legacy clients refuse a whole challenge that holds a name they do not know, so only names of their closed list are
/// written. The other names are read.
const V1_NAMES: &[(&str, u64, bool)] = &[
    ("base", 8453, true),
    ("base-sepolia", 84532, true),
    ("avalanche", 43114, true),
    ("avalanche-fuji", 43113, true),
    ("polygon", 137, true),
    ("polygon-amoy", 80002, true),
    ("abstract", 2741, true),
    ("abstract-testnet", 11124, true),
    ("iotex", 4689, true),
    ("sei", 1329, true),
    ("sei-testnet", 1328, true),
    ("peaq", 3338, true),
    ("story", 1514, true),
    ("educhain", 41923, true),
    ("skale-base-sepolia", 324_705_682, true),
    ("ethereum", 1, false),
    ("sepolia", 11_155_111, false),
    ("megaeth", 4326, false),
    ("monad", 143, false),
    ("stable", 988, false),
    ("stable-testnet", 2201, false),
    ("celo", 42220, false),
    ("flare", 14, false),
];

impl Network {
    /// The network of an EVM chain.
    pub fn eip155(chain_id: u64) -> Self {
        Self(format!("eip155:{chain_id}"))
    }

    /// Parses CAIP-2: a namespace of 3 to 8 `[-a-z0-9]`, a colon, a reference of 1 to 32 `[-_a-zA-Z0-9]`.
    pub fn parse(text: &str) -> Result<Self, NetworkError> {
        let refused = || NetworkError(text.chars().take(64).collect());
        let (namespace, reference) = text.split_once(':').ok_or_else(refused)?;
        let namespace_ok = (3..=8).contains(&namespace.len())
            && namespace.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        let reference_ok = (1..=32).contains(&reference.len())
            && reference.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if namespace_ok && reference_ok { Ok(Self(text.to_owned())) } else { Err(refused()) }
    }

    /// Parses a name of version 1, or a CAIP-2 identifier, which some clients of version 1 send.
    pub fn parse_v1(text: &str) -> Result<Self, NetworkError> {
        match V1_NAMES.iter().find(|(name, ..)| *name == text) {
            Some((_, chain_id, _)) => Ok(Self::eip155(*chain_id)),
            None => Self::parse(text),
        }
    }

    /// Parses what a person wrote: the same texts, with an error that lists the names.
    pub fn parse_name(text: &str) -> Result<Self, NetworkNameError> {
        Ok(Self::parse_v1(text)?)
    }

    /// The name of version 1, if clients of version 1 know this network.
    pub fn v1_name(&self) -> Option<&'static str> {
        let chain_id = self.chain_id()?;
        V1_NAMES.iter().find(|(_, id, written)| *id == chain_id && *written).map(|(name, ..)| *name)
    }

    /// True if an offer of this version can name the network.
    pub fn is_named_in(&self, version: Version) -> bool {
        match version {
            Version::V1 => self.v1_name().is_some(),
            Version::V2 => true,
        }
    }

    /// The chain id of an EVM chain, which is written without leading zeros; `None` for other networks.
    pub fn chain_id(&self) -> Option<u64> {
        let digits = self.0.strip_prefix("eip155:")?;
        let canonical = digits == "0" || !digits.starts_with('0');
        if canonical { digits.parse().ok() } else { None }
    }

    /// The CAIP-2 identifier.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// All names that are read, with commas between them.
fn names() -> String {
    V1_NAMES.iter().map(|(name, ..)| *name).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}
