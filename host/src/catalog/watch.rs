//! Scans the plugin folder on file events, and now and then without them.
//!
//! A host that has nothing to do sleeps. Changes of the folder are events, and so are those of the way to it and to the
//! files that its links lead to. It scans each second instead where events may not come: on file systems of other
//! machines. Where a plugin may be rolled back, its circuit is looked at each second.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use coinslot_plugin::PluginPolicies;
use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::folder::{Folder, Reconfigured};
use super::install::SalesPolicy;
use super::scan_report::{NOT_ANEW, ScanReport};
use crate::path_events::{LookReason, PathEvents, is_local};

/// Events within this time are one.
const DEBOUNCE: Duration = Duration::from_millis(25);
/// The time until the next scan when something is unsettled.
const SOON: Duration = Duration::from_millis(40);
/// The time between two scans where events may not come, and between two looks at the circuits of plugins.
const INTERVAL: Duration = Duration::from_secs(1);
/// The time between two scans where events come: a program may write to a file that it has mapped, which is no event.
const WATCHED_INTERVAL: Duration = Duration::from_secs(300);

/// The target of the log's lines about files that the host took, refused or lost. `dev` switches them off, and prints
/// such changes itself.
pub(super) const CHANGES: &str = "coinslot::catalog::changes";

/// A request to serve all plugins together under other policies.
#[derive(Debug)]
pub struct Reconfigure {
    pub policies: PluginPolicies,
    pub sales: SalesPolicy,
    /// Receives the result. With an error nothing has changed; otherwise the policies are active.
    pub done: oneshot::Sender<Result<Reconfigured, String>>,
}

/// Keeps the catalogue in step with the folder forever, and carries out reconfigurations. `on_change` receives the
/// report of each scan that changed or refused something, and the next scan waits for the work that it returns.
pub async fn watch<F: Future<Output = ()>>(
    mut folder: Folder,
    mut reconfigurations: mpsc::Receiver<Reconfigure>,
    mut on_change: impl FnMut(&ScanReport) -> F,
) {
    // The watcher is kept: dropping it ends the events.
    let (mut watcher, mut events) = file_events(folder.dir());
    // Its first event is at once, and so is a scan: what changed between the last one and now was no event.
    let mut way = PathEvents::of(watched_paths(&folder));
    let (mut known, mut unreadable) = (identity(folder.dir()), None);
    let mut scan_at = Instant::now() + INTERVAL;
    loop {
        let is_due = tokio::select! {
            Reconfigure { policies, sales, done } = next(&mut reconfigurations) => {
                // The sender may have stopped waiting. The policies are active all the same.
                let _ = done.send(folder.reconfigure(policies, sales).await);
                true
            }
            () = next(&mut events) => {
                tokio::time::sleep(DEBOUNCE).await;
                let _ = events.try_recv(); // what came meanwhile is part of the same scan
                true
            }
            reason = way.next() => {
                if reason == LookReason::Event {
                    known = None; // a folder that is made anew may have the inode of the former one
                }
                reason == LookReason::Event || !way.come()
            }
            () = folder.wait_for_staged() => true,
            () = tokio::time::sleep_until(scan_at) => true,
            () = tokio::time::sleep(INTERVAL), if folder.may_roll_back() => folder.is_failing(),
        };
        let now = identity(folder.dir());
        if now != known {
            // The events were those of another folder.
            (watcher, events) = file_events(folder.dir());
            known = now;
        } else if !is_due {
            continue;
        }
        let mut is_unsettled = false;
        match folder.scan().await {
            Ok(report) => {
                unreadable = None;
                is_unsettled = report.unsettled;
                log(&report, |file| folder.serves(file));
                if report.has_changes() || report.completed {
                    on_change(&report).await;
                }
            }
            Err(error) => unreadable = Some(warn_of(&error, folder.dir(), unreadable.as_deref())),
        }
        way.set(watched_paths(&folder));
        // What keeps the folder from being read may pass without an event.
        let events_suffice = watcher.is_some() && unreadable.is_none();
        scan_at = Instant::now() + if is_unsettled { SOON } else { pause(&folder, events_suffice) };
    }
}

/// Warns of a folder that cannot be read, unless the reason is the one before. Returns the reason.
fn warn_of(error: &io::Error, dir: &Path, before: Option<&str>) -> String {
    let reason = error.to_string();
    if before != Some(&reason) {
        tracing::warn!(%error, dir = %dir.display(), "the plugin folder cannot be read; what serves stays");
    }
    reason
}

/// The paths whose changes are no events in the folder: the folder's own, and those of files that have others.
fn watched_paths(folder: &Folder) -> impl Iterator<Item = PathBuf> {
    folder.with_other_paths().chain([folder.dir().to_owned()])
}

/// The time until the next scan if no event comes.
fn pause(folder: &Folder, events_suffice: bool) -> Duration {
    let longest = if events_suffice && is_local(folder.dir()) { WATCHED_INTERVAL } else { INTERVAL };
    folder.scan_due().map_or(longest, |due| due.clamp(SOON, longest))
}

/// The device and the inode of the folder that a path leads to: another folder of this name has others.
fn identity(dir: &Path) -> Option<(u64, u64)> {
    let meta = std::fs::metadata(dir).ok()?;
    Some((meta.dev(), meta.ino()))
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

/// Logs what a scan changed and refused. `serves` tells whether a build of a file serves.
fn log(report: &ScanReport, serves: impl Fn(&str) -> bool) {
    for name in &report.removed {
        tracing::info!(target: CHANGES, file = %name, "no longer active");
    }
    for name in &report.forgotten {
        tracing::info!(target: CHANGES, file = %name, "gone; it was not active");
    }
    for (name, reason) in &report.failed {
        if reason.starts_with(NOT_ANEW) {
            tracing::warn!(target: CHANGES, file = %name, %reason, "it keeps the `config` that it has");
        } else if serves(name) {
            tracing::warn!(target: CHANGES, file = %name, %reason, "not active; what served before still does");
        } else {
            tracing::warn!(target: CHANGES, file = %name, %reason, "not active");
        }
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
