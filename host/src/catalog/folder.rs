//! The plugin folder: what is in it is what should be served. The scan is the truth; events only hurry it.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use sha2::{Digest, Sha256};

use super::history::{History, HistoryFile};
use super::staging::Stage;
use super::{Catalog, InstallError, Installed, Policy};
use coinslot_plugin::{Circuit, PluginPolicies, Runtime};

/// The largest component that is read, in bytes. Python's are 18 MB.
const MAX_WASM: u64 = 64 << 20;

/// A file that is gone for less than this is being replaced: `mv`, editors, symlink swaps.
const GRACE: Duration = Duration::from_millis(400);

/// A build that fails again and again after this time is not taken back: it is not the build that has changed.
const YOUNG: Duration = Duration::from_secs(600);

/// Scans a folder and keeps a catalogue in step with it.
#[derive(Debug)]
pub struct Folder {
    dir: PathBuf,
    runtime: Arc<Runtime>,
    terms: Arc<PluginPolicies>,
    policy: Arc<Policy>,
    live: Arc<ArcSwap<Catalog>>,
    files: HashMap<String, File>,
    stage: Stage,
    /// Staged and not in force, by file: what just arrived, and what something in force stands in the way of.
    ready: BTreeMap<String, Arc<Installed>>,
    /// Remembers what was served before.
    shelf: Option<History>,
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
    /// The build that was taken back, so that nothing goes back to it by itself.
    abandoned: Option<String>,
}

impl File {
    /// Said once, when it lasts; a file that is being replaced is unreadable for a moment.
    fn unreadable(&mut self, error: &std::io::Error) -> Look {
        if self.unreadable_since.get_or_insert_with(Instant::now).elapsed() < GRACE {
            return Look::Unsettled;
        }
        self.fail(format!("it cannot be read: {error}")).map_or(Look::Same, Look::Failed)
    }

    /// The reason, if it is not the one that was given before.
    fn fail(&mut self, reason: String) -> Option<String> {
        (self.failure.replace(reason.clone()).as_ref() != Some(&reason)).then_some(reason)
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
        terms: PluginPolicies,
        policy: Policy,
        live: Arc<ArcSwap<Catalog>>,
    ) -> Self {
        let (terms, policy) = (Arc::new(terms), Arc::new(policy));
        let (files, stage, ready) = (HashMap::new(), Stage::default(), BTreeMap::new());
        Self { dir, runtime, terms, policy, live, files, stage, ready, shelf: None }
    }

    /// Keeps what is served on this shelf, so that it can be had again.
    pub fn on(mut self, shelf: History) -> Self {
        self.shelf = Some(shelf);
        self
    }

    /// The folder's path.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Names of which the operator says something and that no plugin in force has.
    pub fn strangers(&self) -> Vec<String> {
        let live = self.live.load();
        let here = |name: &String| live.installed().iter().any(|installed| installed.plugin.info().name == *name);
        self.terms.plugins.keys().filter(|name| !here(name)).cloned().collect()
    }

    /// Puts everything in force under other terms and another policy, in one step. Requests at work keep what they
    /// began with, and offers that were made are honoured in their time.
    ///
    /// Fails with the first plugin that cannot be served like this, and then nothing has changed.
    pub fn adopt(&mut self, terms: PluginPolicies, policy: Policy) -> Result<(), String> {
        let mut next: Vec<Arc<Installed>> = Vec::new();
        for former in self.files.values().filter_map(|file| file.installed.as_ref()) {
            let named = |error: String| format!("{}: {error}", former.file);
            let plugin = former.plugin.under(&terms).map_err(|error| named(error.to_string()))?;
            let installed = Installed::new(former.file.clone(), Arc::new(plugin), &policy);
            next.push(Arc::new(installed.map_err(|error| named(error.to_string()))?));
        }
        next.sort_by(|a, b| a.file.cmp(&b.file));
        let catalog = self.live.load().next(next.clone()).map_err(|error| error.to_string())?;
        for installed in next {
            if let Some(file) = self.files.get_mut(&installed.file) {
                file.installed = Some(installed);
            }
        }
        (self.terms, self.policy) = (Arc::new(terms), Arc::new(policy));
        self.live.store(Arc::new(catalog));
        // What was staged or refused under the old terms is looked at again.
        self.ready.clear();
        for (name, file) in &mut self.files {
            let settled = file.failure.is_none() && !self.stage.has(name);
            let same = file.tried.as_deref() == file.installed.as_ref().map(|installed| installed.plugin.sha256());
            if !(settled && same) {
                self.stage.forget(name);
                (file.stamp, file.tried) = (None, None);
            }
        }
        Ok(())
    }

