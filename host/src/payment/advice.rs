//! Advises the payer of a payment that does not verify: the next step, and for a window in time how far its clock is
//! off.

use alloy::primitives::U256;
use coinslot_x402::exact::{Authorization, ExpectedTerms};
use coinslot_x402::{Reason, UnixTime};

/// The advice for a window that does not fit: which way and how far the payer's clock seems to be off.
pub(super) fn clock_advice(
    reason: Reason,
    authorization: &Authorization,
    terms: &ExpectedTerms,
    now: UnixTime,
) -> Option<String> {
    let seconds = |time: U256| u64::try_from(time).unwrap_or(u64::MAX);
    let here = format!("this host's clock says {}", now.0);
    match reason {
        Reason::ValidAfter => {
            let early = seconds(authorization.valid_after).saturating_sub(now.0);
            Some(format!(
                "authorization.validAfter is {early} seconds in the future ({here}): the payer's clock is fast, so set it and sign a new one"
            ))
        }
        Reason::ValidBefore => {
            let end = seconds(authorization.valid_before);
            let latest = now.plus(terms.max_timeout_seconds).0;
            Some(if end > latest {
                format!(
                    "authorization.validBefore is {} seconds later than maxTimeoutSeconds allows ({here}): the payer's clock is fast, or the window is too long. Set the clock, and sign a new one",
                    end - latest
                )
            } else {
                format!(
                    "authorization.validBefore leaves {} seconds ({here}), too little to work and to settle: the payer's clock is slow, or the window is too short. Sign a new one",
                    end.saturating_sub(now.0)
                )
            })
        }
        _ => None,
    }
}

/// The advice that goes with a reason: the next step of the payer.
pub(super) fn advice(reason: Reason) -> &'static str {
    match reason {
        Reason::RecipientMismatch => "authorization.to must be payTo",
        Reason::ValidBefore => {
            "authorization.validBefore must leave time to settle and stay within maxTimeoutSeconds: sign a new one, and check the clock"
        }
        Reason::ValidAfter => "authorization.validAfter is in the future: check the clock",
        Reason::ValueMismatch | Reason::Value => "authorization.value must equal the amount exactly",
        Reason::InvalidSignature => {
            "the signature is not that of authorization.from over this authorization: check chain id, asset, name and version of the EIP-712 domain"
        }
        Reason::NonceAlreadyUsed => "the authorization was used or cancelled: sign a new one",
        Reason::InsufficientBalance => "the payer's balance is too low",
        Reason::FactoryNotAllowed => "deploy the smart wallet before paying with it",
        _ => "the payment would not settle: sign a new one for the offer in this answer",
    }
}
