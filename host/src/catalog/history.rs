//! What was served before, kept on disk: the component in force and the one before it, of each file.
//!
//! The host writes a book of what is in force and why something is not; `coinslot plugins` reads it beside a
//! running host. Rolling back is putting the former bytes into the folder again: the folder says what is served,
//! here as everywhere. Two components are kept for each file, and no more.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The directory with the book and the components.
#[derive(Debug)]
pub struct History {
    dir: PathBuf,
    book: HistoryFile,
}

/// Files of the plugin folder, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryFile {
    pub files: BTreeMap<String, Entry>,
}

/// One file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What serves now.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub in_force: Option<Component>,
    /// What served before it, and can serve again.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub previous: Option<Component>,
    /// Why what is in the folder now does not serve.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub failure: Option<String>,
}

/// One component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Component {
    pub plugin: String,
    pub version: String,
    pub sha256: String,
    /// Seconds since 1970 at which it came into force.
    pub since: u64,
    /// `METHOD /path PRICE`, a line each.
    pub endpoints: Vec<String>,
}

impl History {
    /// Opens the directory, making it if it is not there. A book that cannot be read is begun anew, with a warning:
    /// what is in the folder serves all the same.
    pub fn open(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir.join("components"))?;
        let book = match HistoryFile::read(dir) {
            Ok(book) => book,
            Err(error) => {
                tracing::warn!(%error, dir = %dir.display(), "what was served before cannot be read");
                HistoryFile::default()
            }
        };
        Ok(Self { dir: dir.to_owned(), book })
    }

    /// Keeps the bytes of a component that is about to serve.
    pub(super) fn keep(dir: &Path, sha256: &str, wasm: &[u8]) -> io::Result<()> {
        let path = component(dir, sha256);
        if path.exists() {
            return Ok(());
        }
        let mut draft = tempfile::Builder::new().prefix(".draft-").tempfile_in(dir.join("components"))?;
        draft.write_all(wasm)?;
        draft.persist(path).map_err(|error| error.error)?;
        Ok(())
    }

    /// What the file can go back to, and what serves now and since when.
    pub(super) fn way_back(&self, file: &str) -> Option<(&Component, &Component)> {
        let entry = self.book.files.get(file)?;
        Some((entry.previous.as_ref()?, entry.in_force.as_ref()?))
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// A component serves now; what this file held before is what can be rolled back to.
    pub(super) fn in_force(&mut self, file: &str, now: Component) {
        let entry = self.book.files.entry(file.to_owned()).or_default();
        entry.failure = None;
        match &mut entry.in_force {
            Some(same) if same.sha256 == now.sha256 => same.endpoints = now.endpoints,
            former => {
                if let Some(former) = former.replace(now) {
                    entry.previous = Some(former);
                }
            }
        }
    }

    /// The file cannot serve as it is.
    pub(super) fn failed(&mut self, file: &str, reason: &str) {
        self.book.files.entry(file.to_owned()).or_default().failure = Some(reason.to_owned());
    }

    /// The file has gone. It can come back.
    pub(super) fn gone(&mut self, file: &str) {
        let Some(entry) = self.book.files.get_mut(file) else { return };
        entry.failure = None;
        if let Some(former) = entry.in_force.take() {
            entry.previous = Some(former);
        }
        if entry.previous.is_none() {
            self.book.files.remove(file);
        }
    }

    /// Writes the book in one step, and forgets components that it no longer names.
    pub(super) fn write(&self) -> io::Result<()> {
        let mut draft = tempfile::Builder::new().prefix(".draft-").tempfile_in(&self.dir)?;
        draft.write_all(&serde_json::to_vec_pretty(&self.book)?)?;
        draft.persist(HistoryFile::path(&self.dir)).map_err(|error| error.error)?;
        let named: BTreeSet<String> = self
            .book
            .files
            .values()
            .flat_map(|entry| [&entry.in_force, &entry.previous])
            .flatten()
            .map(|component| format!("{}.wasm", component.sha256))
            .collect();
        for found in fs::read_dir(self.dir.join("components"))? {
            let found = found?;
            let name = found.file_name().to_string_lossy().into_owned();
            // Drafts and what is only about to serve are younger than a minute.
            let young = found.metadata()?.modified()?.elapsed().is_ok_and(|age| age.as_secs() < 60);
            if !named.contains(&name) && !young {
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

    /// What a host last wrote there; nothing if no host has.
    pub fn read(dir: &Path) -> io::Result<Self> {
        match fs::read(Self::path(dir)) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    /// The file that somebody means: its name, with or without `.wasm`, or the name of its plugin.
    pub fn find(&self, name: &str) -> Option<(&str, &Entry)> {
        let with = format!("{name}.wasm");
        let by_file = self.files.get_key_value(name).or_else(|| self.files.get_key_value(&with));
        let by_plugin = || {
            self.files.iter().find(|(_, entry)| {
                entry.in_force.iter().chain(&entry.previous).any(|component| component.plugin == name)
            })
        };
        by_file.or_else(by_plugin).map(|(file, entry)| (file.as_str(), entry))
    }

    /// Puts a component into the plugin folder in the place of what is there, in one step. A name that begins with
    /// a dot is not looked at meanwhile.
    pub fn restore(dir: &Path, of: &Component, target: &Path) -> io::Result<()> {
        let bytes = Self::bytes(dir, of)?;
        let folder = target.parent().unwrap_or(Path::new("."));
        let put = || {
            let mut draft = tempfile::Builder::new().prefix(".rollback-").tempfile_in(folder)?;
            draft.write_all(&bytes)?;
            draft.as_file().sync_all()?;
            draft.persist(target).map_err(|error| error.error)
        };
        put().map(drop).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", target.display())))
    }

    /// The bytes of a component, as they were when it served.
    fn bytes(dir: &Path, of: &Component) -> io::Result<Vec<u8>> {
        let path = component(dir, &of.sha256);
        let bytes =
            fs::read(&path).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
        if hex::encode(Sha256::digest(&bytes)) != of.sha256 {
            return Err(io::Error::other(format!("{}: it is not what was kept there", path.display())));
        }
        Ok(bytes)
    }
}

fn component(dir: &Path, sha256: &str) -> PathBuf {
    dir.join("components").join(format!("{sha256}.wasm"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(sha256: &str) -> Component {
        let (plugin, version) = ("echo".to_owned(), "1.0.0".to_owned());
        Component { plugin, version, sha256: sha256.to_owned(), since: 1, endpoints: Vec::new() }
    }

    #[test]
    fn the_one_before_can_be_had_again_and_none_older() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut shelf = History::open(dir.path()).expect("a shelf");
        for sha256 in ["a", "b", "b", "c"] {
            shelf.in_force("echo.wasm", built(sha256));
        }
        shelf.write().expect("written");
        let book = HistoryFile::read(dir.path()).expect("read");
        let (file, entry) = book.find("echo").expect("by its name");
        let shas = [&entry.in_force, &entry.previous].map(|c| c.as_ref().map(|c| c.sha256.as_str()));
        assert_eq!((file, shas), ("echo.wasm", [Some("c"), Some("b")]));
        // A restart with the same component changes nothing; a file that has gone can come back.
        let mut again = History::open(dir.path()).expect("a shelf");
        again.in_force("echo.wasm", built("c"));
        assert_eq!(again.book, book);
        again.gone("echo.wasm");
        let entry = &again.book.files["echo.wasm"];
        assert_eq!((entry.in_force.clone(), entry.previous.clone()), (None, Some(built("c"))));
    }

    #[test]
    fn a_book_that_is_damaged_is_begun_anew_and_bytes_that_changed_are_not_given() {
        let dir = tempfile::tempdir().expect("a folder");
        fs::write(dir.path().join("plugins.json"), "{\"files\":").expect("written");
        assert_eq!(History::open(dir.path()).expect("a shelf").book, HistoryFile::default());
        let sha256 = hex::encode(Sha256::digest(b"component"));
        History::keep(dir.path(), &sha256, b"component").expect("kept");
        assert_eq!(HistoryFile::bytes(dir.path(), &built(&sha256)).expect("its bytes"), b"component");
        fs::write(component(dir.path(), &sha256), "other").expect("written");
        HistoryFile::bytes(dir.path(), &built(&sha256)).expect_err("not what was kept");
    }
}