    /// Compares the folder with what is in force, begins to stage what is new, and puts in force what is
    /// ready, in one step. Waits for no compilation: [`Folder::staged`] does.
    ///
    /// An unreadable folder changes nothing. A file that cannot be loaded leaves its former self in
    /// force, and is not tried again until its bytes change.
    pub async fn scan(&mut self) -> Result<Report, std::io::Error> {
        let mut report = Report::default();
        self.go_back();
        let waiting = self.look(&mut report).await?;
        self.collect(&mut report);
        report.unsettled |= waiting && self.stage.has_room();
        self.swap(&mut report);
        self.record(&report);
        Ok(report)
    }

    /// Puts the former build of a plugin back into the folder if the new one fails again and again, and the operator
    /// wants that.
    fn go_back(&mut self) {
        let Some(shelf) = &self.shelf else { return };
        for (name, file) in &mut self.files {
            let Some(installed) = &file.installed else { continue };
            let plugin = &installed.plugin;
            if !plugin.limits().patience.rollback || plugin.circuit() == Circuit::Closed {
                continue;
            }
            let Some((former, now)) = shelf.way_back(name) else { continue };
            let young = SystemTime::now() < SystemTime::UNIX_EPOCH + Duration::from_secs(now.since) + YOUNG;
            let known = [former, now].map(|build| Some(&build.sha256)).contains(&file.abandoned.as_ref());
            if now.sha256 != plugin.sha256() || known || !young {
                continue;
            }
            // Something else is there already, or on its way: whoever put it there wants that.
            let path = self.dir.join(name);
            let there = stamp(&path).is_ok_and(|there| file.stamp == Some(there));
            if !there || file.tried.as_deref() != Some(plugin.sha256()) || self.stage.has(name) {
                continue;
            }
            file.abandoned = Some(now.sha256.clone());
            if path.is_symlink() {
                tracing::warn!(file = %name, "it fails again and again; it is a link, which is not replaced: change what it leads to");
                continue;
            }
            let (from, to) = (&now.sha256, &former.sha256);
            match HistoryFile::restore(shelf.dir(), former, &path) {
                Ok(()) => {
                    tracing::warn!(file = %name, from, to, "it fails again and again: the build before it is put back")
                }
                Err(error) => {
                    tracing::warn!(file = %name, %error, "it fails again and again, and cannot be taken back")
                }
            }
        }
    }

    /// Waits until something that was begun may be put in force; for ever if there is nothing.
    pub async fn staged(&mut self) {
        self.stage.wait().await;
    }

