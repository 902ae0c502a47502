//! Keeps the catalogue in step with the plugin folder: the files in it are what should be served.
//!
//! # Only a scan decides
//!
//! Nothing but a scan changes what is served. It lists the folder, compares each file with what is known of it, and
//! begins to stage what is new. File events and ticks only say when to scan, so it does not matter which of them
//! arrive, in which order, or whether a network file system has any. A file whose stamp or content is still changing
//! leaves the scan unsettled, and the next scan follows soon.
//!
//! # After a start
//!
//! The builds that served before serve again, and the folder's present content is a change of them: see [`start`].
//!
//! # After a crash
//!
//! A new build is kept in the history's directory, then the generation with it becomes active, and then the history
//! file names it: last, because a host that cannot write its history still has to serve. A host that dies
//! - before the swap leaves a component that the history does not name; a later write of the history removes it;
//! - between the swap and the history leaves a history that names the former build as active. The next start finds the
//!   new build in the folder and records it, with the former build as the previous one; only the time at which it
//!   became active is wrong. Until then `coinslot plugins rollback` goes back one build too far.

mod activate;
mod loading_notes;
mod look;
mod moves;
mod reconfigure;
mod regular_file;
mod rollback;
mod start;
mod swap;
mod tracked_file;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use coinslot_plugin::{PluginPolicies, Runtime};

use super::conflict::ConflictError;
use super::generation::Catalog;
use super::history::{History, HistoryFile};
use super::install::{Installed, SalesPolicy};
use super::scan_report::ScanReport;
use super::staging::{Loader, Staging};
pub use reconfigure::Reconfigured;
use start::Start;
use tracked_file::{QUIET, TrackedFile};

/// The most scans of [`Folder::settle`], and the pause between two of them: a few seconds for files that are changing.
const SETTLE_SCANS: usize = 20;
const SETTLE_PAUSE: Duration = Duration::from_millis(100);

/// The longest time between two scans while components are loaded.
const LOADING_PAUSE: Duration = Duration::from_secs(1);

/// The time that [`Folder::begin`] waits for components that have to be compiled.
const START_WAIT: Duration = Duration::from_secs(1);
/// The longest time that it waits for those that are compiled.
const LONGEST_START_WAIT: Duration = Duration::from_secs(10);

/// A plugin folder and the catalogue that is kept in step with it.
#[derive(Debug)]
pub struct Folder {
    dir: PathBuf,
    live: Arc<ArcSwap<Catalog>>,
    files: HashMap<String, TrackedFile>,
    loader: Loader,
    staging: Staging,
    /// The plugins that were staged and are not active, by file: those that just arrived, and those that conflict with
    /// an active one.
    staged: BTreeMap<String, Arc<Installed>>,
    /// Those of them that did not fit at the last swap.
    refused: BTreeMap<String, ConflictError>,
    /// Something was staged since the last swap, or is gone: another swap may have another end.
    is_changed: bool,
    has_removals: bool,
    start: Start,
    history: Option<History>,
    /// A file that changed more recently may still be being written.
    quiet: Duration,
}

impl Folder {
    /// A folder that has not been scanned.
    pub fn new(
        dir: PathBuf,
        runtime: Arc<Runtime>,
        policies: PluginPolicies,
        sales: SalesPolicy,
        live: Arc<ArcSwap<Catalog>>,
    ) -> Self {
        Self {
            dir,
            live,
            files: HashMap::new(),
            loader: Loader { runtime, policies: Arc::new(policies), sales: Arc::new(sales), history: None },
            staging: Staging::default(),
            staged: BTreeMap::new(),
            refused: BTreeMap::new(),
            is_changed: false,
            has_removals: false,
            start: Start::default(),
            history: None,
            quiet: QUIET,
        }
    }

    /// Keeps the builds that are served in this history, so that they can be rolled back to and serve after a restart.
    pub fn with_history(mut self, history: History) -> Self {
        self = self.after(history.dir(), history.file());
        self.loader.history = Some(history.dir().to_owned());
        self.history = Some(history);
        self
    }

    /// Reads each file at once: the folder gets whole files, in one step.
    pub fn with_whole_files(self) -> Self {
        Self { quiet: Duration::ZERO, ..self }
    }

    /// Puts back what served by this history, which is in this directory and is not changed. Files that it lists and
    /// the folder has not were removed while no host ran: the first scan takes note of them.
    pub fn after(mut self, dir: &Path, history: &HistoryFile) -> Self {
        self.files.extend(history.present().map(|(name, _)| (name.to_owned(), TrackedFile::default())));
        self.start = Start::after(dir, history, |sha256| self.loader.runtime.is_compiled(sha256));
        self
    }

    /// The folder's path.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The names of plugins that are configured and not active, but for those of files that are not loaded: the reason
    /// for that is reported. Their names are those by which they served, or those of the files.
    pub fn unknown_plugins(&self) -> Vec<String> {
        let live = self.live.load();
        let failed = |name: &str| {
            self.files.iter().filter(|(_, file)| file.failure.is_some() && file.active.is_none()).any(|(file, _)| {
                let kept = self.history.as_ref().and_then(|history| history.entry(file));
                let served = kept.and_then(|entry| entry.active.as_ref().or(entry.previous.as_ref()));
                served.is_some_and(|build| build.plugin == name) || file.strip_suffix(".wasm") == Some(name)
            })
        };
        let names = self.loader.policies.plugins.keys().filter(|name| !live.has_plugin(name) && !failed(name));
        names.cloned().collect()
    }

