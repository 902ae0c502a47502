//! Remembers what served before this start, so that it serves again whatever the files are called.
//!
//! The history names the build of each file that served, and its bytes are kept. Those builds come first, those whose
//! compiled form is there before the others. Then each file is looked at as ever: its content is a change of what
//! serves, and one that does not load leaves the kept build serving. A build that did not serve before waits until
//! every build that did is active or refused, so it takes no name and no route of theirs.
//!
//! A kept build that does not load, or does not fit, may do so under another configuration: it is tried again after
//! each change of it, until some build of its file is active. Its name and its routes are kept for it until then.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::catalog::history::HistoryFile;
use crate::catalog::kept_build::KeptBuild;
use crate::catalog::kept_routes::KeptRoutes;

/// The time for which a start in an empty folder waits for what served before: its volume may not be mounted yet.
const MOUNT_WAIT: Duration = Duration::from_secs(60);

/// The part of a start that is still to be done.
#[derive(Debug, Default)]
pub(super) struct Start {
    /// The directory of the history.
    dir: PathBuf,
    /// Builds that served, by file, in the order in which they are loaded.
    waiting: Vec<(String, KeptBuild)>,
    /// The files whose builds are being loaded.
    begun: BTreeSet<String>,
    /// Files whose kept builds are compiled, until they are loaded.
    compiled: BTreeSet<String>,
    /// Builds that served, by file, as long as no build of their file is active again.
    unserved: BTreeMap<String, KeptBuild>,
    /// The files among them of which a build may still become active.
    unrestored: BTreeSet<String>,
    /// Builds that did not serve before wait until `unrestored` is empty.
    holds_new_builds: bool,
    /// The files that the folder held at its first scan.
    first: Option<Vec<String>>,
    is_over: bool,
    started_at: Option<Instant>,
}

impl Start {
    /// The start after a run with this history. `is_compiled` tells whether a build, by its SHA-256, is.
    pub(super) fn after(dir: &Path, history: &HistoryFile, is_compiled: impl Fn(&str) -> bool) -> Self {
        let mut start = Self { dir: dir.to_owned(), started_at: Some(Instant::now()), ..Self::default() };
        for (file, entry) in history.present() {
            let Some(build) = &entry.active else { continue };
            start.unrestored.insert(file.to_owned());
            if is_compiled(&build.sha256) {
                start.compiled.insert(file.to_owned());
            }
            start.unserved.insert(file.to_owned(), build.clone());
        }
        start.holds_new_builds = !start.unrestored.is_empty();
        start.load_anew();
        start
    }

    /// Has all builds that served before and do not serve yet loaded, again if they were: at the start, and when the
    /// policies have changed.
    pub(super) fn load_anew(&mut self) {
        self.begun.clear();
        self.unrestored.extend(self.unserved.keys().cloned());
        self.waiting = self.unserved.iter().map(|(file, build)| (file.clone(), build.clone())).collect();
        self.waiting.sort_by_key(|(file, build)| (!self.compiled.contains(file), build.since));
    }

    /// Notes the files that the first scan found.
    pub(super) fn note(&mut self, names: &[String]) {
        self.first.get_or_insert_with(|| names.to_vec());
    }

    /// Takes the next build that is to be loaded, of the files that the folder has.
    pub(super) fn next(&mut self, names: &[String]) -> Option<(String, PathBuf, KeptBuild)> {
        let at = self.waiting.iter().position(|(file, _)| names.binary_search(file).is_ok())?;
        let (file, build) = self.waiting.remove(at);
        self.begun.insert(file.clone());
        Some((file, self.dir.clone(), build))
    }

    /// True if builds of these files wait to be loaded.
    pub(super) fn has_waiting(&self, names: &[String]) -> bool {
        self.waiting.iter().any(|(file, _)| names.binary_search(file).is_ok())
    }

    /// True if the kept build of a file is not loaded yet. The file is not looked at before.
    pub(super) fn is_restoring(&self, file: &str) -> bool {
        self.begun.contains(file) || self.waiting.iter().any(|(waiting, _)| waiting == file)
    }

    /// The files of which [`Start::is_restoring`] is true.
    pub(super) fn restoring(&self) -> HashSet<String> {
        self.begun.iter().chain(self.waiting.iter().map(|(file, _)| file)).cloned().collect()
    }

    /// True if builds wait for files that may still come.
    pub(super) fn awaits_files(&self) -> bool {
        let waits = !self.begun.is_empty() || !self.waiting.is_empty();
        waits && self.started_at.is_some_and(|started_at| started_at.elapsed() < MOUNT_WAIT)
    }

    /// Notes that the kept build of a file was loaded, or could not be. True if it was being loaded.
    pub(super) fn note_ended(&mut self, file: &str) -> bool {
        self.compiled.remove(file);
        self.begun.remove(file)
    }

    /// Notes that a build of a file is active.
    pub(super) fn note_active(&mut self, file: &str) {
        self.unrestored.remove(file);
        self.unserved.remove(file);
    }

    /// Forgets a file that is gone. True if name and routes were kept for it, which others may have now.
    pub(super) fn forget(&mut self, file: &str) -> bool {
        self.note_ended(file);
        self.waiting.retain(|(waiting, _)| waiting != file);
        self.unrestored.remove(file);
        self.unserved.remove(file).is_some()
    }

    /// Name and routes that are kept for files of which no build is active again.
    pub(super) fn kept_routes(&self) -> Vec<KeptRoutes> {
        self.unserved.iter().map(|(file, build)| KeptRoutes::of(file, build)).collect()
    }

    /// True if this build of a file, by its SHA-256, may become active already.
    pub(super) fn admits(&self, file: &str, sha256: &str) -> bool {
        !self.holds_new_builds || self.unserved.get(file).is_some_and(|build| build.sha256 == sha256)
    }

    /// True if builds are left that only have to be mapped.
    pub(super) fn has_compiled(&self) -> bool {
        !self.compiled.is_empty()
    }

    /// True if everything that the folder held at the start is active or refused.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Brings the progress up to date after a scan. `is_pending` tells whether a file is neither active nor refused.
    pub(super) fn update(&mut self, is_pending: impl Fn(&str) -> bool) -> StartProgress {
        self.unrestored.retain(|file| is_pending(file));
        let first = self.first.iter().flatten();
        let mut loading: BTreeSet<String> = first.filter(|file| is_pending(file)).cloned().collect();
        loading.extend(self.unrestored.iter().cloned());
        let loading: Vec<String> = loading.into_iter().collect();
        // New builds have their turn in the next scan.
        let admits_new_builds = self.holds_new_builds && self.unrestored.is_empty();
        self.holds_new_builds &= !admits_new_builds;
        self.is_over = loading.is_empty() && self.unrestored.is_empty() && !admits_new_builds;
        StartProgress { loading, admits_new_builds }
    }
}

/// The progress of a start after a scan.
pub(super) struct StartProgress {
    /// The files that are neither active nor refused.
    pub(super) loading: Vec<String>,
    /// The last build that served before is active or refused: new builds have their turn.
    pub(super) admits_new_builds: bool,
}
