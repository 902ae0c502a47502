//! The identity of a payment, and fingerprints of what belongs to it.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use coinslot_x402::Network;
use sha2::{Digest, Sha256};

/// The identity of one spend: the chain lets exactly one transfer with it through.
///
/// Every part is in canonical notation (lower-case hex), so that no spelling makes a second identity. Two ids
/// are equal if their digests are. A clone is one reference count.
#[derive(Clone, Debug)]
pub struct PaymentId(Arc<IdentityParts>);

/// The parts of a [`PaymentId`], and the digest that is computed from them once.
#[derive(Debug)]
struct IdentityParts {
    network: Network,
    asset: String,
    payer: String,
    nonce: String,
    digest: [u8; 32],
}

impl PaymentId {
    /// `asset` is the token's contract, `nonce` that of the authorisation.
    pub fn new(network: Network, asset: String, payer: String, nonce: String) -> Self {
        let mut hash = Sha256::new();
        for part in [network.as_str(), &asset, &payer, &nonce] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        Self(Arc::new(IdentityParts { network, asset, payer, nonce, digest: hash.finalize().into() }))
    }

    /// The network as a CAIP-2 identifier.
    pub fn network(&self) -> &Network {
        &self.0.network
    }

    /// The address of the token's contract.
    pub fn asset(&self) -> &str {
        &self.0.asset
    }

    /// The address of the payer.
    pub fn payer(&self) -> &str {
        &self.0.payer
    }

    /// The nonce of the authorisation.
    pub fn nonce(&self) -> &str {
        &self.0.nonce
    }

    /// A short name for headers, logs and reports: the first 16 bytes of [`PaymentId::digest`], in hex.
    pub fn short(&self) -> String {
        hex::encode(&self.digest()[..16])
    }

    /// SHA-256 of the parts, each preceded by its length as a big-endian `u64`.
    pub fn digest(&self) -> &[u8; 32] {
        &self.0.digest
    }
}

impl PartialEq for PaymentId {
    fn eq(&self, other: &Self) -> bool {
        self.digest() == other.digest()
    }
}

impl Eq for PaymentId {}

impl Hash for PaymentId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.digest().hash(state);
    }
}

impl fmt::Display for PaymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

/// The first and the last key that a payment of this id can have: the id is the first half of the key, and so a range of
/// the index of keys. None if it is no id.
pub(crate) fn keys_of(id: &str) -> Option<[Vec<u8>; 2]> {
    let first = hex::decode(id).ok().filter(|first| first.len() == 16)?;
    let last = [&first[..], &[0xff; 16]].concat();
    Some([first, last])
}

/// SHA-256 of what must be equal in a request and its repetition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);
