//! The settlement of one payment: found, resumed, or sent and waited for.
//!
//! Re-verifies everything and trusts nothing that was said before. The record is written when the
//! transfer is ordered, so a call that is dropped half way is resumed by the next one.

use alloy::primitives::B256;

use super::evidence::{ReceiptEvidence, shown};
use super::parsed::{ParsedPayment, Rejection};
use super::records::{SpendRecord, SpendStage};
use super::{Judgement, Local};
use crate::PayerKind;
use crate::Settlement;
use coinslot_evm::{SendError, TxCall, TxHandle, TxStatus};
use coinslot_x402::Reason;
use coinslot_x402::facilitator::PaymentRequest;

/// How a round at a payment ended.
enum SettleOutcome {
    Settled(B256, SubmittedBy),
    Refused(Rejection, Option<B256>),
    Unknown(Option<B256>, String),
    /// It failed beside others, perhaps because of them: again, in a transaction of its own.
    Again,
}

/// Whether a payment may share a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Batching {
    Welcome,
    Avoided,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SubmittedBy {
    /// Sent by this process, or while it was at it.
    Ours,
    /// On the chain before this process did anything.
    Foreign,
}

impl Local {
    /// Settles for a server that keeps no record of its own: a success is told once. Everyone else
    /// who presents the same payment hears `duplicate_settlement`, with the transaction.
    ///
    /// A payment that is on the chain already when it is first presented counts only if this process
    /// verified it while it was unused; otherwise every payment of the past could be presented again
    /// to a server that settles without verifying.
    pub async fn settle_once(&self, request: &PaymentRequest) -> Settlement {
        self.settle_payment(request, true).await
    }

    pub(super) async fn settle_payment(&self, request: &PaymentRequest, once: bool) -> Settlement {
        let payment = match self.read(request) {
            Ok(payment) => payment,
            Err(rejection) => return rejection.settlement(None),
        };
        let slot = self.records.slot(payment.id(), payment.expiry(), Self::now());
        let mut record = slot.lock().await;
        let mut round = self.round(&payment, &mut record, Batching::Welcome).await;
        if matches!(round, SettleOutcome::Again) {
            round = self.round(&payment, &mut record, Batching::Avoided).await;
        }
        let settlement = match round {
            SettleOutcome::Settled(hash, origin) => {
                let told = record.as_ref().is_some_and(|record| record.told);
                let proven = origin == SubmittedBy::Ours || self.records.was_verified(&payment.id());
                *record = Some(SpendRecord {
                    payload: payment.payload.clone(),
                    stage: SpendStage::Settled(hash),
                    told: told || once,
                });
                if once && (told || !proven) {
                    let rejection = payment.rejected(Reason::DuplicateSettlement);
                    rejection.settlement(Some(hash))
                } else {
                    Settlement::Settled(payment.settled(hash))
                }
            }
            SettleOutcome::Refused(rejection, hash) => rejection.settlement(hash),
            SettleOutcome::Unknown(hash, message) => {
                Settlement::Unknown { transaction: hash.map(|hash| hash.to_string()), message }
            }
            SettleOutcome::Again => {
                Settlement::Unknown { transaction: None, message: "the transaction failed beside others".to_owned() }
            }
        };
        drop(record);
        self.records.release(payment.id(), slot);
        settlement
    }

    async fn round(
        &self,
        payment: &ParsedPayment<'_>,
        record: &mut Option<SpendRecord>,
        company: Batching,
    ) -> SettleOutcome {
        let Some(known) = record.as_ref() else {
            return self.begin(payment, record, company).await;
        };
        if known.payload != payment.payload || !payment.pays_the_terms() {
            // Another signature, or other terms, for a spend that is under way or done: judged on
            // its own.
            return match self.judge(payment, Self::now(), true).await {
                Ok(_) => SettleOutcome::Refused(payment.rejected(Reason::DuplicateSettlement), None),
                Err(judgement) => self.refuse(payment, judgement).await,
            };
        }
        match known.stage.clone() {
            SpendStage::Settled(hash) => SettleOutcome::Settled(hash, SubmittedBy::Ours),
            SpendStage::Ordered(ticket) => self.conclude(payment, record, &ticket).await,
        }
    }

