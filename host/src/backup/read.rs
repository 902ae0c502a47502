//! Makes the state of a host out of a backup.
//!
//! Everything is unpacked into a folder of its own and checked there, and then moved to its place, the ledger last: a
//! restore that is cut short leaves no ledger, and can be tried again.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, lchown};
use std::path::{Component, Path};

use coinslot_base::file;
use coinslot_ledger::backup;
use coinslot_x402::UnixTime;
use tar::EntryType;

use super::manifest::{Entry, FORMAT, Manifest};
use super::write::Hashed;
use super::{Contents, LEDGER, MANIFEST, SERVED, STORES, Trouble};
use crate::catalog::HistoryFile;
use crate::config::StateConfig;
use crate::host::is_running;
use crate::operate::Pauses;

/// The beginning of the names of folders that archives are unpacked into.
const UNPACKED: &str = ".restore-";

/// The most bytes of a manifest.
const LARGEST_MANIFEST: u64 = 64 << 20;

/// Makes the state that a backup has. What the state folder has already stays as it is, because it is newer. Fails where
/// a ledger is, and while a host runs. A rehearsal unpacks and checks the archive, and leaves the state folder as it is.
pub fn restore(state: &StateConfig, archive: &Path, is_rehearsal: bool) -> Result<Contents, Trouble> {
    let source = file::open_regular(archive).map_err(Trouble::at(archive))?;
    let ledger = state.ledger();
    if is_running(state) {
        return Err(Trouble::Running(ledger));
    }
    let folder = &state.folder;
    let _lock = match is_rehearsal {
        true => None,
        false => {
            fs::create_dir_all(folder).map_err(Trouble::at(folder))?;
            // From here on no host starts on this state.
            Some(backup::lock(&ledger)?)
        }
    };
    refuse_ledger(&ledger)?;
    let mut unpacked = tempfile::Builder::new();
    let unpacked = match is_rehearsal {
        true => {
            let place = nearest(folder);
            unpacked.prefix(UNPACKED).tempdir_in(place).map_err(Trouble::at(place))?
        }
        false => {
            remove_unpacked(folder);
            unpacked.prefix(UNPACKED).tempdir_in(folder).map_err(Trouble::at(folder))?
        }
    };
    let size = source.metadata().map_err(Trouble::at(archive))?.len();
    let manifest = Unpacking { archive, folder: unpacked.path() }.unpack(source)?;
    let copy = unpacked.path().join(LEDGER);
    let unfinished = backup::revive(&copy)?;
    let content = backup::content(&copy)?;
    let kept = kept(folder, &manifest);
    if !is_rehearsal {
        for path in [unpacked.path(), &ledger.with_extension("lock")] {
            give_to_owner_of(folder, path).map_err(Trouble::at(path))?;
        }
        place(unpacked.path(), folder, &manifest, &kept).map_err(Trouble::at(folder))?;
    }
    let stores = manifest.files.keys().filter_map(|name| name.strip_prefix("keyvalue/")?.strip_suffix(".db"));
    Ok(Contents {
        made: UnixTime(manifest.made_at),
        ledger: content,
        stores: stores.map(str::to_owned).collect(),
        builds: manifest.files.keys().filter(|name| name.starts_with("served/components/")).count(),
        size,
        kept,
        unfinished,
    })
}

/// Removes what restores have unpacked that were killed. No other one runs: this one holds the lock of the ledger.
fn remove_unpacked(folder: &Path) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_str().is_some_and(|name| name.starts_with(UNPACKED))) {
        if let Err(error) = fs::remove_dir_all(entry.path()) {
            tracing::warn!(folder = %entry.path().display(), %error, "what a killed restore has left cannot be removed");
        }
    }
}

/// Fails if there is a ledger, or a part of one.
fn refuse_ledger(ledger: &Path) -> Result<(), Trouble> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let mut file = ledger.as_os_str().to_owned();
        file.push(suffix);
        if fs::symlink_metadata(&file).is_ok() {
            return Err(Trouble::HasLedger(file.into()));
        }
    }
    Ok(())
}

/// An archive, and the empty folder that it is unpacked into.
struct Unpacking<'u> {
    archive: &'u Path,
    folder: &'u Path,
}

impl Unpacking<'_> {
    /// Unpacks the archive, and holds it to its manifest.
    fn unpack(&self, source: File) -> Result<Manifest, Trouble> {
        let (mut manifest, mut found) = (None, BTreeMap::new());
        let mut tar = tar::Archive::new(source);
        for entry in tar.entries().map_err(|error| self.cut_short(&error))? {
            let mut entry = entry.map_err(|error| self.cut_short(&error))?;
            let path = entry.path().map_err(|error| self.cut_short(&error))?.into_owned();
            let shown = path.display().to_string();
            if entry.header().entry_type() != EntryType::Regular || !is_known(&path) {
                return Err(self.refused(format!("it has {shown}, which no backup of this version has")));
            }
            if path == Path::new(MANIFEST) {
                let mut text = Vec::new();
                let read = entry.by_ref().take(LARGEST_MANIFEST).read_to_end(&mut text);
                read.map_err(|error| self.cut_short(&error))?;
                manifest = Some(text);
                continue;
            }
            let target = self.folder.join(&path);
            let written = write(&mut entry, &target).map_err(|error| match error.kind() {
                // What tar says of an archive without its end.
                ErrorKind::UnexpectedEof | ErrorKind::Other => self.cut_short(&error),
                ErrorKind::AlreadyExists => self.refused(format!("it has {shown} twice")),
                _ => Trouble::at(&target)(error),
            })?;
            found.insert(shown, written);
        }
        let text = manifest.ok_or_else(|| self.refused("its end is missing: it was cut short".to_owned()))?;
        let manifest: Manifest =
            serde_json::from_slice(&text).map_err(|error| self.refused(format!("{MANIFEST}: {error}")))?;
        self.compare(&manifest, &found)?;
        Ok(manifest)
    }

    /// Compares what was unpacked with the manifest.
    fn compare(&self, manifest: &Manifest, found: &BTreeMap<String, Entry>) -> Result<(), Trouble> {
        let Manifest { format, coinslot, files, .. } = manifest;
        if *format != FORMAT {
            let version = format!("it has format {format}, of Coinslot {coinslot}: restore it with that version");
            return Err(self.refused(version));
        }
        let differs = |name: &&String| files.get(*name) != found.get(*name);
        if let Some(name) = files.keys().chain(found.keys()).find(differs) {
            return Err(self.refused(format!("{name} is not what was backed up")));
        }
        if !files.contains_key(LEDGER) {
            return Err(self.refused("it has no ledger".to_owned()));
        }
        Ok(())
    }

    fn refused(&self, reason: String) -> Trouble {
        Trouble::NotABackup { path: self.archive.to_owned(), reason }
    }

    fn cut_short(&self, error: &io::Error) -> Trouble {
        self.refused(format!("{error}: it was cut short, or is another program's file"))
    }
}

