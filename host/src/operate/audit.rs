//! Writes the audit log: what was changed in the host, when and by whom.
//!
//! What plugins serve is compared with what was known before, whatever has led to the difference: a file, the
//! configuration, a rollback or a restart. So no way of changing a price can be forgotten here. Texts are made of names,
//! digests, prices and addresses, and never of secrets.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use coinslot_base::text::excerpt;
use coinslot_ledger::reports::{ChangeFilter, LedgerReader};
use coinslot_ledger::{Author, Change, ChangeKind};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use crate::catalog::{Catalog, HistoryEntry, HistoryFile, Installed, KeptBuild, ScanReport};
use crate::config::SettingChange;
use crate::payment::Payments;

/// The most settings of one reload that are written down one by one. A file may name thousands of plugins, and lines of
/// settings would take the place of all other changes in the log.
const MOST_SETTINGS: usize = 50;

/// Writes down what changes in a host.
#[derive(Debug)]
pub(crate) struct Audit {
    payments: Arc<Payments>,
    catalog: Arc<ArcSwap<Catalog>>,
    known: Mutex<Known>,
}

/// The state that the next change is compared with.
#[derive(Debug, Default)]
struct Known {
    /// The builds that serve, by file.
    builds: BTreeMap<String, Build>,
    /// The contents of files that are not active, by their SHA-256 and the reason. A content is written down once,
    /// although the host may try it again and again.
    failures: BTreeMap<String, String>,
    /// The settings that wait for a restart, with the values that wait.
    waiting: BTreeMap<String, Option<String>>,
    /// SHA-256 of the configuration file.
    configuration: Option<String>,
}

/// A build that serves.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Build {
    name: String,
    sha256: String,
    /// By their method and path.
    routes: BTreeMap<String, Terms>,
}

/// The terms on which a route is sold.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Terms {
    /// In the preferred asset.
    price: String,
    /// Each asset with its price, its network and its receiver. None: an earlier process did not write it down.
    assets: Option<String>,
}

impl Audit {
    /// The audit log of a host, which has not scanned its folder when the history said `before`.
    pub(crate) fn new(payments: Arc<Payments>, catalog: Arc<ArcSwap<Catalog>>, before: &HistoryFile) -> Self {
        let builds =
            before.files.iter().filter_map(|(file, entry)| Some((file.clone(), Build::kept(entry.active.as_ref()?))));
        let failures = before.files.iter().filter_map(|(file, entry)| {
            let reason = entry.failure.as_ref()?;
            Some((file.clone(), refused(Some(entry), reason)))
        });
        let known = Known { builds: builds.collect(), failures: failures.collect(), ..Known::default() };
        Self { payments, catalog, known: Mutex::new(known) }
    }

    /// Writes down one change. It is durable when this returns: await it before the author is answered. A failure is
    /// logged, and stops no change: what an operator does must not depend on a disk.
    pub(crate) async fn record(
        &self,
        who: Author,
        kind: ChangeKind,
        subject: impl Into<String>,
        before: Option<String>,
        after: Option<String>,
    ) {
        let change = self.change(who, kind, subject, before, after);
        self.write(vec![change]).await;
    }

    /// The line about a change of now.
    pub(crate) fn change(
        &self,
        who: Author,
        kind: ChangeKind,
        subject: impl Into<String>,
        before: Option<String>,
        after: Option<String>,
    ) -> Change {
        Change { at: self.payments.now(), who, kind, subject: subject.into(), before, after }
    }

    /// Writes lines down, as [`Self::record`] does.
    pub(crate) async fn write(&self, changes: Vec<Change>) {
        if changes.is_empty() {
            return;
        }
        let told: Vec<String> =
            changes.iter().map(|change| format!("{} {}", change.kind.as_str(), change.subject)).collect();
        if let Err(error) = self.payments.ledger().record_changes(changes).await {
            tracing::error!(changes = %excerpt(&told.join(", "), 1_000), %error,
                "changes could not be written into the audit log");
        }
    }

