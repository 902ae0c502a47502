//! Scans the plugin folder on file events, and at least once a second without them.

use std::path::Path;
use std::time::Duration;

use coinslot_plugin::PluginPolicies;
use notify_debouncer_full::notify::{RecommendedWatcher, RecursiveMode};
use notify_debouncer_full::{Debouncer, RecommendedCache};
use tokio::sync::{mpsc, oneshot};

use super::folder::Folder;
use super::install::SalesPolicy;
use super::scan_report::ScanReport;

/// Events within this time are one.
const DEBOUNCE: Duration = Duration::from_millis(25);
/// The time until the next scan when something is unsettled.
const SOON: Duration = Duration::from_millis(40);
/// The time until the next scan without any event. Network file systems have no events, and neither has a folder that
/// was replaced by another one of its name.
const INTERVAL: Duration = Duration::from_secs(1);

/// A request to serve all plugins together under other policies.
#[derive(Debug)]
pub struct Reconfigure {
    pub policies: PluginPolicies,
    pub sales: SalesPolicy,
    /// Receives whether the policies are active. If not, nothing has changed.
    pub done: oneshot::Sender<Result<(), String>>,
}

/// Keeps the catalogue in step with the folder forever, and carries out reconfigurations. `on_change` receives the
/// report of each scan that changed or refused something.
pub async fn watch(
    mut folder: Folder,
    mut reconfigurations: mpsc::Receiver<Reconfigure>,
    mut on_change: impl FnMut(&ScanReport),
) {
    // The watcher is kept until the end: dropping it ends the events.
    let (_watcher, mut events) = file_events(folder.dir());
    let mut pause = INTERVAL;
    loop {
        tokio::select! {
            Reconfigure { policies, sales, done } = next(&mut reconfigurations) => {
                // The sender may have stopped waiting. The policies are active all the same.
                let _ = done.send(folder.reconfigure(policies, sales));
            }
            () = next(&mut events) => {}
            () = folder.staged() => {}
            () = tokio::time::sleep(pause) => {}
        }
        pause = INTERVAL;
        match folder.scan().await {
            Ok(report) => {
                if report.unsettled {
                    pause = SOON;
                }
                if report.has_changes() {
                    log(&report);
                    on_change(&report);
                }
            }
            Err(error) => tracing::warn!(%error, dir = %folder.dir().display(), "the plugin folder cannot be read"),
        }
    }
}

/// The next message of a channel. Waits forever on a channel without senders, so that the other branches of a `select!`
/// go on.
async fn next<T>(receiver: &mut mpsc::Receiver<T>) -> T {
    match receiver.recv().await {
        Some(message) => message,
        None => std::future::pending().await,
    }
}

/// Watches a folder: the channel receives a message after each event, until the watcher is dropped. Without a watcher
/// the channel receives none.
fn file_events(dir: &Path) -> (Option<Debouncer<RecommendedWatcher, RecommendedCache>>, mpsc::Receiver<()>) {
    let (sender, events) = mpsc::channel::<()>(1);
    let watcher = notify_debouncer_full::new_debouncer(DEBOUNCE, None, move |_events| {
        // A full channel means that a scan is due anyway.
        let _ = sender.try_send(());
    });
    let watcher = watcher.and_then(|mut watcher| {
        watcher.watch(dir, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    let watcher = watcher.inspect_err(|error| {
        tracing::warn!(%error, "no file events for the plugin folder: it is scanned every {INTERVAL:?}");
    });
    (watcher.ok(), events)
}

fn log(report: &ScanReport) {
    for name in &report.removed {
        tracing::info!(file = %name, "no longer active");
    }
    for (name, reason) in &report.failed {
        tracing::warn!(file = %name, %reason, "not active; what served before still does");
    }
}