/// True for the paths that a backup has. Nothing else is written, wherever it would lead.
pub(super) fn is_known(path: &Path) -> bool {
    let parts = path.components().map(|part| match part {
        Component::Normal(name) => name.to_str().filter(|name| !name.starts_with('.')),
        Component::Prefix(_) | Component::RootDir | Component::CurDir | Component::ParentDir => None,
    });
    match parts.collect::<Option<Vec<&str>>>().as_deref() {
        Some([LEDGER | MANIFEST]) => true,
        Some([STORES, store]) => store.ends_with(".db"),
        Some([SERVED, "components", component]) => component.ends_with(".wasm"),
        Some([SERVED, file]) => [HistoryFile::NAME, Pauses::FILE].contains(file),
        Some(_) | None => false,
    }
}

/// Makes a folder, unless there is one, and those above it, for its owner alone.
fn make_private(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Writes one file to the disk.
fn write(entry: &mut impl Read, path: &Path) -> io::Result<Entry> {
    if let Some(folder) = path.parent() {
        make_private(folder)?;
    }
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
    let mut hashed = Hashed::new(entry);
    let size = io::copy(&mut hashed, &mut file)?;
    file.sync_all()?;
    Ok(Entry { size, sha256: hashed.hex() })
}

/// Gives a file, or a folder with all that is in it, to the user that the state belongs to: root may restore it, and the
/// host runs as another user.
fn give_to_owner_of(state: &Path, path: &Path) -> io::Result<()> {
    let (wanted, present) = (fs::metadata(state)?, fs::symlink_metadata(path)?);
    if (present.uid(), present.gid()) != (wanted.uid(), wanted.gid()) {
        lchown(path, Some(wanted.uid()), Some(wanted.gid()))?;
    }
    if present.is_dir() {
        for entry in fs::read_dir(path)? {
            give_to_owner_of(state, &entry?.path())?;
        }
    }
    Ok(())
}

/// The names of what is moved to its place, without the ledger.
fn parts(manifest: &Manifest) -> Vec<String> {
    // The history of builds and its components belong together.
    let served = manifest.files.keys().any(|name| name.starts_with(SERVED)).then(|| SERVED.to_owned());
    let stores = manifest.files.keys().filter(|name| name.starts_with(STORES)).cloned();
    served.into_iter().chain(stores).collect()
}

/// The names of what is there already.
fn kept(folder: &Path, manifest: &Manifest) -> Vec<String> {
    let is_there = |name: &String| fs::symlink_metadata(folder.join(name)).is_ok();
    parts(manifest).into_iter().filter(is_there).collect()
}

/// Moves what was unpacked and is not there already to its place, the ledger last.
fn place(unpacked: &Path, folder: &Path, manifest: &Manifest, kept: &[String]) -> io::Result<()> {
    let has = |part: &str| manifest.files.keys().any(|name| name.starts_with(part));
    if has(STORES) && !folder.join(STORES).exists() {
        make_private(&folder.join(STORES))?;
        give_to_owner_of(folder, &folder.join(STORES))?;
    }
    for name in parts(manifest).iter().filter(|name| !kept.contains(name)) {
        fs::rename(unpacked.join(name), folder.join(name))?;
    }
    if has(STORES) {
        sync(&folder.join(STORES))?;
    }
    sync(folder)?;
    fs::rename(unpacked.join(LEDGER), folder.join(LEDGER))?;
    sync(folder)
}

/// Returns when the names of a folder's files would survive a crash of the machine.
fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// The folder, or the nearest one above it that exists: a rehearsal finds out whether there is room where the ledger would
/// be, and makes no folder.
fn nearest(folder: &Path) -> &Path {
    let above = folder.ancestors().find(|above| above.is_dir());
    above.unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_paths_of_a_backup_are_unpacked() {
        let good = [
            "ledger.db",
            "coinslot-backup.json",
            "keyvalue/a.db",
            "served/plugins.json",
            "served/paused.json",
            "served/components/a.wasm",
        ];
        for path in good {
            assert!(is_known(Path::new(path)), "{path}");
        }
        for path in [
            "",
            "/ledger.db",
            "../ledger.db",
            "keyvalue/../ledger.db",
            "keyvalue/notes.db/x",
            "keyvalue/.db",
            "served/other.json",
            "quote.key",
            "artifacts/x.cwasm",
        ] {
            assert!(!is_known(Path::new(path)), "{path}");
        }
    }
}
