//! The plugin folder: what is in it is what should be served. The scan is the truth; events only hurry it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use sha2::{Digest, Sha256};

use super::{Catalog, Installed, Policy};
use crate::plugin::{Limits, Runtime};

/// The largest component that is read, in bytes. Python's are 18 MB.
const MAX_WASM: u64 = 64 << 20;

/// A file that is gone for less than this is being replaced: `mv`, editors, symlink swaps.
const GRACE: Duration = Duration::from_millis(400);

/// Scans a folder and keeps a catalogue in step with it. One at a time.
#[derive(Debug)]
pub struct Folder {
    dir: PathBuf,
    runtime: Arc<Runtime>,
    limits: Limits,
    policy: Policy,
    live: Arc<ArcSwap<Catalog>>,
    files: HashMap<String, File>,
}

/// What is known of one file.
#[derive(Debug, Default)]
struct File {
    stamp: Option<Stamp>,
    /// Of the bytes that were tried last.
    tried: Option<String>,
    installed: Option<Arc<Installed>>,
    failure: Option<String>,
    missing_since: Option<Instant>,
    unreadable_since: Option<Instant>,
}

impl File {
    /// Said once, when it lasts; a file that is being replaced is unreadable for a moment.
    fn unreadable(&mut self, error: &std::io::Error) -> Staged {
        if self.unreadable_since.get_or_insert_with(Instant::now).elapsed() < GRACE {
            return Staged::Unsettled;
        }
        let reason = format!("it cannot be read: {error}");
        if self.failure.as_ref() == Some(&reason) {
            return Staged::Same;
        }
        self.failure = Some(reason.clone());
        Staged::Failed(reason)
    }
}

/// Changes whenever a file's content may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    len: u64,
    modified: SystemTime,
    inode: u64,
    changed: (i64, i64),
}

/// What a scan did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Files put in force, new or changed.
    pub loaded: Vec<String>,
    /// Files taken out of force.
    pub removed: Vec<String>,
    /// Files that could not be put in force, and why. What served before still does.
    pub failed: Vec<(String, String)>,
    /// Something is still changing: scan again soon.
    pub unsettled: bool,
}

impl Folder {
    /// A folder that has not been scanned.
    pub fn new(
        dir: PathBuf,
        runtime: Arc<Runtime>,
        limits: Limits,
        policy: Policy,
        live: Arc<ArcSwap<Catalog>>,
    ) -> Self {
        Self { dir, runtime, limits, policy, live, files: HashMap::new() }
    }

    /// The folder's path.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Compares the folder with what is in force and swaps in what is new, in one step.
    ///
    /// An unreadable folder changes nothing. A file that cannot be loaded leaves its former self in
    /// force, and is not tried again until its bytes change.
    pub async fn scan(&mut self) -> Result<Report, std::io::Error> {
        let names = self.names()?;
        let mut report = Report::default();
        let mut candidates: Vec<(String, Arc<Installed>)> = Vec::new();
        for name in &names {
            match self.stage(name).await {
                Staged::Same => {}
                Staged::Unsettled => report.unsettled = true,
                Staged::New(installed) => candidates.push((name.clone(), installed)),
                Staged::Failed(reason) => report.failed.push((name.clone(), reason)),
            }
        }
        let mut gone = Vec::new();
        for (name, file) in &mut self.files {
            if names.contains(name) {
                file.missing_since = None;
            } else if file.missing_since.get_or_insert_with(Instant::now).elapsed() >= GRACE {
                gone.push(name.clone());
            } else {
                report.unsettled = true;
            }
        }
        for name in gone {
            if self.files.remove(&name).is_some_and(|file| file.installed.is_some()) {
                report.removed.push(name);
            }
        }
        self.swap(candidates, &mut report);
        if !(report.removed.is_empty() && report.loaded.is_empty()) {
            // What stood in the way of another file may be gone with this.
            for file in self.files.values_mut().filter(|file| file.failure.is_some()) {
                (file.stamp, file.tried, report.unsettled) = (None, None, true);
            }
        }
        Ok(report)
    }

