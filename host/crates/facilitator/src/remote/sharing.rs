//! Remembers on which networks one transaction of a facilitator may settle several payments, as its `/supported` says.

use std::collections::HashSet;
use std::time::Duration;

use coinslot_x402::Network;
use coinslot_x402::facilitator::{PaymentRequest, Supported};
use parking_lot::Mutex;
use tokio::time::Instant;

/// The time for which an answer of `/supported` counts as new.
const SUPPORTED_FRESH: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(super) struct Sharing(Mutex<SharingState>);

#[derive(Debug, Default)]
struct SharingState {
    networks: HashSet<Network>,
    asked: Option<Instant>,
}

impl Sharing {
    pub(super) fn learn(&self, supported: &Supported) {
        let sharing = supported.kinds.iter().filter(|kind| kind.shares_transactions());
        let networks = sharing.filter_map(|kind| Network::parse_v1(&kind.network).ok()).collect();
        *self.0.lock() = SharingState { networks, asked: Some(Instant::now()) };
    }

    /// True if the payment's transaction may settle others, too.
    pub(super) fn includes(&self, payment: &PaymentRequest) -> bool {
        payment.network().is_some_and(|network| self.0.lock().networks.contains(&network))
    }

    /// True if it is time to ask what is supported: for one caller in a minute.
    pub(super) fn is_due(&self) -> bool {
        let now = Instant::now();
        let mut state = self.0.lock();
        let is_due = state.asked.is_none_or(|asked| now.duration_since(asked) >= SUPPORTED_FRESH);
        if is_due {
            state.asked = Some(now);
        }
        is_due
    }
}
