//! Keeps the catalogue in step with the plugin folder: the files in it are what should be served.
//!
//! # Only a scan decides
//!
//! Nothing but a scan changes what is served. It lists the folder, compares each file with what is known of it, and
//! begins to stage what is new. File events and ticks only say when to scan, so it does not matter which of them
//! arrive, in which order, or whether a network file system has any. A file whose stamp or content is still changing
//! leaves the scan unsettled, and the next scan follows soon.
//!
//! # After a crash
//!
//! A new build is kept in the history's directory, then the generation with it becomes active, and then the history
//! file names it: last, because a host that cannot write its history still has to serve. A host that dies
//! - before the swap leaves a component that the history does not name; a later write of the history removes it;
//! - between the swap and the history leaves a history that names the former build as active. The next start finds the
//!   new build in the folder and records it, with the former build as the previous one; only the time at which it
//!   became active is wrong. Until then `coinslot plugins rollback` goes back one build too far.

mod rollback;
mod swap;
mod tracked_file;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use coinslot_plugin::{PluginPolicies, Runtime};
use sha2::{Digest, Sha256};

use super::generation::Catalog;
use super::history::History;
use super::install::{Installed, SalesPolicy};
use super::scan_report::ScanReport;
use super::staging::{Loader, Staging};
use tracked_file::{FileLook, TrackedFile, wasm_files};

