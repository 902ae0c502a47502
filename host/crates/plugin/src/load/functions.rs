//! Keeps the compiled functions of a component, so that another component with the same code compiles in a fraction of
//! the time.
//!
//! All plugins of one script engine have the same code: megabytes that differ in their data alone. wasmtime compiles
//! functions one by one, and asks a store for each before it compiles it. The key is the SHA-256 of the function before
//! compilation and of all settings of the compiler, its version among them (`cranelift_codegen::incremental_cache`).
//!
//! # What one component can do to another
//!
//! A component is untrusted, and what is kept of it is native code that others run. If two functions with different
//! code had one key, by a fault of the key, one author could have the other's plugin run wrong code. So the key is not
//! trusted alone: there is a file for each [`Code`], and a component finds only what was compiled for a component with
//! the same code. Two such components may begin with memories of different sizes, by which the compiler leaves out
//! checks of bounds: there the key, which covers the checks that are in a function, keeps them apart.
//!
//! # What a release carries
//!
//! A release has the functions of the script engine that it builds plugins with, for the processors that it is likely to
//! run on: see [`carried`]. They are a part of the executable, so they are trusted as it is, and belong to its version of
//! the compiler. They are in the form of one file, and are found as those of files are, by the same name and key. They
//! are looked for when the file has no such function, and nothing is added to them.
//!
//! # The files
//!
//! A file is written whole, under another name first, by the process that compiled, and never changed. It is not
//! synced: what a crash leaves of it does not fit its MAC, and is compiled and written again. The directory and each
//! file belong to this user, and no other can write to them: see [`super::artifact`]. A file that was not written in its
//! directory is not read: see [`coinslot_base::seal`]. Their number and sizes are bounded; those that were used last are kept.

pub(super) mod carried;
mod code;
mod pack;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use coinslot_base::file;
use coinslot_base::private::is_written_by_us_only;
use coinslot_base::seal::{MAC, Seal};
use parking_lot::Mutex;
use wasmtime::CacheStore;

use self::code::Code;
use self::pack::{Functions, Pack};
use super::artifact::{DRAFT_AGE, USE_PRECISION, age, now};

/// A component with less code than this, in bytes, compiles as quickly as it would be found.
const SMALL: usize = 512 << 10;

/// The largest file, in bytes. QuickJS takes 5 MB, and Python 27.
const LARGEST: usize = 128 << 20;

/// Files that are kept, the last used first, how large all of them together may be, and how long after their last use.
const MOST: usize = 16;
const TOTAL: u64 = 512 << 20;
const UNUSED_AGE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The file is written when more than one in this many functions had to be compiled.
const MANY: usize = 64;

const EXTENSION: &str = "functions";

/// The functions that a compilation can reuse, and those that it adds.
#[derive(Debug)]
pub(super) struct FunctionStore {
    /// The file.
    path: PathBuf,
    name: String,
    /// Without one nothing is read of the directory, and nothing can be kept there.
    seal: io::Result<Seal>,
    kept: Pack,
    /// The functions that this program carries, and those of this name, once the first is looked for.
    carried: &'static [u8],
    carried_pack: OnceLock<Pack>,
    reused: AtomicUsize,
    reused_of_carried: AtomicUsize,
    compiled: Mutex<Functions>,
}

/// The functions of a component that has been compiled: how many were found, how many of these among what the program
/// carries, and how many were not found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ReuseCounts {
    pub(super) reused: usize,
    pub(super) carried: usize,
    pub(super) compiled: usize,
}

impl FunctionStore {
    /// The store for a component, in a directory that no other can write to. `fingerprint` is that of the engine, and
    /// `carried` what this program carries. None for a component with little code.
    pub(super) fn of(dir: &Path, wasm: &[u8], fingerprint: &str, carried: &'static [u8]) -> Option<Arc<Self>> {
        let name = name(wasm, fingerprint)?;
        let path = dir.join(&name);
        let seal = Seal::of(dir, dir);
        let genuine = |seal: &Seal| read(&path).and_then(|bytes| Pack::read(&name, seal.open(&name, bytes)?));
        let kept = seal.as_ref().ok().and_then(genuine).unwrap_or_default();
        Some(Arc::new(Self {
            path,
            name,
            seal,
            kept,
            carried,
            carried_pack: OnceLock::new(),
            reused: AtomicUsize::new(0),
            reused_of_carried: AtomicUsize::new(0),
            compiled: Mutex::default(),
        }))
    }

