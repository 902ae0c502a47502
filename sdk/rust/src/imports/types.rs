//! Defines the values and errors that the host returns.

use std::fmt;

/// The payment of one request. The host says so; no client can.
///
/// The payment is verified and claimed when the endpoint runs. In the `authorization` flow it is settled after the
/// endpoint has answered with a status below 400; in the `upfront` flow it is settled already.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// The payer's address, in the notation of its network.
    pub payer: String,
    /// The authorised amount in decimal units of the asset, for example `0.01`.
    pub amount: String,
    /// The asset's address, in the notation of its network.
    pub asset: String,
    /// A CAIP-2 identifier, for example `eip155:8453`.
    pub network: String,
    /// Identifies this payment in the operator's ledger.
    pub payment_id: String,
}

impl Receipt {
    /// A receipt for a test: a cent on Base Sepolia.
    #[cfg(not(target_family = "wasm"))]
    pub fn sample() -> Self {
        Self {
            payer: "0x857b06519E91e3A54538791bDbb0E22373e36b66".to_owned(),
            amount: "0.01".to_owned(),
            asset: "0x036CbD53842c5426634e7929541eC2318f3dCF7e".to_owned(),
            network: "eip155:84532".to_owned(),
            payment_id: "test".to_owned(),
        }
    }
}

/// A failed operation on the key-value store. Nothing was read or written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyValueError {
    /// The operator has not granted a store, or no request is being handled.
    AccessDenied,
    /// A bucket cannot have this name.
    NoSuchStore,
    /// A value is not the JSON that was expected, or cannot be written as JSON.
    NotJson { key: String, problem: String },
    /// The host's sentence, for example about a quota, a key that is too long, or a value that is not a number.
    Other(String),
}

impl fmt::Display for KeyValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AccessDenied => f.write_str("the operator has not granted a key-value store to this plugin"),
            Self::NoSuchStore => f.write_str("a bucket cannot have this name"),
            Self::NotJson { key, problem } => write!(f, "the value of {key:?} is not the expected JSON: {problem}"),
            Self::Other(sentence) => f.write_str(sentence),
        }
    }
}

impl std::error::Error for KeyValueError {}