/// The most scans of [`Folder::settle`], and the pause between two of them: a few seconds for files that are changing.
const SETTLE_SCANS: usize = 20;
const SETTLE_PAUSE: Duration = Duration::from_millis(100);

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
    history: Option<History>,
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
            history: None,
        }
    }

    /// Keeps the builds that are served in this history, so that they can be rolled back to. Files that it lists and
    /// the folder has not were removed while no host ran: the first scan takes note of them.
    pub fn with_history(mut self, history: History) -> Self {
        self.files.extend(history.present().map(|name| (name.to_owned(), TrackedFile::default())));
        self.loader.history = Some(history.dir().to_owned());
        self.history = Some(history);
        self
    }

    /// The folder's path.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The names of plugins that are configured and not active.
    pub fn unknown_plugins(&self) -> Vec<String> {
        let live = self.live.load();
        let is_active = |name: &String| live.installed().iter().any(|active| active.plugin.info().name == *name);
        self.loader.policies.plugins.keys().filter(|name| !is_active(name)).cloned().collect()
    }

    /// Serves all active plugins under other policies, in one step. Requests that are running keep what they began
    /// with, and offers that were made are honoured in their time.
    ///
    /// Fails with the first plugin that cannot be served under them, and then nothing has changed.
    pub fn reconfigure(&mut self, policies: PluginPolicies, sales: SalesPolicy) -> Result<(), String> {
        let mut next: Vec<Arc<Installed>> = Vec::new();
        for former in self.active() {
            let named = |error: String| format!("{}: {error}", former.file);
            let plugin = former.plugin.with_policies(&policies).map_err(|error| named(error.to_string()))?;
            let installed = Installed::new(former.file.clone(), Arc::new(plugin), &sales);
            next.push(Arc::new(installed.map_err(|error| named(error.to_string()))?));
        }
        // The last step that can fail: nothing has changed until here.
        let catalog = self.live.load().next(next.clone()).map_err(|error| error.to_string())?;
        for installed in next {
            if let Some(file) = self.files.get_mut(&installed.file) {
                file.active = Some(installed);
            }
        }
        (self.loader.policies, self.loader.sales) = (Arc::new(policies), Arc::new(sales));
        self.live.store(Arc::new(catalog));
        // Files that were staged or refused under the former policies are looked at again.
        self.staged.clear();
        for (name, file) in &mut self.files {
            let is_settled = file.failure.is_none() && !self.staging.contains(name);
            let is_active = file.staged.as_deref() == file.active.as_ref().map(|active| active.plugin.sha256());
            if !(is_settled && is_active) {
                self.staging.cancel(name);
                file.forget_content();
            }
        }
        Ok(())
    }

    /// Compares the folder with what is known of it, begins to stage what is new, and makes what is staged active, in
    /// one step. Waits for no compilation: [`Folder::staged`] does.
    ///
    /// A folder that cannot be read changes nothing. A file that cannot be loaded leaves its former build active, and
    /// is not tried again until its content changes.
    pub async fn scan(&mut self) -> io::Result<ScanReport> {
        let mut report = ScanReport::default();
        if let Some(history) = &self.history {
            rollback::roll_back_failing(history, &self.dir, &mut self.files, &self.staging);
        }
        let has_waiting = self.look(&mut report).await?;
        self.collect(&mut report);
        report.unsettled |= has_waiting && self.staging.has_room();
        self.swap(&mut report);
        self.record(&report);
        Ok(report)
    }

    /// Waits until something that is being staged may become active; forever if nothing is being staged. Cancel safe.
    pub async fn staged(&mut self) {
        self.staging.wait().await;
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
                self.collect(&mut report);
                if has_waiting && self.staging.has_room() {
                    continue;
                }
                if self.staging.is_empty() {
                    break;
                }
                self.staging.wait().await;
            }
            self.swap(&mut report);
            self.record(&report);
            all.extend(report);
            if !all.unsettled {
                break;
            }
            tokio::time::sleep(SETTLE_PAUSE).await;
        }
        Ok(all)
    }

    /// The active plugins in the order of their files.
    fn active(&self) -> Vec<Arc<Installed>> {
        let mut active: Vec<_> = self.files.values().filter_map(|file| file.active.clone()).collect();
        active.sort_by(|one, other| one.file.cmp(&other.file));
        active
    }

    /// Begins to stage what is new, and forgets files that are gone. Returns whether a new file waits for room in the
    /// staging.
    async fn look(&mut self, report: &mut ScanReport) -> io::Result<bool> {
        let names = wasm_files(&self.dir)?;
        let mut has_waiting = false;
        for name in &names {
            let known = self.files.entry(name.clone()).or_default();
            match known.look(&self.dir.join(name), self.staging.has_room_for(name)).await {
                FileLook::Unchanged => {}
                FileLook::NoRoom => has_waiting = true,
                FileLook::Unsettled => report.unsettled = true,
                FileLook::Failed(reason) => report.failed.push((name.clone(), reason)),
                FileLook::Changed(wasm) => self.stage(name, wasm),
            }
        }
        let mut gone = Vec::new();
        for (name, file) in &mut self.files {
            if names.contains(name) {
                continue;
            }
            if file.is_gone() {
                gone.push(name.clone());
            } else {
                report.unsettled = true;
            }
        }
        for name in gone {
            self.staging.cancel(&name);
            self.staged.remove(&name);
            match self.files.remove(&name) {
                Some(file) if file.active.is_some() => report.removed.push(name),
                _ => report.forgotten.push(name),
            }
        }
        Ok(has_waiting)
    }

    /// Begins to stage the new content of a file, unless it is what was staged last: a file that was only touched.
    fn stage(&mut self, name: &str, wasm: Vec<u8>) {
        let file = self.files.entry(name.to_owned()).or_default();
        let sha256 = hex::encode(Sha256::digest(&wasm));
        if file.staged.as_ref() == Some(&sha256) {
            return;
        }
        (file.staged, file.failure) = (Some(sha256), None);
        self.staged.remove(name);
        self.staging.begin(name, self.loader.clone().load(name.to_owned(), wasm));
    }

    /// Takes what the staging has finished.
    fn collect(&mut self, report: &mut ScanReport) {
        while let Some((name, result)) = self.staging.take() {
            match result {
                Ok(installed) => {
                    self.staged.insert(name, installed);
                }
                Err(reason) => {
                    let file = self.files.entry(name.clone()).or_default();
                    // The same content is tried again when it is copied again: the cause may not have been the content.
                    file.staged = None;
                    file.failure = Some(reason.clone());
                    report.failed.push((name, reason));
                }
            }
        }
    }

    /// Makes the staged plugins that fit active, and takes out those whose files are gone.
    ///
    /// The generation is swapped whole: a request sees the former generation or the next one. [`swap`] decides which
    /// plugin wins a conflict.
    fn swap(&mut self, report: &mut ScanReport) {
        let has_failed = |name: &String| self.files.get(name).is_some_and(|file| file.failure.is_some());
        let fresh: Vec<_> =
            self.staged.iter().filter(|(name, _)| !has_failed(name)).map(|(_, plugin)| Arc::clone(plugin)).collect();
        let has_removals = !report.removed.is_empty();
        let planned = swap::plan(&self.live.load(), self.active(), has_removals, &self.staged, &fresh);
        if let Some(next) = planned.next {
            self.live.store(Arc::new(next));
        }
        for installed in planned.admitted {
            let (name, info, sha256) = (installed.file.clone(), installed.plugin.info(), installed.plugin.sha256());
            tracing::info!(file = %name, plugin = %info.name, version = %info.version, sha256, "active");
            self.staged.remove(&name);
            let file = self.files.entry(name.clone()).or_default();
            (file.active, file.failure) = (Some(installed), None);
            report.loaded.push(name);
        }
        // A file that is still being staged may end a conflict, so conflicts are reported after that.
        if self.staging.is_empty() {
            for (name, conflict) in planned.refused {
                let file = self.files.entry(name.clone()).or_default();
                if let Some(reason) = file.fail(conflict.to_string()) {
                    report.failed.push((name, reason));
                }
            }
        }
    }

    /// Writes the changes of a scan into the history. A host that cannot write its history serves all the same.
    fn record(&mut self, report: &ScanReport) {
        let Some(history) = &mut self.history else { return };
        if !report.has_changes() {
            return;
        }
        history.record(report, |name| self.files.get(name)?.active.as_deref());
        if let Err(error) = history.write() {
            tracing::warn!(%error, dir = %history.dir().display(), "the history of the plugins cannot be written");
        }
    }
}
