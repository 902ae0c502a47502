//! Takes the money: the one place that asks a facilitator to settle for a request.

use std::sync::Arc;
use std::time::{Duration, Instant};

use coinslot_facilitator::{OnChain, Settlement};
use coinslot_ledger::{LedgerError, PaymentId, SettledBy, Step};
use coinslot_x402::{Reason, SettlementResponse};

use super::accepted::Accepted;
use super::identity::same_address;
use super::{Payments, Problem};

/// The settlement of one claimed payment, which no other request can settle.
pub(super) struct SettlementAttempt<'a> {
    pub(super) accepted: &'a Accepted,
    pub(super) id: &'a PaymentId,
    /// The time that the checks took.
    pub(super) verify: Duration,
    /// The time that the guest took, if it has run.
    pub(super) run: Option<Duration>,
}

/// The result of writing a confirmed settlement into the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recorded {
    Durably,
    /// The write failed. The payment stays settling until recovery has asked the chain.
    Not,
}

impl SettlementAttempt<'_> {
    /// Writes down, durably, that the settlement of this request is about to be sent. On an error nothing was sent.
    pub(super) async fn begin(&self, payments: &Payments, step: impl FnOnce(String) -> Step) -> Result<(), Problem> {
        let request = match serde_json::to_string(&self.accepted.request) {
            Ok(request) => request,
            Err(error) => {
                super::reserved::release(payments, self.id).await;
                return Err(Problem::Ledger(error.to_string()));
            }
        };
        let Err(error) = payments.ledger.advance(self.id, step(request), payments.now()).await else {
            return Ok(());
        };
        // The row may have become settling all the same. Then the release is refused, and recovery decides.
        Err(match payments.ledger.advance(self.id, Step::Released, payments.now()).await {
            Ok(()) => Problem::Ledger(error.to_string()),
            Err(_) => Problem::Unknown { payment_id: self.id.short() },
        })
    }

    /// Asks the facilitator to settle, and writes down how that ends.
    ///
    /// Three ends. Settled: the money moved. `NotSettled`: nothing moved and nothing will. `Unknown`: the transfer may
    /// still arrive; the entry waits for recovery, which asks the chain, and the client for the same payment's answer.
    pub(super) async fn settle(&self, payments: &Arc<Payments>) -> Result<(SettlementResponse, Recorded), Problem> {
        let begun = Instant::now();
        match self.submit().await {
            Settlement::Settled(settlement) => {
                let recorded = self.settled(payments, &settlement, begun.elapsed()).await?;
                Ok((settlement, recorded))
            }
            // The nonce was unused when it was verified: it is used by this very settlement, or by a transaction that
            // was faster. Either way the payer has paid, and must not be asked again.
            Settlement::Refused { reason, .. } if reason == Reason::NonceAlreadyUsed.as_str() => {
                tracing::warn!(payment = %self.id.short(), "its nonce is used, and no transaction is known that used it");
                Err(self.unknown(payments, None).await)
            }
            Settlement::Refused { reason, message, transaction } => {
                Err(self.refused(payments, reason, message, transaction).await)
            }
            Settlement::Unknown { transaction, message } => {
                tracing::warn!(payment = %self.id.short(), ?transaction, %message, "a settlement's end is unknown");
                Err(self.unknown(payments, transaction).await)
            }
        }
    }

    /// Submits the payment. A remote facilitator's refusal is held to the chain, where there is one to ask.
    async fn submit(&self) -> Settlement {
        let method = &self.accepted.payment_method;
        let end = method.facilitator.settle(&self.accepted.request).await;
        if let (Settlement::Refused { .. }, false, Some(probe)) = (&end, method.batches, &method.probe)
            && let OnChain::Paid(settlement) = probe.look_up(&self.accepted.request).await
        {
            tracing::error!(payment = %self.id.short(), "the facilitator called refused what the chain shows as paid");
            return Settlement::Settled(settlement);
        }
        end
    }

    async fn settled(
        &self,
        payments: &Payments,
        settlement: &SettlementResponse,
        settle: Duration,
    ) -> Result<Recorded, Problem> {
        let payment = self.id.short();
        // Unknown, and not refused: money may have moved, only not as the facilitator says.
        if let Some(difference) = self.disagreement(settlement) {
            tracing::error!(%payment, %difference, "the facilitator's settlement is not this payment's");
            return Err(self.unknown(payments, None).await);
        }
        let alone = !self.accepted.payment_method.batches;
        let by = SettledBy::Request { alone, verify: self.verify, run: self.run, settle };
        let step = Step::Settled { settlement: settlement.clone(), by };
        match payments.ledger.advance(self.id, step, payments.now()).await {
            Ok(()) => Ok(Recorded::Durably),
            Err(error @ LedgerError::Transaction { .. }) => {
                tracing::error!(%payment, %error, "the facilitator's settlement is another payment's");
                Err(self.unknown(payments, None).await)
            }
            Err(error) => {
                tracing::error!(%payment, %error, "a settled payment could not be written");
                Ok(Recorded::Not)
            }
        }
    }

    async fn refused(
        &self,
        payments: &Payments,
        reason: String,
        message: Option<String>,
        transaction: String,
    ) -> Problem {
        // Before the write, which may fail: the payer's next payment is then settled first in any case.
        payments.count_failed_settlement(self.id.payer());
        let sent = (!transaction.is_empty()).then(|| transaction.clone());
        let step = Step::Refused { reason: reason.clone(), transaction: sent };
        if let Err(error) = payments.ledger.advance(self.id, step, payments.now()).await {
            tracing::error!(payment = %self.id.short(), %error, "a refused payment could not be written");
        }
        Problem::NotSettled {
            reason,
            message,
            transaction,
            network: self.id.network().clone(),
            payer: self.id.payer().to_owned(),
            version: self.accepted.version(),
        }
    }

    /// Leaves the payment to recovery.
    async fn unknown(&self, payments: &Payments, transaction: Option<String>) -> Problem {
        if let Err(error) = payments.ledger.advance(self.id, Step::Unknown { transaction }, payments.now()).await {
            tracing::error!(payment = %self.id, %error, "an unknown settlement could not be written");
        }
        payments.wake_recovery();
        Problem::Unknown { payment_id: self.id.short() }
    }

    /// The reason why a facilitator's success is not this payment's, if it is not.
    fn disagreement(&self, settlement: &SettlementResponse) -> Option<String> {
        if !settlement.success || settlement.transaction.is_empty() {
            return Some("it claims success without a transaction".to_owned());
        }
        match &settlement.payer {
            Some(payer) if !same_address(payer, self.id.payer()) => Some(format!("it names the payer {payer}")),
            _ => None,
        }
    }
}