    /// True if a build of this file serves.
    pub(super) fn serves(&self, file: &str) -> bool {
        self.files.get(file).is_some_and(|file| file.active.is_some())
    }

    /// Compares the folder with what is known of it, begins to stage what is new, and makes what is staged active, in
    /// one step. Waits for no compilation: [`Folder::wait_for_staged`] does.
    ///
    /// A folder that cannot be read changes nothing. A file that cannot be loaded leaves its former build active, and
    /// is not tried again until its content changes.
    pub async fn scan(&mut self) -> io::Result<ScanReport> {
        if let Some(history) = &mut self.history {
            rollback::roll_back_failing(history, &self.dir, &mut self.files, &self.staging);
        }
        let mut report = ScanReport::default();
        self.round(&mut report).await?;
        Ok(report)
    }

    /// Waits until something that is being staged may become active; forever if nothing is being staged. Cancel safe.
    pub async fn wait_for_staged(&mut self) {
        self.staging.wait().await;
    }

    /// True if everything that the folder held at the start is active or refused.
    pub fn is_complete(&self) -> bool {
        self.start.is_over()
    }

    /// The time after which a scan is due even if there is no event. None if only an event can change something.
    pub(super) fn scan_due(&self) -> Option<Duration> {
        if !self.staging.is_empty() || !self.start.is_over() {
            return Some(LOADING_PAUSE);
        }
        self.files.values().filter_map(TrackedFile::look_due).min()
    }

    /// The files of the folder that may be changed through another path.
    pub(super) fn with_other_paths(&self) -> impl Iterator<Item = PathBuf> {
        self.files.iter().filter(|(_, file)| file.has_other_path()).map(|(name, _)| self.dir.join(name))
    }

    /// True if a build may be rolled back when it fails, which only a scan does.
    pub(super) fn may_roll_back(&self) -> bool {
        self.files.values().any(rollback::may_roll_back)
    }

    /// True if a build fails that may be rolled back.
    pub(super) fn is_failing(&self) -> bool {
        self.files.values().any(rollback::is_failing)
    }

    /// Puts back what served before and is compiled, and begins to load the rest: waits a second for what has to be
    /// compiled, and no longer. [`Folder::scan`] makes that active when it is ready.
    pub async fn begin(&mut self) -> io::Result<ScanReport> {
        let begun = Instant::now();
        let mut all = ScanReport::default();
        loop {
            let mut report = ScanReport::default();
            self.round(&mut report).await?;
            all.extend(report);
            let wait = if self.start.has_compiled() { LONGEST_START_WAIT } else { START_WAIT };
            let left = wait.saturating_sub(begun.elapsed());
            if self.is_complete() || left.is_zero() {
                return Ok(all);
            }
            let pause = if all.unsettled { left.min(SETTLE_PAUSE) } else { left };
            let _ = tokio::time::timeout(pause, self.staging.wait()).await;
        }
    }

    /// Stages all files that are there and makes them active together, so that their names decide which of them serves
    /// a route, and not which was compiled faster. Waits a few seconds for files that are still changing.
    pub async fn settle(&mut self) -> io::Result<ScanReport> {
        let mut all = ScanReport::default();
        for _ in 0..SETTLE_SCANS {
            let mut report = ScanReport::default();
            loop {
                report.unsettled = false;
                let has_waiting = self.look(&mut report).await?;
                if self.collect(&mut report) {
                    // What served before is active before the present content of its file is looked at.
                    self.swap(&mut report).await;
                    continue;
                }
                if has_waiting && self.staging.has_room() {
                    continue;
                }
                if self.staging.is_empty() {
                    break;
                }
                self.staging.wait().await;
            }
            self.swap(&mut report).await;
            self.record(&report);
            self.note_loading(&mut report);
            all.extend(report);
            if !all.unsettled {
                break;
            }
            tokio::time::sleep(SETTLE_PAUSE).await;
        }
        Ok(all)
    }

    /// Looks at every file once, and makes active what was staged.
    async fn round(&mut self, report: &mut ScanReport) -> io::Result<()> {
        let has_waiting = self.look(report).await?;
        report.unsettled |= self.collect(report);
        report.unsettled |= has_waiting && self.staging.has_room();
        self.swap(report).await;
        self.record(report);
        self.note_loading(report);
        Ok(())
    }

    /// The active plugins in the order of their files.
    fn active(&self) -> Vec<Arc<Installed>> {
        let mut active: Vec<_> = self.files.values().filter_map(|file| file.active.clone()).collect();
        active.sort_by(|one, other| one.file.cmp(&other.file));
        active
    }

    /// Writes the changes of a scan into the history, and forgets compiled components that it does not name and that
    /// nobody waits to serve. A host that cannot write its history serves all the same.
    fn record(&mut self, report: &ScanReport) {
        let Some(history) = &mut self.history else { return };
        if report.has_changes() {
            let active = |name: &str| self.files.get(name)?.active.as_deref();
            history.record(report, active, |name| self.files.get(name)?.refused.clone());
            self.write_history();
        }
    }

    fn write_history(&mut self) {
        let Some(history) = &mut self.history else { return };
        let in_use = || self.files.values().flat_map(TrackedFile::builds);
        if let Err(error) = history.write(in_use()) {
            tracing::warn!(%error, dir = %history.dir().display(), "the history of the plugins cannot be written");
        }
        let named = history.builds().map(|build| &*build.sha256).chain(in_use()).map(str::to_owned).collect();
        let runtime = Arc::clone(&self.loader.runtime);
        tokio::task::spawn_blocking(move || runtime.forget_others(&named));
    }
}
