//! Scans the plugin folder on file events, and at least once a second without them.

use std::path::Path;
use std::time::Duration;

use coinslot_plugin::PluginPolicies;
use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
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
    /// Receives the result. With an error nothing has changed; otherwise the policies are active, and these are the
    /// names of plugins that are configured and not active.
    pub done: oneshot::Sender<Result<Vec<String>, String>>,
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
                let _ = done.send(folder.reconfigure(policies, sales).map(|()| folder.unknown_plugins()));
            }
            () = next(&mut events) => {
                tokio::time::sleep(DEBOUNCE).await;
                let _ = events.try_recv(); // what came meanwhile is part of the same scan
            }
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

/// Watches a folder: the channel receives a message after each change, until the watcher is dropped. Without a watcher
/// the channel receives none.
fn file_events(dir: &Path) -> (Option<RecommendedWatcher>, mpsc::Receiver<()>) {
    let (sender, events) = mpsc::channel::<()>(1);
    let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        // Lost events are a change, too.
        if event.map_or(true, |event| may_change(event.kind)) {
            // A full channel means that a scan is due anyway.
            let _ = sender.try_send(());
        }
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

/// True unless something was only read. Each scan reads the folder, which is an event: answered with a scan, it would
/// keep the host scanning for ever.
fn may_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        EventKind::Any | EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) | EventKind::Other => true,
    }
}

fn log(report: &ScanReport) {
    for name in &report.removed {
        tracing::info!(file = %name, "no longer active");
    }
    for name in &report.forgotten {
        tracing::info!(file = %name, "gone; it was not active");
    }
    for (name, reason) in &report.failed {
        tracing::warn!(file = %name, %reason, "not active; what served before still does");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A host that did nothing read its plugin folder forty times a second.
    #[tokio::test]
    async fn reading_the_folder_is_no_reason_to_read_it_again() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let file = dir.path().join("a.wasm");
        std::fs::write(&file, b"first").expect("written");
        let (_watcher, mut events) = file_events(dir.path());
        for _ in 0..3 {
            assert_eq!(std::fs::read_dir(dir.path()).expect("a folder").count(), 1);
            assert_eq!(std::fs::read(&file).expect("readable"), b"first");
        }
        let heard = tokio::time::timeout(Duration::from_millis(300), events.recv()).await;
        assert!(heard.is_err(), "reading was taken for a change");
        std::fs::write(&file, b"second").expect("written");
        tokio::time::timeout(Duration::from_secs(10), events.recv()).await.expect("a change").expect("a watcher");
    }
}
