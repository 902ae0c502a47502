//! The state that verification and settlement share.

#![expect(clippy::disallowed_methods, reason = "this is the clock of the facilitator")]

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use alloy::primitives::Address;
use arc_swap::ArcSwapOption;
use coinslot_evm::{Chain, PaymentReader, Sequencer};
use coinslot_x402::{Network, UnixTime};

use super::records::Records;
use super::token::Token;
use super::wallets::Wallets;
use crate::seller::Seller;

#[derive(Debug)]
pub(super) struct LocalState {
    pub(super) chain: Arc<Chain>,
    pub(super) reader: PaymentReader,
    pub(super) sequencer: Sequencer,
    pub(super) network: Network,
    pub(super) tokens: Vec<Token>,
    pub(super) records: Records,
    /// Receivers that gas is spent for. None means all.
    pub(super) receivers: ArcSwapOption<Vec<Address>>,
    pub(super) receipt_timeout: Duration,
    pub(super) lookback_blocks: u64,
    pub(super) skew_seconds: u64,
    pub(super) confirmations: u64,
    pub(super) wallets: Wallets,
    pub(super) seller: Seller,
}

pub(super) fn now() -> UnixTime {
    SystemTime::now().into()
}
