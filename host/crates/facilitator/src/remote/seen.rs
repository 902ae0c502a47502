//! Remembers the transaction that a facilitator named for each payment, so that one transaction does not settle two
//! payments.

use std::collections::{HashMap, VecDeque};

use coinslot_x402::facilitator::PaymentRequest;
use parking_lot::Mutex;

/// Transactions that are remembered: hours of a busy host. `coinslot ledger reconcile` finds an older one.
const MAX_TRANSACTIONS: usize = 16_384;

/// The newest transactions of one facilitator.
#[derive(Default)]
pub(super) struct SeenTransactions {
    seen: Mutex<SeenMaps>,
}

#[derive(Default)]
struct SeenMaps {
    payments: HashMap<String, [u8; 32]>,
    order: VecDeque<String>,
}

impl SeenTransactions {
    /// Remembers the transaction. False if the facilitator named it for another payment before.
    pub(super) fn is_new(&self, transaction: &str, payment: &PaymentRequest) -> bool {
        // One hash has several spellings in hex.
        let transaction = transaction.to_ascii_lowercase();
        let payment = payment.fingerprint();
        let mut seen = self.seen.lock();
        if let Some(known) = seen.payments.get(&transaction) {
            return *known == payment;
        }
        if seen.order.len() == MAX_TRANSACTIONS
            && let Some(oldest) = seen.order.pop_front()
        {
            seen.payments.remove(&oldest);
        }
        seen.order.push_back(transaction.clone());
        seen.payments.insert(transaction, payment);
        true
    }
}
