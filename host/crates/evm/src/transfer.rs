//! Looks up what one transaction moved of a token, once its block is deep enough to be believed.

use alloy::primitives::{Address, B256, U256};

use crate::call_error::CallError;
use crate::chain::Chain;
use crate::eip3009::all_transfers_in;
use crate::receipt::TxReceipt;

/// The place of a receipt's block below the newest one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReceiptDepth {
    Deep,
    Shallow,
    /// The block of the receipt is not the one of that number any more.
    Replaced,
}

/// The state of a transaction on the chain, and what it moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MovedMoney {
    /// The node does not have the transaction.
    Missing,
    /// It is in no block.
    Waiting,
    /// It is in a block that is not deep enough yet.
    Shallow,
    /// It was reverted, and moved nothing.
    Reverted,
    /// It succeeded, in a block of this number that is deep enough and of this time (Unix seconds).
    Moved { block: u64, at: u64, transfers: Vec<MovedToken> },
}

/// A transfer of the token, as the token logged it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MovedToken {
    pub from: Address,
    pub to: Address,
    /// In atomic units.
    pub amount: U256,
}

impl Chain {
    /// Looks up what a transaction moved of a token. Its block is believed if it has so many blocks from itself to the
    /// newest one: 1 is the block itself.
    pub async fn moved_by(
        &self,
        transaction: B256,
        token: Address,
        confirmations: u64,
    ) -> Result<MovedMoney, CallError> {
        let Some(receipt) = self.receipt(transaction).await? else {
            let is_known = self.has_transaction(transaction).await?;
            return Ok(if is_known { MovedMoney::Waiting } else { MovedMoney::Missing });
        };
        let contradicts = |what: &str| CallError::Unreachable(format!("the node contradicts itself: {what}"));
        if receipt.transaction_hash != transaction {
            return Err(contradicts("it answered with another receipt than it was asked for"));
        }
        match self.depth_of(&receipt, confirmations).await? {
            ReceiptDepth::Deep => {}
            ReceiptDepth::Shallow => return Ok(MovedMoney::Shallow),
            ReceiptDepth::Replaced => return Err(contradicts("the receipt is of a block that was replaced")),
        }
        if !receipt.succeeded() {
            return Ok(MovedMoney::Reverted);
        }
        let block = receipt.block_number.to();
        let at = self.block_time(block).await?;
        let at = at.ok_or_else(|| contradicts("it lacks the block of a receipt"))?;
        let transfers = all_transfers_in(&receipt.logs, token).into_iter();
        Ok(MovedMoney::Moved {
            block,
            at,
            transfers: transfers.map(|(from, to, amount)| MovedToken { from, to, amount }).collect(),
        })
    }

    /// The number of the block in which a transaction succeeded. None: the node knows none.
    pub async fn block_of(&self, transaction: B256) -> Result<Option<u64>, CallError> {
        let receipt = self.receipt(transaction).await?;
        let is_it = |receipt: &TxReceipt| receipt.transaction_hash == transaction && receipt.succeeded();
        Ok(receipt.filter(is_it).map(|receipt| receipt.block_number.to()))
    }

    /// Looks up how deep the block of a receipt is. It is deep if it is found from parent to parent below a block that is
    /// deep enough above it, whatever is reorganised between two reads.
    pub(crate) async fn depth_of(&self, receipt: &TxReceipt, confirmations: u64) -> Result<ReceiptDepth, CallError> {
        let (block, on_top) = (receipt.block_number.to::<u64>(), confirmations.max(1) - 1);
        let Some(top) = self.block(block.saturating_add(on_top)).await? else { return Ok(ReceiptDepth::Shallow) };
        let found = self.ancestor(&top, on_top).await?;
        Ok(if found.is_some_and(|found| found.hash == receipt.block_hash) {
            ReceiptDepth::Deep
        } else {
            ReceiptDepth::Replaced
        })
    }
}