    /// The lines about what a scan of the plugin folder has changed and refused, which are to be written.
    /// `history` is the folder of the history.
    pub(crate) fn of_scan(&self, who: &Author, report: &ScanReport, history: &Path) -> Vec<Change> {
        let mut changes = Vec::new();
        for file in report.removed.iter().chain(&report.forgotten) {
            let (build, failure) = {
                let mut known = self.known.lock();
                (known.builds.remove(file), known.failures.remove(file))
            };
            if build.is_some() || failure.is_some() {
                let before = build.map(|build| build.shown());
                changes.push(self.change(who.clone(), ChangeKind::PluginRemoved, file, before, None));
            }
        }
        for file in &report.loaded {
            self.known.lock().failures.remove(file);
        }
        changes.extend(self.compare_after(who, &report.put_back));
        if report.failed.is_empty() {
            return changes;
        }
        // The history names the digest of what was refused.
        let history = HistoryFile::read(history).unwrap_or_default();
        for (file, reason) in &report.failed {
            let after = refused(history.files.get(file), reason);
            let (active, is_new) = {
                let mut known = self.known.lock();
                let is_new = known.failures.insert(file.clone(), after.clone()).as_ref() != Some(&after);
                (known.builds.get(file).map(Build::shown), is_new)
            };
            if is_new {
                changes.push(self.change(who.clone(), ChangeKind::PluginRejected, file, active, Some(after)));
            }
        }
        changes
    }

    /// The differences between the plugins that serve and those that served before. `put_back`: the files whose former
    /// builds the host itself has put back.
    fn compare_after(&self, who: &Author, put_back: &[String]) -> Vec<Change> {
        let mut changes = Vec::new();
        let catalog = self.catalog.load();
        for installed in catalog.installed() {
            let (file, build) = (&installed.file, Build::active(installed));
            let former = {
                let mut known = self.known.lock();
                known.builds.insert(file.clone(), build.clone())
            };
            let Some(former) = former else {
                changes.push(self.change(who.clone(), ChangeKind::PluginLoaded, file, None, Some(build.shown())));
                continue;
            };
            let is_replaced = former.sha256 != build.sha256;
            if is_replaced {
                let (before, after) = (Some(former.shown()), Some(build.shown()));
                let (who, kind) = match put_back.contains(file) {
                    true => (&Author::Health, ChangeKind::PluginRolledBack),
                    false => (who, ChangeKind::PluginReplaced),
                };
                changes.push(self.change(who.clone(), kind, file, before, after));
            }
            for (route, before, after) in former.differences(&build, is_replaced) {
                let route = format!("{}: {route}", build.plugin());
                changes.push(self.change(who.clone(), ChangeKind::Route, route, before, after));
            }
        }
        changes
    }

    /// Writes down that the configuration took effect, each setting that it has changed, and which ones wait for a
    /// restart.
    pub(crate) async fn configured(
        &self,
        who: &Author,
        file: &Path,
        changed: &[SettingChange],
        waiting: &[SettingChange],
    ) {
        let digest = digest(file);
        let now: BTreeMap<String, Option<String>> =
            waiting.iter().map(|change| (change.path.clone(), change.after.clone())).collect();
        let (before, known) = {
            let mut known = self.known.lock();
            let former = std::mem::replace(&mut known.waiting, now);
            (std::mem::replace(&mut known.configuration, digest.clone()), former)
        };
        let subject = file.display().to_string();
        let mut changes = vec![self.change(who.clone(), ChangeKind::Configuration, subject, before, digest)];
        changes.extend(self.settings(who, ChangeKind::Setting, changed));
        changes.extend(self.compare_after(who, &[]));
        let is_new = |change: &&SettingChange| known.get(&change.path) != Some(&change.after);
        let new: Vec<SettingChange> = waiting.iter().filter(is_new).cloned().collect();
        changes.extend(self.settings(who, ChangeKind::RestartNeeded, &new));
        self.write(changes).await;
    }

