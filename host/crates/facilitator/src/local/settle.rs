//! The settlement of one payment: finds it, resumes it, or sends it and waits for it.
//!
//! Everything is verified again, whatever was said before. The record is written when the
//! transfer is submitted, so a call that is dropped half way is resumed by the next one. A receipt proves nothing but
//! by its logs; and when they do not prove the payment, or the chain refuses it, the chain is searched for the same
//! payment by another account's transaction before the payment is called refused.

use alloy::primitives::B256;
use coinslot_evm::{Inclusion, SendError, TxCall, TxHandle, TxStatus};
use coinslot_x402::Reason;
use coinslot_x402::facilitator::PaymentRequest;
use tokio::sync::OwnedMutexGuard;

use super::evidence::{ReceiptEvidence, evidence_in, find, is_used};
use super::parsed::{ParsedPayment, parse};
use super::records::{RecordSlot, SpendRecord, SpendStage};
use super::rejection::{Judgement, Rejection};
use super::state::{LocalState, now};
use super::verify::{check_signature, judge, judge_without_simulation};
use crate::facilitator::{PayerKind, Settlement};

/// The transaction that made a payment.
type PayingTx = (B256, SubmittedBy);

/// The end of an attempt that does not show the payment.
enum NotSettled {
    Refused(Rejection, Option<B256>),
    Unknown(Option<B256>, String),
    /// It failed in a batch, perhaps because of the other calls: it is tried again in a transaction of its own.
    TryAlone,
}

/// The choice of a transaction for a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Batching {
    Allowed,
    Avoided,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SubmittedBy {
    /// This process, or another account while this process was settling it.
    Us,
    /// Another account, before this process did anything.
    Others,
}

/// Settles a payment. The same payment may be settled again, and has the same end.
pub(super) async fn settle(local: &LocalState, request: &PaymentRequest) -> Settlement {
    let payment = match parse(local, request) {
        Ok(payment) => payment,
        Err(rejection) => return rejection.settlement(None),
    };
    let mut spend = SpendLock::lock(local, &payment).await;
    let settlement = match spend.settle().await {
        Ok((hash, _)) => {
            spend.remember(hash, spend.was_reported());
            Settlement::Settled(payment.settled(hash))
        }
        Err(not_settled) => not_settled.into(),
    };
    spend.release();
    settlement
}

/// Settles a payment, and reports its success once. See `Local::settle_once`.
pub(super) async fn settle_once(local: &LocalState, request: &PaymentRequest) -> Settlement {
    let payment = match parse(local, request) {
        Ok(payment) => payment,
        Err(rejection) => return rejection.settlement(None),
    };
    let mut spend = SpendLock::lock(local, &payment).await;
    let settlement = match spend.settle().await {
        Ok((hash, by)) => {
            let was_reported = spend.was_reported();
            let is_ours = by == SubmittedBy::Us || local.records.was_verified(&payment.id());
            spend.remember(hash, true);
            if was_reported || !is_ours {
                payment.rejected(Reason::DuplicateSettlement).settlement(Some(hash))
            } else {
                Settlement::Settled(payment.settled(hash))
            }
        }
        Err(not_settled) => not_settled.into(),
    };
    spend.release();
    settlement
}

impl From<NotSettled> for Settlement {
    fn from(not_settled: NotSettled) -> Self {
        match not_settled {
            NotSettled::Refused(rejection, hash) => rejection.settlement(hash),
            NotSettled::Unknown(hash, message) => {
                Self::Unknown { transaction: hash.map(|hash| hash.to_string()), message }
            }
            NotSettled::TryAlone => {
                Self::Unknown { transaction: None, message: "the transaction failed beside others".to_owned() }
            }
        }
    }
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
}

