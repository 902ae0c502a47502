//! Reads the price of gas, and keeps what we pay within our limits.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use alloy::primitives::{U64, U128, U256};
use alloy::rpc::types::{FeeHistory, TransactionRequest};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::call_error::CallError;
use crate::chain::Chain;

/// The age up to which a reading of the fees is used again.
const FRESH: Duration = Duration::from_secs(2);

/// The tip where the recent transactions paid none, in wei: a thousandth of a gwei.
const LEAST_TIP: u128 = 1_000_000;

/// The most that we pay for gas.
#[derive(Clone, Debug)]
pub struct GasLimits {
    /// `maxFeePerGas` in wei. When the chain's base fee is above it, nothing is sent.
    pub max_fee_per_gas: u128,
    /// Gas units of a transaction with one payment.
    pub max_gas: u64,
    /// Gas units of a transaction with many. Chains with EIP-7825 take at most 2^24.
    pub max_batch_gas: u64,
    /// Wei in a day (UTC); beyond it nothing new is sent. None means no limit.
    pub budget_per_day: Option<U256>,
    /// The file that keeps the day's cost over a restart. It belongs to one process. None: the count begins at the
    /// process's start.
    pub journal: Option<PathBuf>,
    /// A wallet with fewer wei counts as empty. None means the cost of some hundred settlements at the time.
    pub low_balance: Option<U256>,
}

impl Default for GasLimits {
    /// 50 gwei; a transfer by authorisation takes 60 to 90 thousand gas, contract wallets more.
    fn default() -> Self {
        Self {
            max_fee_per_gas: 50_000_000_000,
            max_gas: 500_000,
            max_batch_gas: 16_000_000,
            budget_per_day: None,
            journal: None,
            low_balance: None,
        }
    }
}

/// The chain's fees, in wei per unit of gas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlockFees {
    /// The base fee of the next block.
    pub(super) base: u128,
    pub(super) tip: u128,
}

/// The two fees that a transaction names (EIP-1559), in wei per unit of gas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TxFees {
    pub(super) max_fee: u128,
    pub(super) tip: u128,
}

impl BlockFees {
    /// The fees of a transaction that is sent now. Twice the base fee is room for six full blocks in a row, each of
    /// which raises it by an eighth.
    pub(super) fn tx_fees(self, limit: u128) -> TxFees {
        let max_fee = self.base.saturating_mul(2).saturating_add(self.tip).min(limit);
        TxFees { max_fee, tip: self.tip.min(max_fee) }
    }
}

impl TxFees {
    /// The most that this much gas costs, in wei.
    pub(super) fn max_cost(self, gas: u64) -> U256 {
        U256::from(gas).saturating_mul(U256::from(self.max_fee))
    }

    /// True if a transaction with these fees pays the base fee of the next block and the usual tip.
    pub(super) fn covers(self, market: BlockFees) -> bool {
        self.tip >= market.tip && self.max_fee >= market.base.saturating_add(market.tip)
    }

    /// A request for a simulation in which gas has this price.
    pub(super) fn priced(self, request: TransactionRequest) -> TransactionRequest {
        request.max_fee_per_gas(self.max_fee).max_priority_fee_per_gas(self.tip)
    }

    /// Fees that every node takes for a replacement of a transaction with these: both an eighth higher, or the
    /// market's if they are higher. None when the limit leaves no room.
    pub(super) fn raised(self, market: TxFees, limit: u128) -> Option<Self> {
        let eighth = |price: u128| price.saturating_add(price.div_ceil(8)).max(price.saturating_add(1));
        let max_fee = eighth(self.max_fee).max(market.max_fee);
        let tip = eighth(self.tip).max(market.tip).min(max_fee);
        (max_fee <= limit).then_some(Self { max_fee, tip })
    }
}

/// Reads the chain's fees, at most every two seconds however many tasks ask.
#[derive(Debug)]
pub(super) struct FeeOracle {
    chain: Arc<Chain>,
    known: Mutex<Option<(Instant, BlockFees)>>,
    /// The last base fee and tip, for callers that cannot wait; 0 before the first reading. A caller may see the base
    /// fee of one reading with the tip of the next: both are estimates.
    base: AtomicU64,
    tip: AtomicU64,
}

