//! Makes a backup beside a running host.

#![expect(clippy::disallowed_methods, reason = "a backup says when it was made")]

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind, Read, Seek as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use coinslot_base::file;
use coinslot_ledger::backup;
use coinslot_x402::UnixTime;
use sha2::{Digest, Sha256};
use tempfile::{NamedTempFile, TempDir};

use super::manifest::{Entry, FORMAT, Manifest};
use super::read::is_known;
use super::{Contents, LEDGER, MANIFEST, SERVED, STORES, Trouble};
use crate::catalog::{HistoryFile, KeptBuild};
use crate::config::StateConfig;
use crate::operate::Pauses;

/// The archive holds paid answers and signed payments: it is its owner's alone.
const MODE: u32 = 0o600;

/// The number of tries to open the history of builds together with the components that it names: a host that takes a new
/// build removes one that was named a moment before.
const TRIES: usize = 5;

/// Copies the state of a host into one file, which has its name when all of it is on the disk. Beside the target there
/// has to be room for it and for one more copy of the ledger. A rehearsal does the same work, and leaves no file.
pub fn back_up(state: &StateConfig, target: &Path, replaces: bool, is_rehearsal: bool) -> Result<Contents, Trouble> {
    let at_target = Trouble::at(target);
    if !replaces && target.exists() {
        return Err(Trouble::Exists(target.to_owned()));
    }
    if fs::metadata(target).is_ok_and(|found| !found.is_file()) {
        return Err(Trouble::NoFile(target.to_owned()));
    }
    if !state.ledger().exists() {
        return Err(Trouble::NoLedger(state.ledger()));
    }
    let made = UnixTime::from(SystemTime::now());
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let drafts = Drafts::new(folder).map_err(Trouble::at(folder))?;
    let draft = file::draft(drafts.path(), MODE).map_err(Trouble::at(folder))?;
    let mut archive = Archive::new(&draft, drafts.path(), made);
    let copy = archive.add_database(LEDGER, &state.ledger())?;
    let ledger = backup::content(copy.path())?;
    drop(copy);
    let mut stores = Vec::new();
    for (name, file) in store_files(&state.stores())? {
        drop(archive.add_database(&format!("{STORES}/{name}.db"), &file)?);
        stores.push(name);
    }
    let builds = archive.add_builds(&state.history())?;
    let size = archive.finish().map_err(&at_target)?;
    let contents = Contents { made, ledger, stores, builds, size, kept: Vec::new(), unfinished: 0 };
    if is_rehearsal {
        return Ok(contents);
    }
    let published = match replaces {
        true => file::publish_durably(draft, target),
        false => file::publish_new_durably(draft, target),
    };
    published.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Trouble::Exists(target.to_owned()),
        _ => at_target(error),
    })?;
    Ok(contents)
}

/// The folder for the drafts of one backup, beside its target. A process that is killed leaves it behind, and the next
/// backup finds that nobody holds its lock.
struct Drafts {
    folder: TempDir,
    _lock: File,
}

/// The beginning of the names of such folders, and the name of the lock in them.
const DRAFTS: &str = ".backup-";
const LOCK: &str = "lock";

impl Drafts {
    fn new(beside: &Path) -> io::Result<Self> {
        remove_abandoned(beside);
        let mode = Permissions::from_mode(0o700);
        let folder = tempfile::Builder::new().prefix(DRAFTS).permissions(mode).tempdir_in(beside)?;
        let lock = File::create_new(folder.path().join(LOCK))?;
        lock.lock()?;
        Ok(Self { folder, _lock: lock })
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Removes the drafts of backups that were killed. One that cannot be removed costs room, and no backup fails for it.
fn remove_abandoned(beside: &Path) {
    let entries = fs::read_dir(beside).into_iter().flatten().flatten();
    let drafts = entries.filter(|entry| entry.file_name().to_str().is_some_and(|name| name.starts_with(DRAFTS)));
    for folder in drafts.map(|entry| entry.path()) {
        // A backup that has just begun may not hold its lock yet: then there is no file of it.
        let is_abandoned = File::open(folder.join(LOCK)).is_ok_and(|lock| lock.try_lock().is_ok());
        if is_abandoned && let Err(error) = fs::remove_dir_all(&folder) {
            tracing::warn!(folder = %folder.display(), %error, "what a killed backup has left cannot be removed");
        }
    }
}

/// The stores of plugins, by the names of the plugins. Other files are no plugin's, and a restore would refuse them.
fn store_files(folder: &Path) -> Result<BTreeMap<String, PathBuf>, Trouble> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(Trouble::at(folder)(error)),
    };
    let mut stores = BTreeMap::new();
    for entry in entries {
        let path = entry.map_err(Trouble::at(folder))?.path();
        let name = path.file_stem().and_then(|name| name.to_str());
        let name = name.filter(|name| path.is_file() && is_known(Path::new(&format!("{STORES}/{name}.db"))));
        if let Some(name) = name.filter(|_| path.extension().is_some_and(|extension| extension == "db")) {
            stores.insert(name.to_owned(), path.clone());
        }
    }
    Ok(stores)
}

