//! The history of each file of the plugin folder: the active build and the one before it, kept on disk.
//!
//! The host writes which builds are active and why a file is not; `coinslot plugins` reads that beside a running host.
//! To roll back is to put the former bytes into the folder again: the folder says what is served, here as everywhere.
//! Two builds are kept for each file, and no more.

#![expect(clippy::disallowed_methods, reason = "the history says since when a build is active")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use coinslot_base::file::{replace, replace_durably};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::install::Installed;
use super::scan_report::ScanReport;

/// Components and the file that names them are the host's alone.
const MODE: u32 = 0o600;

/// A component that no entry names is removed at this age. Until then it may be one that is about to become active.
const UNNAMED_SECONDS: u64 = 60;

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
}

/// A build whose component is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptBuild {
    pub plugin: String,
    pub version: String,
    /// In hex.
    pub sha256: String,
    /// Seconds since 1970 at which the build became active.
    pub since: u64,
    /// One line for each endpoint, as in `GET /path 0.01 USDC`.
    pub endpoints: Vec<String>,
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

    /// Keeps the bytes of a component that is about to become active.
    pub(super) fn keep(dir: &Path, sha256: &str, wasm: &[u8]) -> io::Result<()> {
        let path = component(dir, sha256);
        // Its name is its content's hash, so a file of this name needs no new write.
        if path.exists() { Ok(()) } else { replace(&path, MODE, wasm) }
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The entry of a file.
    pub(super) fn entry(&self, file: &str) -> Option<&HistoryEntry> {
        self.entries.files.get(file)
    }

    /// The files that were in the folder when the history was written last.
    pub(super) fn present(&self) -> impl Iterator<Item = &str> {
        let is_present = |entry: &HistoryEntry| entry.active.is_some() || entry.failure.is_some();
        self.entries.files.iter().filter(move |(_, entry)| is_present(entry)).map(|(name, _)| name.as_str())
    }

    /// Records what a scan changed. `active` gives the active plugin of a file.
    pub(super) fn record<'p>(&mut self, report: &ScanReport, active: impl Fn(&str) -> Option<&'p Installed>) {
        for name in report.removed.iter().chain(&report.forgotten) {
            self.removed(name);
        }
        for name in &report.loaded {
            if let Some(installed) = active(name) {
                self.activated(name, KeptBuild::activated_now(installed));
            }
        }
        for (name, reason) in &report.failed {
            self.entries.files.entry(name.clone()).or_default().failure = Some(reason.clone());
        }
    }

    /// Records that a build is active. Another build that the file had becomes the previous one.
    fn activated(&mut self, file: &str, build: KeptBuild) {
        let entry = self.entries.files.entry(file.to_owned()).or_default();
        entry.failure = None;
        match &mut entry.active {
            // The same build again, as after a restart: only its prices may differ.
            Some(same) if same.sha256 == build.sha256 => same.endpoints = build.endpoints,
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
        entry.failure = None;
        if let Some(former) = entry.active.take() {
            entry.previous = Some(former);
        }
        if entry.previous.is_none() {
            self.entries.files.remove(file);
        }
    }

    /// Replaces the history file in one step, and then removes components that it does not name.
    pub(super) fn write(&self) -> io::Result<()> {
        replace(&HistoryFile::path(&self.dir), MODE, &serde_json::to_vec_pretty(&self.entries)?)?;
        let entries = self.entries.files.values();
        let named: BTreeSet<String> = entries
            .flat_map(|entry| [&entry.active, &entry.previous])
            .flatten()
            .map(|build| format!("{}.wasm", build.sha256))
            .collect();
        for found in fs::read_dir(self.dir.join("components"))? {
            let found = found?;
            let name = found.file_name().to_string_lossy().into_owned();
            let is_young = found.metadata()?.modified()?.elapsed().is_ok_and(|age| age.as_secs() < UNNAMED_SECONDS);
            if !named.contains(&name) && !is_young {
                fs::remove_file(found.path())?;
            }
        }
        Ok(())
    }
}

impl HistoryFile {
    fn path(dir: &Path) -> PathBuf {
        dir.join("plugins.json")
    }

    /// Reads what a host last wrote into this directory. Empty if no host has.
    pub fn read(dir: &Path) -> io::Result<Self> {
        match fs::read(Self::path(dir)) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    /// Finds a file and its entry by the file's name, with or without `.wasm`, or by the name of its plugin.
    pub fn find(&self, name: &str) -> Option<(&str, &HistoryEntry)> {
        let with_suffix = format!("{name}.wasm");
        let by_file = self.files.get_key_value(name).or_else(|| self.files.get_key_value(&with_suffix));
        let by_plugin = || {
            self.files
                .iter()
                .find(|(_, entry)| entry.active.iter().chain(&entry.previous).any(|build| build.plugin == name))
        };
        by_file.or_else(by_plugin).map(|(file, entry)| (file.as_str(), entry))
    }
}

impl KeptBuild {
    /// The record of a build that becomes active now. Its component is kept apart, by [`History::keep`].
    fn activated_now(installed: &Installed) -> Self {
        let info = installed.plugin.info();
        let endpoints = installed.endpoints.iter().map(|endpoint| format!("{} {}", endpoint.label, endpoint.access));
        Self {
            plugin: info.name.clone(),
            version: info.version.clone(),
            sha256: installed.plugin.sha256().to_owned(),
            since: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
            endpoints: endpoints.collect(),
        }
    }

    /// Puts the component into the plugin folder in one step, in the place of the file `target`. A host that watches
    /// the folder does not look at the draft, whose name begins with a dot.
    pub fn restore(&self, dir: &Path, target: &Path) -> io::Result<()> {
        let bytes = self.bytes(dir)?;
        replace_durably(target, MODE, &bytes).map_err(|error| at(target, &error))
    }

    /// The bytes of the component, proven to be those that served.
    fn bytes(&self, dir: &Path) -> io::Result<Vec<u8>> {
        let path = component(dir, &self.sha256);
        let bytes = fs::read(&path).map_err(|error| at(&path, &error))?;
        if hex::encode(Sha256::digest(&bytes)) != self.sha256 {
            return Err(io::Error::other(format!("{}: it is not what was kept there", path.display())));
        }
        Ok(bytes)
    }
}

fn component(dir: &Path, sha256: &str) -> PathBuf {
    dir.join("components").join(format!("{sha256}.wasm"))
}

/// The error with the path that it is about.
fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(sha256: &str) -> KeptBuild {
        let (plugin, version) = ("echo".to_owned(), "1.0.0".to_owned());
        KeptBuild { plugin, version, sha256: sha256.to_owned(), since: 1, endpoints: Vec::new() }
    }

    #[test]
    fn the_build_before_the_active_one_is_kept_and_no_older_one() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut history = History::open(dir.path()).expect("a history");
        for sha256 in ["a", "b", "b", "c"] {
            history.activated("echo.wasm", build(sha256));
        }
        history.write().expect("written");
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
    }
}
