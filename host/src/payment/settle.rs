//! Takes the money: the one place that asks a facilitator to settle for a request.

use std::sync::Arc;
use std::time::{Duration, Instant};

use coinslot_facilitator::with_call_trace;
use coinslot_ledger::{Hold, LedgerError, PaymentId, Reported, SettledBy, Step};
use coinslot_x402::{Reason, SettlementResponse};

use super::accepted::Accepted;
use super::evidence::{Asker, ChainEvidence, Conclusion, EarlierAnswer, Evidence, Situation, conclude, confirm};
use super::trace::Stage;
use super::{Payments, Problem};

/// The settlement of one claimed payment, which no other request can settle.
pub(super) struct SettlementAttempt<'a> {
    pub(super) accepted: &'a Accepted,
    pub(super) hold: &'a Hold,
    /// The time that the checks took.
    pub(super) verify: Duration,
    /// The time that the guest took, if it has run.
    pub(super) run: Option<Duration>,
}

/// The result of writing a confirmed settlement into the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recorded {
    /// Written, or noted where recovery finds it out again.
    Yes,
    /// The write failed. The payment stays settling until recovery has asked the chain.
    No,
}

impl SettlementAttempt<'_> {
    /// Writes down, durably, that the settlement of this request is about to be sent. On an error nothing was sent.
    pub(super) async fn begin(&self, payments: &Payments, step: impl FnOnce(String) -> Step) -> Result<(), Problem> {
        let request = match serde_json::to_string(&self.accepted.request) {
            Ok(request) => request,
            Err(error) => {
                super::reserved::release(payments, self.hold).await;
                return Err(Problem::Ledger(error.to_string()));
            }
        };
        let Err(error) = payments.ledger.advance(self.hold, step(request), payments.now()).await else {
            return Ok(());
        };
        // The row may have become settling all the same. Then the release is refused, and recovery decides.
        Err(match payments.ledger.advance(self.hold, Step::Released, payments.now()).await {
            Ok(()) => Problem::Ledger(error.to_string()),
            Err(_) => Problem::Unknown { payment_id: self.id().short() },
        })
    }

    /// Asks the facilitator to settle, and writes down how that ends.
    ///
    /// Five ends. Settled: the money moved. `SettledElsewhere`: it moved for another host. `NotSettled`: nothing moved
    /// and nothing will. `NotSent`: nothing was sent, and the payment can be used again. `Unknown`: the transfer may
    /// still arrive; the entry waits for recovery, which asks the chain, and the client for the same payment's answer.
    pub(super) async fn settle(&self, payments: &Arc<Payments>) -> Result<(SettlementResponse, Recorded), Problem> {
        let begun = Instant::now();
        payments.settling(self.id());
        let method = &self.accepted.payment_method;
        let asking = self.accepted.trace.stage(Stage::Settle);
        let settling = method.facilitator.settle(&self.accepted.request);
        let answered = with_call_trace(asking.calls(), settling).await;
        drop(asking);
        let situation = self.situation(payments);
        let mut conclusion = conclude(Evidence::Facilitator(answered), situation);
        if let Conclusion::AskChain { transaction, reported, otherwise } = conclusion {
            conclusion = match &method.probe {
                None => *otherwise,
                Some(probe) => {
                    let shown = ChainEvidence::look_up(probe, &self.accepted.request, transaction.as_deref()).await;
                    confirm(shown, *otherwise, Situation { reported, ..situation })
                }
            };
        }
        match conclusion {
            Conclusion::Settled { settlement, alone, block } => {
                let by = SettledBy::Request { alone, verify: self.verify, run: self.run, settle: begun.elapsed() };
                let recorded = self.settled(payments, &settlement, by, block).await?;
                Ok((settlement, recorded))
            }
            Conclusion::Refused { reason, message, transaction, watch } => {
                Err(self.refused(payments, reason, message, transaction, watch).await)
            }
            Conclusion::SettledElsewhere { transaction } => Err(self.settled_elsewhere(payments, transaction).await),
            Conclusion::NotSent { message } => Err(self.not_sent(payments, message).await),
            // The chain was asked above, and only recovery comes to the last but one.
            Conclusion::AskChain { transaction, reported, .. } => {
                Err(self.unknown(payments, transaction, None, reported).await)
            }
            Conclusion::Undecidable { reason } => Err(self.unknown(payments, None, Some(reason), None).await),
            Conclusion::Open { transaction, why, answer, reported } => {
                tracing::warn!(payment = %self.id().short(), ?transaction, %why, "a settlement's end is unknown");
                Err(self.unknown(payments, transaction, answer, reported).await)
            }
        }
    }

    fn situation(&self, payments: &Payments) -> Situation {
        Situation {
            asker: Asker::Request,
            has_node: self.accepted.payment_method.probe.is_some(),
            valid_before: self.accepted.valid_before(),
            now: payments.now(),
            looks_used: 0,
            earlier: EarlierAnswer::Absent,
            reported: None,
        }
    }

    async fn settled(
        &self,
        payments: &Payments,
        settlement: &SettlementResponse,
        by: SettledBy,
        block: Option<u64>,
    ) -> Result<Recorded, Problem> {
        payments.remember_settlement(self.id().payer());
        let payment = self.id().short();
        let step = Step::Settled { settlement: settlement.clone(), by, block };
        // Where the chain can be asked, recovery finds the settlement out: the answer does not wait for the disk. In
        // the upfront flow the guest runs next, which needs the step; a facilitator's word is kept nowhere else; and the
        // next request of a payer who bought a pass looks for it.
        let can_find_out = self.accepted.payment_method.probe.is_some() && !by.alone();
        if can_find_out && self.run.is_some() && !self.accepted.buys_pass {
            payments.ledger.note(self.hold, step, payments.now());
            return Ok(Recorded::Yes);
        }
        match payments.ledger.advance(self.hold, step, payments.now()).await {
            Ok(()) => Ok(Recorded::Yes),
            Err(error @ LedgerError::Transaction { .. }) => {
                tracing::error!(%payment, %error, "the facilitator's settlement is another payment's");
                Err(self.unknown(payments, None, Some(error.to_string()), None).await)
            }
            Err(error) => {
                tracing::error!(%payment, %error, "a settled payment could not be written");
                Ok(Recorded::No)
            }
        }
    }

    async fn refused(
        &self,
        payments: &Payments,
        reason: String,
        message: Option<String>,
        transaction: String,
        watch: bool,
    ) -> Problem {
        // Before the write, which may fail: the payer's next payment is then settled first in any case.
        payments.remember_failed_settlement(self.id().payer(), payments.now());
        let sent = (!transaction.is_empty()).then(|| transaction.clone());
        let step = Step::Refused { reason: reason.clone(), transaction: sent, watch };
        if let Err(error) = payments.ledger.advance(self.hold, step, payments.now()).await {
            tracing::error!(payment = %self.id().short(), %error, "a refused payment could not be written");
        }
        Problem::NotSettled {
            reason,
            message,
            transaction,
            network: self.id().network().clone(),
            payer: self.id().payer().to_owned(),
            version: self.accepted.version(),
        }
    }

    /// Ends the payment, which bought an answer of another host with the same receiver.
    async fn settled_elsewhere(&self, payments: &Payments, transaction: Option<String>) -> Problem {
        // The payer may have given one payment to two hosts: the next one is settled before anything runs for it.
        payments.remember_failed_settlement(self.id().payer(), payments.now());
        tracing::warn!(payment = %self.id().short(), ?transaction, "settled for another host with this receiver");
        if let Err(error) = payments.ledger.advance(self.hold, settled_elsewhere(transaction), payments.now()).await {
            tracing::error!(payment = %self.id().short(), %error, "a payment of another host could not be written");
        }
        Problem::SettledElsewhere { payment_id: self.id().short() }
    }

    /// Gives the claim back.
    pub(super) async fn not_sent(&self, payments: &Payments, message: String) -> Problem {
        match payments.ledger.advance(self.hold, Step::NotSent, payments.now()).await {
            Ok(()) => Problem::NotSent { message },
            Err(error) => {
                tracing::error!(payment = %self.id().short(), %error, "a claim could not be released");
                Problem::Unknown { payment_id: self.id().short() }
            }
        }
    }

    /// Leaves the payment to recovery, with what the facilitator said about it.
    async fn unknown(
        &self,
        payments: &Payments,
        transaction: Option<String>,
        reason: Option<String>,
        reported: Option<Reported>,
    ) -> Problem {
        let step = Step::Unknown { transaction, reason, reported };
        if let Err(error) = payments.ledger.advance(self.hold, step, payments.now()).await {
            tracing::error!(payment = %self.id(), %error, "an unknown settlement could not be written");
        }
        payments.wake_recovery();
        Problem::Unknown { payment_id: self.id().short() }
    }

    fn id(&self) -> &PaymentId {
        &self.hold.id
    }
}

/// The step of a payment that another host with the same receiver has taken. A repetition knows it by the reason.
pub(super) fn settled_elsewhere(transaction: Option<String>) -> Step {
    Step::Refused { reason: Reason::DuplicateSettlement.as_str().to_owned(), transaction, watch: false }
}