    /// The change of each setting, or of so many and the number of the others.
    fn settings(&self, who: &Author, kind: ChangeKind, settings: &[SettingChange]) -> Vec<Change> {
        let each = settings.iter().take(MOST_SETTINGS);
        let mut changes: Vec<Change> = each
            .map(|SettingChange { path, before, after, .. }| {
                self.change(who.clone(), kind, path, before.clone(), after.clone())
            })
            .collect();
        let more = settings.len().saturating_sub(MOST_SETTINGS);
        if more > 0 {
            changes.push(self.change(who.clone(), kind, format!("{more} more settings"), None, None));
        }
        changes
    }

    /// Writes down that the host was built with this configuration, unless it is the one that took effect last: `ledger`
    /// has the lines of earlier processes.
    pub(crate) async fn started_with(&self, file: &Path, ledger: &Path) {
        let digest = digest(file);
        self.known.lock().configuration.clone_from(&digest);
        let filter = ChangeFilter { kind: Some(ChangeKind::Configuration), limit: 1, ..ChangeFilter::default() };
        match LedgerReader::open(ledger).and_then(|reader| reader.changes(&filter)) {
            Ok(found) => {
                let before = found.into_iter().next().and_then(|last| last.after);
                if before != digest {
                    let subject = file.display().to_string();
                    self.record(Author::Start, ChangeKind::Configuration, subject, before, digest).await;
                }
            }
            Err(error) => tracing::warn!(%error, "the audit log cannot say whether the configuration was changed"),
        }
    }
}

impl Build {
    fn active(installed: &Installed) -> Self {
        let info = installed.plugin.info();
        let routes = installed.endpoints.iter().map(|endpoint| {
            let terms = Terms { price: endpoint.access.to_string(), assets: Some(endpoint.access.terms()) };
            (format!("{} {}", endpoint.method, endpoint.path), terms)
        });
        Self {
            name: format!("{} {}", info.name, info.version),
            sha256: installed.plugin.sha256().to_owned(),
            routes: routes.collect(),
        }
    }

    /// The build that an earlier process wrote into the history.
    fn kept(build: &KeptBuild) -> Self {
        let routes = build.endpoints.iter().map(|endpoint| {
            let terms = Terms { price: endpoint.price.clone(), assets: endpoint.terms.clone() };
            (format!("{} {}", endpoint.method, endpoint.path), terms)
        });
        Self {
            name: format!("{} {}", build.plugin, build.version),
            sha256: build.sha256.clone(),
            routes: routes.collect(),
        }
    }

    fn plugin(&self) -> &str {
        self.name.split(' ').next().unwrap_or_default()
    }

    fn shown(&self) -> String {
        format!("{}, SHA-256 {}", self.name, self.sha256)
    }

    /// The routes whose terms differ in `next`. A build that is another one brings routes of its own, which are no
    /// change of an operator.
    fn differences(&self, next: &Self, is_replaced: bool) -> Vec<(String, Option<String>, Option<String>)> {
        let labels: BTreeSet<&String> = self.routes.keys().chain(next.routes.keys()).collect();
        let mut differences = Vec::new();
        for label in labels {
            let (before, after) = (self.routes.get(label), next.routes.get(label));
            let differs = match (before, after) {
                (Some(before), Some(after)) => before.differs(after),
                (None, _) | (_, None) => !is_replaced,
            };
            if differs {
                differences.push((label.clone(), before.map(Terms::shown), after.map(Terms::shown)));
            }
        }
        differences
    }
}

impl Terms {
    fn differs(&self, next: &Self) -> bool {
        let is_elsewhere = self.assets.is_some() && next.assets.is_some() && self.assets != next.assets;
        self.price != next.price || is_elsewhere
    }

    fn shown(&self) -> String {
        self.assets.clone().unwrap_or_else(|| self.price.clone())
    }
}

fn refused(entry: Option<&HistoryEntry>, reason: &str) -> String {
    match entry.and_then(|entry| entry.refused.as_ref()) {
        Some(sha256) => format!("SHA-256 {sha256}: {reason}"),
        None => reason.to_owned(),
    }
}

fn digest(file: &Path) -> Option<String> {
    let bytes = std::fs::read(file).ok()?;
    Some(format!("SHA-256 {}", hex::encode(Sha256::digest(&bytes))))
}
