//! The versions of the protocol.

/// A version of the protocol, which is a JSON number on the wire: 1 or 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// Payments in `X-PAYMENT`, challenges in a JSON body.
    V1,
    /// Payments in `PAYMENT-SIGNATURE`, challenges in the `PAYMENT-REQUIRED` header.
    V2,
}

impl Version {
    /// Both versions, the newer first.
    pub const ALL: [Self; 2] = [Self::V2, Self::V1];

    /// The number on the wire.
    pub fn number(self) -> u64 {
        match self {
            Self::V1 => 1,
            Self::V2 => 2,
        }
    }
}

/// The versions in which something can be paid: at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Versions {
    Both,
    Only(Version),
}

impl Versions {
    /// The versions for which `possible` holds; `None` if it holds for neither.
    pub fn of(possible: impl Fn(Version) -> bool) -> Option<Self> {
        match (possible(Version::V1), possible(Version::V2)) {
            (true, true) => Some(Self::Both),
            (true, false) => Some(Self::Only(Version::V1)),
            (false, true) => Some(Self::Only(Version::V2)),
            (false, false) => None,
        }
    }

    /// True if this version is among them.
    pub fn contains(self, version: Version) -> bool {
        match self {
            Self::Both => true,
            Self::Only(only) => only == version,
        }
    }
}

/// The field `x402Version` as a type: it serialises as the number `N` and refuses to read any other.
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
