//! The history of each file of the plugin folder: the active build and the one before it, kept on disk.
//!
//! The host writes which builds are active and why a file is not; `coinslot plugins` reads that beside a running host.
//! To roll back is to put the former bytes into the folder again: the folder says what is served, here as everywhere.
//! Two builds are kept for each file, and no more.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use coinslot_base::file::replace;
use serde::{Deserialize, Serialize};

use super::install::Installed;
use super::kept_build::{KeptBuild, MODE, component, now};
use super::scan_report::{NOT_ANEW, ScanReport};

/// A component that no entry names and no file waits to serve is removed at this age.
const UNNAMED_SECONDS: u64 = 60;

/// A file that has been gone for this long is forgotten, together with its last build: where each build has a name of
/// its own, the history would grow for ever.
const GONE_SECONDS: u64 = 30 * 24 * 60 * 60;

/// The directory with the history file and the components that it names.
#[derive(Debug)]
pub struct History {
    dir: PathBuf,
    entries: HistoryFile,
}

/// The content of the history file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryFile {
    /// One entry for each file of the plugin folder, by name.
    pub files: BTreeMap<String, HistoryEntry>,
}

/// The history of one file of the plugin folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// The build that serves.
    #[serde(rename = "in_force", skip_serializing_if = "Option::is_none", default)]
    pub active: Option<KeptBuild>,
    /// The build that served before it, and can serve again.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub previous: Option<KeptBuild>,
    /// The reason why the file's present content is not active.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub failure: Option<String>,
    /// The SHA-256, in hex, of the content that is not active for that reason. None if the content was not read.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub refused: Option<String>,
    /// Counts the refusals of the file's contents: two that follow each other may have the same reason.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub refusals: u64,
    /// Set while the active build does not serve either: it could not be put back after a restart.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub is_idle: bool,
    /// The SHA-256, in hex, of the build that failed again and again and was rolled back: no rollback returns to it by
    /// itself.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub abandoned: Option<String>,
    /// Seconds since 1970 at which the file was found to be gone.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub gone_since: Option<u64>,
}

