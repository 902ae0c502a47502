//! Looks up one payment on the chain: the state of its authorisation, and the transfer that used it.
//!
//! Nodes stand behind balancers, and two requests may be answered by two machines of which one is some blocks behind.
//! So the authorisation is read at one block, which the node must have, and what is missing is never evidence: a log
//! whose receipt the node does not show is an error, and an authorisation that is used by no log that the node shows is
//! [`AuthorizationState::Used`], which says no more than that.

use std::time::Duration;

use alloy::primitives::{Address, B256};
use alloy::rpc::types::{Filter, Log};
use alloy::sol_types::SolEvent;

use crate::abi::IEip3009::{AuthorizationCanceled, AuthorizationUsed, authorizationStateCall};
use crate::call_error::CallError;
use crate::chain::{Chain, PinnedBlock};
use crate::eip3009::{AuthorizationUse, Eip3009Payment, use_in};
use crate::receipt::TxReceipt;

/// Questions for logs in one look, at most. At 10 blocks for a question, the smallest range that nodes are known to
/// allow, these are 20,000 blocks: eleven hours of a chain with a block every two seconds.
const MAX_QUESTIONS: u32 = 2_000;

/// Attempts to read a block that another backend has just shown, and the pause between two.
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(250);

/// The state of a payment on the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthorizationState {
    /// The logs of this transaction show the payment, and its block, of this number, is deep enough.
    Paid { transaction: B256, block: u64 },
    /// The same, in a block that is not deep enough yet.
    Shallow { transaction: B256 },
    /// The authorisation is unused at the newest block. The newest block that is deep enough is of the time `at`, in
    /// Unix seconds.
    Unused { at: u64, newest: PinnedBlock },
    /// The logs of this transaction show that the authorisation was used for another payment, deep enough in the chain.
    /// The newest block that is deep enough is of this time, in Unix seconds.
    PaidOtherwise { transaction: B256, at: u64 },
    /// The authorisation was cancelled, deep enough in the chain: it is used for nothing, and never will be.
    Canceled,
    /// The authorisation is used or cancelled, and no log was found that shows the payment. A node that lacks logs
    /// gives the same answer. The newest block that is deep enough is of this time, in Unix seconds.
    Used { at: u64 },
}

/// The blocks that a look-up considers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LookupBounds {
    /// Blocks on top of each other, from the payment's own, until it counts: at least 1.
    pub confirmations: u64,
    /// A block that the node must have reached: one in which something about the payment was seen.
    pub reached: u64,
    /// The time before which no block can hold the payment, in Unix seconds.
    pub earliest: u64,
    /// Blocks that are searched, from the newest back, at most.
    pub blocks: u64,
}

impl Chain {
    /// Looks up a payment. `known` is a transaction that may have made it: its receipt is read first.
    pub async fn payment_state(
        &self,
        payment: &Eip3009Payment,
        known: Option<B256>,
        bounds: LookupBounds,
    ) -> Result<AuthorizationState, CallError> {
        let confirmations = bounds.confirmations.max(1);
        if let Some(hash) = known
            && let Some(receipt) = self.receipt(hash).await?
            && use_of(&receipt, payment) == AuthorizationUse::Payment(*payment)
        {
            return self.depth(&receipt, confirmations).await;
        }
        let head = self.newest_block().await?;
        if head.number < bounds.reached {
            return Err(CallError::Unreachable("the node is behind a block that was seen before".to_owned()));
        }
        let deep = self.deep_block(&head, confirmations).await?;
        if !self.is_authorization_used(payment.token, payment.payer, payment.nonce, &head).await? {
            return Ok(AuthorizationState::Unused { at: deep.time, newest: head });
        }
        self.search(payment, &head, &deep, bounds).await
    }

    /// Asks whether an authorisation is used or cancelled at a block. A backend of the node that does not have the
    /// block yet refuses, so it is asked a few times.
    async fn is_authorization_used(
        &self,
        token: Address,
        payer: Address,
        nonce: B256,
        at: &PinnedBlock,
    ) -> Result<bool, CallError> {
        let asked = authorizationStateCall { authorizer: payer, nonce };
        for _ in 1..ATTEMPTS {
            match self.call_at(token, &asked, at).await {
                Err(CallError::Refused(reason)) => tracing::debug!(reason, "a block cannot be read yet"),
                answer => return answer,
            }
            tokio::time::sleep(PAUSE).await;
        }
        self.call_at(token, &asked, at).await
    }

    /// The newest block that is deep enough.
    async fn deep_block(&self, head: &PinnedBlock, confirmations: u64) -> Result<PinnedBlock, CallError> {
        match head.number.saturating_sub(confirmations - 1) {
            number if number == head.number => Ok(*head),
            number => self.block(number).await?.ok_or_else(|| missing("a block below its newest")),
        }
    }

