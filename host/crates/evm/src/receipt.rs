//! Declares the fields of a transaction's receipt that are read.

use alloy::primitives::{B256, U64, U256};
use alloy::rpc::types::Log;
use serde::Deserialize;

/// The receipt of a transaction that is in a block.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TxReceipt {
    pub transaction_hash: B256,
    pub block_hash: B256,
    pub block_number: U64,
    /// 1 if the transaction succeeded, 0 if it was reverted.
    pub status: U64,
    pub gas_used: U64,
    /// Wei per unit of gas.
    #[serde(default)]
    pub effective_gas_price: U256,
    /// The rollup's fee for publishing the transaction's data, in wei, which comes on top.
    #[serde(default)]
    pub l1_fee: Option<U256>,
    pub logs: Vec<Log>,
}

impl TxReceipt {
    /// The transaction was not reverted.
    pub fn succeeded(&self) -> bool {
        self.status == U64::from(1)
    }

    /// The sender's cost, in wei.
    pub fn cost(&self) -> U256 {
        let gas = U256::from(self.gas_used).saturating_mul(self.effective_gas_price);
        gas.saturating_add(self.l1_fee.unwrap_or_default())
    }
}