impl History {
    /// Opens the directory, or makes it. A history file that cannot be read is begun anew, with a warning: the files of
    /// the folder serve without it.
    pub fn open(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir.join("components"))?;
        let entries = HistoryFile::read(dir).unwrap_or_else(|error| {
            tracing::warn!(%error, dir = %dir.display(), "the history of the plugins cannot be read: it begins anew");
            HistoryFile::default()
        });
        Ok(Self { dir: dir.to_owned(), entries })
    }

    /// Keeps the bytes of a component that is about to become active. A file that has them already becomes as young as
    /// a new one.
    pub(super) fn keep(dir: &Path, sha256: &str, wasm: &[u8]) -> io::Result<()> {
        let path = component(dir, sha256);
        let renew = || File::open(&path)?.set_modified(UNIX_EPOCH + Duration::from_secs(now()));
        // The file may have lost its content: a crash of the machine can leave it empty.
        let is_kept = fs::read(&path).is_ok_and(|kept| kept == wasm) && renew().is_ok();
        if is_kept { Ok(()) } else { replace(&path, MODE, wasm) }
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn file(&self) -> &HistoryFile {
        &self.entries
    }

    /// The entry of a file.
    pub(super) fn entry(&self, file: &str) -> Option<&HistoryEntry> {
        self.entries.files.get(file)
    }

    /// Records that a build failed again and again and is rolled back.
    pub(super) fn abandoned(&mut self, file: &str, sha256: &str) {
        self.entries.files.entry(file.to_owned()).or_default().abandoned = Some(sha256.to_owned());
    }

    /// Records what a scan changed. `active` gives the active plugin of a file, and `refused` the SHA-256 of the
    /// content of the file that was refused last.
    pub(super) fn record<'p>(
        &mut self,
        report: &ScanReport,
        active: impl Fn(&str) -> Option<&'p Installed>,
        refused: impl Fn(&str) -> Option<String>,
    ) {
        for name in report.removed.iter().chain(&report.forgotten) {
            self.removed(name);
        }
        for name in &report.loaded {
            if let Some(installed) = active(name) {
                self.activated(name, KeptBuild::activated_now(installed));
            }
        }
        for (name, reason) in &report.failed {
            let entry = self.entries.files.entry(name.clone()).or_default();
            (entry.failure, entry.is_idle) = (Some(reason.clone()), active(name).is_none());
            (entry.refused, entry.refusals) = (refused(name), entry.refusals.saturating_add(1));
        }
    }

    /// Records the names, routes and prices of active builds, which a new configuration may have changed.
    pub(super) fn reconfigured<'p>(&mut self, active: impl IntoIterator<Item = &'p Installed>) {
        for installed in active {
            let entry = self.entries.files.get_mut(&installed.file);
            if let Some(same) = entry.and_then(|entry| entry.active.as_mut())
                && same.sha256 == installed.plugin.sha256()
            {
                *same = KeptBuild { since: same.since, ..KeptBuild::activated_now(installed) };
            }
        }
    }

    /// Records that a build is active. Another build that the file had becomes the previous one.
    fn activated(&mut self, file: &str, build: KeptBuild) {
        let entry = self.entries.files.entry(file.to_owned()).or_default();
        (entry.failure, entry.refused, entry.gone_since, entry.is_idle) = (None, None, None, false);
        match &mut entry.active {
            // The same build again, as after a restart: only what the configuration decides may differ.
            Some(same) if same.sha256 == build.sha256 => *same = KeptBuild { since: same.since, ..build },
            active => {
                let is_back = entry.previous.as_ref().is_some_and(|previous| previous.sha256 == build.sha256);
                match active.replace(build) {
                    Some(former) => entry.previous = Some(former),
                    // The file was gone and is back: there is no other build to go back to.
                    None if is_back => entry.previous = None,
                    None => {}
                }
            }
        }
    }

    /// Records that the file is gone. Its last build can be rolled back to.
    fn removed(&mut self, file: &str) {
        let Some(entry) = self.entries.files.get_mut(file) else { return };
        (entry.failure, entry.refused, entry.is_idle) = (None, None, false);
        entry.gone_since = Some(now());
        if let Some(former) = entry.active.take() {
            entry.previous = Some(former);
        }
        if entry.previous.is_none() {
            self.entries.files.remove(file);
        }
    }

    /// Forgets files that have been gone for long, replaces the history file in one step, and then removes components
    /// that it does not name and whose SHA-256 is none of `in_use`: a build that waits for its turn is named only when
    /// it is active.
    pub(super) fn write<'a>(&mut self, in_use: impl Iterator<Item = &'a str>) -> io::Result<()> {
        self.forget_gone();
        replace(&HistoryFile::path(&self.dir), MODE, &serde_json::to_vec_pretty(&self.entries)?)?;
        let mut kept: HashSet<String> = in_use.map(|sha256| format!("{sha256}.wasm")).collect();
        kept.extend(self.builds().map(|build| format!("{}.wasm", build.sha256)));
        for found in fs::read_dir(self.dir.join("components"))? {
            let found = found?;
            let name = found.file_name().to_string_lossy().into_owned();
            let is_young = found.metadata()?.modified()?.elapsed().is_ok_and(|age| age.as_secs() < UNNAMED_SECONDS);
            if !kept.contains(&name) && !is_young {
                fs::remove_file(found.path())?;
            }
        }
        Ok(())
    }

    /// All builds that are kept: the active and the previous one of each file.
    pub(super) fn builds(&self) -> impl Iterator<Item = &KeptBuild> {
        self.entries.files.values().flat_map(|entry| [&entry.active, &entry.previous]).flatten()
    }

    fn forget_gone(&mut self) {
        let now = now();
        self.entries.files.retain(|_, entry| {
            if entry.active.is_some() || entry.failure.is_some() {
                return true;
            }
            // An older version did not write since when.
            now.saturating_sub(*entry.gone_since.get_or_insert(now)) < GONE_SECONDS
        });
    }
}

impl HistoryFile {
    /// The name of the file.
    pub const NAME: &str = "plugins.json";

    fn path(dir: &Path) -> PathBuf {
        dir.join(Self::NAME)
    }

