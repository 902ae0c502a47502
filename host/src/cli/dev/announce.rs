//! Prints what `coinslot dev` serves, from the first plugin on, and keeps dev.json in step with it.

mod welcome;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use indicatif::MultiProgress;
use tokio::sync::mpsc;

use self::welcome::paid;
use super::addresses::DevAddresses;
use super::chain::{self, DevChain};
use super::changes::PluginSummary;
use super::compiled_files::CompiledFiles;
use super::rebuild::DevEvent;
use crate::catalog::{Catalog, ScanReport};
use crate::cli::build::compile::BuildResult;
use crate::cli::{Failure, print};
use crate::host::{Host, unknown_plugin};

/// Follows the events of `coinslot dev`.
pub(super) struct Announcer {
    addresses: DevAddresses,
    state: PathBuf,
    /// The folder of the sources, as the author has named it.
    plugins: PathBuf,
    chain: Arc<DevChain>,
    /// The spinner of a build stands below what is printed.
    progress: MultiProgress,
    events: mpsc::UnboundedReceiver<DevEvent>,
    catalog: Arc<ArcSwap<Catalog>>,
    /// Names of the configuration that no active plugin had when the host was built.
    unknown_plugins: Vec<String>,
    /// The first round of builds is over.
    finished: bool,
    /// Files of the first round that are built, and neither active nor refused yet.
    pending: BTreeSet<String>,
    /// Files that are built, and that the host has neither loaded nor refused since.
    compiled: CompiledFiles,
    /// Files that could not be loaded.
    refused: BTreeSet<String>,
    /// Plugins that are not built, each with the reason that was printed.
    unbuilt: BTreeMap<String, String>,
    /// Names in the folder that look like those of plugins, and lead to none.
    misnamed: BTreeSet<String>,
    /// The active builds as they were announced to the author, by file.
    served: BTreeMap<String, PluginSummary>,
    announced: bool,
    /// The line that pays for an endpoint was printed.
    has_pay_line: bool,
    /// The first round is over, and everything that it built is active or refused.
    complete: bool,
}

impl Announcer {
    pub(super) fn new(
        addresses: DevAddresses,
        [state, plugins, components]: [PathBuf; 3],
        chain: Arc<DevChain>,
        progress: MultiProgress,
        events: mpsc::UnboundedReceiver<DevEvent>,
    ) -> Self {
        Self {
            catalog: Arc::new(ArcSwap::from_pointee(Catalog::empty(&addresses.url))),
            addresses,
            state,
            plugins,
            chain,
            progress,
            events,
            unknown_plugins: Vec::new(),
            finished: false,
            pending: BTreeSet::new(),
            compiled: CompiledFiles::of(components),
            refused: BTreeSet::new(),
            unbuilt: BTreeMap::new(),
            misnamed: BTreeSet::new(),
            served: BTreeMap::new(),
            announced: false,
            has_pay_line: false,
            complete: false,
        }
    }

    /// Prints a text.
    fn print(&self, text: &str) {
        let written = self.progress.suspend(|| print::line(text));
        if let Err(failure) = written {
            tracing::warn!("{failure}");
        }
    }

    /// Waits until a plugin can be served, and all that need no building are in their place; or until every build of
    /// the first round is over.
    pub(super) async fn first_plugin(&mut self) -> Result<(), Failure> {
        let mut placed = false;
        while !self.finished && (!placed || self.pending.is_empty()) {
            match self.events.recv().await {
                Some(DevEvent::Unreadable(failure)) => return Err(failure),
                Some(DevEvent::Placed(misnamed)) => (placed, self.misnamed) = (true, misnamed),
                Some(event) => self.take(event),
                None => break,
            }
        }
        Ok(())
    }

    /// Prints what the host serves from the start.
    pub(super) async fn host_is_up(&mut self, host: &Host) -> Result<(), Failure> {
        self.catalog = Arc::clone(host.catalog());
        self.unknown_plugins = host.unknown_plugins();
        for (file, reason) in &host.report().failed {
            self.print(&format!("{file} is not served: {reason}"));
            self.pending.remove(file);
            self.compiled.remove(file);
            self.refused.insert(file.clone());
        }
        // What was built while the host was, so that a folder without sources is announced as a whole.
        while let Ok(event) = self.events.try_recv() {
            self.take(event);
        }
        for installed in self.catalog.load().installed() {
            self.pending.remove(&installed.file);
            self.compiled.remove(&installed.file);
            self.served.insert(installed.file.clone(), PluginSummary::of(installed));
        }
        self.announce_if_due().await
    }

    /// Follows the events until the task is aborted.
    pub(super) async fn follow(mut self) {
        while let Some(event) = self.next_event().await {
            let rewrite = self.announced && matches!(event, DevEvent::Changed(_));
            self.take(event);
            let written = if rewrite { self.write() } else { Ok(()) };
            if let Err(failure) = match written {
                Ok(()) => self.announce_if_due().await,
                failed => failed,
            } {
                tracing::warn!(error = %failure, "dev.json could not be written");
            }
        }
    }

    /// The next event. Meanwhile says of each component that the host compiles it, if that takes long.
    async fn next_event(&mut self) -> Option<DevEvent> {
        loop {
            let Some(deadline) = self.compiled.deadline() else { return self.events.recv().await };
            if let Ok(event) = tokio::time::timeout_at(deadline, self.events.recv()).await {
                return event;
            }
            let Some((file, digest)) = self.compiled.take_overdue().await else { continue };
            let catalog = self.catalog.load();
            let is_active = catalog.installed().iter().any(|one| one.file == file && one.plugin.sha256() == digest);
            // A build that gave the same bytes as the one before, active or refused, is not loaded.
            if !is_active && !self.refused.contains(&file) {
                self.print(&format!("compiling {file} .."));
            }
        }
    }

