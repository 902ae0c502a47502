//! The settlement of one payment: found, resumed, or sent and waited for.
//!
//! Re-verifies everything and trusts nothing that was said before. The record is written before the
//! transaction leaves, so a call that is dropped half way is resumed by the next one.

use alloy::primitives::B256;

use super::claim::{Claim, Rejection};
use super::evidence::shows_transfer;
use super::records::{Record, Stage};
use super::{Judgement, Local};
use crate::chain::evm::{CallError, Refusal, SendError, Sent};
use crate::facilitator::Settlement;
use crate::x402::Reason;
use crate::x402::facilitator::PaymentRequest;

/// How a round at a payment ended.
enum Round {
    Settled(B256, Origin),
    Refused(Rejection, Option<B256>),
    Unknown(Option<B256>, String),
    /// Our transaction can never be in a block: begin again.
    Again,
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
        let mut round = self.round(&claim, &mut record).await;
        if matches!(round, Round::Again) {
            round = self.round(&claim, &mut record).await;
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
                Settlement::Unknown { transaction: None, message: "the transaction lost its nonce twice".to_owned() }
            }
        };
        drop(record);
        self.records.release(claim.id(), slot);
        settlement
    }

    async fn round(&self, claim: &Claim<'_>, record: &mut Option<Record>) -> Round {
        let Some(known) = record.as_ref() else {
            return self.begin(claim, record).await;
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
            Stage::Sent(sent) => self.resume(claim, record, sent).await,
        }
    }

    /// Verifies, sends, and waits. The gas estimate is the simulation.
    async fn begin(&self, claim: &Claim<'_>, record: &mut Option<Record>) -> Round {
        let kind = match self.judge(claim, Self::now(), false).await {
            Ok(kind) => kind,
            Err(judgement) => return self.refuse(claim, judgement).await,
        };
        let remember = |sent| {
            *record = Some(Record { payload: claim.payload.clone(), stage: Stage::Sent(sent), told: false });
        };
        let data = claim.transfer(kind).data();
        let sent = self.sender.send(claim.token.address, data, remember).await;
        match sent {
            Ok(hash) => self.conclude(claim, record, hash).await,
            Err(SendError::Lost { hash, error }) => Round::Unknown(Some(hash), error.to_string()),
            Err(SendError::Reverts(text)) => self.refuse(claim, claim.reverts(&text).into()).await,
            Err(error @ (SendError::Refused(_) | SendError::Unreachable(_))) => {
                self.gauge.doubt();
                *record = None;
                Round::Unknown(None, error.to_string())
            }
        }
    }

    /// Goes on with a transaction of an earlier call. Sending it again is the same transaction.
    async fn resume(&self, claim: &Claim<'_>, record: &mut Option<Record>, sent: Sent) -> Round {
        let unknown = |error: CallError| Round::Unknown(Some(sent.hash), error.to_string());
        match self.chain.knows(sent.hash).await {
            Ok(true) => return self.conclude(claim, record, sent.hash).await,
            Ok(false) => {}
            Err(error) => return unknown(error),
        }
        let gone = match self.sender.hand_over(&sent).await {
            Ok(()) => return self.conclude(claim, record, sent.hash).await,
            Err(CallError::Refused(text)) if Refusal::of(&text) == Refusal::NonceTaken => text,
            Err(error) => return unknown(error),
        };
        // Its nonce is gone: perhaps to itself, in the newest block.
        match self.chain.receipt(sent.hash).await {
            Ok(Some(_)) => self.conclude(claim, record, sent.hash).await,
            Ok(None) => {
                tracing::warn!(transaction = %sent.hash, reason = gone, "a settlement lost its nonce; sending it anew");
                *record = None;
                Round::Again
            }
            Err(error) => unknown(error),
        }
    }

    /// Waits for the receipt, and believes nothing but the log.
    async fn conclude(&self, claim: &Claim<'_>, record: &mut Option<Record>, hash: B256) -> Round {
        let waited = self.chain.wait_for_receipt(hash, self.receipt_timeout);
        let receipt = match waited.await {
            Ok(Some(receipt)) => receipt,
            Ok(None) => return Round::Unknown(Some(hash), "no receipt in time".to_owned()),
            Err(error) => return Round::Unknown(Some(hash), error.to_string()),
        };
        if shows_transfer(claim, &receipt) {
            return Round::Settled(hash, Origin::Ours);
        }
        if receipt.succeeded() {
            *record = None;
            return Round::Refused(claim.rejected(Reason::TransferEventMismatch), Some(hash));
        }
        // Reverted. If the authorisation is used all the same, somebody was faster.
        let found = match self.is_used(claim).await {
            Ok(true) => self.find(claim).await,
            Ok(false) => Ok(None),
            Err(error) => Err(error),
        };
        match found {
            Ok(Some(other)) => Round::Settled(other, Origin::Ours),
            Ok(None) => {
                *record = None;
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
