//! Gives a claim back when the work for it panics.

use std::sync::Arc;

use coinslot_ledger::{PaymentId, Step};

use super::Payments;

/// The hold of one request on a claim of the ledger.
///
/// Every way out of the states of a payment writes the claim's end itself. A panic is the way out that none of them sees:
/// then dropping the hold releases the claim, or leaves the answer owed if the payment is settled. A claim whose
/// settlement was sent stays as it is, and recovery finishes it. The ledger refuses a step that the claim's state does not
/// allow, so the hold need not know the state.
#[derive(Debug)]
pub(super) struct Hold {
    payments: Arc<Payments>,
    id: PaymentId,
}

impl Hold {
    pub(super) fn new(payments: &Arc<Payments>, id: PaymentId) -> Self {
        Self { payments: Arc::clone(payments), id }
    }

    pub(super) fn id(&self) -> &PaymentId {
        &self.id
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let owed = || Step::Owed { reason: "interrupted".to_owned() };
        let (payments, id) = (Arc::clone(&self.payments), self.id.clone());
        self.payments.release_interrupted(self.id.clone(), async move {
            if payments.ledger.advance(&id, Step::Released, payments.now()).await.is_ok() {
                tracing::info!(payment = %id, "the claim of interrupted work is released: nothing was sent");
            } else if payments.ledger.advance(&id, owed(), payments.now()).await.is_ok() {
                tracing::warn!(payment = %id, "interrupted work was paid: its answer is owed");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use coinslot_ledger::{Claim, Claimed, Fingerprint, Ledger, Retention, SqliteLedger};
    use coinslot_x402::{Flow, Network, UnixTime};

    use super::*;
    use crate::payment::{PaymentsConfig, Problem, RateLimits};

    fn claim(id: &PaymentId) -> Claim {
        Claim {
            id: id.clone(),
            payment: Fingerprint([1; 32]),
            request: Fingerprint([2; 32]),
            identifier: None,
            endpoint: "GET /a".to_owned(),
            plugin: "a".to_owned(),
            generation: 1,
            amount: "1".to_owned(),
            pay_to: "0xc".to_owned(),
            testnet: true,
            flow: Flow::Authorization,
            valid_before: UnixTime(1_000),
            at: UnixTime(0),
        }
    }

    #[tokio::test]
    async fn the_claim_of_work_that_panics_is_free_again_before_the_client_hears_of_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let ledger: Arc<dyn Ledger> = Arc::new(SqliteLedger::open(&dir.path().join("ledger.db")).expect("a ledger"));
        let config = PaymentsConfig {
            keep_answer_bytes: 0,
            retention: Retention { answers: Duration::ZERO, payments: Duration::ZERO },
            quote_key: [0; 32],
            receipts: None,
            rate_limits: RateLimits { payments_per_second: 0.0, failures_per_second: 0.0 },
            clock: || UnixTime(0),
        };
        let payments = Payments::new(Vec::new(), Arc::clone(&ledger), config);
        let network = Network::parse("eip155:84532").expect("a network");
        let id = PaymentId::new(network, "0xa".to_owned(), "0xb".to_owned(), "0x1".to_owned());
        assert_eq!(ledger.claim(claim(&id)).await, Ok(Claimed::Won));
        let hold = Hold::new(&payments, id.clone());
        let work = async move {
            let _hold = hold;
            tokio::task::yield_now().await;
            panic!("as a bug of ours would");
        };
        let end: Result<(), Problem> = payments.detach(Some(id.clone()), work).await;
        assert!(matches!(end, Err(Problem::Lost { payment_id: Some(lost) }) if lost == id.short()));
        assert_eq!(ledger.claim(claim(&id)).await, Ok(Claimed::Won), "released, not in flight");
    }
}