/// An archive that is being written.
struct Archive<'d> {
    builder: tar::Builder<&'d File>,
    /// The folder for copies of databases.
    folder: &'d Path,
    manifest: Manifest,
}

impl<'d> Archive<'d> {
    fn new(draft: &'d NamedTempFile, folder: &'d Path, made: UnixTime) -> Self {
        let manifest = Manifest {
            format: FORMAT,
            coinslot: env!("CARGO_PKG_VERSION").to_owned(),
            made_at: made.0,
            files: BTreeMap::new(),
        };
        Self { builder: tar::Builder::new(draft.as_file()), folder, manifest }
    }

    /// Adds one state of a database. Returns the copy that it was added from.
    fn add_database(&mut self, name: &str, database: &Path) -> Result<NamedTempFile, Trouble> {
        let copy = file::draft(self.folder, MODE).map_err(Trouble::at(self.folder))?;
        backup::copy(database, copy.path())?;
        let mut file = File::open(copy.path()).map_err(Trouble::at(copy.path()))?;
        self.add(name, &mut file).map_err(Trouble::at(copy.path()))?;
        Ok(copy)
    }

    /// Adds a file. Its hash is that of the bytes that are in the archive.
    fn add(&mut self, name: &str, file: &mut File) -> io::Result<()> {
        let size = file.metadata()?.len();
        let mut header = self.header(size);
        let mut hashed = Hashed::new(file.take(size));
        self.builder.append_data(&mut header, name, &mut hashed)?;
        self.manifest.files.insert(name.to_owned(), Entry { size, sha256: hashed.hex() });
        Ok(())
    }

    /// Adds the history of builds and every component that it names. Returns the number of these.
    fn add_builds(&mut self, folder: &Path) -> Result<usize, Trouble> {
        let failed = Trouble::at(folder);
        let Some(mut builds) = Builds::open(folder).map_err(&failed)? else { return Ok(0) };
        for (sha256, component) in &mut builds.components {
            self.add(&format!("{SERVED}/components/{sha256}.wasm"), component).map_err(&failed)?;
        }
        self.add(&format!("{SERVED}/{}", HistoryFile::NAME), &mut builds.history).map_err(&failed)?;
        if let Some(mut paused) = builds.paused {
            self.add(&format!("{SERVED}/{}", Pauses::FILE), &mut paused).map_err(&failed)?;
        }
        Ok(builds.components.len())
    }

    /// Adds the manifest. Returns the size of the archive.
    fn finish(mut self) -> io::Result<u64> {
        let text = serde_json::to_vec_pretty(&self.manifest)?;
        let mut header = self.header(text.len() as u64);
        self.builder.append_data(&mut header, MANIFEST, text.as_slice())?;
        let mut file = self.builder.into_inner()?;
        file.flush()?;
        Ok(file.metadata()?.len())
    }

    fn header(&self, size: u64) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.set_size(size);
        header.set_mode(MODE);
        header.set_mtime(self.manifest.made_at);
        header
    }
}

/// The history file and the components that it names, all of one moment: what is open stays whole when a host replaces
/// it.
struct Builds {
    history: File,
    /// By their SHA-256.
    components: BTreeMap<String, File>,
    /// The names of the plugins that are paused, if any was paused ever.
    paused: Option<File>,
}

impl Builds {
    /// None if no host has written a history.
    fn open(folder: &Path) -> io::Result<Option<Self>> {
        let mut tries = 0;
        loop {
            tries += 1;
            let mut history = match File::open(folder.join(HistoryFile::NAME)) {
                Ok(history) => history,
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            };
            let mut text = Vec::new();
            history.read_to_end(&mut text)?;
            history.rewind()?;
            let file: HistoryFile = serde_json::from_slice(&text)?;
            let builds = file.files.values().flat_map(|entry| entry.active.iter().chain(&entry.previous));
            let open = |build: &KeptBuild| Ok((build.sha256.clone(), File::open(build.component(folder))?));
            match builds.map(open).collect::<io::Result<_>>() {
                Ok(components) => {
                    let paused = match File::open(folder.join(Pauses::FILE)) {
                        Ok(paused) => Some(paused),
                        Err(error) if error.kind() == ErrorKind::NotFound => None,
                        Err(error) => return Err(error),
                    };
                    return Ok(Some(Self { history, components, paused }));
                }
                Err(error) if error.kind() == ErrorKind::NotFound && tries < TRIES => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// A reader that hashes what it reads.
pub(super) struct Hashed<R> {
    inner: R,
    hasher: Sha256,
}

impl<R> Hashed<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, hasher: Sha256::new() }
    }

    /// The hash of what was read, in hex.
    pub(super) fn hex(self) -> String {
        hex::encode(self.hasher.finalize())
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        Ok(read)
    }
}
