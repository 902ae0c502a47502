//! Keeps the folder of compiled code that crates on their own share within bounds of age and size.
//!
//! cargo removes nothing from a target folder: what another compiler, another version of a dependency or a plugin that is
//! gone has left would stay for ever. A unit of compilation is known by the hash in the names of its files
//! (`libserde-0123456789abcdef.rlib`). cargo does not note when it used a unit, so what it names in a build is noted here.
//! Units that were not used for long are removed, and beyond a size those first that were used least recently. cargo
//! compiles again what is missing, so a mistake costs time and nothing else.

#![expect(clippy::disallowed_methods, reason = "what was not used for long is removed")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// The days after which a unit that no build used is removed.
const MOST_DAYS: u64 = 30;
/// The most bytes that stay when the folder is looked through, unless the last build needs more.
const MOST_BYTES: u64 = 5 << 30;

const LOCK: &str = "coinslot.lock";
/// The file that says what was used when.
const USAGE: &str = "coinslot.used";

/// A build in the shared folder. No other one begins there until this is dropped.
#[derive(Debug)]
pub(super) struct SharedBuild {
    folder: PathBuf,
    _lock: File,
}

/// The day of the last use of each unit, in days since 1970.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Usage {
    /// The day on which the folder was last looked through.
    pruned: u64,
    units: BTreeMap<String, u64>,
}

/// A unit of compilation, or a file that belongs to none.
#[derive(Clone, Debug, Default)]
struct Unit {
    paths: Vec<PathBuf>,
    bytes: u64,
    /// The day on which it was made, or used later.
    used: u64,
}

impl SharedBuild {
    /// Waits until no other build runs in the folder, which is made if it is not there.
    pub(super) fn begin(folder: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        let lock = File::options().create(true).truncate(false).write(true).open(folder.join(LOCK))?;
        lock.lock()?;
        Ok(Self { folder, _lock: lock })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Notes what a build used, by the messages that cargo wrote, and removes once a day what no build used for long.
    /// What cannot be read or removed is left for the next day.
    pub(super) fn end(self, messages: &[u8]) {
        let used = units_in(messages);
        let file = self.folder.join(USAGE);
        let mut usage: Usage =
            fs::read(&file).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        let today = day(SystemTime::now());
        usage.units.extend(used.iter().map(|unit| (unit.clone(), today)));
        if usage.pruned != today {
            usage.pruned = today;
            prune(&self.folder, &mut usage, &used, today, MOST_BYTES);
            prune_other_versions(&self.folder, today);
        }
        let written = serde_json::to_vec(&usage).map_err(io::Error::from);
        if let Err(error) = written.and_then(|text| coinslot_base::file::replace(&file, 0o644, &text)) {
            tracing::debug!(%error, "the use of compiled code cannot be noted");
        }
    }
}

fn day(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs() / DAY.as_secs()
}

/// The units that cargo names in its messages: those that it made, and those that it found.
fn units_in(messages: &[u8]) -> BTreeSet<String> {
    #[derive(Deserialize)]
    struct Message {
        #[serde(default)]
        filenames: Vec<PathBuf>,
        out_dir: Option<PathBuf>,
    }
    let messages =
        messages.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<Message>(line).ok());
    let paths = messages.flat_map(|message| message.filenames.into_iter().chain(message.out_dir));
    paths.filter_map(|path| path.iter().rev().find_map(|name| Some(hash_of(name.to_str()?)?.to_owned()))).collect()
}