    /// Verifies, orders the transfer, and waits. The sequencer simulates it once more.
    async fn begin(
        &self,
        payment: &ParsedPayment<'_>,
        record: &mut Option<SpendRecord>,
        company: Batching,
    ) -> SettleOutcome {
        let kind = match self.judge(payment, Self::now(), false).await {
            Ok(kind) => kind,
            Err(judgement) => return self.refuse(payment, judgement).await,
        };
        let ticket = self.sequencer.submit(TxCall {
            to: payment.token.address,
            data: payment.transfer(kind).data(),
            // A wallet's code runs in the transaction, and may burn what gas there is.
            alone: kind != PayerKind::Account || company == Batching::Avoided,
        });
        let stage = SpendStage::Ordered(ticket.clone());
        *record = Some(SpendRecord { payload: payment.payload.clone(), stage, told: false });
        self.conclude(payment, record, &ticket).await
    }

    /// Waits for the receipt, and believes nothing but the log.
    async fn conclude(
        &self,
        payment: &ParsedPayment<'_>,
        record: &mut Option<SpendRecord>,
        ticket: &TxHandle,
    ) -> SettleOutcome {
        let landing = match ticket.wait(self.receipt_timeout).await {
            TxStatus::Included(landing) => landing,
            TxStatus::Pending(hash) => return SettleOutcome::Unknown(hash, "no receipt in time".to_owned()),
            TxStatus::Abandoned(hash) => {
                *record = None;
                return SettleOutcome::Unknown(hash, "nobody follows the transaction any more".to_owned());
            }
            TxStatus::NotSent(error) => {
                *record = None;
                return match error {
                    SendError::Reverts(text) => self.refuse(payment, payment.reverts(&text).into()).await,
                    SendError::Refused(_) | SendError::Unreachable(_) => {
                        SettleOutcome::Unknown(None, error.to_string())
                    }
                };
            }
        };
        let hash = landing.receipt.transaction_hash;
        match shown(payment, &landing) {
            ReceiptEvidence::Paid => return SettleOutcome::Settled(hash, SubmittedBy::Ours),
            ReceiptEvidence::SomethingElse => {
                *record = None;
                return SettleOutcome::Refused(payment.rejected(Reason::TransferEventMismatch), Some(hash));
            }
            ReceiptEvidence::Unused => {}
        }
        // If the authorisation is used all the same, somebody was faster.
        let used = self.is_used(payment).await;
        let found = match &used {
            Ok(true) => self.find(payment).await,
            Ok(false) => Ok(None),
            Err(error) => Err(error.clone()),
        };
        match found {
            Ok(Some(other)) => SettleOutcome::Settled(other, SubmittedBy::Ours),
            Ok(None) => {
                *record = None;
                if landing.shared && used == Ok(false) {
                    return SettleOutcome::Again;
                }
                SettleOutcome::Refused(payment.rejected(Reason::TransactionFailed), Some(hash))
            }
            Err(error) => SettleOutcome::Unknown(Some(hash), error.to_string()),
        }
    }

    /// A refusal, unless the chain shows that this very payment was made.
    async fn refuse(&self, payment: &ParsedPayment<'_>, judgement: Judgement) -> SettleOutcome {
        let rejection = match judgement {
            Judgement::Rejected(rejection) => rejection,
            Judgement::Unavailable(error) => return SettleOutcome::Unknown(None, error.message),
        };
        // Used, or late: it may have been in time for somebody. Only what is signed by its payer and
        // pays these terms is worth the question.
        let signed = match rejection.reason {
            _ if !payment.pays_the_terms() => false,
            Reason::NonceAlreadyUsed => true,
            Reason::ValidBefore => match self.signer(payment, Ok(())).await {
                Ok(_) => true,
                Err(Judgement::Rejected(_)) => false,
                Err(Judgement::Unavailable(error)) => {
                    return SettleOutcome::Unknown(None, error.message);
                }
            },
            _ => false,
        };
        if !signed {
            return SettleOutcome::Refused(rejection, None);
        }
        match self.find(payment).await {
            Ok(Some(hash)) => SettleOutcome::Settled(hash, SubmittedBy::Foreign),
            Ok(None) => SettleOutcome::Refused(rejection, None),
            Err(error) => SettleOutcome::Unknown(None, error.to_string()),
        }
    }
}
