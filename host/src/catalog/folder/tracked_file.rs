//! Tracks one file of the plugin folder, and finds out when its content has changed.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use coinslot_base::file::FileStamp;

use crate::catalog::install::Installed;

/// The largest component that is read, in bytes. Components in Python have 18 MB.
const MAX_WASM: u64 = 64 << 20;

/// A file that is missing or unreadable for less than this is being replaced: by `mv`, an editor, a swap of links.
pub(super) const GRACE: Duration = Duration::from_millis(400);

/// A file that changed this recently may still be being written.
const QUIET: Duration = Duration::from_millis(50);

/// The state of one file: its content, its active build, its last failure.
#[derive(Debug, Default)]
pub(super) struct TrackedFile {
    /// The stamp of the content that was read last.
    pub(super) stamp: Option<FileStamp>,
    /// The SHA-256, in hex, of the content that was staged last.
    pub(super) staged: Option<String>,
    /// The build of this file that serves.
    pub(super) active: Option<Arc<Installed>>,
    /// The reason that was reported last.
    pub(super) failure: Option<String>,
    /// The SHA-256, in hex, of the build that was rolled back, so that no build is rolled back to it.
    pub(super) abandoned: Option<String>,
    missing_since: Option<Instant>,
    unreadable_since: Option<Instant>,
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
    /// Reads the file, if its stamp is new and the file has stopped changing. `has_room` is whether new content can be
    /// staged now; if not, nothing is read.
    pub(super) async fn look(&mut self, path: &Path, has_room: bool) -> FileLook {
        self.missing_since = None;
        let stamp = match FileStamp::of(path) {
            Ok(stamp) if self.stamp == Some(stamp) => return FileLook::Unchanged,
            Ok(stamp) => stamp,
            // The file was removed since it was listed, or it is a link whose target is not there yet.
            Err(error) => return self.unreadable(&error),
        };
        if stamp.len() > MAX_WASM {
            self.stamp = Some(stamp);
            let reason = format!("it has {} bytes; at most {MAX_WASM} are loaded", stamp.len());
            return self.fail(reason).map_or(FileLook::Unchanged, FileLook::Failed);
        }
        if !has_room {
            return FileLook::NoRoom;
        }
        let wasm = match tokio::fs::read(path).await {
            Ok(wasm) => wasm,
            Err(error) => return self.unreadable(&error),
        };
        self.unreadable_since = None;
        // A writer that pauses leaves an old stamp and half a file, so a young stamp is not believed, and the stamp has
        // to be the same after the read as before it.
        let is_young = stamp.modified().elapsed().is_ok_and(|age| age < QUIET);
        if is_young || FileStamp::of(path).ok() != Some(stamp) || wasm.len() as u64 != stamp.len() {
            return FileLook::Unsettled;
        }
        self.stamp = Some(stamp);
        FileLook::Changed(wasm)
    }

    /// Notes that the folder does not have the file. Returns whether it has been missing for longer than a replacement
    /// takes.
    pub(super) fn is_gone(&mut self) -> bool {
        self.missing_since.get_or_insert_with(Instant::now).elapsed() >= GRACE
    }

    /// Records a failure. Returns the reason, unless it is the one that was recorded before.
    pub(super) fn fail(&mut self, reason: String) -> Option<String> {
        (self.failure.replace(reason.clone()).as_ref() != Some(&reason)).then_some(reason)
    }

    /// Makes the next look take the content for new.
    pub(super) fn forget_content(&mut self) {
        (self.stamp, self.staged) = (None, None);
    }

    /// A file that is being replaced is unreadable for a moment, which is not a failure.
    fn unreadable(&mut self, error: &io::Error) -> FileLook {
        if self.unreadable_since.get_or_insert_with(Instant::now).elapsed() < GRACE {
            return FileLook::Unsettled;
        }
        self.fail(format!("it cannot be read: {error}")).map_or(FileLook::Unchanged, FileLook::Failed)
    }
}

/// Lists the files of a folder whose names end with `.wasm` and do not begin with a dot, in the order of their names.
pub(super) fn wasm_files(dir: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let Ok(name) = entry?.file_name().into_string() else { continue };
        if name.ends_with(".wasm") && !name.starts_with('.') {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}
