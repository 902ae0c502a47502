//! Settles one payment: finds the transfer that made it, resumes one that is under way, or sends one and waits for it.
//!
//! Everything is verified again, whatever an earlier verification said. The record is written when the transfer is
//! submitted, so a call that is dropped half way is resumed by the next one. A receipt proves nothing but
//! by its logs. Whatever speaks against the payment may be the trace of the payment itself, made by another account's
//! transaction or by one of ours that this process forgot: so the chain is asked before a payment is refused
//! (`objection`), and a used authorisation whose use is not found is unknown, and never refused. A payment that
//! is found there counts only if its transaction may have been made for this seller (`found`).

mod objection;
mod outcome;

use alloy::primitives::B256;
use coinslot_evm::{AuthorizationState, Inclusion, SendError, TxCall, TxHandle, TxStatus};
use coinslot_x402::Reason;
use tokio::sync::OwnedMutexGuard;

use super::evidence::{ReceiptEvidence, evidence_in, look_up};
use super::parsed::ParsedPayment;
use super::records::{RecordSlot, SpendRecord, SpendStage};
use super::state::{LocalState, now};
use super::verify::{judge, judge_without_simulation};
use crate::facilitator::{Finality, PayerKind, Proof, Settlement};
use crate::seller::Senders;
use objection::Objection;
use outcome::{NotSettled, PayingTx, SubmittedBy};

/// The permission to settle a payment in one transaction with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Batching {
    Allowed,
    Avoided,
}

/// Settles a payment. The same payment may be settled again, and has the same end.
pub(super) async fn settle(local: &LocalState, payment: ParsedPayment<'_>) -> Settlement {
    let mut spend = SpendLock::lock(local, &payment).await;
    let settlement = match spend.settle().await {
        Ok(paying) => {
            spend.remember(paying, spend.was_reported());
            spend.settled(paying)
        }
        Err(not_settled) => spend.not_settled(not_settled),
    };
    spend.release();
    settlement
}

/// Settles a payment, and reports its success once. See `Local::settle_once`.
pub(super) async fn settle_once(local: &LocalState, payment: ParsedPayment<'_>) -> Settlement {
    let mut spend = SpendLock::lock(local, &payment).await;
    let settlement = match spend.settle().await {
        Ok(paying) => {
            let was_reported = spend.was_reported();
            let is_ours = paying.by == SubmittedBy::Us || local.records.was_verified(&payment.id());
            spend.remember(paying, true);
            local.records.reported(&payment.id());
            if was_reported || !is_ours {
                payment.rejected(Reason::DuplicateSettlement).settlement(Some(paying.hash), Finality::Open)
            } else {
                spend.settled(paying)
            }
        }
        Err(NotSettled::Elsewhere(hash)) => {
            payment.rejected(Reason::DuplicateSettlement).settlement(Some(hash), Finality::Open)
        }
        // A payment of the past that was never seen here is presented again: its caller would ask for ever.
        Err(NotSettled::Used { at, .. })
            if at > payment.expiry() && spend.doubt.is_none() && !local.records.was_verified(&payment.id()) =>
        {
            payment.rejected(Reason::NonceAlreadyUsed).settlement(None, Finality::Open)
        }
        Err(not_settled) => spend.not_settled(not_settled),
    };
    spend.release();
    settlement
}

/// One spend while it is settled. It holds the lock of the spend's record, so that another call for the same spend
/// waits, and then finds the record.
///
/// A call that is dropped half way drops the lock and skips [`SpendLock::release`]. That loses nothing: the record says
/// how far the call came, the next call continues there, and an empty record goes with a later sweep.
struct SpendLock<'s> {
    local: &'s LocalState,
    payment: &'s ParsedPayment<'s>,
    record: OwnedMutexGuard<Option<SpendRecord>>,
    /// Set if an earlier call may have sent a transaction, perhaps this one, that is not followed any more.
    doubt: Option<Option<B256>>,
}

impl<'s> SpendLock<'s> {
    async fn lock(local: &'s LocalState, payment: &'s ParsedPayment<'s>) -> Self {
        let slot = local.records.slot(payment.id(), payment.expiry(), now());
        let record = slot.lock_owned().await;
        let doubt = match record.as_ref().map(|record| &record.stage) {
            Some(SpendStage::Doubtful(transaction)) => Some(*transaction),
            Some(SpendStage::Submitted(..) | SpendStage::Settled { .. }) | None => None,
        };
        Self { local, payment, record, doubt }
    }

