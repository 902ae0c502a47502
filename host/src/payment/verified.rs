//! The state Verified: the payment's signer is proven, and its window in time is open. The next step claims it.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use coinslot_facilitator::{PayerKind, Readiness};
use coinslot_ledger::{Claim, Claimed, Holder, LedgerError, Namesake, PaymentId};
use coinslot_plugin::Plugin;
use coinslot_x402::Flow;
use coinslot_x402::exact::SignedBy;
use coinslot_x402::header::PaymentPayload;
use coinslot_x402::price::Price;
use http::Request;

use super::accepted::{Accepted, RefusedPayment};
use super::claim::{self, Bought, ClaimOutcome};
use super::earlier_claim::{self, EarlierClaim};
use super::hold_guard::HoldGuard;
use super::identity;
use super::presented::EarlierPayment;
use super::problem::check_plugin_for;
use super::trace::Stage;
use super::{Payments, Problem, Purchase, Reserved, TracedPayment, reserved};

/// A payment that is for us and in time, and whose signer is proven: by its key, or by the contract that stands at its
/// address.
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
        let Price { amount, asset, .. } = &accepted.price;
        accepted.trace.pays(|| TracedPayment {
            payer: accepted.exact.authorization.from.to_string(),
            amount: format!("{} {}", amount.decimal(asset.decimals), asset.symbol),
        });
        Self { accepted, signed, id }
    }

    pub(super) fn payment_id(&self) -> &PaymentId {
        &self.id
    }

    pub(super) fn holder(&self) -> Holder {
        self.accepted.holder
    }

    pub(super) fn payload(&self) -> PaymentPayload {
        self.accepted.payload()
    }

    /// The payment as it looks for its own earlier claim.
    pub(super) fn as_earlier(&self, purchase: &Purchase, request: &Request<Bytes>) -> EarlierPayment {
        self.accepted.as_earlier(&self.id, purchase, request)
    }

    /// Compares the payment with the quoted price of its request.
    pub(super) fn priced(self, payments: &Payments, purchase: &Purchase) -> Result<Self, Problem> {
        let Self { accepted, signed, id } = self;
        match accepted.priced(payments, purchase) {
            Ok(accepted) => Ok(Self { accepted, signed, id }),
            Err(refused) => Err(refused.problem),
        }
    }

    /// Refuses what could only buy a 503: a facilitator without gas, a plugin whose circuit is open, for this payer or
    /// for all, or that has no room, and a payer above its rate, which would keep all others waiting.
    pub(super) fn admit(self, payments: &Payments, plugin: &Plugin) -> Result<Self, RefusedPayment> {
        let problem = match self.accepted.payment_method.facilitator.readiness() {
            Readiness::NoGas | Readiness::Down => Some(Problem::CannotSettle),
            Readiness::Ready => {
                let count = || payments.count_payment(self.accepted.exact.authorization.from);
                check_plugin_for(plugin, self.id.payer()).and_then(|()| count()).err()
            }
        };
        match problem {
            None => Ok(self),
            Some(problem) => Err(self.accepted.refuse(problem)),
        }
    }

    /// Looks up whether the payment was claimed before. A claimed payment does not count for its payer's rate: every
    /// reader of the chain can send a settled one again.
    pub(super) async fn earlier_claim(&self, payments: &Payments) -> Result<EarlierClaim, Problem> {
        let found = earlier_claim::find(payments, &self.payload(), &self.holder()).await;
        if matches!(found, Ok(EarlierClaim::Found(_)) | Err(Problem::Foreign { .. })) {
            payments.uncount_payment(self.accepted.exact.authorization.from);
        }
        found
    }

    /// Claims the payment for this request, durably, and then asks the facilitator to verify it. On an error the claim
    /// is released, except where the row belongs to an earlier attempt.
    pub(super) async fn reserve(
        self,
        payments: &Arc<Payments>,
        purchase: &Purchase,
        earlier: &EarlierPayment,
    ) -> Result<ClaimOutcome, Problem> {
        let begun = Instant::now();
        let Self { accepted, signed, id } = self;
        let (flow, exposure) = match signed {
            // Only the chain can judge the signature, and a contract may change its mind: the money moves first.
            SignedBy::PerhapsContract => (Flow::Upfront, None),
            SignedBy::Payer => payments.flow(&accepted.price, &accepted.payment_method, &id),
        };
        // Before the claim, which for an owed payment makes the row executing.
        claim::check_owed_retry(payments, purchase.generation, &earlier.presented).await?;
        let row = claim::row(payments, purchase, &accepted, &earlier.presented, flow);
        let claiming = purchase.trace.stage(Stage::Claim);
        let claimed = claim_or_find(payments, purchase, &accepted, row, earlier).await;
        drop(claiming);
        let hold = match claimed? {
            ClaimEnd::Won(hold) => hold,
            ClaimEnd::Earlier(bought) => return Ok(ClaimOutcome::Earlier(bought)),
        };
        let (reserved, payer) = Reserved::confirm(payments, purchase, accepted, hold, exposure, begun).await?;
        // A contract may call its own signature false between the run and the settlement.
        Ok(match (flow, payer) {
            (Flow::Upfront, _) | (_, PayerKind::Contract) => ClaimOutcome::SettleFirst(reserved),
            (Flow::Authorization, PayerKind::Account | PayerKind::Unknown) => ClaimOutcome::Run(reserved),
        })
    }
}

