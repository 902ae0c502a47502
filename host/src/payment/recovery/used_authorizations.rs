//! Remembers the authorisations that one look found used without a payment: two such looks show that nothing was paid.

use std::collections::HashMap;
use std::time::Duration;

use coinslot_facilitator::OnChain;
use coinslot_ledger::PaymentId;
use parking_lot::Mutex;
use tokio::time::Instant;

/// The time between two looks that together show that an authorisation is used and paid nothing.
const BETWEEN_LOOKS: Duration = Duration::from_secs(60);

/// The authorisations of open payments that were found used, without a payment, and the time of the first such look.
/// Kept in memory: after a restart both looks are made again.
#[derive(Default)]
pub(super) struct UsedAuthorizations(Mutex<HashMap<PaymentId, Instant>>);

impl UsedAuthorizations {
    /// The looks before this one that count.
    pub(super) fn looks(&self, id: &PaymentId) -> u32 {
        u32::from(self.0.lock().get(id).is_some_and(|first| first.elapsed() >= BETWEEN_LOOKS))
    }

    /// Forgets a payment whose end is known.
    pub(super) fn forget(&self, id: &PaymentId) {
        self.0.lock().remove(id);
    }

    /// Notes what one look at the chain showed.
    pub(super) fn note(&self, id: &PaymentId, on_chain: &OnChain) {
        match on_chain {
            OnChain::Used { .. } => {
                self.0.lock().entry(id.clone()).or_insert_with(Instant::now);
            }
            OnChain::Unavailable(_) => {}
            OnChain::Paid { .. } | OnChain::Shallow | OnChain::Canceled | OnChain::Unused { .. } => self.forget(id),
        }
    }
}

#[cfg(test)]
mod tests {
    use coinslot_x402::{Network, UnixTime};

    use super::*;

    /// Each authorisation that was found used was remembered until the host ended.
    #[test]
    fn a_used_authorization_is_remembered_no_longer_than_its_payment_is_open() {
        let network = Network::parse("eip155:84532").expect("a network");
        let id = PaymentId::new(network, "0xa".to_owned(), "0xb".to_owned(), "0x1".to_owned());
        let used = UsedAuthorizations::default();
        for shown in [OnChain::Unused { at: UnixTime(1) }, OnChain::Shallow] {
            used.note(&id, &OnChain::Used { at: UnixTime(1) });
            used.note(&id, &OnChain::Unavailable("no answer".to_owned()));
            assert_eq!(used.0.lock().len(), 1, "a node that does not answer shows nothing");
            used.note(&id, &shown);
            assert!(used.0.lock().is_empty());
        }
        used.note(&id, &OnChain::Used { at: UnixTime(1) });
        used.forget(&id);
        assert!(used.0.lock().is_empty());
    }
}
