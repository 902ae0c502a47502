//! Keeps the lease of a claim while work for it is under way, and gives the claim back when the work panics.

use std::sync::Arc;

use coinslot_ledger::{Hold, PaymentId, Step};

use super::Payments;

/// The hold of one request on a claim of the ledger.
///
/// While it lives, the host renews the lease of the claim. Every way out of the states of a payment writes the claim's
/// end itself. A panic is the way out that none of them sees: then dropping the guard releases the claim, or leaves the
/// answer owed if the payment is settled. A claim whose settlement was sent stays as it is, and recovery finishes it.
/// The ledger refuses a step that the claim's state does not allow, so the guard need not know the state.
#[derive(Debug)]
pub(super) struct HoldGuard {
    payments: Arc<Payments>,
    hold: Hold,
}

impl HoldGuard {
    pub(super) fn new(payments: &Arc<Payments>, hold: Hold) -> Self {
        payments.held.lock().insert(hold.clone());
        payments.claimed();
        Self { payments: Arc::clone(payments), hold }
    }

    pub(super) fn id(&self) -> &PaymentId {
        &self.hold.id
    }

    pub(super) fn hold(&self) -> &Hold {
        &self.hold
    }
}

impl Drop for HoldGuard {
    fn drop(&mut self) {
        self.payments.held.lock().remove(&self.hold);
        self.payments.ended(&self.hold.id);
        if !std::thread::panicking() {
            return;
        }
        let owed = || Step::Owed { reason: "interrupted".to_owned(), client_left: true };
        let (payments, hold) = (Arc::clone(&self.payments), self.hold.clone());
        self.payments.release_interrupted(hold.id.clone(), async move {
            let id = &hold.id;
            if payments.ledger.advance(&hold, Step::Released, payments.now()).await.is_ok() {
                tracing::info!(payment = %id, "the claim of interrupted work is released: nothing was sent");
            } else if payments.ledger.advance(&hold, owed(), payments.now()).await.is_ok() {
                tracing::warn!(payment = %id, "interrupted work was paid: its answer is owed");
            }
        });
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use coinslot_ledger::{Claim, Claimed, Fingerprint, Holder, Ledger, Retention, SqliteLedger};
    use coinslot_x402::{Flow, Network, UnixTime};

    use super::*;
    use crate::payment::{PaymentsConfig, Problem, RateLimits};

    pub(in crate::payment) fn id() -> PaymentId {
        let network = Network::parse("eip155:84532").expect("a network");
        PaymentId::new(network, "0xa".to_owned(), "0xb".to_owned(), "0x1".to_owned())
    }

    pub(in crate::payment) fn payments(ledger: &Arc<dyn Ledger>) -> Arc<Payments> {
        let config = PaymentsConfig {
            keep_answer_bytes: 0,
            retention: Retention { answers: Duration::ZERO, payments: Duration::ZERO, answer_bytes: 0 },
            held_bytes: 0,
            min_body_rate: 0,
            quote_key: [0; 32],
            receipts: None,
            rate_limits: RateLimits { payments_per_second: 0.0, failures_per_second: None },
            allowances: crate::allowance::AllowancePolicy::default(),
            clock: || UnixTime(0),
        };
        Payments::new(Vec::new(), Arc::clone(ledger), config)
    }

    pub(in crate::payment) fn claim(id: &PaymentId) -> Claim {
        Claim {
            id: id.clone(),
            payment: Fingerprint([1; 32]),
            request: Fingerprint([2; 32]),
            holder: Holder { secret: None, client: Some(Fingerprint([3; 32])) },
            identifier: None,
            request_id: None,
            endpoint: "GET /a".to_owned(),
            plugin: "a".to_owned(),
            generation: 1,
            amount: "1".to_owned(),
            pay_to: "0xc".to_owned(),
            testnet: true,
            flow: Flow::Authorization,
            pass: None,
            valid_before: UnixTime(1_000),
            at: UnixTime(0),
        }
    }

    #[tokio::test]
    async fn the_claim_of_work_that_panics_is_free_again_before_the_client_hears_of_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let ledger: Arc<dyn Ledger> = Arc::new(SqliteLedger::open(&dir.path().join("ledger.db")).expect("a ledger"));
        let payments = payments(&ledger);
        let id = id();
        let Ok(Claimed::Won(hold)) = ledger.claim(claim(&id)).await else { panic!("a new claim") };
        let hold = HoldGuard::new(&payments, hold);
        let work = async move {
            let _hold = hold;
            tokio::task::yield_now().await;
            panic!("as a bug of ours would");
        };
        let end: Result<(), Problem> = payments.detach(id.clone(), work).await;
        assert!(matches!(end, Err(Problem::Lost { payment_id }) if payment_id == id.short()));
        assert!(matches!(ledger.claim(claim(&id)).await, Ok(Claimed::Won(_))), "released, not in flight");
    }
}