    /// The functions of this name in what the program carries. Damage there is as if it carried nothing.
    fn carried(&self) -> &Pack {
        self.carried_pack.get_or_init(|| Pack::read(&self.name, self.carried).unwrap_or_default())
    }

    /// Writes the file if many functions were compiled, so that the next compilation finds them. Removes files that are
    /// too many. On an error the file is the one before, or none; so it is if the new one would be too large.
    ///
    /// Some are compiled each time, fewer and fewer. They have more than one key: cranelift keeps the memory of a function
    /// for the next one of the same thread, clears it, and forgets the exception tables (`DataFlowGraph::clear`). Those of
    /// the last trampoline are then a part of the key. Their code is the same and is in the file once, so that another key
    /// adds little to it; but a few of them are no reason to write it.
    pub(super) fn keep(&self) -> io::Result<ReuseCounts> {
        let mut functions = mem::take(&mut *self.compiled.lock());
        let [reused, carried] = [&self.reused, &self.reused_of_carried].map(|count| count.load(Ordering::Relaxed));
        let reuse = ReuseCounts { reused, carried, compiled: functions.len() };
        if functions.len() <= reuse.reused / MANY {
            return Ok(reuse);
        }
        let seal = self.seal.as_ref().map_err(|error| io::Error::new(error.kind(), error.to_string()))?;
        for (key, function) in self.kept.iter() {
            functions.entry(*key).or_insert_with(|| function.to_vec());
        }
        if let Some(mut bytes) = pack::write(&BTreeMap::from([(self.name.clone(), functions)]), LARGEST - MAC) {
            bytes.extend(seal.mac(&self.name, &bytes));
            file::replace(&self.path, 0o400, &bytes)?;
        }
        if let Some(dir) = self.path.parent() {
            forget_unused(dir);
        }
        Ok(reuse)
    }
}

impl CacheStore for FunctionStore {
    fn get(&self, key: &[u8]) -> Option<Cow<'_, [u8]>> {
        let function = self.kept.get(key).or_else(|| {
            let function = self.carried().get(key)?;
            self.reused_of_carried.fetch_add(1, Ordering::Relaxed);
            Some(function)
        })?;
        self.reused.fetch_add(1, Ordering::Relaxed);
        Some(Cow::Borrowed(function))
    }

    fn insert(&self, key: &[u8], value: Vec<u8>) -> bool {
        let Ok(key) = key.try_into() else { return false };
        self.compiled.lock().insert(key, value);
        true
    }
}

/// The name of the functions of a component, for the engine with this fingerprint. None for a component with little code.
fn name(wasm: &[u8], fingerprint: &str) -> Option<String> {
    let code = Code::of(wasm).ok().filter(|code| code.size >= SMALL)?;
    Some(format!("{}-{fingerprint}.{EXTENSION}", code.digest))
}

/// The bytes of a file that nobody else can have written, and that is not too large. Its use is noted. Any other file
/// is removed.
fn read(path: &Path) -> Option<Vec<u8>> {
    let meta = fs::symlink_metadata(path).ok()?;
    if !meta.is_file() || meta.len() > LARGEST as u64 || !is_written_by_us_only(&meta) {
        let _ = fs::remove_file(path);
        return None;
    }
    if age(&meta) >= USE_PRECISION {
        let _ = fs::File::open(path).and_then(|file| file.set_modified(now()));
    }
    fs::read(path).ok()
}

/// Removes the files that are too many, too old or too large together, and drafts that were left behind.
fn forget_unused(dir: &Path) {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let (path, Ok(meta)) = (entry.path(), entry.metadata()) else { continue };
        let is_draft = entry.file_name().to_str().is_some_and(|name| name.starts_with(file::DRAFT_PREFIX));
        if is_draft && age(&meta) >= DRAFT_AGE {
            let _ = fs::remove_file(path);
        } else if !is_draft && path.extension() == Some(OsStr::new(EXTENSION)) {
            files.push((age(&meta), meta.len(), path));
        }
    }
    files.sort();
    let mut total = 0;
    for (index, (age, len, path)) in files.iter().enumerate() {
        total += len;
        // The first is the one that was just written.
        if index > 0 && (index >= MOST || total > TOTAL || *age >= UNUSED_AGE) {
            let _ = fs::remove_file(path);
        }
    }
}
