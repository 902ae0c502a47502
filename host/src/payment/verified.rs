//! The state Verified: signed, in time, and admitted. The next step claims the payment.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use coinslot_facilitator::{PayerKind, Readiness};
use coinslot_ledger::{Claimed, PaymentId};
use coinslot_plugin::Circuit;
use coinslot_x402::Flow;
use coinslot_x402::exact::SignedBy;
use http::Request;

use super::accepted::{Accepted, RefusedPayment};
use super::claim::{self, ClaimOutcome};
use super::hold::Hold;
use super::identity;
use super::problem::check_circuit;
use super::{Payments, Problem, Purchase, Reserved, challenge};

/// A payment that is for us, in time, and signed as far as can be told without a chain.
#[derive(Debug)]
#[must_use]
pub struct Verified {
    accepted: Accepted,
    signed: SignedBy,
    id: PaymentId,
}

impl Verified {
    pub(super) fn new(accepted: Accepted, signed: SignedBy) -> Self {
        let id = identity::payment_id(&accepted.price.asset, &accepted.exact);
        Self { accepted, signed, id }
    }

    pub(super) fn payment_id(&self) -> PaymentId {
        self.id.clone()
    }

    /// Refuses what could only buy a 503: a facilitator without gas, a plugin whose circuit is open, or a payer above
    /// its rate, who would keep everybody else waiting.
    pub(super) fn admit(self, payments: &Payments, circuit: Circuit) -> Result<Self, RefusedPayment> {
        let problem = match self.accepted.payment_method.facilitator.readiness() {
            Readiness::NoGas => Some(Problem::CannotSettle),
            Readiness::Ready => check_circuit(circuit)
                .and_then(|()| payments.count_payment(self.accepted.exact.authorization.from))
                .err(),
        };
        match problem {
            None => Ok(self),
            Some(problem) => Err(self.accepted.refuse(problem)),
        }
    }

    /// Claims the payment for this request, durably, and then asks the facilitator to verify it. On an error the claim
    /// is released, except where the row belongs to an earlier attempt.
    pub(super) async fn reserve(
        self,
        payments: &Arc<Payments>,
        purchase: &Purchase,
        request: &Request<Bytes>,
    ) -> Result<ClaimOutcome, Problem> {
        let begun = Instant::now();
        let Self { accepted, signed, id } = self;
        let (flow, exposure) = match signed {
            // Only the chain can judge the signature, and a contract may change its mind: the money moves first.
            SignedBy::PerhapsContract => (Flow::Upfront, None),
            SignedBy::Payer => payments.flow(purchase, &accepted.payment_method, &id, accepted.price.amount),
        };
        // Before the claim, which for an owed payment makes the row executing.
        claim::check_owed_retry(payments, &id)?;
        let row = claim::row(payments, purchase, &accepted, &id, flow, request);
        match payments.ledger.claim(row).await {
            Ok(Claimed::Won) => {}
            Ok(Claimed::Refused { reason }) => {
                let challenge = challenge::because(payments, purchase, &reason);
                return Err(Problem::Invalid { reason, message: None, challenge });
            }
            Ok(earlier) => {
                let receipt = identity::receipt(&accepted.price.asset, &accepted.exact, &id);
                return claim::of_earlier(payments, earlier, id, accepted.version(), receipt);
            }
            Err(error) => return Err(Problem::Ledger(error.to_string())),
        }
        // Right after the claim is won, with no wait in between: a panic from here on gives the claim back.
        let hold = Hold::new(payments, id);
        let (reserved, payer) = Reserved::confirm(payments, purchase, accepted, hold, exposure, begun).await?;
        // A contract may call its own signature false between the run and the settlement.
        Ok(match (flow, payer) {
            (Flow::Upfront, _) | (_, PayerKind::Contract) => ClaimOutcome::SettleFirst(reserved),
            (Flow::Authorization, PayerKind::Account | PayerKind::Unknown) => ClaimOutcome::Run(reserved),
        })
    }
}