    /// Stages all that is there and puts it in force together, so that names decide who serves a route, and
    /// not who was compiled faster. Waits a few seconds for files that are still changing.
    pub async fn settle(&mut self) -> Result<Report, std::io::Error> {
        let mut all = Report::default();
        for _ in 0..20 {
            let mut report = Report::default();
            loop {
                report.unsettled = false;
                let waiting = self.look(&mut report).await?;
                self.collect(&mut report);
                if waiting && self.stage.has_room() {
                    continue;
                }
                if self.stage.is_empty() {
                    break;
                }
                self.stage.wait().await;
            }
            self.swap(&mut report);
            self.record(&report);
            all.loaded.extend(report.loaded);
            all.removed.extend(report.removed);
            all.failed.extend(report.failed);
            all.unsettled = report.unsettled;
            if !all.unsettled {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(all)
    }

    /// Begins with what is new. Whether something waits for a place on the stage.
    async fn look(&mut self, report: &mut Report) -> Result<bool, std::io::Error> {
        let names = self.names()?;
        let mut waiting = false;
        for name in &names {
            match self.begin(name).await {
                Look::Same => {}
                Look::Waits => waiting = true,
                Look::Unsettled => report.unsettled = true,
                Look::Failed(reason) => report.failed.push((name.clone(), reason)),
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
            self.stage.forget(&name);
            self.ready.remove(&name);
            if self.files.remove(&name).is_some_and(|file| file.installed.is_some()) {
                report.removed.push(name);
            }
        }
        Ok(waiting)
    }

    /// Takes what is done from the stage.
    fn collect(&mut self, report: &mut Report) {
        while let Some((name, staged)) = self.stage.take() {
            match staged {
                Ok(installed) => {
                    self.ready.insert(name, installed);
                }
                Err(reason) => {
                    let file = self.files.entry(name.clone()).or_default();
                    // The same bytes are tried again when they are copied again: the reason may have been ours.
                    file.tried = None;
                    file.failure = Some(reason.clone());
                    report.failed.push((name, reason));
                }
            }
        }
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

    /// Reads one file, if it is new and has stopped changing, and begins to compile and price it if its bytes are new.
    async fn begin(&mut self, name: &str) -> Look {
        let path = self.dir.join(name);
        let known = self.files.entry(name.to_owned()).or_default();
        let before = match stamp(&path) {
            Ok(stamp) if known.stamp == Some(stamp) => return Look::Same,
            Ok(stamp) => stamp,
            // Gone again, or a symlink that points nowhere yet.
            Err(error) => return known.unreadable(&error),
        };
        if before.len > MAX_WASM {
            known.stamp = Some(before);
            let reason = format!("it has {} bytes; at most {MAX_WASM} are loaded", before.len);
            return known.fail(reason).map_or(Look::Same, Look::Failed);
        }
        if !self.stage.takes(name) {
            return Look::Waits;
        }
        let wasm = match tokio::fs::read(&path).await {
            Ok(wasm) => wasm,
            Err(error) => return known.unreadable(&error),
        };
        known.unreadable_since = None;
        // Still being written? A file that changed a moment ago is looked at again a moment later.
        let young = before.modified.elapsed().is_ok_and(|age| age < Duration::from_millis(50));
        if young || stamp(&path).ok() != Some(before) || wasm.len() as u64 != before.len {
            return Look::Unsettled;
        }
        known.stamp = Some(before);
        let digest = hex::encode(Sha256::digest(&wasm));
        if known.tried.as_ref() == Some(&digest) {
            return Look::Same;
        }
        (known.tried, known.failure) = (Some(digest), None);
        self.ready.remove(name);
        let (runtime, terms, policy) = (Arc::clone(&self.runtime), Arc::clone(&self.terms), Arc::clone(&self.policy));
        let file = name.to_owned();
        let kept = self.shelf.as_ref().map(|shelf| shelf.dir().to_owned());
        self.stage.begin(name, async move {
            let plugin = runtime.load(&wasm, &terms).await.map_err(|error| error.to_string())?;
            let installed = Installed::new(file, Arc::new(plugin), &policy);
            let installed = installed.map(Arc::new).map_err(|error| error.to_string())?;
            if let Some(dir) = kept
                && let Err(error) = History::keep(&dir, installed.plugin.sha256(), &wasm)
            {
                tracing::warn!(%error, dir = %dir.display(), "this component cannot be kept: it cannot be rolled back to");
            }
            Ok(installed)
        });
        Look::Same
    }

    /// Writes down what a scan did. A shelf that cannot be written changes nothing about what is served.
    fn record(&mut self, report: &Report) {
        let Some(shelf) = &mut self.shelf else { return };
        if report.loaded.is_empty() && report.removed.is_empty() && report.failed.is_empty() {
            return;
        }
        for name in &report.removed {
            shelf.gone(name);
        }
        for name in &report.loaded {
            if let Some(installed) = self.files.get(name).and_then(|file| file.installed.as_ref()) {
                shelf.in_force(name, installed.component());
            }
        }
        for (name, reason) in &report.failed {
            shelf.failed(name, reason);
        }
        if let Err(error) = shelf.write() {
            tracing::warn!(%error, dir = %shelf.dir().display(), "what is served cannot be written down");
        }
    }

    /// Remembers that a component is in force now.
    fn loaded(&mut self, installed: Arc<Installed>, report: &mut Report) {
        let (name, info) = (installed.file.clone(), installed.plugin.info());
        let sha256 = installed.plugin.sha256();
        tracing::info!(file = %name, plugin = %info.name, version = %info.version, sha256, "in force");
        self.ready.remove(&name);
        let file = self.files.entry(name.clone()).or_default();
        (file.installed, file.failure) = (Some(installed), None);
        report.loaded.push(name);
    }

    /// Puts what fits in force. The running owner of a route or a name wins; among newcomers the file
    /// name decides. What does not fit waits: for what is still being staged, and then for a change of
    /// what stands in its way.
    fn swap(&mut self, report: &mut Report) {
        let current = self.live.load_full();
        let mut standing: Vec<Arc<Installed>> = self.files.values().filter_map(|file| file.installed.clone()).collect();
        standing.sort_by(|a, b| a.file.cmp(&b.file));
        let mut next = None;
        if !report.removed.is_empty() {
            next = current.next(standing.clone()).ok();
        }
        // All newcomers together first, so that a route may move from one plugin to another.
        let blocked = |name: &String| self.files.get(name).is_some_and(|file| file.failure.is_some());
        let fresh: Vec<Arc<Installed>> =
            self.ready.iter().filter(|(name, _)| !blocked(name)).map(|(_, installed)| Arc::clone(installed)).collect();
        if fresh.len() > 1
            && let Ok((with, catalog)) = with(&current, &standing, &fresh)
        {
            (standing, next) = (with, Some(catalog));
            for installed in fresh {
                self.loaded(installed, report);
            }
        }
        // Then one by one, until none of them makes room for another.
        let mut refused = BTreeMap::new();
        let mut again = true;
        while std::mem::take(&mut again) {
            for (name, candidate) in self.ready.clone() {
                match with(&current, &standing, &[Arc::clone(&candidate)]) {
                    Ok((with, catalog)) => {
                        (standing, next, again) = (with, Some(catalog), true);
                        refused.remove(&name);
                        self.loaded(candidate, report);
                    }
                    Err(error) => {
                        refused.insert(name, error.to_string());
                    }
                }
            }
        }
        if self.stage.is_empty() {
            for (name, reason) in refused {
                if let Some(reason) = self.files.entry(name.clone()).or_default().fail(reason) {
                    report.failed.push((name, reason));
                }
            }
        }
        if let Some(next) = next {
            self.live.store(Arc::new(next));
        }
    }
}

/// The generation with these in place of their former selves. They come last, so that a collision is theirs.
fn with(
    current: &Catalog,
    standing: &[Arc<Installed>],
    newcomers: &[Arc<Installed>],
) -> Result<(Vec<Arc<Installed>>, Catalog), InstallError> {
    let replaced = |other: &Arc<Installed>| newcomers.iter().any(|newcomer| newcomer.file == other.file);
    let mut all: Vec<_> = standing.iter().filter(|other| !replaced(other)).cloned().collect();
    all.extend(newcomers.iter().cloned());
    let catalog = current.next(all.clone())?;
    Ok((all, catalog))
}

/// What a look at a file found.
enum Look {
    /// Nothing to do but what was begun.
    Same,
    /// It is new, and there is no place for it yet.
    Waits,
    /// It is still changing.
    Unsettled,
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
