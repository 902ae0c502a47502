//! Compares the ledger with the chains from time to time, so that a difference is an alert before an operator looks.

use std::sync::Arc;
use std::time::Duration;

use coinslot_ledger::reports::reconcile::DifferenceKind;
use parking_lot::Mutex;

use super::admin::HostView;
use crate::reconcile::{NetworkComparison, ReconcileError, Reconciliation, USUAL_BLOCKS, reconcile};

/// The payments that are compared: those of this time, in seconds. A settlement of unknown end is decided within it.
const PERIOD: u64 = 2 * 24 * 60 * 60;

/// The differences that the last comparison found, in words, by network.
#[derive(Debug, Default)]
pub(super) struct Differences(Mutex<Vec<(String, String)>>);

impl Differences {
    /// The networks on which ledger and chain differ, and how.
    pub(super) fn now(&self) -> Vec<(String, String)> {
        self.0.lock().clone()
    }
}

/// The time after the start at which the first comparison is made, unless they are made oftener.
const FIRST_AFTER: Duration = Duration::from_secs(60);

/// Compares for ever: a first time soon after the start, because the differences are not kept over it.
pub(super) async fn compare_for_ever(host: Arc<HostView>) {
    let every = host.config.state.reconcile_every;
    if every.is_zero() {
        return std::future::pending().await;
    }
    let mut pause = every.min(FIRST_AFTER);
    loop {
        tokio::time::sleep(pause).await;
        compare(&host, every).await;
        pause = every;
    }
}

async fn compare(host: &HostView, every: Duration) {
    let since = host.payments.now().0.saturating_sub(PERIOD.max(2 * every.as_secs()));
    let ledger = host.config.state.ledger();
    let config = host.active_config();
    let asked = Reconciliation {
        ledger: &ledger,
        config: Some(&config),
        since: Some(coinslot_x402::UnixTime(since)),
        nodes: &[],
        blocks: USUAL_BLOCKS,
    };
    match reconcile(&asked).await {
        Ok(networks) => {
            let shared = config.payment.receiver_shared;
            let mut found = Vec::new();
            for network in networks {
                match network {
                    Ok(compared) => found.extend(in_words(&compared, shared)),
                    // A network without a node of the configuration cannot be compared.
                    Err(ReconcileError::NoNode(_)) => {}
                    Err(error) => tracing::warn!(%error, "a network was not compared with the ledger"),
                }
            }
            for (network, words) in &found {
                tracing::warn!("ledger and chain differ on {network}: {words}; `coinslot ledger reconcile` lists them");
            }
            *host.differences.0.lock() = found;
        }
        // A node that does not answer is an alert of its own.
        Err(error) => tracing::warn!(%error, "the ledger was not compared with the chain"),
    }
}

/// The differences of a network: `2 times received, not booked`. None if there are none. Where the receiver is shared,
/// what it received outside of this ledger is other hosts' business.
fn in_words(compared: &NetworkComparison, is_shared: bool) -> Option<(String, String)> {
    let counts = |kind: DifferenceKind| compared.comparison.differences.iter().filter(|one| one.kind == kind).count();
    let mut kinds: Vec<DifferenceKind> = compared.comparison.differences.iter().map(|one| one.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds.retain(|kind| !is_shared || *kind != DifferenceKind::OutsideLedger);
    let words: Vec<String> = kinds
        .iter()
        .map(|kind| match counts(*kind) {
            1 => format!("once \"{}\"", kind.as_str()),
            count => format!("{count} times \"{}\"", kind.as_str()),
        })
        .collect();
    (!words.is_empty()).then(|| (compared.network.to_string(), words.join(", ")))
}
