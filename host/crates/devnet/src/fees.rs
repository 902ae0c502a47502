//! The price of gas: EIP-1559 with Base's parameters and a floor. Blocks are seldom full here, so the base fee is
//! nearly always the floor.

use alloy::eips::eip1559::{BaseFeeParams, calc_next_block_base_fee};

use super::execute::BLOCK_GAS_LIMIT;

/// The base fee at genesis, and the least one, in wei per gas. Base's own has this order.
pub(super) const MIN_BASE_FEE: u64 = 5_000_000;

/// The tip that the chain suggests, in wei per gas.
pub(super) const SUGGESTED_TIP: u64 = 1_000_000;

/// The base fee of the block after one that had `base_fee` and used `gas_used`.
pub(super) fn next_base_fee(gas_used: u64, base_fee: u64) -> u64 {
    calc_next_block_base_fee(gas_used, BLOCK_GAS_LIMIT, base_fee, BaseFeeParams::base_sepolia_canyon())
        .max(MIN_BASE_FEE)
}
