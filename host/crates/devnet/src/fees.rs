//! What gas costs: EIP-1559 with Base's parameters and a floor, which in practice is a constant,
//! and `eth_feeHistory`.

use alloy::consensus::Transaction as _;
use alloy::eips::eip1559::{BaseFeeParams, calc_next_block_base_fee};
use alloy::rpc::types::FeeHistory;

use super::chain::{Block, DevnetChain};
use super::execute::BLOCK_GAS_LIMIT;

/// Wei per gas at genesis and at least: the order of Base's own.
pub(super) const MIN_BASE_FEE: u64 = 5_000_000;

/// The tip we suggest, in wei per gas.
pub(super) const SUGGESTED_TIP: u64 = 1_000_000;

/// Blocks that one `eth_feeHistory` may ask for, go-ethereum's limit.
const MAX_BLOCKS: u64 = 1_024;

/// The base fee of the block after one that had `base_fee` and used `gas_used`.
pub(super) fn next_base_fee(gas_used: u64, base_fee: u64) -> u64 {
    calc_next_block_base_fee(gas_used, BLOCK_GAS_LIMIT, base_fee, BaseFeeParams::base_sepolia_canyon())
        .max(MIN_BASE_FEE)
}

/// Fees of the `count` blocks up to `newest`, fewer when not so many are kept; the percentiles are in
/// rising order, from 0 to 100.
pub(super) fn history(chain: &DevnetChain, count: u64, newest: &Block, percentiles: &[f64]) -> FeeHistory {
    let count = count.clamp(1, MAX_BLOCKS);
    let oldest = newest.header.number.saturating_sub(count - 1).max(chain.oldest());
    let mut answer = FeeHistory { oldest_block: oldest, ..FeeHistory::default() };
    let mut rewards = Vec::new();
    for block in (oldest..=newest.header.number).filter_map(|number| chain.block(number)) {
        answer.base_fee_per_gas.push(block.base_fee().into());
        answer.base_fee_per_blob_gas.push(1);
        answer.blob_gas_used_ratio.push(0.0);
        #[expect(clippy::cast_precision_loss, reason = "a ratio of numbers far below 2^52")]
        answer.gas_used_ratio.push(block.header.gas_used as f64 / BLOCK_GAS_LIMIT as f64);
        rewards.push(tips(block, percentiles));
    }
    answer.base_fee_per_gas.push(next_base_fee(newest.header.gas_used, newest.base_fee()).into());
    answer.base_fee_per_blob_gas.push(1);
    answer.reward = (!percentiles.is_empty()).then_some(rewards);
    answer
}

/// The tips at each percentile of the block's gas; zeroes for an empty block.
fn tips(block: &Block, percentiles: &[f64]) -> Vec<u128> {
    let mut paid: Vec<(u128, u64)> = block
        .transactions
        .iter()
        .zip(&block.receipts)
        .map(|(tx, receipt)| (tx.effective_tip_per_gas(block.base_fee()).unwrap_or(0), receipt.gas_used))
        .collect();
    paid.sort_unstable();
    let at = |percentile: &f64| {
        #[expect(clippy::cast_precision_loss, reason = "gas is far below 2^52")]
        let threshold = block.header.gas_used as f64 * percentile / 100.0;
        let mut sum = 0.0;
        for (tip, gas) in &paid {
            #[expect(clippy::cast_precision_loss, reason = "gas is far below 2^52")]
            {
                sum += *gas as f64;
            }
            if sum >= threshold {
                return *tip;
            }
        }
        paid.last().map_or(0, |(tip, _)| *tip)
    };
    percentiles.iter().map(at).collect()
}