    /// `*.wasm` that do not start with a dot, in order of their names.
    fn names(&self) -> Result<Vec<String>, std::io::Error> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.dir)? {
            let Ok(name) = entry?.file_name().into_string() else { continue };
            if name.ends_with(".wasm") && !name.starts_with('.') {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// Reads, compiles and prices one file, if its bytes are new and have stopped changing.
    async fn stage(&mut self, name: &str) -> Staged {
        let path = self.dir.join(name);
        let known = self.files.entry(name.to_owned()).or_default();
        let before = match stamp(&path) {
            Ok(stamp) if known.stamp == Some(stamp) => return Staged::Same,
            Ok(stamp) => stamp,
            // Gone again, or a symlink that points nowhere yet.
            Err(error) => return known.unreadable(&error),
        };
        if before.len > MAX_WASM {
            known.stamp = Some(before);
            let reason = format!("it has {} bytes; at most {MAX_WASM} are loaded", before.len);
            known.failure = Some(reason.clone());
            return Staged::Failed(reason);
        }
        let wasm = match tokio::fs::read(&path).await {
            Ok(wasm) => wasm,
            Err(error) => return known.unreadable(&error),
        };
        known.unreadable_since = None;
        // Still being written? A file that changed a moment ago is looked at again a moment later.
        let young = before.modified.elapsed().is_ok_and(|age| age < Duration::from_millis(50));
        if young || stamp(&path).ok() != Some(before) || wasm.len() as u64 != before.len {
            return Staged::Unsettled;
        }
        known.stamp = Some(before);
        let digest = hex::encode(Sha256::digest(&wasm));
        if known.tried.as_ref() == Some(&digest) {
            return Staged::Same;
        }
        known.tried = Some(digest);
        let loaded = self.runtime.load(&wasm, self.limits.clone()).await.map_err(|error| error.to_string());
        let installed = loaded.and_then(|plugin| {
            Installed::new(name.to_owned(), Arc::new(plugin), self.limits.request_body, &self.policy)
                .map_err(|error| error.to_string())
        });
        match installed {
            Ok(installed) => Staged::New(Arc::new(installed)),
            Err(reason) => {
                // The same bytes are tried again when they are copied again: the reason may have been ours.
                known.tried = None;
                known.failure = Some(reason.clone());
                Staged::Failed(reason)
            }
        }
    }

    /// Remembers a component that is in force now.
    fn loaded(&mut self, name: String, installed: Arc<Installed>, report: &mut Report) {
        let plugin = &installed.plugin;
        let info = plugin.info();
        tracing::info!(file = %name, plugin = %info.name, version = %info.version, sha256 = plugin.sha256(), "in force");
        let file = self.files.entry(name.clone()).or_default();
        (file.installed, file.failure) = (Some(installed), None);
        report.loaded.push(name);
    }

    /// Puts what fits in force. The running owner of a route or a name wins; among newcomers the file
    /// name decides.
    fn swap(&mut self, candidates: Vec<(String, Arc<Installed>)>, report: &mut Report) {
        let current = self.live.load_full();
        let mut standing: Vec<Arc<Installed>> = self.files.values().filter_map(|file| file.installed.clone()).collect();
        standing.sort_by(|a, b| a.file.cmp(&b.file));
        let mut next = None;
        if !report.removed.is_empty() {
            next = current.next(standing.clone()).ok();
        }
        // All together first, so that a route may move from one plugin to another.
        let mut together = standing.clone();
        together.retain(|other| !candidates.iter().any(|(name, _)| *name == other.file));
        together.extend(candidates.iter().map(|(_, candidate)| Arc::clone(candidate)));
        if candidates.len() > 1
            && let Ok(catalog) = current.next(together)
        {
            for (name, candidate) in candidates {
                self.loaded(name, candidate, report);
            }
            self.live.store(Arc::new(catalog));
            return;
        }
        for (name, candidate) in candidates {
            let mut with = standing.clone();
            with.retain(|other| other.file != name);
            // Last, so that a collision is the newcomer's.
            with.push(Arc::clone(&candidate));
            match current.next(with.clone()) {
                Ok(catalog) => {
                    standing = with;
                    next = Some(catalog);
                    self.loaded(name, candidate, report);
                }
                Err(error) => {
                    self.files.entry(name.clone()).or_default().failure = Some(error.to_string());
                    report.failed.push((name, error.to_string()));
                }
            }
        }
        if let Some(next) = next {
            self.live.store(Arc::new(next));
        }
    }
}

enum Staged {
    Same,
    Unsettled,
    New(Arc<Installed>),
    Failed(String),
}

fn stamp(path: &Path) -> Result<Stamp, std::io::Error> {
    use std::os::unix::fs::MetadataExt;
    let meta = std::fs::metadata(path)?;
    Ok(Stamp {
        len: meta.len(),
        modified: meta.modified()?,
        inode: meta.ino(),
        changed: (meta.ctime(), meta.ctime_nsec()),
    })
}