impl<'s> SpendLock<'s> {
    async fn lock(local: &'s LocalState, payment: &'s ParsedPayment<'s>) -> Self {
        let slot = local.records.slot(payment.id(), payment.expiry(), now());
        Self { local, payment, record: slot.lock_owned().await }
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

    fn remember(&mut self, hash: B256, reported: bool) {
        let stage = SpendStage::Settled(hash);
        *self.record = Some(SpendRecord { payload: self.payment.payload.clone(), stage, reported });
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
                Ok(_) => Err(NotSettled::Refused(self.payment.rejected(Reason::DuplicateSettlement), None)),
                Err(judgement) => self.refuse(judgement).await,
            };
        }
        match known.stage.clone() {
            SpendStage::Settled(hash) => Ok((hash, SubmittedBy::Us)),
            SpendStage::Submitted(handle) => self.conclude(&handle).await,
        }
    }

    /// Verifies, submits the transfer, and waits. The sequencer simulates it, so that the verification does not.
    async fn begin(&mut self, batching: Batching) -> Result<PayingTx, NotSettled> {
        let kind = match judge_without_simulation(self.local, self.payment, now()).await {
            Ok(kind) => kind,
            Err(judgement) => return self.refuse(judgement).await,
        };
        let handle = self.local.sequencer.submit(TxCall {
            to: self.payment.token.address,
            data: self.payment.transfer(kind).data(),
            // A contract wallet's code runs in the transaction, and may burn what gas there is.
            alone: kind != PayerKind::Account || batching == Batching::Avoided,
        });
        // Written before the wait for the receipt: if this call is dropped there, the next one finds the transaction.
        let stage = SpendStage::Submitted(handle.clone());
        *self.record = Some(SpendRecord { payload: self.payment.payload.clone(), stage, reported: false });
        self.conclude(&handle).await
    }

    /// Waits for the receipt, and believes nothing but its logs. The record is dropped where the next call has to
    /// begin anew.
    async fn conclude(&mut self, handle: &TxHandle) -> Result<PayingTx, NotSettled> {
        let inclusion = match handle.wait(self.local.receipt_timeout).await {
            TxStatus::Included(inclusion) => inclusion,
            TxStatus::Pending(hash) => return Err(NotSettled::Unknown(hash, "no receipt in time".to_owned())),
            TxStatus::Abandoned(hash) => {
                *self.record = None;
                let message = "the sequencer stopped before the transaction was in a block".to_owned();
                return Err(NotSettled::Unknown(hash, message));
            }
            // Nothing was sent, so the next call may submit anew.
            TxStatus::NotSent(error) => {
                *self.record = None;
                return match error {
                    SendError::Reverts(text) => self.refuse(self.payment.reverts(&text).into()).await,
                    SendError::Refused(_) | SendError::Unreachable(_) => {
                        Err(NotSettled::Unknown(None, error.to_string()))
                    }
                };
            }
        };
        let hash = inclusion.receipt.transaction_hash;
        match evidence_in(&inclusion, &self.payment.on_chain()) {
            ReceiptEvidence::Paid => Ok((hash, SubmittedBy::Us)),
            ReceiptEvidence::OtherTransfer => {
                *self.record = None;
                Err(NotSettled::Refused(self.payment.rejected(Reason::TransferEventMismatch), Some(hash)))
            }
            ReceiptEvidence::Unused => self.conclude_elsewhere(&inclusion).await,
        }
    }

    /// The transaction did not use the authorisation. If it is used all the same, another account was faster.
    async fn conclude_elsewhere(&mut self, inclusion: &Inclusion) -> Result<PayingTx, NotSettled> {
        let hash = inclusion.receipt.transaction_hash;
        let used = is_used(self.local, self.payment).await;
        let found = match &used {
            Ok(true) => find(self.local, self.payment).await,
            Ok(false) => Ok(None),
            Err(error) => Err(error.clone()),
        };
        match found {
            Ok(Some(other)) => Ok((other, SubmittedBy::Us)),
            Ok(None) => {
                *self.record = None;
                // Unused for sure: trying once more in a transaction of its own cannot pay twice.
                if inclusion.shared && used == Ok(false) {
                    return Err(NotSettled::TryAlone);
                }
                Err(NotSettled::Refused(self.payment.rejected(Reason::TransactionFailed), Some(hash)))
            }
            Err(error) => Err(NotSettled::Unknown(Some(hash), error.to_string())),
        }
    }

    /// Refuses the payment, unless the chain shows that it was made.
    async fn refuse(&self, judgement: Judgement) -> Result<PayingTx, NotSettled> {
        let rejection = match judgement {
            Judgement::Rejected(rejection) => rejection,
            Judgement::Unavailable(error) => return Err(NotSettled::Unknown(None, error.message)),
        };
        // Used, or late: another account may have submitted it in time. The search costs several reads, so only what
        // is signed by its payer and pays these terms is searched for.
        let is_signed = match rejection.reason {
            _ if !self.payment.pays_the_terms() => false,
            Reason::NonceAlreadyUsed => true,
            Reason::ValidBefore => match check_signature(self.local, self.payment).await {
                Ok(_) => true,
                Err(Judgement::Rejected(_)) => false,
                Err(Judgement::Unavailable(error)) => return Err(NotSettled::Unknown(None, error.message)),
            },
            _ => false,
        };
        if !is_signed {
            return Err(NotSettled::Refused(rejection, None));
        }
        match find(self.local, self.payment).await {
            Ok(Some(hash)) => Ok((hash, SubmittedBy::Others)),
            Ok(None) => Err(NotSettled::Refused(rejection, None)),
            Err(error) => Err(NotSettled::Unknown(None, error.to_string())),
        }
    }
}