/// The hash in the name of a file or a folder: sixteen hexadecimal digits behind a hyphen, at the end of the stem.
fn hash_of(name: &str) -> Option<&str> {
    let stem = name.split('.').next()?;
    let (_, hash) = stem.rsplit_once('-')?;
    (hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(hash)
}

/// Removes the units that were not used for long, and of the others the least recently used beyond this size. Those of
/// the last build stay.
fn prune(folder: &Path, usage: &mut Usage, current: &BTreeSet<String>, today: u64, most_bytes: u64) {
    let mut units = units(folder);
    for (name, unit) in &mut units {
        unit.used = unit.used.max(usage.units.get(name).copied().unwrap_or_default());
    }
    let mut bytes: u64 = units.values().map(|unit| unit.bytes).sum();
    let mut oldest: Vec<(&String, &Unit)> = units.iter().filter(|(name, _)| !current.contains(*name)).collect();
    oldest.sort_by_key(|(_, unit)| unit.used);
    for (name, unit) in oldest {
        if unit.used + MOST_DAYS >= today && bytes <= most_bytes {
            break;
        }
        unit.paths.iter().for_each(|path| remove(path));
        usage.units.remove(name);
        bytes -= unit.bytes;
    }
    usage.units.retain(|name, _| units.contains_key(name));
}

/// The units in a target folder, by their hashes; and the files that have none, by their paths.
fn units(folder: &Path) -> BTreeMap<String, Unit> {
    let mut units: BTreeMap<String, Unit> = BTreeMap::new();
    let is_profile = |path: &PathBuf| path.join(".fingerprint").is_dir();
    // Beside the folders of the host's profiles there are those of targets, which have the same.
    let above: Vec<PathBuf> = entries(folder).collect();
    for profile in above.iter().cloned().chain(above.iter().flat_map(|path| entries(path))).filter(is_profile) {
        let kinds = [".fingerprint", "build", "deps", "incremental"].map(|kind| profile.join(kind));
        let files = entries(&profile)
            .filter(|path| path.is_file() && path.file_name().is_some_and(|name| name != ".cargo-lock"));
        for path in kinds.iter().flat_map(|kind| entries(kind)).chain(files) {
            let hash = path.file_name().and_then(|name| hash_of(name.to_str()?)).map(ToOwned::to_owned);
            let unit = units.entry(hash.unwrap_or_else(|| path.display().to_string())).or_default();
            let (bytes, used) = size_and_day(&path);
            (unit.bytes, unit.used) = (unit.bytes + bytes, unit.used.max(used));
            unit.paths.push(path);
        }
    }
    units
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

/// The bytes of a file or a folder, and the day of the last write in it. Links are not followed.
fn size_and_day(path: &Path) -> (u64, u64) {
    let Ok(meta) = fs::symlink_metadata(path) else { return (0, 0) };
    let own = (meta.len(), meta.modified().map_or(0, day));
    let inner = if meta.is_dir() { entries(path).map(|path| size_and_day(&path)).collect() } else { Vec::new() };
    inner.into_iter().fold(own, |(bytes, last), (more, day)| (bytes + more, last.max(day)))
}

fn remove(path: &Path) {
    let removed = if fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir()) {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    if let Err(error) = removed {
        tracing::debug!(%error, path = %path.display(), "this compiled code cannot be removed");
    }
}

/// Empties the shared folders of other versions of this program in which nothing was built for long, and nothing is
/// being built. Their lock files stay: a build may wait for one.
fn prune_other_versions(own: &Path, today: u64) {
    let Some(versions) = own.parent().and_then(Path::parent) else { return };
    for folder in entries(versions).map(|version| version.join("cargo")).filter(|folder| folder != own) {
        let Ok(lock) = File::open(folder.join(LOCK)) else { continue };
        let traces = ["", LOCK, USAGE, "wasm32-wasip2/plugin/deps"].map(|name| folder.join(name));
        let modified = traces.iter().filter_map(|path| fs::metadata(path).ok()?.modified().ok());
        let is_old = modified.map(day).max().unwrap_or_default() + MOST_DAYS < today;
        if is_old && lock.try_lock().is_ok() {
            entries(&folder).filter(|path| !path.ends_with(LOCK)).for_each(|path| remove(&path));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USED: &str = "0123456789abcdef";
    const OTHER: &str = "fedcba9876543210";

    /// Makes a unit of 1000 bytes and more that was made so many days ago.
    fn unit(folder: &Path, name: &str, hash: &str, days: u32) -> PathBuf {
        let profile = folder.join("wasm32-wasip2/plugin");
        let made = SystemTime::now() - days * DAY;
        for (path, bytes) in
            [(format!(".fingerprint/{name}-{hash}/dep"), 10), (format!("deps/lib{name}-{hash}.rlib"), 990)]
        {
            let path = profile.join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(&path, vec![0; bytes]).expect("written");
            let is_dated = |path: &Path| File::open(path).and_then(|file| file.set_modified(made));
            is_dated(&path).expect("a time");
            is_dated(path.parent().expect("a folder")).expect("a time");
        }
        profile.join(format!("deps/lib{name}-{hash}.rlib"))
    }

    #[test]
    fn units_are_removed_after_long_without_use_and_beyond_a_size() {
        let dir = tempfile::tempdir().expect("a folder");
        let today = day(SystemTime::now());
        let (old, kept) = (unit(dir.path(), "old", OTHER, 40), unit(dir.path(), "kept", USED, 40));
        let mut usage = Usage { pruned: 0, units: BTreeMap::from([(USED.to_owned(), today - 3)]) };
        prune(dir.path(), &mut usage, &BTreeSet::new(), today, MOST_BYTES);
        assert!(!old.exists() && kept.exists(), "the one was used three days ago");
        assert!(!dir.path().join(format!("wasm32-wasip2/plugin/.fingerprint/old-{OTHER}")).exists());

        let recent = unit(dir.path(), "recent", OTHER, 1);
        prune(dir.path(), &mut usage, &BTreeSet::new(), today, 3_000_000);
        assert!(recent.exists() && kept.exists(), "there is room for both");
        prune(dir.path(), &mut usage, &BTreeSet::new(), today, 6_000);
        assert!(recent.exists() && !kept.exists(), "the least recently used goes first");
        prune(dir.path(), &mut usage, &BTreeSet::from([OTHER.to_owned()]), today, 0);
        assert!(recent.exists(), "the last build needs it");
        assert!(usage.units.is_empty(), "{usage:?}");
    }

    #[test]
    fn the_units_of_a_build_are_in_the_messages_of_cargo() {
        let messages = format!(
            "{{\"reason\":\"compiler-artifact\",\"filenames\":[\"/t/plugin/deps/libserde-{USED}.rlib\"],\"fresh\":true}}\n\
             {{\"reason\":\"build-script-executed\",\"out_dir\":\"/t/plugin/build/serde-{OTHER}/out\"}}\n\
             {{\"reason\":\"compiler-artifact\",\"filenames\":[\"/t/plugin/shop.wasm\"]}}\nno message\n"
        );
        assert_eq!(units_in(messages.as_bytes()), BTreeSet::from([USED.to_owned(), OTHER.to_owned()]));
        assert_eq!(hash_of("serde-0123456789abcdef.serde.0-cgu.0.rcgu.o"), Some(USED));
        assert_eq!((hash_of("my-plugin.wasm"), hash_of("a-0123.rlib")), (None, None));
    }
}
