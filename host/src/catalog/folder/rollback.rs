//! Puts the former build of a file back into the folder when the active one fails again and again.

#![expect(clippy::disallowed_methods, reason = "a build is young for some minutes after it became active")]

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use coinslot_base::file::FileStamp;
use coinslot_plugin::Circuit;

use super::tracked_file::TrackedFile;
use crate::catalog::history::{History, HistoryEntry};
use crate::catalog::kept_build::KeptBuild;
use crate::catalog::staging::Staging;

/// A build that begins to fail at this age is not rolled back: something else than the build has changed.
const MAX_AGE: Duration = Duration::from_secs(600);

/// Rolls back each file whose active build fails again and again, if the operator wants that. The scan that follows
/// finds the former build in the folder as it finds any other change.
pub(super) fn roll_back_failing(
    history: &mut History,
    folder: &Path,
    files: &mut HashMap<String, TrackedFile>,
    staging: &Staging,
) {
    let mut put_back = Vec::new();
    for (name, file) in files.iter() {
        // Content that is being staged replaces the active build anyway.
        if is_failing(file)
            && !staging.contains(name)
            && let Some((failing, former)) = history.entry(name).and_then(|entry| way_back(entry, file))
            && is_in_place(&folder.join(name), file, failing)
        {
            let (failing, former) = (failing.sha256.clone(), former.clone());
            // Recorded even if the restore fails: a rollback is tried once for a build, and not at every scan.
            history.abandoned(name, &failing);
            if let Err(error) = history.write(files.values().flat_map(TrackedFile::builds)) {
                tracing::warn!(%error, dir = %history.dir().display(), "the history of the plugins cannot be written");
            }
            if roll_back(history, &folder.join(name), &failing, &former) {
                put_back.push((name.clone(), former.sha256));
            }
        }
    }
    for (name, sha256) in put_back {
        files.entry(name).or_default().put_back = Some(sha256);
    }
}

/// True if the file holds the failing build, and not content that was put there since.
fn is_in_place(path: &Path, file: &TrackedFile, failing: &KeptBuild) -> bool {
    let is_unchanged = FileStamp::of(path).is_ok_and(|stamp| file.stamp == Some(stamp));
    is_unchanged && file.staged.as_deref() == Some(&failing.sha256)
}

/// Replaces the file by the former build, unless it is a link. True if it is replaced.
fn roll_back(history: &History, path: &Path, failing: &str, former: &KeptBuild) -> bool {
    let name = path.file_name().unwrap_or_default().display();
    if path.is_symlink() {
        tracing::warn!(
            file = %name,
            "it fails again and again; it is a link, which is not replaced: change what it leads to"
        );
        return false;
    }
    match former.restore(history.dir(), path) {
        Ok(()) => {
            let (from, to) = (failing, &former.sha256);
            tracing::warn!(file = %name, from, to, "it fails again and again: the build before it is put back");
            true
        }
        Err(error) => {
            tracing::warn!(file = %name, %error, "it fails again and again, and cannot be rolled back");
            false
        }
    }
}

/// True if the operator lets the active build be rolled back.
pub(super) fn may_roll_back(file: &TrackedFile) -> bool {
    file.active.as_ref().is_some_and(|active| active.plugin.limits().rollback)
}

/// True if the circuit by which the active build is judged is open and the operator lets it be rolled back.
pub(super) fn is_failing(file: &TrackedFile) -> bool {
    may_roll_back(file)
        && file.active.as_ref().is_some_and(|active| matches!(active.plugin.circuit(), Circuit::Open { .. }))
}

/// The failing build, which is the active one, and the build to go back to. None if the failing build is too old, or if
/// either of the two was rolled back before: two builds that both fail do not take turns.
fn way_back<'e>(entry: &'e HistoryEntry, file: &TrackedFile) -> Option<(&'e KeptBuild, &'e KeptBuild)> {
    let (failing, former) = (entry.active.as_ref()?, entry.previous.as_ref()?);
    let is_young = SystemTime::now() < UNIX_EPOCH + Duration::from_secs(failing.since) + MAX_AGE;
    let is_active = file.active.as_ref().is_some_and(|active| active.plugin.sha256() == failing.sha256);
    let is_abandoned = entry.is_abandoned(failing) || entry.is_abandoned(former);
    (is_young && is_active && !is_abandoned).then_some((failing, former))
}
