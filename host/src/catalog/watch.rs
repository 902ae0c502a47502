//! Hurries the scan: file events where there are any, a slow tick in any case.

use std::time::Duration;

use notify_debouncer_full::notify::RecursiveMode;
use tokio::sync::{mpsc, oneshot};

use super::{Folder, Policy, Report};
use coinslot_plugin::PluginPolicies;

/// Events within this time are one.
const DEBOUNCE: Duration = Duration::from_millis(25);
/// How soon something unsettled is looked at again.
const SOON: Duration = Duration::from_millis(40);
/// How often the folder is scanned without any event: network file systems have none, and neither has a folder
/// whose own name has come to mean another one.
const SLOWLY: Duration = Duration::from_secs(1);

/// Other terms and another policy, to be put in force for all plugins together.
#[derive(Debug)]
pub struct Order {
    pub terms: PluginPolicies,
    pub policy: Policy,
    /// Hears whether they are in force; if not, nothing has changed.
    pub done: oneshot::Sender<Result<(), String>>,
}

/// Keeps the catalogue in step with the folder for ever, and carries out orders. `told` hears of each scan that
/// did something.
pub async fn watch(mut folder: Folder, mut orders: mpsc::Receiver<Order>, mut told: impl FnMut(&Report)) {
    let (wake, mut woken) = mpsc::channel::<()>(1);
    let debouncer = notify_debouncer_full::new_debouncer(DEBOUNCE, None, move |_events| {
        // Full means that a scan is due anyway.
        let _ = wake.try_send(());
    });
    // Kept alive here; without it the tick still scans.
    let _debouncer = match debouncer {
        Ok(mut debouncer) => match debouncer.watch(folder.dir(), RecursiveMode::NonRecursive) {
            Ok(()) => Some(debouncer),
            Err(error) => {
                tracing::warn!(%error, "no file events for the plugin folder: it is scanned every {SLOWLY:?}");
                None
            }
        },
        Err(error) => {
            tracing::warn!(%error, "no file events: the plugin folder is scanned every {SLOWLY:?}");
            None
        }
    };
    let mut pause = SLOWLY;
    loop {
        let event = async {
            // A closed channel means that there are no events; the tick goes on alone.
            if woken.recv().await.is_none() {
                std::future::pending().await
            }
        };
        let order = async {
            match orders.recv().await {
                Some(order) => order,
                // Nobody gives any more.
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Order { terms, policy, done } = order => {
                // Whoever asked may have gone; it is in force all the same.
                let _ = done.send(folder.adopt(terms, policy));
            }
            () = event => {}
            () = folder.staged() => {}
            () = tokio::time::sleep(pause) => {}
        }
        pause = SLOWLY;
        match folder.scan().await {
            Ok(report) => {
                if report.unsettled {
                    pause = SOON;
                }
                for name in &report.removed {
                    tracing::info!(file = %name, "no longer in force");
                }
                for (name, reason) in &report.failed {
                    tracing::warn!(file = %name, %reason, "not in force; what served before still does");
                }
                if !(report.loaded.is_empty() && report.removed.is_empty() && report.failed.is_empty()) {
                    told(&report);
                }
            }
            Err(error) => tracing::warn!(%error, dir = %folder.dir().display(), "the plugin folder cannot be read"),
        }
    }
}
