//! The settlement of one payment: found, resumed, or sent and waited for.
//!
//! Re-verifies everything and trusts nothing that was said before. The record is written when the
//! transfer is ordered, so a call that is dropped half way is resumed by the next one.

use alloy::primitives::B256;

use super::claim::{Claim, Rejection};
use super::evidence::{Shown, shown};
use super::records::{Record, Stage};
use super::{Judgement, Local};
use crate::PayerKind;
use crate::Settlement;
use coinslot_evm::{Order, SendError, Ticket, Waited};
use coinslot_x402::Reason;
use coinslot_x402::facilitator::PaymentRequest;

/// How a round at a payment ended.
enum Round {
    Settled(B256, Origin),
    Refused(Rejection, Option<B256>),
    Unknown(Option<B256>, String),
    /// It failed beside others, perhaps because of them: again, in a transaction of its own.
    Again,
}

/// Whether a payment may share a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Company {
    Welcome,
    Avoided,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
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
        let claim = match self.read(request) {
            Ok(claim) => claim,
            Err(rejection) => return rejection.settlement(None),
        };
        let slot = self.records.slot(claim.id(), claim.expiry(), Self::now());
        let mut record = slot.lock().await;
        let mut round = self.round(&claim, &mut record, Company::Welcome).await;
        if matches!(round, Round::Again) {
            round = self.round(&claim, &mut record, Company::Avoided).await;
        }
        let settlement = match round {
            Round::Settled(hash, origin) => {
                let told = record.as_ref().is_some_and(|record| record.told);
                let proven = origin == Origin::Ours || self.records.was_verified(&claim.id());
                *record =
                    Some(Record { payload: claim.payload.clone(), stage: Stage::Settled(hash), told: told || once });
                if once && (told || !proven) {
                    let rejection = claim.rejected(Reason::DuplicateSettlement);
                    rejection.settlement(Some(hash))
                } else {
                    Settlement::Settled(claim.settled(hash))
                }
            }
            Round::Refused(rejection, hash) => rejection.settlement(hash),
            Round::Unknown(hash, message) => {
                Settlement::Unknown { transaction: hash.map(|hash| hash.to_string()), message }
            }
            Round::Again => {
                Settlement::Unknown { transaction: None, message: "the transaction failed beside others".to_owned() }
            }
        };
        drop(record);
        self.records.release(claim.id(), slot);
        settlement
    }

    async fn round(&self, claim: &Claim<'_>, record: &mut Option<Record>, company: Company) -> Round {
        let Some(known) = record.as_ref() else {
            return self.begin(claim, record, company).await;
        };
        if known.payload != claim.payload || !claim.pays_the_terms() {
            // Another signature, or other terms, for a spend that is under way or done: judged on
            // its own.
            return match self.judge(claim, Self::now(), true).await {
                Ok(_) => Round::Refused(claim.rejected(Reason::DuplicateSettlement), None),
                Err(judgement) => self.refuse(claim, judgement).await,
            };
        }
        match known.stage.clone() {
            Stage::Settled(hash) => Round::Settled(hash, Origin::Ours),
            Stage::Ordered(ticket) => self.conclude(claim, record, &ticket).await,
        }
    }

    /// Verifies, orders the transfer, and waits. The sequencer simulates it once more.
    async fn begin(&self, claim: &Claim<'_>, record: &mut Option<Record>, company: Company) -> Round {
        let kind = match self.judge(claim, Self::now(), false).await {
            Ok(kind) => kind,
            Err(judgement) => return self.refuse(claim, judgement).await,
        };
        let ticket = self.sequencer.submit(Order {
            to: claim.token.address,
            data: claim.transfer(kind).data(),
            // A wallet's code runs in the transaction, and may burn what gas there is.
            alone: kind != PayerKind::Account || company == Company::Avoided,
        });
        let stage = Stage::Ordered(ticket.clone());
        *record = Some(Record { payload: claim.payload.clone(), stage, told: false });
        self.conclude(claim, record, &ticket).await
    }

    /// Waits for the receipt, and believes nothing but the log.
    async fn conclude(&self, claim: &Claim<'_>, record: &mut Option<Record>, ticket: &Ticket) -> Round {
        let landing = match ticket.wait(self.receipt_timeout).await {
            Waited::Landed(landing) => landing,
            Waited::Open(hash) => return Round::Unknown(hash, "no receipt in time".to_owned()),
            Waited::Abandoned(hash) => {
                *record = None;
                return Round::Unknown(hash, "nobody follows the transaction any more".to_owned());
            }
            Waited::Unsent(error) => {
                *record = None;
                return match error {
                    SendError::Reverts(text) => self.refuse(claim, claim.reverts(&text).into()).await,
                    SendError::Refused(_) | SendError::Unreachable(_) => Round::Unknown(None, error.to_string()),
                };
            }
        };
        let hash = landing.receipt.transaction_hash;
        match shown(claim, &landing) {
            Shown::Paid => return Round::Settled(hash, Origin::Ours),
            Shown::SomethingElse => {
                *record = None;
                return Round::Refused(claim.rejected(Reason::TransferEventMismatch), Some(hash));
            }
            Shown::Unused => {}
        }
        // If the authorisation is used all the same, somebody was faster.
        let used = self.is_used(claim).await;
        let found = match &used {
            Ok(true) => self.find(claim).await,
            Ok(false) => Ok(None),
            Err(error) => Err(error.clone()),
        };
        match found {
            Ok(Some(other)) => Round::Settled(other, Origin::Ours),
            Ok(None) => {
                *record = None;
                if landing.shared && used == Ok(false) {
                    return Round::Again;
                }
                Round::Refused(claim.rejected(Reason::TransactionFailed), Some(hash))
            }
            Err(error) => Round::Unknown(Some(hash), error.to_string()),
        }
    }

    /// A refusal, unless the chain shows that this very payment was made.
    async fn refuse(&self, claim: &Claim<'_>, judgement: Judgement) -> Round {
        let rejection = match judgement {
            Judgement::Rejected(rejection) => rejection,
            Judgement::Unavailable(error) => return Round::Unknown(None, error.message),
        };
        // Used, or late: it may have been in time for somebody. Only what is signed by its payer and
        // pays these terms is worth the question.
        let signed = match rejection.reason {
            _ if !claim.pays_the_terms() => false,
            Reason::NonceAlreadyUsed => true,
            Reason::ValidBefore => match self.signer(claim, Ok(())).await {
                Ok(_) => true,
                Err(Judgement::Rejected(_)) => false,
                Err(Judgement::Unavailable(error)) => {
                    return Round::Unknown(None, error.message);
                }
            },
            _ => false,
        };
        if !signed {
            return Round::Refused(rejection, None);
        }
        match self.find(claim).await {
            Ok(Some(hash)) => Round::Settled(hash, Origin::Foreign),
            Ok(None) => Round::Refused(rejection, None),
            Err(error) => Round::Unknown(None, error.to_string()),
        }
    }
}
