//! The `exact` scheme on EVM with EIP-3009 authorisations: everything that can be checked without a
//! chain. Source: x402 specification, scheme `exact`, EVM; FiatToken v2.2 for the edges.

use alloy::primitives::{Address, B256, Bytes, U256};

use super::{Object, Reason, UnixTime};

/// Settlement must have this many seconds left before `validBefore`: the reference facilitator's margin.
pub const SETTLE_MARGIN_SECONDS: u64 = 6;

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
pub struct Terms {
    pub pay_to: Address,
    pub amount: U256,
    /// `maxTimeoutSeconds`: the longest validity that is accepted, plus `skew`.
    pub max_timeout_seconds: u64,
    /// How far clocks may differ, in seconds.
    pub skew_seconds: u64,
}

/// What the signature alone says about the payer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignedBy {
    /// A plain ECDSA signature of `from`. Holds if `from` has no code.
    Payer,
    /// Not a valid ECDSA signature of `from`: only a contract at `from` could accept it (ERC-1271).
    PerhapsContract,
}

impl ExactPayload {
    /// Reads the payload. Numbers are canonical decimal strings below 2^256; addresses, the nonce
    /// and the signature are `0x` hex.
    pub fn parse(payload: &Object) -> Result<Self, Reason> {
        let _ = payload;
        todo!("x402 room")
    }
}

impl Authorization {
    /// Recipient, amount and window. `value` must equal the amount. The window is open from
    /// `validAfter` to `validBefore`, both exclusive as in the contract, must still be open for
    /// [`SETTLE_MARGIN_SECONDS`], and may not reach beyond `maxTimeoutSeconds` and the skew.
    pub fn check(&self, terms: &Terms, now: UnixTime) -> Result<(), Reason> {
        let _ = (terms, now);
        todo!("x402 room")
    }
}

impl Domain {
    /// `EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)`.
    pub fn new(name: &str, version: &str, chain_id: u64, verifying_contract: Address) -> Self {
        let _ = (name, version, chain_id, verifying_contract);
        todo!("x402 room")
    }

    /// The domain separator.
    pub fn separator(&self) -> B256 {
        self.separator
    }

    /// What the payer signs.
    pub fn digest(&self, authorization: &Authorization) -> B256 {
        let _ = authorization;
        todo!("x402 room")
    }
}

/// Who signed, as far as it can be told without a chain. `v` of 0, 1, 27 and 28 is understood; a
/// high `s`, a zero `r` or `s`, and the zero address never count as the payer's.
pub fn signed_by(digest: B256, payload: &ExactPayload) -> SignedBy {
    let _ = (digest, payload);
    todo!("x402 room")
}

/// `v` (27 or 28), `r` and `s` of a 65-byte signature, for the contract call. None for other lengths.
pub fn split_signature(signature: &[u8]) -> Option<(u8, B256, B256)> {
    let _ = signature;
    todo!("x402 room")
}
