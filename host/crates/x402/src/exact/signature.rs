//! Recovers the signers of payments.
//!
//! libsecp256k1 recovers five times faster than alloy's default. It accepts a high `s`, which is refused here because
//! the token's contract refuses it.

use alloy_primitives::{Address, B256, b256, keccak256};
use secp256k1::Message;
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};

use super::payload::ExactPayload;

/// Half the order of the curve, big-endian: FiatToken's ECRecover refuses a larger `s`.
const HALF_ORDER: B256 = b256!("7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0");

/// The last 32 bytes of a signature that brings its own wallet's deployment. Source: ERC-6492.
const COUNTERFACTUAL: B256 = b256!("6492649264926492649264926492649264926492649264926492649264926492");

/// The signer of a payment, as far as the signature alone tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignedBy {
    /// The signature is a plain ECDSA signature of `from`, which decides if `from` has no code.
    Payer,
    /// The signature is no valid ECDSA signature of `from`: only a contract at `from` could accept it (ERC-1271).
    PerhapsContract,
}

/// Finds out without a chain whether the payer signed. `v` may be 0, 1, 27 or 28; a high `s`, a zero `r` or `s`, and
/// the zero address never count as the payer's.
pub fn signed_by(digest: B256, payload: &ExactPayload) -> SignedBy {
    match recover(digest, &payload.signature) {
        Some(signer) if signer == payload.authorization.from => SignedBy::Payer,
        _ => SignedBy::PerhapsContract,
    }
}

/// Splits a 65-byte signature into `v` (27 or 28), `r` and `s`, for the contract call. `None` for other lengths and for
/// any `v` but 0, 1, 27 and 28.
///
/// Only for signatures that [`signed_by`] attributes to the payer: contract wallets give `v` meanings of their own, so
/// their signatures go to the contract untouched, as bytes.
pub fn split_signature(signature: &[u8]) -> Option<(u8, B256, B256)> {
    let (r, rest) = signature.split_first_chunk::<32>()?;
    let (s, v) = rest.split_first_chunk::<32>()?;
    let v = match v {
        [v @ (0 | 1)] => v + 27,
        [v @ (27 | 28)] => *v,
        _ => return None,
    };
    Some((v, r.into(), s.into()))
}

/// True if the signature claims to come from a wallet that is yet to be deployed (ERC-6492).
pub fn is_counterfactual(signature: &[u8]) -> bool {
    signature.ends_with(COUNTERFACTUAL.as_slice())
}

/// Recovers the account whose key signed, by the rules of the token's contract.
pub(crate) fn recover(digest: B256, signature: &[u8]) -> Option<Address> {
    let (v, r, s) = split_signature(signature)?;
    if r.is_zero() || s.is_zero() || s > HALF_ORDER {
        return None;
    }
    let id = RecoveryId::try_from(i32::from(v) - 27).ok()?;
    let signature = RecoverableSignature::from_compact(&signature[..64], id).ok()?;
    let key = signature.recover(Message::from_digest(digest.0)).ok()?;
    let hash = keccak256(&key.serialize_uncompressed()[1..]);
    let signer = Address::from_word(hash);
    (!signer.is_zero()).then_some(signer)
}
