//! Holds what operators see of the wallet on one network.

use alloy::primitives::U256;
use coinslot_ledger::OpenRefund;
use coinslot_x402::price::{Amount, Asset};
use coinslot_x402::{Network, UnixTime};

/// The coin of the wallet, in wei.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GasHeld {
    pub(super) native: U256,
    /// The amount that the wallet should have. None if it has enough.
    pub(super) needed: Option<U256>,
}

/// The state of the wallet on one network, for operators.
#[derive(Clone, Debug, Default)]
pub(crate) struct WalletState {
    /// In wei, as it was read last.
    pub(crate) native: Option<U256>,
    /// The balance that it should have, in wei, while it has less.
    pub(crate) needed: Option<U256>,
    /// The cost of the gas of the refunds that have ended since this process began, in wei.
    pub(crate) gas_charged: U256,
    /// The tokens that it pays back, with what it has of each, as it was read last.
    pub(crate) tokens: Vec<(Asset, Amount)>,
    /// The refund that is under way.
    pub(crate) under_way: Option<UnderWay>,
    /// The payment whose refund has had no end for long or cannot be followed, and why.
    pub(crate) stuck: Option<(String, String)>,
    /// The reason why the policy does not pay back what is due.
    pub(crate) waits: Option<String>,
}

/// A refund that is under way, for operators.
#[derive(Clone, Debug)]
pub(crate) struct UnderWay {
    pub(crate) payment_id: String,
    pub(crate) network: Network,
    pub(crate) asset: String,
    pub(crate) amount: Amount,
    pub(crate) payer: String,
    pub(crate) nonce: u64,
    pub(crate) begun_at: UnixTime,
    /// The newest transaction that was signed for it.
    pub(crate) hash: Option<String>,
}

impl UnderWay {
    pub(super) fn of(refund: &OpenRefund) -> Self {
        Self {
            payment_id: refund.payment_id.clone(),
            network: refund.network.clone(),
            asset: refund.asset.clone(),
            amount: refund.amount,
            payer: refund.payer.clone(),
            nonce: refund.nonce,
            begun_at: refund.begun_at,
            hash: refund.transactions.last().map(|stored| stored.hash().to_owned()),
        }
    }
}