/// The end of a claim.
enum ClaimEnd {
    Won(HoldGuard),
    /// The payment, or another one under its name, bought something before.
    Earlier(Bought),
}

/// Claims the payment, or finds what it bought before.
async fn claim_or_find(
    payments: &Arc<Payments>,
    purchase: &Purchase,
    accepted: &Accepted,
    row: Claim,
    earlier: &EarlierPayment,
) -> Result<ClaimEnd, Problem> {
    let unwritten = |error: LedgerError| Problem::Ledger(error.to_string());
    let claimed = match payments.ledger.claim(row.clone()).await.map_err(unwritten)? {
        Claimed::Namesake => match namesake(payments, purchase, accepted, row.clone()).await {
            Ok(Some(namesake)) => {
                return claim::of_namesake(payments, purchase, namesake, earlier).await.map(ClaimEnd::Earlier);
            }
            // A refused namesake gives its identifier up.
            Ok(None) => payments.ledger.claim(row).await.map_err(unwritten)?,
            // Another request may have claimed this very payment, and had it settled, during the verification.
            Err(_) if claim::is_claimed(payments, &earlier.presented).await? => {
                return claim::take_up(payments, purchase, earlier).await.map(ClaimEnd::Earlier);
            }
            Err(problem) => return Err(problem),
        },
        claimed => claimed,
    };
    match claimed {
        // Right after the claim is won, with no wait in between: a panic from here on gives the claim back.
        Claimed::Won(hold) => Ok(ClaimEnd::Won(HoldGuard::new(payments, hold))),
        claimed => {
            payments.uncount_payment(accepted.exact.authorization.from);
            claim::of_earlier(payments, purchase, claimed, earlier).await.map(ClaimEnd::Earlier)
        }
    }
}

/// Looks up the purchase of another payment of this payer under the same identifier. An answer of it goes only to a
/// payment that the facilitator calls valid: signed by the payer and unused, so that no payment of the past, which is
/// public, fetches it. So each one counts for its payer's rate.
async fn namesake(
    payments: &Payments,
    purchase: &Purchase,
    accepted: &Accepted,
    row: Claim,
) -> Result<Option<Namesake>, Problem> {
    reserved::confirm(payments, purchase, accepted, &row.id).await?;
    payments.ledger.namesake(row).await.map_err(|error| Problem::Ledger(error.to_string()))
}
