//! The `exact` scheme on EVM with EIP-3009 authorisations: everything that can be checked without a
//! chain. Source: x402 specification, scheme `exact`, EVM; FiatToken v2.2 for the edges.
//!
//! [`ExactPayload::parse`], [`Authorization::check`] and [`signed_by`] are the whole local
//! verification, in this order. What passes may still fail on chain (nonce, balance, contract
//! wallets); what fails here could never settle.

mod signature;
#[cfg(test)]
mod tests;

use std::str::FromStr;

use alloy_primitives::{Address, B256, Bytes, U256, b256, hex, keccak256};
use serde_json::Value;

use super::number::uint256;
use super::{Object, Reason, UnixTime};

pub(crate) use signature::recover;
pub use signature::{SignedBy, is_counterfactual, signed_by, split_signature};

/// Settlement must have this many seconds left before `validBefore`: the reference facilitator's margin.
pub const SETTLE_MARGIN_SECONDS: u64 = 6;

/// The name of this scheme on the wire.
pub const SCHEME: &str = "exact";

/// keccak-256 of `TransferWithAuthorization(address from,address to,uint256 value,uint256
/// validAfter,uint256 validBefore,bytes32 nonce)`, from EIP-3009.
const TRANSFER_TYPEHASH: B256 = b256!("7c7c6cdb67a18743f49ec6fa9b35f50d52ed05cbed4cc592e13b44501c1a2267");

/// keccak-256 of `EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)`.
const DOMAIN_TYPEHASH: B256 = b256!("8b73c3c69bb8fe3d512ecc4cf759cc79239f7b179b0ffacaa9a75d522b39400f");

/// The `payload` of an `exact` payment on EVM, parsed and still untrusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExactPayload {
    /// 65 bytes for a plain account, anything for a contract wallet.
    pub signature: Bytes,
    /// What was signed.
    pub authorization: Authorization,
}

/// An EIP-3009 `TransferWithAuthorization`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorization {
    pub from: Address,
    pub to: Address,
    pub value: U256,
    pub valid_after: U256,
    pub valid_before: U256,
    pub nonce: B256,
}

/// A token's EIP-712 domain, its separator computed once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    separator: B256,
}

/// What a payment must say to buy something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedTerms {
    pub pay_to: Address,
    pub amount: U256,
    /// `maxTimeoutSeconds`: the longest validity that is accepted, plus `skew`.
    pub max_timeout_seconds: u64,
    /// How far clocks may differ, in seconds.
    pub skew_seconds: u64,
}

impl ExactPayload {
    /// Reads the payload. Numbers are canonical decimal strings below 2^256; addresses, the nonce
    /// and the signature are `0x` hex. Further keys are ignored.
    ///
    /// [`Reason::UnsupportedPayloadType`] for a payload of another transfer method (Permit2,
    /// ERC-7710), [`Reason::InvalidPayload`] for everything else that is not as it should be.
    pub fn parse(payload: &Object) -> Result<Self, Reason> {
        let Some(authorization) = payload.get("authorization") else {
            let other_method = ["permit2Authorization", "delegationManager"];
            return Err(if other_method.iter().any(|key| payload.contains_key(*key)) {
                Reason::UnsupportedPayloadType
            } else {
                Reason::InvalidPayload
            });
        };
        let fields = authorization.as_object().ok_or(Reason::InvalidPayload)?;
        Ok(Self {
            signature: hex_field(payload, "signature", |digits| hex::decode(digits).ok())?.into(),
            authorization: Authorization {
                from: hex_field(fields, "from", |digits| Address::from_str(digits).ok())?,
                to: hex_field(fields, "to", |digits| Address::from_str(digits).ok())?,
                value: number_field(fields, "value")?,
                valid_after: number_field(fields, "validAfter")?,
                valid_before: number_field(fields, "validBefore")?,
                nonce: hex_field(fields, "nonce", |digits| B256::from_str(digits).ok())?,
            },
        })
    }
}