    /// Reads what a host last wrote into this directory. Empty if no host has.
    pub fn read(dir: &Path) -> io::Result<Self> {
        match fs::read(Self::path(dir)) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    /// The files that were in the folder when the history was written last.
    pub(super) fn present(&self) -> impl Iterator<Item = (&str, &HistoryEntry)> {
        let files = self.files.iter().map(|(name, entry)| (name.as_str(), entry));
        files.filter(|(_, entry)| entry.active.is_some() || entry.failure.is_some())
    }

    /// Finds a file and its entry by the file's name, with or without `.wasm`, or by the name of its plugin: that of
    /// the file which serves the plugin, or else of the file which served it last.
    pub fn find(&self, name: &str) -> Option<(&str, &HistoryEntry)> {
        let is_named = |build: &Option<KeptBuild>| build.as_ref().is_some_and(|build| build.plugin == name);
        let with_suffix = format!("{name}.wasm");
        let by_file = || self.files.get_key_value(name).or_else(|| self.files.get_key_value(&with_suffix));
        let active = || self.files.iter().find(|(_, entry)| is_named(&entry.active));
        let previous = || {
            let named = self.files.iter().filter(|(_, entry)| is_named(&entry.previous));
            // A file that still serves comes before one that is gone.
            named.max_by_key(|(_, entry)| (entry.active.is_some(), entry.previous.as_ref().map(|build| build.since)))
        };
        by_file().or_else(active).or_else(previous).map(|(file, entry)| (file.as_str(), entry))
    }
}

impl HistoryEntry {
    /// The build that serves, as far as the host that wrote this knew.
    pub fn serving(&self) -> Option<&KeptBuild> {
        self.active.as_ref().filter(|_| !self.is_idle)
    }

    /// The reason why the host has refused `build` since this entry was `before`. None if it has not.
    pub fn refusal_since(&self, before: &Self, build: &KeptBuild) -> Option<&str> {
        let is_new = if self.refusals == before.refusals {
            // An older host does not count refusals.
            self.failure != before.failure
        } else {
            self.refused.as_ref().is_none_or(|sha256| *sha256 == build.sha256)
        };
        self.failure.as_deref().filter(|_| is_new)
    }

    /// The build that a rollback puts back: the active one if the file's present content is not active, or else the one
    /// before it. Content that serves with its former configuration is active.
    pub fn rollback_target(&self) -> Option<&KeptBuild> {
        match (&self.active, &self.failure) {
            (Some(active), Some(_)) if self.refused_configuration().is_none() => Some(active),
            (Some(_) | None, _) => self.previous.as_ref(),
        }
    }

    /// True if this build failed again and again and was rolled back.
    pub fn is_abandoned(&self, build: &KeptBuild) -> bool {
        self.abandoned.as_ref() == Some(&build.sha256)
    }

    /// The build that serves with its former configuration, and the reason why it cannot use the present one.
    pub fn refused_configuration(&self) -> Option<(&KeptBuild, &str)> {
        Some((self.serving()?, self.failure.as_deref()?.strip_prefix(NOT_ANEW)?))
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use sha2::{Digest, Sha256};

    use super::*;

    fn build(sha256: &str) -> KeptBuild {
        let (plugin, version) = ("echo".to_owned(), "1.0.0".to_owned());
        KeptBuild { plugin, version, sha256: sha256.to_owned(), since: 1, endpoints: Vec::new(), changes: Vec::new() }
    }

    #[test]
    fn the_build_before_the_active_one_is_kept_and_no_older_one() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut history = History::open(dir.path()).expect("a history");
        for sha256 in ["a", "b", "b", "c"] {
            history.activated("echo.wasm", build(sha256));
        }
        history.write([].into_iter()).expect("written");
        let file = HistoryFile::read(dir.path()).expect("read");
        let (name, entry) = file.find("echo").expect("found by the plugin's name");
        let sha256s = [&entry.active, &entry.previous].map(|build| build.as_ref().map(|build| build.sha256.as_str()));
        assert_eq!((name, sha256s), ("echo.wasm", [Some("c"), Some("b")]));
        // A restart with the same component changes nothing; a file that has gone can come back.
        let mut again = History::open(dir.path()).expect("a history");
        again.activated("echo.wasm", build("c"));
        assert_eq!(again.entries, file);
        again.removed("echo.wasm");
        let entry = again.entry("echo.wasm").expect("an entry");
        assert_eq!((entry.active.clone(), entry.previous.clone()), (None, Some(build("c"))));
    }

    #[test]
    fn a_damaged_history_file_is_begun_anew_and_changed_bytes_are_not_restored() {
        let dir = tempfile::tempdir().expect("a folder");
        fs::write(dir.path().join("plugins.json"), "{\"files\":").expect("written");
        assert_eq!(History::open(dir.path()).expect("a history").entries, HistoryFile::default());
        let sha256 = hex::encode(Sha256::digest(b"component"));
        History::keep(dir.path(), &sha256, b"component").expect("kept");
        assert_eq!(build(&sha256).bytes(dir.path()).expect("its bytes"), b"component");
        fs::write(component(dir.path(), &sha256), "other").expect("written");
        build(&sha256).bytes(dir.path()).expect_err("not what was kept");
        // A crash of the machine had left an empty file, which stayed in the place of the component.
        History::keep(dir.path(), &sha256, b"component").expect("kept again");
        assert_eq!(build(&sha256).bytes(dir.path()).expect("its bytes"), b"component");
    }

