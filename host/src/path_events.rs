//! Tells when what some paths lead to may have changed, without looking at them again and again.
//!
//! A path is followed name by name, through links, and every folder is watched in which one of its names is looked up.
//! So a file that is written or replaced is an event, and a link that is turned, and a folder above that is moved away:
//! an operator may deploy by any of them. The file itself is watched, too: it may be written through another path, such
//! as one that is mounted in a container. Of a folder that only leads to the next one, nothing but its own end is
//! watched: `/tmp` changes all the time, and what is on the way cannot be removed before what it leads to.
//!
//! The paths have to be looked at every second where events may not come: on file systems that other machines change,
//! in folders that may not be read, and on systems without inotify. A mount is no event anywhere, so that even watched
//! paths are to be looked at now and then.

#[cfg(target_os = "linux")]
mod inotify;
mod ways;

use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

#[cfg(target_os = "linux")]
use inotify::Watch;
#[cfg(not(target_os = "linux"))]
use unwatched::Watch;
use ways::Ways;

/// The time between two looks where events may not come, and where they do.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
const WATCHED_LOOK_INTERVAL: Duration = Duration::from_secs(30);

/// The watch of some paths.
#[derive(Debug)]
pub(crate) struct PathEvents {
    paths: BTreeSet<PathBuf>,
    /// None before the first wait, and after the paths have changed.
    watch: Option<ActiveWatch>,
}

#[derive(Debug)]
struct ActiveWatch {
    /// None where events may not come.
    watch: Option<Watch>,
    look_at: Instant,
}

/// The reason to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LookReason {
    /// Something has happened on the way to a path, or the watch begins.
    Event,
    /// Nothing has happened for a while.
    Interval,
}

impl PathEvents {
    /// Watches these paths. What they lead to need not be there.
    pub(crate) fn of(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        Self { paths: paths.into_iter().collect(), watch: None }
    }

    /// Watches these paths from now on.
    pub(crate) fn set(&mut self, paths: impl IntoIterator<Item = PathBuf>) {
        let paths = paths.into_iter().collect();
        if paths != self.paths {
            (self.paths, self.watch) = (paths, None);
        }
    }

    /// True unless events may not come.
    pub(crate) fn come(&self) -> bool {
        self.watch.as_ref().is_some_and(|active| active.watch.is_some())
    }

    /// Waits for a reason to look at the paths; the first wait is over at once. What happens after the return is a
    /// reason for the next return. Cancel safe.
    pub(crate) async fn next(&mut self) -> LookReason {
        let reason = match &mut self.watch {
            None => LookReason::Event,
            Some(ActiveWatch { watch: Some(watch), look_at }) => tokio::select! {
                () = watch.event() => LookReason::Event,
                () = tokio::time::sleep_until(*look_at) => LookReason::Interval,
            },
            Some(ActiveWatch { watch: None, look_at }) => {
                tokio::time::sleep_until(*look_at).await;
                LookReason::Interval
            }
        };
        // The folders on the way may be others now.
        self.watch = Some(ActiveWatch::new(&self.paths));
        reason
    }
}

impl ActiveWatch {
    fn new(paths: &BTreeSet<PathBuf>) -> Self {
        let watch = Ways::to(paths).and_then(|ways| {
            let watch = Watch::new(&ways)?;
            // A link that was turned before its folder was watched leads elsewhere.
            let is_current = Ways::to(paths)? == ways;
            is_current.then_some(watch).ok_or_else(|| io::Error::other("the way has changed"))
        });
        let watch = watch.inspect_err(|error| tracing::debug!(%error, ?paths, "looked at without file events")).ok();
        let interval = if watch.is_some() { WATCHED_LOOK_INTERVAL } else { LOOK_INTERVAL };
        Self { watch, look_at: Instant::now() + interval }
    }
}

/// True if the path is on a file system whose changes are all made by this machine: others accept a watch, and have no
/// events for what another machine changes.
pub(crate) fn is_local(path: &Path) -> bool {
    // ext2 to ext4, XFS, Btrfs, F2FS, ZFS, tmpfs, ramfs, overlayfs, and SquashFS and EROFS, which are never written.
    const LOCAL: [i128; 10] = [
        0xef53,
        0x5846_5342,
        0x9123_683e,
        0xf2f5_2010,
        0x2fc1_2fc1,
        0x0102_1994,
        0x8584_58f6,
        0x794c_7630,
        0x7371_7368,
        0xe0f5_e1e2,
    ];
    rustix::fs::statfs(path).is_ok_and(|stat| LOCAL.contains(&i128::from(stat.f_type)))
}