impl FeeOracle {
    pub(super) fn new(chain: Arc<Chain>) -> Self {
        Self { chain, known: Mutex::new(None), base: AtomicU64::new(0), tip: AtomicU64::new(0) }
    }

    /// The last reading, if there was one.
    pub(super) fn last(&self) -> Option<BlockFees> {
        let (base, tip) = (self.base.load(Ordering::Relaxed), self.tip.load(Ordering::Relaxed));
        // A reading never has a tip of 0, see `LEAST_TIP`.
        (tip > 0).then(|| BlockFees { base: base.into(), tip: tip.into() })
    }

    /// The base fee of the next block, and the tip that half of the recent transactions paid.
    pub(super) async fn now(&self) -> Result<BlockFees, CallError> {
        // The lock is held while the node is asked, so that tasks that come meanwhile share this answer.
        let mut known = self.known.lock().await;
        if let Some((read, fees)) = *known
            && read.elapsed() < FRESH
        {
            return Ok(fees);
        }
        let fees = match self.read_history().await {
            // Some nodes and chains do not have the method.
            Err(CallError::Refused(_)) => self.read_gas_price().await?,
            fees => fees?,
        };
        *known = Some((Instant::now(), fees));
        self.base.store(fees.base.try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
        self.tip.store(fees.tip.try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
        Ok(fees)
    }

    async fn read_history(&self) -> Result<BlockFees, CallError> {
        // The middle of the blocks' medians, so that one block with high tips does not set ours.
        let history: FeeHistory = self.chain.request("eth_feeHistory", (U64::from(10), "latest", [50.0])).await?;
        let paid = history.reward.unwrap_or_default();
        let mut tips: Vec<u128> =
            paid.iter().filter_map(|block| block.first().copied()).filter(|tip| *tip > 0).collect();
        tips.sort_unstable();
        Ok(BlockFees {
            base: history.base_fee_per_gas.last().copied().unwrap_or(0),
            tip: tips.get(tips.len() / 2).copied().unwrap_or(LEAST_TIP),
        })
    }

    /// The price that the node proposes for transactions of before EIP-1559, which is the base fee and a tip together.
    async fn read_gas_price(&self) -> Result<BlockFees, CallError> {
        let price: U128 = self.chain.request("eth_gasPrice", ()).await?;
        Ok(BlockFees { base: price.to(), tip: LEAST_TIP })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fees_cover_a_market_whose_base_fee_and_tip_they_pay_together() {
        let market = BlockFees { base: 100, tip: 10 };
        for (max_fee, tip, expected) in
            [(110, 10, true), (210, 10, true), (109, 10, false), (110, 9, false), (9, 9, false)]
        {
            assert_eq!(TxFees { max_fee, tip }.covers(market), expected, "{max_fee} {tip}");
        }
        assert!(!TxFees { max_fee: 1, tip: 1 }.covers(BlockFees { base: u128::MAX, tip: 1 }));
    }

    #[test]
    fn a_replacement_pays_an_eighth_more_or_the_market_and_never_more_than_the_limit() {
        let (sent, market) = (TxFees { max_fee: 80, tip: 8 }, TxFees { max_fee: 50, tip: 20 });
        assert_eq!(sent.raised(market, 90), Some(TxFees { max_fee: 90, tip: 20 }));
        assert_eq!(sent.raised(market, 89), None);
        assert_eq!(sent.raised(TxFees { max_fee: 500, tip: 1 }, 500), Some(TxFees { max_fee: 500, tip: 9 }));
        // An eighth of nothing is nothing, and a node wants more.
        assert_eq!(
            TxFees { max_fee: 0, tip: 0 }.raised(TxFees { max_fee: 0, tip: 0 }, 9),
            Some(TxFees { max_fee: 1, tip: 1 })
        );
    }
}