    /// Unlocks the record, and forgets it if it is empty.
    fn release(self) {
        // The guard is one owner of the slot; it goes first, so that `Records::release` counts this call once.
        let slot: RecordSlot = OwnedMutexGuard::mutex(&self.record).clone();
        drop(self.record);
        self.local.records.release(self.payment.id(), slot);
    }

    fn was_reported(&self) -> bool {
        self.record.as_ref().is_some_and(|record| record.reported)
    }

    fn remember(&mut self, PayingTx { hash, block, .. }: PayingTx, reported: bool) {
        self.write(SpendStage::Settled { hash, block }, reported);
        self.local.records.settled(&self.payment.id(), now());
    }

    fn write(&mut self, stage: SpendStage, reported: bool) {
        *self.record = Some(SpendRecord { payload: self.payment.payload.clone(), stage, reported });
    }

    /// Lets the next call begin anew. That an earlier call may have sent something is not forgotten.
    fn begin_anew(&mut self) {
        match self.doubt {
            Some(transaction) => self.write(SpendStage::Doubtful(transaction), false),
            None => *self.record = None,
        }
    }

    fn settled(&self, PayingTx { hash, block, .. }: PayingTx) -> Settlement {
        Settlement::Settled { settlement: self.payment.settled(hash), proof: Proof::Logs { block } }
    }

    fn not_settled(&self, not_settled: NotSettled) -> Settlement {
        let unknown = |transaction: Option<B256>, message: String| Settlement::Unknown {
            transaction: transaction.or(self.doubt.flatten()).map(|hash| hash.to_string()),
            message,
            unanswered: false,
        };
        match not_settled {
            NotSettled::Refused { rejection, transaction, finality } => {
                let finality = if self.doubt.is_some() { Finality::Open } else { finality };
                rejection.settlement(transaction, finality)
            }
            NotSettled::Unknown { transaction, message } => unknown(transaction, message),
            NotSettled::Elsewhere(hash) => Settlement::SettledElsewhere { transaction: hash.to_string() },
            NotSettled::Used { transaction, .. } => {
                unknown(transaction, "its authorisation is used, and no transaction is known that used it".to_owned())
            }
            NotSettled::NotSent(message) if self.doubt.is_some() => unknown(None, message),
            NotSettled::NotSent(message) => Settlement::NotSent { message },
            NotSettled::TryAlone => unknown(None, "the transaction failed beside others".to_owned()),
        }
    }

    async fn settle(&mut self) -> Result<PayingTx, NotSettled> {
        match self.attempt(Batching::Allowed).await {
            Err(NotSettled::TryAlone) => self.attempt(Batching::Avoided).await,
            ended => ended,
        }
    }

    async fn attempt(&mut self, batching: Batching) -> Result<PayingTx, NotSettled> {
        let Some(known) = self.record.as_ref() else {
            return self.begin(batching).await;
        };
        if known.payload != self.payment.payload || !self.payment.pays_the_terms() {
            // Another signature, or other terms, for a spend that is under way or done: it is judged on its own.
            return match judge(self.local, self.payment, now()).await {
                Ok(_) => Err(NotSettled::Unknown {
                    transaction: None,
                    message: "the same authorisation is being settled with another signature".to_owned(),
                }),
                Err(judgement) => self.refuse(judgement).await,
            };
        }
        match known.stage.clone() {
            SpendStage::Settled { hash, block } => Ok(PayingTx { hash, block, by: SubmittedBy::Us }),
            SpendStage::Submitted(handle, kind) => self.conclude(&handle, kind).await,
            SpendStage::Doubtful(_) => self.begin(batching).await,
        }
    }

    /// Verifies, submits the transfer, and waits. The sequencer simulates it, so that the verification does not.
    async fn begin(&mut self, batching: Batching) -> Result<PayingTx, NotSettled> {
        let kind = match judge_without_simulation(self.local, self.payment, now()).await {
            Ok(kind) => kind,
            Err(judgement) => return self.refuse(judgement).await,
        };
        let is_contract = kind != PayerKind::Account;
        let handle = self.local.sequencer.submit(TxCall {
            to: self.payment.token.address,
            data: self.payment.transfer(kind).data(),
            // A contract wallet's code runs in the transaction, and may burn what gas there is.
            alone: is_contract || batching == Batching::Avoided,
            max_gas: is_contract.then(|| self.local.wallets.tx_gas()),
        });
        // Written before the wait for the receipt: if this call is dropped there, the next one finds the transaction.
        self.write(SpendStage::Submitted(handle.clone(), kind), false);
        self.conclude(&handle, kind).await
    }