/// True if a file of a folder has another path: it is a link, or one of several names of a file, or it is mounted. What
/// is written through another path is no event in the folder.
pub(crate) fn has_other_path(path: &Path) -> bool {
    let Ok(meta) = path.symlink_metadata() else { return false };
    meta.is_symlink() || meta.nlink() > 1 || mount_of(path) != path.parent().and_then(mount_of)
}

/// The mount that a path is in, where the system tells.
#[cfg(target_os = "linux")]
fn mount_of(path: &Path) -> Option<u64> {
    use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
    statx(CWD, path, AtFlags::empty(), StatxFlags::MNT_ID).ok().map(|stat| stat.stx_mnt_id)
}

#[cfg(not(target_os = "linux"))]
fn mount_of(_path: &Path) -> Option<u64> {
    None
}

#[cfg(not(target_os = "linux"))]
mod unwatched {
    //! Stands for a watch where there is none.

    use std::io;

    use super::Ways;

    #[derive(Debug)]
    pub(super) struct Watch;

    impl Watch {
        pub(super) fn new(_ways: &Ways) -> io::Result<Self> {
            Err(io::Error::from(io::ErrorKind::Unsupported))
        }

        pub(super) async fn event(&mut self) {
            std::future::pending().await
        }
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    async fn is_quiet(events: &mut PathEvents) -> bool {
        tokio::time::timeout(Duration::from_millis(200), events.next()).await.is_err()
    }

    async fn expect_event(events: &mut PathEvents, what: &str) {
        let next = tokio::time::timeout(WATCHED_LOOK_INTERVAL / 2, events.next()).await;
        assert_eq!(next, Ok(LookReason::Event), "{what}");
        while !is_quiet(events).await {}
    }

    /// A host looked at its configuration once a second.
    #[tokio::test]
    async fn a_file_is_looked_at_when_it_or_a_link_or_a_folder_on_its_way_has_changed_and_not_else() {
        let dir = tempfile::tempdir().expect("a folder");
        let at = |name: &str| dir.path().join(name);
        for release in ["releases/1", "releases/2"] {
            fs::create_dir_all(at(release)).expect("a folder");
            fs::write(at(release).join("file"), release).expect("written");
        }
        symlink("releases/1", at("current")).expect("a link");
        let path = at("current/file");
        let mut events = PathEvents::of([path.clone()]);
        assert_eq!(events.next().await, LookReason::Event, "the first look");
        assert!(events.come(), "on a file system of this machine");

        fs::write(at("releases/1/log"), "a line").expect("written");
        fs::write(at("other"), "").expect("written");
        fs::read(&path).expect("read");
        assert!(is_quiet(&mut events).await, "nothing on its way");

        fs::write(&path, "in place").expect("written");
        expect_event(&mut events, "a write").await;
        fs::write(at("releases/1/draft"), "").expect("written");
        fs::rename(at("releases/1/draft"), at("releases/1/file")).expect("replaced");
        expect_event(&mut events, "a replacement").await;
        symlink("releases/2", at("next")).expect("a link");
        fs::rename(at("next"), at("current")).expect("turned");
        expect_event(&mut events, "a link that is turned").await;
        fs::write(&path, "the second").expect("written");
        expect_event(&mut events, "a write of the file that it leads to now").await;
        fs::rename(at("releases"), at("old")).expect("moved");
        expect_event(&mut events, "a folder that is gone").await;
        fs::rename(at("old"), at("releases")).expect("moved");
        expect_event(&mut events, "a folder that is back").await;
        fs::write(&path, "after all").expect("written");
        expect_event(&mut events, "a write again").await;
        fs::hard_link(&path, at("another name")).expect("a hard link");
        assert!(has_other_path(&path) && !has_other_path(&at("releases/1/log")));
        while !is_quiet(&mut events).await {}
        fs::write(at("another name"), "through another path").expect("written");
        expect_event(&mut events, "a write through another path").await;
    }

    #[tokio::test]
    async fn where_no_event_may_come_the_paths_are_looked_at_every_second() {
        let mut events = PathEvents::of([PathBuf::from("/proc/self/status")]);
        assert_eq!(events.next().await, LookReason::Event);
        assert!(!events.come());
        let begun = Instant::now();
        assert_eq!(events.next().await, LookReason::Interval);
        assert!(begun.elapsed() < WATCHED_LOOK_INTERVAL / 2);
        events.set([PathBuf::from("/proc/self/status"), PathBuf::from("/proc/self/stat")]);
        assert_eq!(events.next().await, LookReason::Event, "other paths have to be looked at once");
    }
}