fn number_field(fields: &Object, key: &str) -> Result<U256, Reason> {
    fields.get(key).and_then(Value::as_str).and_then(uint256).ok_or(Reason::InvalidPayload)
}

/// A `0x` field; `read` gets the digits without the prefix and cannot see a second one.
fn hex_field<T>(fields: &Object, key: &str, read: impl FnOnce(&str) -> Option<T>) -> Result<T, Reason> {
    fields
        .get(key)
        .and_then(Value::as_str)
        .and_then(|text| text.strip_prefix("0x"))
        .filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
        .and_then(read)
        .ok_or(Reason::InvalidPayload)
}

impl Authorization {
    /// Recipient, amount and window. `value` must equal the amount. The window is open from
    /// `validAfter` to `validBefore`, both exclusive as in the contract, must still be open for
    /// [`SETTLE_MARGIN_SECONDS`], and may not reach beyond `maxTimeoutSeconds` and the skew.
    ///
    /// The skew forgives a payer's clock that is ahead of ours; the chain's own clock decides at
    /// settlement. Reasons are version 2's: [`Reason::in_version`] gives version 1's.
    pub fn check(&self, terms: &ExpectedTerms, now: UnixTime) -> Result<(), Reason> {
        if self.to != terms.pay_to {
            return Err(Reason::RecipientMismatch);
        }
        let skewed = now.plus(terms.skew_seconds);
        if self.valid_before < U256::from(now.plus(SETTLE_MARGIN_SECONDS).0)
            || self.valid_before > U256::from(skewed.plus(terms.max_timeout_seconds).0)
        {
            return Err(Reason::ValidBefore);
        }
        if self.valid_after >= U256::from(skewed.0) {
            return Err(Reason::ValidAfter);
        }
        if self.value != terms.amount {
            return Err(Reason::ValueMismatch);
        }
        Ok(())
    }

    /// Whether this can still be settled at `when`, [`SETTLE_MARGIN_SECONDS`] included: ask it of
    /// the moment at which the endpoint's time limit ends, before the endpoint runs.
    pub fn outlives(&self, when: UnixTime) -> bool {
        self.valid_before >= U256::from(when.plus(SETTLE_MARGIN_SECONDS).0)
    }
}

impl Domain {
    /// `EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)`.
    pub fn new(name: &str, version: &str, chain_id: u64, verifying_contract: Address) -> Self {
        let mut words = [0; 5 * 32];
        let (typehash, rest) = words.split_at_mut(32);
        typehash.copy_from_slice(DOMAIN_TYPEHASH.as_slice());
        rest[..32].copy_from_slice(keccak256(name).as_slice());
        rest[32..64].copy_from_slice(keccak256(version).as_slice());
        rest[64..96].copy_from_slice(&U256::from(chain_id).to_be_bytes::<32>());
        rest[96..].copy_from_slice(verifying_contract.into_word().as_slice());
        Self { separator: keccak256(words) }
    }

    /// The domain separator.
    pub fn separator(&self) -> B256 {
        self.separator
    }

    /// What the payer signs.
    pub fn digest(&self, authorization: &Authorization) -> B256 {
        let mut words = [0; 7 * 32];
        let fields = [
            TRANSFER_TYPEHASH,
            authorization.from.into_word(),
            authorization.to.into_word(),
            authorization.value.into(),
            authorization.valid_after.into(),
            authorization.valid_before.into(),
            authorization.nonce,
        ];
        for (word, field) in words.chunks_exact_mut(32).zip(fields) {
            word.copy_from_slice(field.as_slice());
        }
        let mut message = [0; 2 + 2 * 32];
        message[..2].copy_from_slice(&[0x19, 0x01]);
        message[2..34].copy_from_slice(self.separator.as_slice());
        message[34..].copy_from_slice(keccak256(words).as_slice());
        keccak256(message)
    }
}