    #[test]
    fn components_that_wait_for_their_turn_are_not_removed_and_become_young_when_they_are_kept_again() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut history = History::open(dir.path()).expect("a history");
        let kept = |sha256: &str| {
            History::keep(dir.path(), sha256, b"component").expect("kept");
            let age = || fs::metadata(component(dir.path(), sha256)).expect("a file").modified();
            let is_old = age().expect("a time").elapsed().expect("the past") > Duration::from_secs(10);
            assert!(!is_old, "{sha256}");
            let file = File::open(component(dir.path(), sha256)).expect("a file");
            file.set_modified(UNIX_EPOCH).expect("a time");
        };
        ["waits", "waits", "gone"].into_iter().for_each(kept);
        history.write(["waits"].into_iter()).expect("written");
        let exists = |sha256: &str| component(dir.path(), sha256).exists();
        assert_eq!((exists("waits"), exists("gone")), (true, false));
    }

    #[test]
    fn a_plugins_name_means_the_file_that_serves_it() {
        let mut history = HistoryFile::default();
        let entry = |active: Option<KeptBuild>, previous: Option<KeptBuild>| HistoryEntry {
            active,
            previous,
            ..HistoryEntry::default()
        };
        history.files.insert("echo-1.wasm".to_owned(), entry(None, Some(build("a"))));
        history.files.insert("echo-2.wasm".to_owned(), entry(Some(build("b")), None));
        assert_eq!(history.find("echo").map(|(file, _)| file), Some("echo-2.wasm"), "not the one that was removed");
        assert_eq!(history.find("echo-1").map(|(file, _)| file), Some("echo-1.wasm"));
        // Nothing serves it any more: the newest of those that did.
        let newest = KeptBuild { since: 2, ..build("b") };
        history.files.insert("echo-2.wasm".to_owned(), entry(None, Some(newest)));
        assert_eq!(history.find("echo").map(|(file, _)| file), Some("echo-2.wasm"));
    }

    #[test]
    fn a_rollback_from_a_broken_file_returns_to_what_serves() {
        let (active, previous) = (Some(build("b")), Some(build("a")));
        let mut entry = HistoryEntry { active, previous, ..HistoryEntry::default() };
        assert_eq!(entry.rollback_target(), Some(&build("a")));
        entry.failure = Some("it is not WebAssembly".to_owned());
        assert_eq!(entry.rollback_target(), Some(&build("b")));
    }

    #[test]
    fn a_restored_file_has_the_mode_of_the_one_before_or_of_the_folder() {
        let dir = tempfile::tempdir().expect("a folder");
        let sha256 = hex::encode(Sha256::digest(b"component"));
        History::open(dir.path()).expect("a history");
        History::keep(dir.path(), &sha256, b"component").expect("kept");
        let folder = dir.path().join("plugins");
        fs::create_dir(&folder).expect("a folder");
        fs::set_permissions(&folder, Permissions::from_mode(0o775)).expect("a mode");
        let mode = |path: &Path| fs::metadata(path).expect("a file").mode() & 0o777;
        let (new, old) = (folder.join("new.wasm"), folder.join("old.wasm"));
        fs::write(&old, "junk").expect("written");
        fs::set_permissions(&old, Permissions::from_mode(0o640)).expect("a mode");
        for path in [&new, &old] {
            build(&sha256).restore(dir.path(), path).expect("restored");
            assert_eq!(fs::read(path).expect("readable"), b"component");
        }
        assert_eq!((mode(&new), mode(&old)), (0o664, 0o640));
    }

    #[test]
    fn a_file_that_is_gone_for_long_is_forgotten_with_its_component() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut history = History::open(dir.path()).expect("a history");
        history.activated("old.wasm", build("a"));
        history.activated("new.wasm", build("b"));
        history.abandoned("new.wasm", "c");
        history.removed("old.wasm");
        history.removed("new.wasm");
        let old = history.entries.files.get_mut("old.wasm").expect("an entry");
        old.gone_since = Some(now() - GONE_SECONDS);
        history.write([].into_iter()).expect("written");
        let read = History::open(dir.path()).expect("a history");
        assert_eq!(read.entries.files.keys().collect::<Vec<_>>(), ["new.wasm"]);
        assert_eq!(read.entry("new.wasm").and_then(|entry| entry.abandoned.as_deref()), Some("c"));
    }
}
