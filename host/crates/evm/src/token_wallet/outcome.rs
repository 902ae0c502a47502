//! Reads from the chain what became of a transfer.
//!
//! An answer that ends a transfer (paid, reverted, displaced) lets its caller take a new nonce, and so pay again. So it
//! rests on facts that hold together on one branch of the chain, whatever is reorganised between two reads and
//! whichever machine behind a balancer answers: a receipt counts if its block is found from parent to parent below a
//! block that is deep enough above it, and a nonce counts as used at a block that was found in the same way. What is
//! missing is no evidence by itself.

use alloy::primitives::{B256, U256};

use super::{TokenTransfer, TokenWallet};
use crate::call_error::CallError;
use crate::chain::PinnedBlock;
use crate::eip3009::transfers_in;
use crate::receipt::TxReceipt;
use crate::transfer::ReceiptDepth;

/// The state on the chain of a nonce that was signed for a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferOutcome {
    /// The nonce is not used at the newest block.
    Waiting,
    /// A transaction of the transfer is in a block that is not deep enough yet.
    Confirming { hash: B256, block: u64 },
    /// The transfer was made, in a block that is deep enough. The fee is the cost of its gas, in wei.
    Paid { hash: B256, block: u64, fee: U256 },
    /// The transaction was reverted, in a block that is deep enough: it used the nonce and moved nothing of the token.
    Reverted { hash: B256, block: u64, fee: U256 },
    /// The transaction succeeded, in a block that is deep enough, and the token's logs do not show this transfer. The
    /// token returned false, or took a fee of the amount, or moves money without a log. So money may have moved, and an
    /// operator has to look before it is sent again.
    Unproven { hash: B256, block: u64, fee: U256 },
    /// A foreign transaction used the nonce, in a block that is deep enough. With its hash it is proven, and the
    /// transfer can never be made. Without, the node has no transaction of the transfer, and keeps no state of the time
    /// at which the nonce was used, or nothing that was sent from the wallet used it. The caller looks twice before it
    /// believes that.
    Displaced { by: Option<B256> },
    /// The node contradicts itself, or is about to learn more. It is asked again.
    Unclear,
}

impl TokenWallet {
    /// Looks up what became of a transfer for which transactions with these hashes were signed, all of this nonce.
    pub async fn outcome(
        &self,
        transfer: &TokenTransfer,
        nonce: u64,
        hashes: &[B256],
    ) -> Result<TransferOutcome, CallError> {
        let head = self.chain.newest_block().await?;
        if self.chain.nonce_at(self.address(), &head).await? <= nonce {
            return Ok(TransferOutcome::Waiting);
        }
        // The newest first: it is the likeliest.
        for hash in hashes.iter().rev() {
            if let Some(receipt) = self.chain.receipt(*hash).await? {
                return self.outcome_of(&receipt, *hash, transfer).await;
            }
        }
        match self.outcome_without_receipt(nonce, hashes, &head).await? {
            // A transaction that the caller does not know and that made this very transfer: of a ledger that was restored.
            TransferOutcome::Displaced { by: Some(by) } => match self.chain.receipt(by).await? {
                Some(receipt) => match self.outcome_of(&receipt, by, transfer).await? {
                    paid @ TransferOutcome::Paid { .. } => Ok(paid),
                    TransferOutcome::Confirming { .. } | TransferOutcome::Unclear => Ok(TransferOutcome::Unclear),
                    _ => Ok(TransferOutcome::Displaced { by: Some(by) }),
                },
                None => Ok(unclear("the node has no receipt of the transaction that used the nonce")),
            },
            other => Ok(other),
        }
    }

    async fn outcome_of(
        &self,
        receipt: &TxReceipt,
        hash: B256,
        transfer: &TokenTransfer,
    ) -> Result<TransferOutcome, CallError> {
        if receipt.transaction_hash != hash {
            return Ok(unclear("the node answered with another receipt than it was asked for"));
        }
        let block = receipt.block_number.to::<u64>();
        match self.chain.depth_of(receipt, self.confirmations).await? {
            ReceiptDepth::Deep => {}
            ReceiptDepth::Shallow => return Ok(TransferOutcome::Confirming { hash, block }),
            ReceiptDepth::Replaced => return Ok(unclear("the receipt is of a block that was replaced")),
        }
        let fee = receipt.cost();
        if !receipt.succeeded() {
            return Ok(TransferOutcome::Reverted { hash, block, fee });
        }
        let sent = transfers_in(&receipt.logs, transfer.token, self.address());
        if sent.contains(&(transfer.to, transfer.amount)) {
            Ok(TransferOutcome::Paid { hash, block, fee })
        } else {
            Ok(TransferOutcome::Unproven { hash, block, fee })
        }
    }

    /// The outcome where the nonce is used at the newest block and no transaction of the transfer has a receipt.
    async fn outcome_without_receipt(
        &self,
        nonce: u64,
        hashes: &[B256],
        head: &PinnedBlock,
    ) -> Result<TransferOutcome, CallError> {
        let Some(deep) = self.chain.ancestor(head, self.confirmations - 1).await? else {
            return Ok(unclear("no block is deep enough yet"));
        };
        if self.chain.nonce_at(self.address(), &deep).await? <= nonce {
            return Ok(unclear("the nonce is used in a block that is not deep enough yet"));
        }
        for hash in hashes {
            if self.chain.has_transaction(*hash).await? {
                return Ok(unclear("the node has a transaction of the transfer and not its receipt"));
            }
        }
        match self.transaction_with(nonce, deep).await {
            Ok(Some(by)) if hashes.contains(&by) => {
                Ok(unclear("the node has no receipt of a transaction in its block"))
            }
            Ok(by) => Ok(TransferOutcome::Displaced { by }),
            Err(CallError::Refused(reason)) => {
                tracing::debug!(reason, "the transaction that used a nonce cannot be looked up");
                Ok(TransferOutcome::Displaced { by: None })
            }
            Err(error) => Err(error),
        }
    }

    /// The transaction of the wallet that used a nonce at a block or below it. It is in the first block at which the
    /// nonce is used, which is searched for from this block back, in steps that double, and then by halves. A node
    /// that keeps the states of the last blocks alone refuses the older ones.
    async fn transaction_with(&self, nonce: u64, deep: PinnedBlock) -> Result<Option<B256>, CallError> {
        let mut used = deep;
        let mut unused: Option<u64> = None;
        let mut step = 1_u64;
        while used.number > unused.map_or(0, |unused| unused + 1) {
            let number = match unused {
                Some(unused) => unused + (used.number - unused) / 2,
                None => used.number.saturating_sub(step),
            };
            step = step.saturating_mul(2);
            let block = self.chain.block(number).await?;
            let block = block.ok_or_else(|| CallError::Refused(format!("block {number} is not kept")))?;
            if self.chain.nonce_at(self.address(), &block).await? > nonce {
                used = block;
            } else {
                unused = Some(number);
            }
        }
        self.chain.transaction_in(&used, self.address(), nonce).await
    }
}

fn unclear(reason: &str) -> TransferOutcome {
    tracing::debug!(reason, "the end of a transfer cannot be told yet");
    TransferOutcome::Unclear
}
