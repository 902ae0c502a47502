//! Tracks one file of the plugin folder, and finds out when its content has changed.
//!
//! A file of the folder may be anything: a pipe without a writer, a device without an end, a file on a server that
//! does not answer, a log that grows. So only regular files are opened, a read has a bound of bytes, no scan waits long
//! for a read, and a file that does not come to rest is reported by name.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use coinslot_base::file::FileStamp;
use tokio::task::JoinHandle;

use super::regular_file::{MAX_WASM, StampError, read, stamp};
use crate::catalog::install::Installed;
use crate::path_events::has_other_path;

/// A file that is missing or unreadable for less than this is being replaced: by `mv`, an editor, a swap of links.
pub(super) const GRACE: Duration = Duration::from_millis(400);

/// Files that are missing all at once are believed to be gone after this time: a volume may be mounted anew, and a
/// deployment may empty the folder before it fills it.
pub(super) const EMPTIED_GRACE: Duration = Duration::from_secs(5);

/// A file that changed this recently may still be being written.
pub(super) const QUIET: Duration = Duration::from_millis(50);

/// A file that does not come to rest for this long is reported. It is loaded when it does.
const RESTLESS: Duration = Duration::from_secs(30);

/// The time that one scan waits for the bytes of one file; the next scan goes on waiting.
const READ_WAIT: Duration = Duration::from_millis(500);

/// A file whose bytes do not come for this long is reported.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// The pause before a file is tried again whose failure was not its own, which doubles up to the longest one.
const RETRY: Duration = Duration::from_secs(5);
const LONGEST_RETRY: Duration = Duration::from_secs(600);

/// The time between two looks at a file that does not come to rest, and at one that cannot be read.
const LOOK: Duration = Duration::from_secs(1);
const UNREADABLE_LOOK: Duration = Duration::from_secs(30);

/// A retry after a pause of this length is soon. The pauses up to it take a little more than a minute.
const SOON: Duration = Duration::from_secs(40);

/// The state of one file: its content, its active build, its last failure.
#[derive(Debug, Default)]
pub(super) struct TrackedFile {
    /// The stamp of the content that was read last.
    pub(super) stamp: Option<FileStamp>,
    /// The SHA-256, in hex, of the content that was staged last.
    pub(super) staged: Option<String>,
    /// The build of this file that serves.
    pub(super) active: Option<Arc<Installed>>,
    /// The SHA-256, in hex, of the build that the host has put back into the folder, until a build of the file becomes
    /// active.
    pub(super) put_back: Option<String>,
    /// The reason that was reported last.
    pub(super) failure: Option<String>,
    /// The SHA-256, in hex, of the content that has this failure. None if the content was not read.
    pub(super) refused: Option<String>,
    /// It had another path when its content was new: it may change without an event in the folder.
    has_other_path: bool,
    missing_since: Option<Instant>,
    /// The folder was empty while the file was missing.
    was_emptied: bool,
    unreadable_since: Option<Instant>,
    restless_since: Option<Instant>,
    /// A read that has not ended.
    reading: Option<Reading>,
    /// The next try of content whose failure was not its own, and the pause before it.
    retry: Option<(Instant, Duration)>,
}

/// A read of a file's content, of the stamp that it had at its beginning.
#[derive(Debug)]
struct Reading {
    stamp: FileStamp,
    begun: Instant,
    task: JoinHandle<io::Result<Vec<u8>>>,
}

/// The result of a look at a file.
pub(super) enum FileLook {
    /// The content is what it was at the last look.
    Unchanged,
    /// The content is new, whole and not read, because there is no room to stage it.
    NoRoom,
    /// The file is still changing.
    Unsettled,
    /// The file cannot be read or is too large. Reported once.
    Failed(String),
    /// The content is new and whole.
    Changed(Vec<u8>),
}

impl TrackedFile {
    /// Reads the file, if its stamp is new and the file has not changed for as long as `quiet`. `has_room` is whether new
    /// content can be staged now; if not, nothing is read.
    pub(super) async fn look(&mut self, path: &Path, has_room: bool, quiet: Duration) -> FileLook {
        (self.missing_since, self.was_emptied) = (None, false);
        if self.retry.is_some_and(|(at, _)| at <= Instant::now()) {
            self.forget_content();
        }
        let stamp = match stamp(path) {
            Ok(stamp) if self.stamp == Some(stamp) => return FileLook::Unchanged,
            Ok(stamp) => stamp,
            // The file was removed since it was listed, or it is a link whose target is not there yet.
            Err(StampError::Unreadable(error)) => {
                self.has_other_path = has_other_path(path);
                return self.unreadable(&error);
            }
            Err(StampError::NoFile(what)) => {
                self.stamp = None;
                return self.failed(format!("it is {what}, and no file: remove it"));
            }
        };
        self.has_other_path = has_other_path(path);
        if stamp.len() > MAX_WASM {
            self.stamp = Some(stamp);
            return self.failed(format!("it has {} bytes; at most {MAX_WASM} are loaded", stamp.len()));
        }
        // A writer that pauses leaves an old stamp and half a file, so a young stamp is not believed.
        if stamp.modified().elapsed().is_ok_and(|age| age < quiet) {
            return self.restless();
        }
        if !has_room && self.reading.is_none() {
            return FileLook::NoRoom;
        }
        let wasm = match self.read(path, stamp).await {
            Some(Ok(wasm)) => wasm,
            Some(Err(error)) => return self.unreadable(&error),
            None => return self.slow(),
        };
        self.unreadable_since = None;
        // The stamp has to be the same after the read as before it.
        if FileStamp::of(path).ok() != Some(stamp) || wasm.len() as u64 != stamp.len() {
            return self.restless();
        }
        (self.stamp, self.restless_since) = (Some(stamp), None);
        FileLook::Changed(wasm)
    }

