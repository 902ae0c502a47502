//! Writes the audit log: what was changed in the host, when and by whom.
//!
//! What plugins serve is compared with what was known before, whatever has led to the difference: a file, the
//! configuration, a rollback or a restart. So no way of changing a price can be forgotten here. Texts are made of names,
//! digests, prices and addresses, and never of secrets.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use coinslot_ledger::{Author, Change, ChangeKind};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use crate::catalog::{Catalog, HistoryEntry, HistoryFile, Installed, KeptBuild, ScanReport};
use crate::endpoint::Access;
use crate::payment::Payments;

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
    /// The reasons why files are not active.
    failures: BTreeMap<String, String>,
    /// The settings that wait for a restart.
    waiting: BTreeSet<&'static str>,
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
        let failures = before.files.iter().filter_map(|(file, entry)| Some((file.clone(), entry.failure.clone()?)));
        let known = Known { builds: builds.collect(), failures: failures.collect(), ..Known::default() };
        Self { payments, catalog, known: Mutex::new(known) }
    }

    /// Writes down one change.
    pub(crate) fn record(
        &self,
        who: Author,
        kind: ChangeKind,
        subject: impl Into<String>,
        before: Option<String>,
        after: Option<String>,
    ) {
        let change = Change { at: self.payments.now(), who, kind, subject: subject.into(), before, after };
        self.payments.ledger().record_change(change);
    }

    /// Writes down what a scan of the plugin folder has changed and refused. `history` is the folder of the history.
    pub(crate) fn scanned(&self, who: &Author, report: &ScanReport, history: &Path) {
        for file in report.removed.iter().chain(&report.forgotten) {
            let (build, failure) = {
                let mut known = self.known.lock();
                (known.builds.remove(file), known.failures.remove(file))
            };
            if build.is_some() || failure.is_some() {
                let before = build.map(|build| build.shown());
                self.record(who.clone(), ChangeKind::PluginRemoved, file, before, None);
            }
        }
        self.compare(who);
        if report.failed.is_empty() {
            return;
        }
        // The history names the digest of what was refused.
        let history = HistoryFile::read(history).unwrap_or_default();
        for (file, reason) in &report.failed {
            let (active, is_new) = {
                let mut known = self.known.lock();
                let is_new = known.failures.insert(file.clone(), reason.clone()).as_ref() != Some(reason);
                (known.builds.get(file).map(Build::shown), is_new)
            };
            if is_new {
                let after = refused(history.files.get(file), reason);
                self.record(who.clone(), ChangeKind::PluginRejected, file, active, Some(after));
            }
        }
    }

    /// Writes down how the plugins that serve differ from those that served before.
    pub(crate) fn compare(&self, who: &Author) {
        let catalog = self.catalog.load();
        for installed in catalog.installed() {
            let (file, build) = (&installed.file, Build::active(installed));
            let former = {
                let mut known = self.known.lock();
                known.failures.remove(file);
                known.builds.insert(file.clone(), build.clone())
            };
            let Some(former) = former else {
                self.record(who.clone(), ChangeKind::PluginLoaded, file, None, Some(build.shown()));
                continue;
            };
            let is_replaced = former.sha256 != build.sha256;
            if is_replaced {
                let (before, after) = (Some(former.shown()), Some(build.shown()));
                self.record(who.clone(), ChangeKind::PluginReplaced, file, before, after);
            }
            for (route, before, after) in former.differences(&build, is_replaced) {
                self.record(who.clone(), ChangeKind::Route, format!("{}: {route}", build.plugin()), before, after);
            }
        }
    }

    /// Writes down that the configuration took effect, and which settings wait for a restart.
    pub(crate) fn configured(&self, who: &Author, file: &Path, waiting: Vec<&'static str>) {
        let digest = digest(file);
        let (before, new) = {
            let mut known = self.known.lock();
            let waiting: BTreeSet<&'static str> = waiting.into_iter().collect();
            let new: Vec<&str> = waiting.difference(&known.waiting).copied().collect();
            known.waiting = waiting;
            (std::mem::replace(&mut known.configuration, digest.clone()), new)
        };
        self.record(who.clone(), ChangeKind::Configuration, file.display().to_string(), before, digest);
        self.compare(who);
        for key in new {
            self.record(who.clone(), ChangeKind::RestartNeeded, key, None, None);
        }
    }

    /// Notes the file of the configuration that the host was built with.
    pub(crate) fn started_with(&self, file: &Path) {
        self.known.lock().configuration = digest(file);
    }
}

impl Build {
    fn active(installed: &Installed) -> Self {
        let info = installed.plugin.info();
        let routes = installed.endpoints.iter().map(|endpoint| {
            let terms = Terms { price: endpoint.access.to_string(), assets: Some(assets(&endpoint.access)) };
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
            let terms = Terms { price: endpoint.price.clone(), assets: None };
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

/// The prices of a route in all assets, with their networks and receivers.
fn assets(access: &Access) -> String {
    let Access::Paid(paid) = access else { return access.to_string() };
    let quoted = if paid.quoted { "quoted, at most " } else { "" };
    let prices = paid.offer.prices().iter().map(|price| {
        let amount = price.amount.decimal(price.asset.decimals);
        format!("{quoted}{amount} {} on {} to {}", price.asset.symbol, price.asset.network, price.pay_to)
    });
    prices.collect::<Vec<_>>().join("; ")
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
