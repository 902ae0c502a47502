//! An EIP-3009 authorisation, and the terms that it must meet.

use alloy_primitives::{Address, B256, U256};

use crate::{Reason, UnixTime};

/// The seconds before `validBefore` that settlement must have left: the margin of the reference facilitator.
pub const SETTLE_MARGIN_SECONDS: u64 = 6;

/// An EIP-3009 `TransferWithAuthorization`, as it is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorization {
    pub from: Address,
    pub to: Address,
    pub value: U256,
    pub valid_after: U256,
    pub valid_before: U256,
    pub nonce: B256,
}

/// The terms that an authorisation must meet to buy something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedTerms {
    pub pay_to: Address,
    pub amount: U256,
    /// `maxTimeoutSeconds`: with `skew_seconds` on top, the longest validity that is accepted.
    pub max_timeout_seconds: u64,
    /// The greatest difference of clocks, in seconds.
    pub skew_seconds: u64,
}

impl Authorization {
    /// Checks recipient, window and amount. `value` must equal the amount. The window is open from `validAfter` to
    /// `validBefore`, both exclusive as in the contract, must still be open for [`SETTLE_MARGIN_SECONDS`], and may not
    /// reach beyond `maxTimeoutSeconds` and the skew.
    ///
    /// The skew forgives a payer's clock that is ahead of ours; at settlement the chain's clock decides. Reasons are
    /// those of version 2: [`Reason::in_version`] gives those of version 1.
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

    /// True if the authorisation can still be settled at `when`, with [`SETTLE_MARGIN_SECONDS`] left. Before an
    /// endpoint runs, `when` is the end of its time limit.
    pub fn outlives(&self, when: UnixTime) -> bool {
        self.valid_before >= U256::from(when.plus(SETTLE_MARGIN_SECONDS).0)
    }
}
