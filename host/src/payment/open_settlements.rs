//! Keeps the exposures of payments from the sending of their settlements until the ends are known.
//!
//! The work of such a payment may be over long before: a facilitator that does not answer leaves it to recovery. Were
//! its exposure given back with the work, payers whose settlements all stay unknown could have the guest run without
//! limit.

use std::collections::{HashMap, HashSet};

use coinslot_ledger::PaymentId;
use parking_lot::Mutex;

use super::Payments;
use super::exposure::Exposure;

/// The exposures of payments whose settlements were begun and have no known end.
#[derive(Debug, Default)]
pub(super) struct OpenSettlements {
    exposures: Mutex<HashMap<PaymentId, Exposure>>,
}

impl OpenSettlements {
    /// Keeps the exposure of this payment.
    pub(super) fn keep(&self, id: &PaymentId, exposure: Exposure) {
        self.exposures.lock().insert(id.clone(), exposure);
    }

    /// Gives back the exposure of a payment whose end is known.
    pub(super) fn ended(&self, id: &PaymentId) {
        self.exposures.lock().remove(id);
    }

    /// The payments that are kept.
    pub(super) fn kept(&self) -> Vec<PaymentId> {
        self.exposures.lock().keys().cloned().collect()
    }

    /// Gives the exposures of these payments back, except of those that are open.
    pub(super) fn retain_open(&self, kept: &[PaymentId], open: &HashSet<PaymentId>) {
        let mut exposures = self.exposures.lock();
        for id in kept.iter().filter(|id| !open.contains(id)) {
            exposures.remove(id);
        }
    }
}

impl Payments {
    /// Gives back the exposures of payments that no work holds and that are not open in the ledger. Where an end is
    /// written, its exposure is given back at once. Some claims end otherwise: their leases end, after work that
    /// panicked or while the ledger could not be written.
    pub(super) async fn review_exposures(&self) {
        // Before the ledger is read: a settlement that is begun meanwhile is not among them.
        let mut kept = self.open_settlements.kept();
        {
            let held = self.held.lock();
            let at_work: HashSet<&PaymentId> = held.iter().map(|hold| &hold.id).collect();
            kept.retain(|id| !at_work.contains(id));
        }
        if kept.is_empty() {
            return;
        }
        match self.ledger.open_settlements().await {
            Ok(open) => {
                let open: HashSet<PaymentId> = open.into_iter().map(|(id, _)| id).collect();
                self.open_settlements.retain_open(&kept, &open);
            }
            Err(error) => tracing::error!(%error, "open settlements could not be read"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use alloy::primitives::U256;
    use coinslot_ledger::{Claimed, Ledger, SqliteLedger, Step, StoredAnswer};
    use coinslot_x402::UnixTime;

    use crate::payment::exposure::Unsettled;
    use crate::payment::hold_guard::HoldGuard;
    use crate::payment::hold_guard::tests::{claim, id, payments};

    /// An exposure whose claim ended with its lease was never given back.
    #[tokio::test]
    async fn an_exposure_is_given_back_when_neither_work_nor_ledger_knows_its_payment() {
        let dir = tempfile::tempdir().expect("a directory");
        let ledger: Arc<dyn Ledger> = Arc::new(SqliteLedger::open(&dir.path().join("ledger.db")).expect("a ledger"));
        let payments = payments(&ledger);
        let unsettled = Arc::new(Unsettled::default());
        let is_exposed = || unsettled.take(U256::from(1), U256::from(1)).is_none();
        let Ok(Claimed::Won(hold)) = ledger.claim(claim(&id())).await else { panic!("a new claim") };
        let work = HoldGuard::new(&payments, hold.clone());
        payments.open_settlements.keep(&id(), unsettled.add(U256::from(1)));
        payments.review_exposures().await;
        assert!(is_exposed(), "its work is under way");

        let answer = StoredAnswer { status: 200, headers: Vec::new(), body: bytes::Bytes::new() };
        let settling = Step::Settling { request: "{}".to_owned(), answer };
        for step in [settling, Step::Unknown { transaction: None, reason: None, reported: None }] {
            ledger.advance(&hold, step, UnixTime(0)).await.expect("taken");
        }
        drop(work);
        payments.review_exposures().await;
        assert!(is_exposed(), "its settlement is unknown");

        let refused = Step::Refused { reason: "late".to_owned(), transaction: None, watch: false };
        ledger.advance(&hold, refused, UnixTime(0)).await.expect("taken");
        payments.review_exposures().await;
        assert!(!is_exposed());
    }
}
