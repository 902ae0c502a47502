//! The contract call that settles a payment.

use alloy::primitives::Bytes;
use alloy::sol_types::SolCall as _;
use coinslot_evm::abi::IEip3009;
use coinslot_x402::exact::{self, Authorization, ExactPayload};

use crate::facilitator::PayerKind;

/// One of the two overloads of `transferWithAuthorization`.
#[derive(Debug)]
pub(super) enum TransferCall {
    /// The signature as `v`, `r` and `s`, which every EIP-3009 token takes.
    Split(IEip3009::transferWithAuthorization_0Call),
    /// The signature as bytes, of any length (FiatToken 2.2).
    Whole(IEip3009::transferWithAuthorization_1Call),
}

impl TransferCall {
    /// A plain account's signature is split; a contract's goes as it came.
    pub(super) fn new(payload: &ExactPayload, kind: PayerKind) -> Self {
        let Authorization { from, to, value, valid_after, valid_before, nonce } = payload.authorization.clone();
        match exact::split_signature(&payload.signature) {
            Some((v, r, s)) if kind == PayerKind::Account => Self::Split(IEip3009::transferWithAuthorization_0Call {
                from,
                to,
                value,
                validAfter: valid_after,
                validBefore: valid_before,
                nonce,
                v,
                r,
                s,
            }),
            _ => Self::Whole(IEip3009::transferWithAuthorization_1Call {
                from,
                to,
                value,
                validAfter: valid_after,
                validBefore: valid_before,
                nonce,
                signature: payload.signature.clone(),
            }),
        }
    }

    pub(super) fn data(&self) -> Bytes {
        match self {
            Self::Split(call) => call.abi_encode().into(),
            Self::Whole(call) => call.abi_encode().into(),
        }
    }
}