    /// Reads the content that has this stamp. None if the read has not ended within [`READ_WAIT`]: the next look waits
    /// for the same read, so that a file system that hangs holds one thread for each file.
    async fn read(&mut self, path: &Path, stamp: FileStamp) -> Option<io::Result<Vec<u8>>> {
        let mut reading = self.reading.take().unwrap_or_else(|| {
            let path = path.to_owned();
            Reading { stamp, begun: Instant::now(), task: tokio::task::spawn_blocking(move || read(&path)) }
        });
        match tokio::time::timeout(READ_WAIT, &mut reading.task).await {
            Ok(Ok(read)) if reading.stamp == stamp => Some(read),
            // The content is an older one.
            Ok(Ok(_)) => None,
            Ok(Err(_)) => Some(Err(io::Error::other("the read was broken off"))),
            Err(_) => {
                self.reading = Some(reading);
                None
            }
        }
    }

    /// Notes that the folder does not have the file. True if it has been missing for longer than a replacement takes,
    /// which is longer where the folder was emptied.
    pub(super) fn is_gone(&mut self, is_emptied: bool) -> bool {
        // Also while the others come back, one after the other.
        self.was_emptied |= is_emptied;
        let grace = if self.was_emptied { EMPTIED_GRACE } else { GRACE };
        self.missing_since.get_or_insert_with(Instant::now).elapsed() >= grace
    }

    /// The SHA-256 of the build that serves, and of the one that is staged or waits for its turn.
    pub(super) fn builds(&self) -> impl Iterator<Item = &str> {
        let active = self.active.as_ref().map(|active| active.plugin.sha256());
        self.staged.as_deref().into_iter().chain(active)
    }

    /// True if the content that was staged last is that of the build that serves.
    pub(super) fn is_active_content(&self) -> bool {
        self.active.as_ref().is_some_and(|active| self.staged.as_deref() == Some(active.plugin.sha256()))
    }

    /// Counts the file as missing from now on, with the others of an emptied folder.
    pub(super) fn await_return(&mut self) {
        (self.missing_since, self.was_emptied) = (Some(Instant::now()), true);
    }

    /// True if a failure that is not the file's own is tried again soon.
    pub(super) fn is_retried_soon(&self) -> bool {
        self.retry.is_some_and(|(_, pause)| pause <= SOON)
    }

    /// True if the file was missing at the last look.
    pub(super) fn is_missing(&self) -> bool {
        self.missing_since.is_some()
    }

    /// Records a failure. Returns the reason, unless it is the one that was recorded before.
    pub(super) fn fail(&mut self, reason: String) -> Option<String> {
        (self.failure.replace(reason.clone()).as_ref() != Some(&reason)).then_some(reason)
    }

    /// Makes the next look take the content for new.
    pub(super) fn forget_content(&mut self) {
        (self.stamp, self.staged) = (None, None);
        // The pause stays for the next failure.
        self.retry = self.retry.map(|(_, pause)| (Instant::now() + LONGEST_RETRY, pause));
    }

    /// Has the content tried again after a pause: the cause of its failure is not the content.
    pub(super) fn try_again_later(&mut self) {
        let pause = self.retry.map_or(RETRY, |(_, pause)| (pause * 2).min(LONGEST_RETRY));
        self.retry = Some((Instant::now() + pause, pause));
    }

    /// The time after which the file has to be looked at even if there is no event. None if only an event can change
    /// what is known of it.
    pub(super) fn look_due(&self) -> Option<Duration> {
        let restless = (self.restless_since.is_some() || self.reading.is_some()).then_some(LOOK);
        let unreadable = self.unreadable_since.map(|_| UNREADABLE_LOOK);
        let retry = self.retry.map(|(at, _)| at.saturating_duration_since(Instant::now()));
        [restless, unreadable, retry].into_iter().flatten().min()
    }

    /// True if the file may be changed through a path outside of the folder.
    pub(super) fn has_other_path(&self) -> bool {
        self.has_other_path
    }