    /// The state of a payment that this receipt shows. One confirmation is the receipt itself.
    async fn depth(&self, receipt: &TxReceipt, confirmations: u64) -> Result<AuthorizationState, CallError> {
        let (transaction, number) = (receipt.transaction_hash, receipt.block_number.to::<u64>());
        if confirmations == 1 {
            return Ok(AuthorizationState::Paid { transaction, block: number });
        }
        let head = self.newest_block().await?;
        if head.number.saturating_add(1).saturating_sub(number) < confirmations {
            return Ok(AuthorizationState::Shallow { transaction });
        }
        match self.block(number).await? {
            Some(block) if block.hash == receipt.block_hash => {
                Ok(AuthorizationState::Paid { transaction, block: number })
            }
            Some(_) => Err(CallError::Unreachable("the receipt is of a block that was replaced".to_owned())),
            None => Err(missing("the block of a receipt")),
        }
    }

    /// Searches for the use of an authorisation, from the newest block back.
    async fn search(
        &self,
        payment: &Eip3009Payment,
        head: &PinnedBlock,
        deep: &PinnedBlock,
        bounds: LookupBounds,
    ) -> Result<AuthorizationState, CallError> {
        let filter = Filter::new()
            .address(payment.token)
            .event_signature(vec![AuthorizationUsed::SIGNATURE_HASH, AuthorizationCanceled::SIGNATURE_HASH])
            .topic1(payment.payer.into_word())
            .topic2(payment.nonce);
        let lowest = head.number.saturating_sub(bounds.blocks.saturating_sub(1));
        let mut newest = head.number;
        let (mut otherwise, mut is_canceled) = (None, false);
        let mut span = self.log_span();
        for _ in 0..MAX_QUESTIONS {
            let oldest = newest.saturating_sub(span.blocks() - 1).max(lowest);
            let asked = self.logs(&filter.clone().from_block(oldest).to_block(newest)).await;
            let learnt = span.learn(newest - oldest + 1, asked).await;
            self.keep_log_span(span);
            let Some(logs) = learnt? else { continue };
            for log in logs.iter().rev().filter(|log| !log.removed) {
                if log.topic0() == Some(&AuthorizationCanceled::SIGNATURE_HASH) {
                    // The search goes on: only a token that breaks the standard has a payment besides.
                    is_canceled |= log.block_number.is_some_and(|number| number <= deep.number);
                    continue;
                }
                let receipt = self.receipt_of(log).await?;
                match use_of(&receipt, payment) {
                    AuthorizationUse::Payment(found) if found == *payment => {
                        let (transaction, block) = (receipt.transaction_hash, receipt.block_number.to());
                        return Ok(if block <= deep.number {
                            AuthorizationState::Paid { transaction, block }
                        } else {
                            AuthorizationState::Shallow { transaction }
                        });
                    }
                    AuthorizationUse::Payment(_) if receipt.block_number.to::<u64>() <= deep.number => {
                        otherwise = Some(receipt.transaction_hash);
                    }
                    // A token that lets a used authorisation pass without a transfer logs it again, so the search goes
                    // on to the transaction that moved the money.
                    AuthorizationUse::Payment(_) | AuthorizationUse::NoTransfer => {}
                    AuthorizationUse::Unused => return Err(missing("a log that it showed, in its receipt")),
                }
            }
            let is_over = oldest <= lowest || self.block_time(oldest).await?.is_some_and(|at| at < bounds.earliest);
            if is_over {
                return Ok(match otherwise {
                    Some(transaction) => AuthorizationState::PaidOtherwise { transaction, at: deep.time },
                    None if is_canceled => AuthorizationState::Canceled,
                    None => AuthorizationState::Used { at: deep.time },
                });
            }
            newest = oldest - 1;
        }
        Err(CallError::Refused("the node allows too few blocks in one question for logs".to_owned()))
    }

    /// The receipt that a log belongs to. The filter shows the authorisation alone; its transfer stands in the receipt.
    async fn receipt_of(&self, log: &Log) -> Result<TxReceipt, CallError> {
        let hash = log.transaction_hash.ok_or_else(|| missing("the transaction of a log"))?;
        let receipt = self.receipt(hash).await?.ok_or_else(|| missing("the receipt of a log that it shows"))?;
        if log.block_hash.is_some_and(|block| block != receipt.block_hash) {
            return Err(CallError::Unreachable("a log and its receipt are of two blocks".to_owned()));
        }
        Ok(receipt)
    }
}

fn use_of(receipt: &TxReceipt, payment: &Eip3009Payment) -> AuthorizationUse {
    if receipt.succeeded() {
        use_in(&receipt.logs, payment.token, payment.payer, payment.nonce)
    } else {
        AuthorizationUse::Unused
    }
}

fn missing(what: &str) -> CallError {
    CallError::Unreachable(format!("the node does not have {what}"))
}
