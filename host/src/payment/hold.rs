//! Gives a claim back when the work for it panics.

use std::sync::Arc;

use super::Payments;
use coinslot_ledger::{PaymentId, Step};

/// The hold of one request on a claim of the ledger.
///
/// Every way out of the states of a payment writes the claim's end itself. A panic is the way out that none of them sees:
/// then dropping the hold releases the claim, or leaves the answer owed if the payment is settled. A claim whose
/// settlement was sent stays as it is, and recovery finishes it. The ledger refuses a release and a debt that the claim's
/// state does not allow, so the hold need not know the state.
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
        self.payments.track(async move {
            if payments.ledger.advance(&id, Step::Released, payments.now()).await.is_ok() {
                tracing::info!(payment = %id, "the claim of interrupted work is released: nothing was sent");
            } else if payments.ledger.advance(&id, owed(), payments.now()).await.is_ok() {
                tracing::warn!(payment = %id, "interrupted work was paid: its answer is owed");
            }
        });
    }
}
