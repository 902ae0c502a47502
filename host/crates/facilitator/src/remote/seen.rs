//! Which transaction was seen for which payment, so that one is not seen for two.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;

use coinslot_x402::facilitator::PaymentRequest;

/// How many transactions are remembered: hours of a busy host. A transaction that is older is checked by
/// whoever keeps the books.
const REMEMBERED: usize = 16_384;

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
    /// Whether the transaction was not seen for another payment before. Remembers it.
    pub(super) fn is_new(&self, transaction: &str, payment: &PaymentRequest) -> bool {
        let transaction = transaction.to_ascii_lowercase();
        let payment = payment.fingerprint();
        let mut seen = self.seen.lock();
        if let Some(known) = seen.payments.get(&transaction) {
            return *known == payment;
        }
        if seen.order.len() == REMEMBERED
            && let Some(oldest) = seen.order.pop_front()
        {
            seen.payments.remove(&oldest);
        }
        seen.order.push_back(transaction.clone());
        seen.payments.insert(transaction, payment);
        true
    }
}
