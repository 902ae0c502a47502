//! Gives transactions their nonce and hands them to the node.
//!
//! A nonce is used once and leaves no gap. The node's answer decides who has it afterwards: if the node took the
//! transaction, or said nothing, the nonce belongs to the transaction, which is sent until its nonce is used; if the
//! node refused the transaction, the nonce goes back and is the next one; if the node says that the nonce is taken,
//! another one is tried. A refusal is a proof that nothing was sent only in the words of a node that checked the
//! transaction (`refusal`).

use std::sync::Arc;

use alloy::primitives::U256;

use super::call::{CallProgress, QueuedCall, SendError, end_all};
use super::lane::Lane;
use super::observer::TransactionEvent;
use super::pending::{PendingTx, TxState};
use crate::call_error::CallError;
use crate::refusal::NodeRefusal;
use crate::transaction::Transaction;

/// Nonces that are tried for one transaction.
const ATTEMPTS: u32 = 4;

/// The only sender of new transactions of a lane, which knows the next nonce.
pub(super) struct Submitter {
    lane: Arc<Lane>,
    /// None: the chain has to be asked.
    next_nonce: Option<u64>,
}

/// The end of one attempt that did not send the transaction.
enum NotTaken {
    /// The nonce is used. The calls come back for another one.
    Nonce(Vec<QueuedCall>, String),
    /// The transaction will not be sent.
    Refused(Vec<QueuedCall>, SendError),
}

impl Submitter {
    pub(super) fn new(lane: Arc<Lane>) -> Self {
        Self { lane, next_nonce: None }
    }

    /// Reserves the cost, signs and sends. When it fails the calls end and nothing was sent.
    pub(super) async fn submit(&mut self, calls: Vec<QueuedCall>, tx: Transaction) {
        let cost = tx.max_cost();
        if let Err(error) = self.lane.check_balance(cost).await {
            return self.not_sent(calls, &error);
        }
        let budget = &self.lane.shared.budget;
        if let Err(exhausted) = budget.reserve(cost, U256::ZERO) {
            return self.not_sent(calls, &SendError::Refused(exhausted.to_string()));
        }
        budget.flush_reservation().await;
        // A transaction that was sent keeps the reservation until its cost is known.
        let (calls, error) = match self.send_with_some_nonce(calls, tx).await {
            Ok(()) => {
                self.lane.tell(TransactionEvent::Submitted);
                return self.lane.sent.notify_one();
            }
            Err(not_sent) => not_sent,
        };
        self.lane.shared.budget.settle(cost, U256::ZERO);
        self.not_sent(calls, &error);
    }

    fn not_sent(&self, calls: Vec<QueuedCall>, error: &SendError) {
        self.lane.tell(TransactionEvent::NotSent);
        end_all(calls, error);
    }

    async fn send_with_some_nonce(
        &mut self,
        mut calls: Vec<QueuedCall>,
        tx: Transaction,
    ) -> Result<(), (Vec<QueuedCall>, SendError)> {
        let mut refusal = String::new();
        for _ in 0..ATTEMPTS {
            let nonce = match self.next_nonce.take() {
                Some(nonce) => nonce,
                None => match self.read_nonce().await {
                    Ok(nonce) => nonce,
                    Err(error) => return Err((calls, SendError::Unreachable(error))),
                },
            };
            match self.send(nonce, calls, tx.clone()).await {
                Ok(()) => {
                    self.next_nonce = Some(nonce + 1);
                    return Ok(());
                }
                Err(NotTaken::Refused(calls, error)) => {
                    self.next_nonce = Some(nonce);
                    return Err((calls, error));
                }
                Err(NotTaken::Nonce(returned, text)) => {
                    calls = returned;
                    refusal = text;
                }
            }
        }
        Err((calls, SendError::Refused(refusal)))
    }

    /// Signs and sends under this nonce. The calls learn the hash, and the transaction is among the pending ones,
    /// before the first byte leaves: no transaction exists that this process does not know of.
    async fn send(&self, nonce: u64, calls: Vec<QueuedCall>, tx: Transaction) -> Result<(), NotTaken> {
        let signed = match self.lane.sign(nonce, &tx) {
            Ok(signed) => signed,
            Err(error) => return Err(NotTaken::Refused(calls, error)),
        };
        // Before the send: if this task is dropped while the node is asked, the caller still knows the hash.
        for call in &calls {
            call.report(CallProgress::Sent(signed.hash));
        }
        let pending = PendingTx::new(tx, signed.clone(), calls, TxState::Sending);
        self.lane.pending().by_nonce.insert(nonce, pending);
        let state = match self.lane.shared.chain.send_raw(&signed.raw).await {
            Ok(()) => TxState::Pooled,
            Err(CallError::Unreachable(error)) => {
                tracing::warn!(transaction = %signed.hash, error, "no reply to a transaction; it is sent again");
                TxState::Unanswered
            }
            // `Sending` kept the follower away, so the transaction can be taken back with its calls.
            Err(CallError::Refused(text) | CallError::Reverted(text)) => {
                let pending = self.lane.pending().by_nonce.remove(&nonce);
                let mut calls = pending.map(|pending| pending.calls).unwrap_or_default();
                let refusal = NodeRefusal::of(&text);
                // A gateway may say so after it has passed the transaction on, or may have passed it on twice.
                if matches!(refusal, NodeRefusal::NonceUsed | NodeRefusal::Outbid | NodeRefusal::Other) {
                    for call in &mut calls {
                        call.perhaps_sent = Some(signed.hash);
                    }
                }
                return Err(match refusal {
                    NodeRefusal::NonceUsed | NodeRefusal::Outbid => NotTaken::Nonce(calls, text),
                    NodeRefusal::Funds => {
                        // Readiness turns at once, and not at the next reading of the balance.
                        *self.lane.balance() = Some(U256::ZERO);
                        NotTaken::Refused(calls, SendError::Refused(text))
                    }
                    NodeRefusal::Known | NodeRefusal::FeeTooLow | NodeRefusal::Rejected | NodeRefusal::Other => {
                        NotTaken::Refused(calls, SendError::Refused(text))
                    }
                });
            }
        };
        if let Some(pending) = self.lane.pending().by_nonce.get_mut(&nonce) {
            pending.state = state;
        }
        Ok(())
    }

    /// The nonce after all that the node has, and after all that it may have lost.
    async fn read_nonce(&self) -> Result<u64, CallError> {
        let pending = self.lane.shared.chain.pending_nonce(self.lane.address()).await?;
        let ours = self.lane.pending().by_nonce.last_key_value().map_or(0, |(nonce, _)| nonce + 1);
        Ok(pending.max(ours))
    }
}
