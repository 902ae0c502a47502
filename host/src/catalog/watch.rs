//! Scans the plugin folder on file events, and now and then without them.
//!
//! A host that has nothing to do looks at one thing a second: whether the folder is still the one that is watched.
//! It scans each second instead where events may not come: on file systems of other machines, and where files are links
//! to other folders.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use coinslot_plugin::PluginPolicies;
use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::{mpsc, oneshot};

use super::folder::{Folder, Reconfigured};
use super::install::SalesPolicy;
use super::scan_report::ScanReport;

/// Events within this time are one.
const DEBOUNCE: Duration = Duration::from_millis(25);
/// The time until the next scan when something is unsettled.
const SOON: Duration = Duration::from_millis(40);
/// The time between two looks without any event. Network file systems have no events, and neither has a folder that was
/// replaced by another one of its name.
const INTERVAL: Duration = Duration::from_secs(1);
/// Looks that find nothing changed, between two scans, where events come.
const LOOKS: u32 = 30;

/// A request to serve all plugins together under other policies.
#[derive(Debug)]
pub struct Reconfigure {
    pub policies: PluginPolicies,
    pub sales: SalesPolicy,
    /// Receives the result. With an error nothing has changed; otherwise the policies are active.
    pub done: oneshot::Sender<Result<Reconfigured, String>>,
}

/// Keeps the catalogue in step with the folder forever, and carries out reconfigurations. `on_change` receives the
/// report of each scan that changed or refused something.
pub async fn watch(
    mut folder: Folder,
    mut reconfigurations: mpsc::Receiver<Reconfigure>,
    mut on_change: impl FnMut(&ScanReport),
) {
    // The watcher is kept: dropping it ends the events.
    let (mut watcher, mut events) = file_events(folder.dir());
    let mut pause = if folder.is_complete() { INTERVAL } else { SOON };
    // The first look is a scan: what changed between the last scan and the beginning of the events was no event.
    let (mut looks, mut known, mut unreadable) = (LOOKS, identity(folder.dir()), None);
    loop {
        let mut is_look = false;
        tokio::select! {
            Reconfigure { policies, sales, done } = next(&mut reconfigurations) => {
                // The sender may have stopped waiting. The policies are active all the same.
                let _ = done.send(folder.reconfigure(policies, sales).await);
            }
            () = next(&mut events) => {
                tokio::time::sleep(DEBOUNCE).await;
                let _ = events.try_recv(); // what came meanwhile is part of the same scan
            }
            () = folder.wait_for_staged() => {}
            () = tokio::time::sleep(pause) => is_look = pause == INTERVAL,
        }
        let now = identity(folder.dir());
        if now != known {
            // The events were those of another folder.
            (watcher, events) = file_events(folder.dir());
            known = now;
        } else if is_look && looks < LOOKS && watcher.is_some() && is_local(folder.dir()) && folder.is_quiet() {
            looks += 1;
            continue;
        }
        looks = 0;
        pause = INTERVAL;
        match folder.scan().await {
            Ok(report) => {
                unreadable = None;
                if report.unsettled {
                    pause = SOON;
                }
                log(&report, |file| folder.serves(file));
                if report.has_changes() || report.completed {
                    on_change(&report);
                }
            }
            Err(error) => {
                let reason = error.to_string();
                if unreadable.as_ref() != Some(&reason) {
                    let dir = folder.dir().display();
                    tracing::warn!(%error, %dir, "the plugin folder cannot be read; what serves stays");
                }
                unreadable = Some(reason);
            }
        }
    }
}

/// The device and the inode of the folder that a path leads to: another folder of this name has others.
fn identity(dir: &Path) -> Option<(u64, u64)> {
    let meta = std::fs::metadata(dir).ok()?;
    Some((meta.dev(), meta.ino()))
}

/// True if the folder is on a file system whose changes are all made by this machine: others accept a watch, and have
/// no events for what another machine changes.
fn is_local(dir: &Path) -> bool {
    // ext2 to ext4, XFS, Btrfs, F2FS, ZFS, tmpfs, ramfs, and overlayfs.
    const LOCAL: [i128; 8] =
        [0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010, 0x2fc1_2fc1, 0x0102_1994, 0x8584_58f6, 0x794c_7630];
    rustix::fs::statfs(dir).is_ok_and(|stat| LOCAL.contains(&i128::from(stat.f_type)))
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
        tracing::info!(file = %name, "no longer active");
    }
    for name in &report.forgotten {
        tracing::info!(file = %name, "gone; it was not active");
    }
    for (name, reason) in &report.failed {
        if serves(name) {
            tracing::warn!(file = %name, %reason, "not active; what served before still does");
        } else {
            tracing::warn!(file = %name, %reason, "not active");
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