    /// Says which components the host compiles before it serves.
    pub(super) fn compiling(&self) {
        let files: Vec<&str> = self.pending.iter().map(String::as_str).collect();
        if !files.is_empty() {
            self.print(&format!("compiling {} ..", files.join(", ")));
        }
    }

    fn take(&mut self, event: DevEvent) {
        match event {
            DevEvent::Built(name, result) => self.built(name, result),
            DevEvent::Placed(misnamed) => self.misnamed = misnamed,
            DevEvent::Finished => self.finished = true,
            DevEvent::Unreadable(failure) => self.print(&failure.message),
            DevEvent::Changed(report) => self.changed(&report),
        }
    }

    fn built(&mut self, name: String, result: BuildResult) {
        let file = format!("{name}.wasm");
        if result == BuildResult::Built {
            self.compiled.add(&file);
        }
        let serves = self.catalog.load().installed().iter().any(|installed| installed.file == file);
        let former = match &result {
            BuildResult::Skipped(why)
            | BuildResult::Failed(why)
            | BuildResult::Broken(Failure { message: why, .. }) => self.unbuilt.insert(name.clone(), why.clone()),
            BuildResult::Fresh | BuildResult::Built => self.unbuilt.remove(&name),
        };
        match result {
            // Said once: a toolchain does not come by an edit.
            BuildResult::Skipped(why) if former.as_ref() == Some(&why) => {}
            BuildResult::Skipped(why) => self.print(&format!("skipped {name}: {why}")),
            BuildResult::Failed(why) | BuildResult::Broken(Failure { message: why, .. }) if serves => {
                self.print(&format!("{name} does not build, the build before it stays active:\n{why}"));
            }
            BuildResult::Failed(why) | BuildResult::Broken(Failure { message: why, .. }) => {
                self.print(&format!("{name} does not build:\n{why}"))
            }
            BuildResult::Fresh | BuildResult::Built if self.finished || serves || self.refused.contains(&file) => {}
            BuildResult::Fresh | BuildResult::Built => {
                self.pending.insert(file);
            }
        }
    }

    fn changed(&mut self, report: &ScanReport) {
        let failed = report.failed.iter().map(|(name, _)| name);
        for name in report.loaded.iter().chain(&report.removed).chain(&report.forgotten).chain(failed) {
            self.compiled.remove(name);
        }
        for name in &report.loaded {
            let line = self.active(name);
            self.print(&line);
            self.pending.remove(name);
            self.refused.remove(name);
        }
        for name in &report.removed {
            let former = self.served.remove(name).map(|former| former.listed().join(", ")).unwrap_or_default();
            let without = if former.is_empty() { former } else { format!("; removed: {former}") };
            self.print(&format!("{name} is no longer active{without}"));
        }
        for name in &report.forgotten {
            self.pending.remove(name);
            self.refused.remove(name);
        }
        for (name, reason) in &report.failed {
            let serves = self.catalog.load().installed().iter().any(|installed| installed.file == *name);
            let rest = if serves { ", the build before it stays active" } else { "" };
            self.print(&format!("{name} was not loaded{rest}: {reason}"));
            self.pending.remove(name);
            self.refused.insert(name.clone());
        }
    }

    /// The lines about a file that became active: what it changed, or its endpoints once those of the others are
    /// printed.
    fn active(&mut self, file: &str) -> String {
        let catalog = self.catalog.load();
        let installed = catalog.installed().iter().find(|installed| installed.file == *file);
        let Some(now) = installed.map(|installed| PluginSummary::of(installed)) else {
            return format!("{file} is active");
        };
        let lines = match self.served.insert(file.to_owned(), now.clone()) {
            Some(before) => match before.changes(&now) {
                lines if lines.is_empty() => return format!("{file} is active, with the same endpoints"),
                lines => lines,
            },
            None if self.announced => now.listed(),
            None => return format!("{file} is active"),
        };
        format!("{file} is active:\n  {}", lines.join("\n  "))
    }

    /// Announces the host with its first paid endpoint, or at the end of the first builds if none of them has one.
    async fn announce_if_due(&mut self) -> Result<(), Failure> {
        let completes = !self.complete && self.finished && self.pending.is_empty();
        self.complete |= completes;
        if completes {
            let catalog = self.catalog.load();
            let is_active = |name: &&String| catalog.installed().iter().any(|one| one.plugin.info().name == **name);
            for name in self.unknown_plugins.iter().filter(|name| !is_active(name)) {
                self.print(&format!("warning: {}", unknown_plugin(name)));
            }
        }
        let paid = paid(&self.catalog.load());
        if !self.announced && (self.complete || !paid.is_empty()) {
            self.announced = true;
            self.write()?;
            self.announce(&paid).await;
        } else if self.announced && completes {
            self.write()?;
        }
        if self.announced && !self.has_pay_line && !paid.is_empty() {
            self.has_pay_line = true;
            self.print(&self.pay_lines(&paid));
        }
        Ok(())
    }

    fn write(&self) -> Result<(), Failure> {
        chain::write(&self.state, &self.addresses, &self.chain.facts(), &self.catalog.load(), self.complete)
    }
}
