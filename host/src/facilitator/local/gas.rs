//! The wallet that pays for gas. Without gas nothing is settled, so nothing may be sold: it is looked at
//! in the background, and requests read what was found.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use alloy::primitives::{Address, U256};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Local;
use crate::facilitator::{Readiness, Unavailable};

/// What a transfer by authorisation may take, with what is put on top of the estimate.
const TRANSFER_GAS: u64 = 125_000;

/// How often a wallet is looked at, by whether it has money.
const FUNDED: Duration = Duration::from_secs(10);
const EMPTY: Duration = Duration::from_secs(3);

/// How often the log asks for money.
const REMIND: Duration = Duration::from_secs(300);

/// The state of the wallet that pays for gas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gas {
    pub address: Address,
    /// In wei.
    pub balance: U256,
}

/// What is known of the wallet without asking the chain.
#[derive(Debug, Default)]
pub(super) struct Gauge {
    empty: AtomicBool,
    doubted: Notify,
}

impl Gauge {
    pub(super) fn readiness(&self) -> Readiness {
        if self.empty.load(Ordering::Acquire) { Readiness::NoGas } else { Readiness::Ready }
    }

    /// A transaction was not taken, perhaps for want of money: whoever watches looks at once.
    pub(super) fn doubt(&self) {
        self.doubted.notify_one();
    }
}

impl Local {
    /// The wallet that pays for gas, as the chain knows it.
    pub async fn gas(&self) -> Result<Gas, Unavailable> {
        let address = self.sender.address();
        Ok(Gas { address, balance: self.chain.balance(address).await? })
    }

    /// Compares the wallet with what a settlement costs at present, and says so in the log when that
    /// changed. A chain that does not answer changes nothing.
    pub async fn look_at_gas(&self) -> Result<(), Unavailable> {
        let gas = self.gas().await?;
        let needed =
            self.sender.cost(TRANSFER_GAS).await.map_err(|error| Unavailable { message: error.to_string() })?;
        let empty = gas.balance < needed;
        match (self.gauge.empty.swap(empty, Ordering::AcqRel), empty) {
            (false, true) => self.ask_for_money(&format!("{} wei, {needed} needed for a settlement", gas.balance)),
            (true, false) => {
                tracing::info!(wallet = %gas.address, "the gas wallet is funded: payments are taken again");
            }
            (true, true) | (false, false) => {}
        }
        Ok(())
    }

    fn ask_for_money(&self, balance: &str) {
        tracing::error!(
            wallet = %self.sender.address(), network = %self.network, balance,
            "the gas wallet is empty: fund it; until then no payment is taken"
        );
    }

    /// Runs for ever: keeps [`Facilitator::readiness`](crate::facilitator::Facilitator::readiness) true to the chain.
    pub async fn watch_gas(self: Arc<Self>) {
        let mut said = Instant::now();
        loop {
            let pause = match self.gauge.readiness() {
                Readiness::Ready => FUNDED,
                Readiness::NoGas => EMPTY,
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.gauge.doubted.notified() => {}
            }
            if let Err(error) = self.look_at_gas().await {
                tracing::warn!(%error, "the gas wallet cannot be looked at");
            }
            match self.gauge.readiness() {
                Readiness::Ready => said = Instant::now(),
                Readiness::NoGas if said.elapsed() >= REMIND => {
                    self.ask_for_money("still too little");
                    said = Instant::now();
                }
                Readiness::NoGas => {}
            }
        }
    }
}