    /// Has the content, which was loaded or is at fault itself, not tried again.
    pub(super) fn end_retries(&mut self) {
        self.retry = None;
    }

    /// Reports a failure once.
    fn failed(&mut self, reason: String) -> FileLook {
        self.fail(reason).map_or(FileLook::Unchanged, FileLook::Failed)
    }

    /// A file that is being replaced is unreadable for a moment, which is not a failure.
    fn unreadable(&mut self, error: &io::Error) -> FileLook {
        if self.unreadable_since.get_or_insert_with(Instant::now).elapsed() < GRACE {
            return FileLook::Unsettled;
        }
        self.failed(format!("it cannot be read: {error}"))
    }

    /// A file that changes all the time is looked at less often, and reported.
    fn restless(&mut self) -> FileLook {
        if self.restless_since.get_or_insert_with(Instant::now).elapsed() < RESTLESS {
            return FileLook::Unsettled;
        }
        let seconds = RESTLESS.as_secs();
        self.failed(format!("it has been changing for {seconds} seconds: it is loaded when it stays as it is"))
    }

    /// A file whose bytes do not come is reported.
    fn slow(&mut self) -> FileLook {
        match &self.reading {
            Some(reading) if reading.begun.elapsed() >= READ_TIMEOUT => {
                self.failed(format!("it could not be read within {} seconds", READ_TIMEOUT.as_secs()))
            }
            Some(_) | None => FileLook::Unsettled,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    /// The result of looking until the file is settled, with the reason of a failure.
    async fn settled(file: &mut TrackedFile, path: &Path) -> Result<Vec<u8>, String> {
        loop {
            match file.look(path, true, QUIET).await {
                FileLook::Changed(wasm) => return Ok(wasm),
                FileLook::Failed(reason) => return Err(reason),
                FileLook::Unsettled | FileLook::NoRoom => tokio::time::sleep(Duration::from_millis(20)).await,
                FileLook::Unchanged => panic!("a first look finds something"),
            }
        }
    }

    /// A pipe in the plugin folder ended all reloads, and a link to a device without an end took all memory.
    #[tokio::test]
    async fn what_is_no_regular_file_is_refused_by_what_it_is_and_never_opened() {
        let dir = tempfile::tempdir().expect("a folder");
        let at = |name: &str| dir.path().join(name);
        rustix::fs::mkfifoat(rustix::fs::CWD, at("fifo.wasm"), rustix::fs::Mode::RWXU).expect("a pipe");
        let _socket = UnixListener::bind(at("socket.wasm")).expect("a socket");
        std::fs::create_dir(at("folder.wasm")).expect("a folder");
        symlink("/dev/zero", at("zero.wasm")).expect("a link");
        for (name, what) in [("fifo", "a pipe"), ("socket", "a socket"), ("folder", "a folder"), ("zero", "a device")] {
            let mut file = TrackedFile::default();
            let path = at(&format!("{name}.wasm"));
            let looked = tokio::time::timeout(Duration::from_secs(5), settled(&mut file, &path)).await;
            let reason = looked.expect("no look waits for it").expect_err("it is no component");
            assert!(reason.contains(what), "{name}: {reason}");
            // What took its place since the look is refused without waiting as well.
            read(&path).expect_err("it is no file");
        }
    }

    #[tokio::test]
    async fn a_file_that_is_too_large_is_refused_unread_and_one_that_rests_is_read() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("a.wasm");
        File::create(&path).expect("a file").set_len(MAX_WASM + 1).expect("a hole");
        let mut file = TrackedFile::default();
        assert!(settled(&mut file, &path).await.expect_err("too large").contains("at most"));
        assert!(matches!(file.look(&path, true, QUIET).await, FileLook::Unchanged), "reported once");
        std::fs::write(&path, "whole").expect("written");
        assert_eq!(settled(&mut file, &path).await.expect("its content"), b"whole");
    }

    #[test]
    fn all_files_at_once_are_missed_for_longer_than_one() {
        let mut file = TrackedFile::default();
        assert!(!file.is_gone(false));
        file.missing_since = Instant::now().checked_sub(GRACE);
        assert!(file.is_gone(false) && !file.is_gone(true));
        assert!(!file.is_gone(false), "the first of the others is back");
        file.missing_since = Instant::now().checked_sub(EMPTIED_GRACE);
        assert!(file.is_gone(true));
    }

    #[test]
    fn a_failure_that_is_not_the_files_own_is_tried_again_ever_later() {
        let mut file = TrackedFile::default();
        let mut pauses = Vec::new();
        for _ in 0..9 {
            file.try_again_later();
            pauses.push(file.retry.expect("a try").1.as_secs());
            file.forget_content();
        }
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 320, 600, 600]);
        assert!(file.look_due().is_some_and(|due| due > Duration::from_secs(500)), "and is not looked at before that");
        file.end_retries();
        assert!(file.retry.is_none() && file.look_due().is_none());
    }
}