    /// Waits for the receipt, and believes nothing but its logs. The record is dropped where the next call has to
    /// begin anew.
    async fn conclude(&mut self, handle: &TxHandle, kind: PayerKind) -> Result<PayingTx, NotSettled> {
        let inclusion = match handle.wait(self.local.receipt_timeout).await {
            TxStatus::Included(inclusion) => inclusion,
            TxStatus::Pending(transaction) => {
                return Err(NotSettled::Unknown { transaction, message: "no receipt in time".to_owned() });
            }
            TxStatus::Abandoned { transaction, why } => return self.search_for(transaction, why).await,
            // Nothing was sent, so the next call may submit anew.
            TxStatus::NotSent(error) => {
                self.begin_anew();
                return match error {
                    SendError::Reverts(text) => self.refuse(self.payment.reverts(&text).into()).await,
                    SendError::Refused(_) | SendError::Unreachable(_) => Err(NotSettled::NotSent(error.to_string())),
                };
            }
        };
        let (hash, block) = (inclusion.receipt.transaction_hash, inclusion.receipt.block_number.to());
        match evidence_in(&inclusion, &self.payment.on_chain()) {
            ReceiptEvidence::Paid => Ok(PayingTx { hash, block, by: SubmittedBy::Us }),
            // A token that lets a used authorisation pass without a transfer has moved the money elsewhere.
            ReceiptEvidence::OtherTransfer => {
                self.begin_anew();
                self.hold_to_chain(self.failed_in(&inclusion, Reason::TransferEventMismatch)).await
            }
            ReceiptEvidence::Unused => self.conclude_elsewhere(&inclusion, kind).await,
        }
    }

    /// The transaction did not use the authorisation. If it is used all the same, another account was faster.
    async fn conclude_elsewhere(&mut self, inclusion: &Inclusion, kind: PayerKind) -> Result<PayingTx, NotSettled> {
        let ended = self.hold_to_chain(self.failed_in(inclusion, Reason::TransactionFailed)).await;
        let Err(NotSettled::Refused { rejection, .. }) = &ended else {
            // What the chain said may change, and the receipt stays: the next call reads both again.
            return ended;
        };
        let is_unused = rejection.reason == Reason::TransactionFailed;
        self.begin_anew();
        if is_unused && kind == PayerKind::Contract {
            self.local.wallets.reverted(self.payment.authorization().from);
        }
        // Unused for sure: trying once more in a transaction of its own cannot pay twice.
        if is_unused && inclusion.shared { Err(NotSettled::TryAlone) } else { ended }
    }

    /// Judges a payment that was found by its log. It may have been made for another seller.
    async fn found(&self, transaction: B256, block: u64, by: SubmittedBy) -> Result<PayingTx, NotSettled> {
        let seller = &self.local.seller;
        match seller.paid_by(&self.local.chain, transaction, Senders::Own).await {
            Ok(sender) if seller.counts(sender) => Ok(PayingTx { hash: transaction, block, by }),
            Ok(_) => Err(NotSettled::Elsewhere(transaction)),
            Err(error) => Err(NotSettled::Unknown { transaction: Some(transaction), message: error.to_string() }),
        }
    }

    fn failed_in(&self, inclusion: &Inclusion, reason: Reason) -> Objection {
        let receipt = &inclusion.receipt;
        let failed = Some((receipt.transaction_hash, receipt.block_number.to()));
        Objection { rejection: self.payment.rejected(reason), failed, by: SubmittedBy::Us }
    }

    /// Looks for a payment whose transaction is not followed any more.
    async fn search_for(&mut self, transaction: Option<B256>, why: String) -> Result<PayingTx, NotSettled> {
        self.doubt = Some(transaction);
        self.begin_anew();
        match look_up(self.local, self.payment, transaction, 0).await {
            Ok(AuthorizationState::Paid { transaction, block }) => {
                self.found(transaction, block, SubmittedBy::Us).await
            }
            Ok(_) => Err(NotSettled::Unknown { transaction, message: why }),
            Err(error) => Err(NotSettled::Unknown { transaction, message: error.to_string() }),
        }
    }
}
