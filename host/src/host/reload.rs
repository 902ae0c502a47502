//! Applies a changed configuration to a running host: limits, grants, the assets that are taken and their receivers.
//!
//! The file is looked at when file events tell of a change, and once a second where events may not come. SIGHUP has it
//! read at once, together with the files of secrets. A file with any mistake changes nothing. A plugin that refuses its
//! new `config` keeps the former one, and all else is used.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use coinslot_base::file::FileStamp;
use coinslot_ledger::{Author, ChangeKind};
use coinslot_plugin::{GuestOutput, PluginPolicies};
use coinslot_x402::price::Accept;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::allowances;
use super::error::HostError;
use super::facilitators::Facilitators;
use super::policies::{self, unknown_plugin};
use crate::allowance::{AllowancePolicy, PayerList, PayerRules};
use crate::catalog::{Reconfigure, Reconfigured, SalesPolicy};
use crate::config::{
    AcceptConfig, ActiveConfig, Config, ConfigFacts, PayerSource, SettingChange, TakesEffect, changes,
};
use crate::discover::Publisher;
use crate::operate::{Audit, NewSecrets, Webhook};
use crate::path_events::PathEvents;
use crate::payment::Payments;
use crate::refund::Refunds;

/// The time until the next look at a file that is being written.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The time that a changed file must stay as it is before it is read: a program that writes it in place may not be
/// done.
const WRITE_GRACE: Duration = Duration::from_millis(100);

/// The time after which a file is tried again that failed for a reason outside of it, such as a secret whose file is
/// being replaced.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// The file of the configuration, which is followed from the moment before it is read: a change that comes while the
/// host starts counts, and so does a SIGHUP.
#[derive(Debug)]
pub struct ConfigFile {
    path: PathBuf,
    stamp: Option<FileStamp>,
    hangup: Option<Signal>,
}

impl ConfigFile {
    /// Notes the file as it is now. Call it before the file is read, within a runtime.
    pub fn follow(path: PathBuf) -> Self {
        let hangup = signal(SignalKind::hangup())
            .inspect_err(|error| tracing::warn!(%error, "SIGHUP cannot be received: only changes of the file reload the configuration"))
            .ok();
        Self { stamp: FileStamp::of(&path).ok(), path, hangup }
    }
}

/// Waits until this time; for ever without one.
async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Follows the file of the configuration.
pub(super) struct Reload {
    file: PathBuf,
    known: Option<FileStamp>,
    hangup: Option<Signal>,
    /// The configuration that the host was built with.
    config: Config,
    /// The configuration that is active, for operators to see.
    active: Arc<ActiveConfig>,
    /// The origin that challenges name.
    origin: String,
    facilitators: Facilitators,
    /// The audit log.
    audit: Option<Arc<Audit>>,
    /// The addresses that are told what happens: their secrets are read anew.
    webhooks: Vec<Arc<Webhook>>,
    /// The output of plugins: the configuration says which of it gets into the log.
    output: Arc<GuestOutput>,
    reconfigure: mpsc::Sender<Reconfigure>,
    payments: Arc<Payments>,
    refunds: Option<Arc<Refunds>>,
    publisher: Arc<Publisher>,
}

/// The settings that a reload has changed.
struct Applied {
    changed: Vec<SettingChange>,
    /// Those that differ from the start, and take effect at the next one.
    waiting: Vec<SettingChange>,
}

/// The changes in the files with payers, of which the configuration has only the names.
fn payer_changes(before: &PayerRules, after: &PayerRules, config: &Config) -> Vec<SettingChange> {
    let file = |source: &Option<PayerSource>| source.as_ref().is_some_and(|source| source.file.is_some());
    let shown = |list: Option<&PayerList>| list.map(PayerList::shown).unwrap_or_default();
    let allowed = file(&config.allowances.allow).then(|| {
        SettingChange::of_list("payers.allow_file", shown(before.allow.as_ref()), shown(after.allow.as_ref()))
    });
    let denied = file(&config.allowances.deny)
        .then(|| SettingChange::of_list("payers.deny_file", before.deny.shown(), after.deny.shown()));
    [allowed, denied].into_iter().flatten().flatten().collect()
}

impl Reload {
    pub(super) fn new(
        file: ConfigFile,
        active: Arc<ActiveConfig>,
        origin: String,
        facilitators: Facilitators,
        reconfigure: mpsc::Sender<Reconfigure>,
        payments: Arc<Payments>,
    ) -> Self {
        let ConfigFile { path, stamp, hangup } = file;
        let config = active.load().config.clone();
        Self {
            file: path,
            known: stamp,
            hangup,
            config,
            active,
            origin,
            facilitators,
            audit: None,
            webhooks: Vec::new(),
            output: Arc::default(),
            reconfigure,
            payments,
            refunds: None,
            publisher: Arc::default(),
        }
    }

    /// Refuses a configuration by which the wallet of refunds would receive payments.
    pub(super) fn beside(self, refunds: Option<Arc<Refunds>>) -> Self {
        Self { refunds, ..self }
    }

    /// Publishes by the new settings.
    pub(super) fn publishing(self, publisher: Arc<Publisher>) -> Self {
        Self { publisher, ..self }
    }

    /// Writes what the configuration changes into this audit log, and sets the levels of this output.
    pub(super) async fn seen_by(self, audit: Arc<Audit>, output: Arc<GuestOutput>) -> Self {
        audit.started_with(&self.file, &self.config.state.ledger()).await;
        Self { audit: Some(audit), output, ..self }
    }

    /// Reads the secrets of these addresses anew with the file.
    pub(super) fn telling(self, webhooks: Vec<Arc<Webhook>>) -> Self {
        Self { webhooks, ..self }
    }

    /// Follows the file for ever.
    pub(super) async fn follow(mut self) {
        // The next try of a file that failed, and the reason.
        let mut failed: Option<(Instant, String)> = None;
        let mut being_written: Option<Instant> = None;
        let mut events = PathEvents::of([self.file.clone()]);
        loop {
            let look_again = failed.iter().map(|(at, _)| *at).chain(being_written.take()).min();
            let asked = tokio::select! {
                Some(()) = async { self.hangup.as_mut()?.recv().await } => true,
                _ = events.next() => false,
                () = until(look_again) => false,
            };
            let now = self.stamp();
            let is_due = failed.as_ref().is_some_and(|(at, _)| *at <= Instant::now());
            if !asked && now == self.known && !is_due {
                continue;
            }
            if !asked && now != self.known {
                tokio::time::sleep(WRITE_GRACE).await;
                if self.stamp() != now {
                    being_written = Some(Instant::now() + LOOK_INTERVAL);
                    continue;
                }
            }
            self.known = now;
            let who = if asked { Author::Signal } else { Author::ConfigurationFile };
            failed = match self.apply().await {
                Ok(Applied { changed, waiting }) => {
                    if let Some(audit) = &self.audit {
                        audit.configured(&who, &self.file, &changed, &waiting).await;
                    }
                    tracing::info!(file = %self.file.display(), "the configuration is active");
                    None
                }
                Err(error) => {
                    // A line of the log: whoever searches it finds the reason.
                    let reason = error.to_string().replace('\n', "; ");
                    // The same reason is reported once, and again only for a reload that was asked for.
                    if asked || failed.is_none_or(|(_, known)| known != reason) {
                        let file = self.file.display();
                        tracing::warn!(%file, %reason, "the changed configuration is not used; the former one stays");
                        let (kind, why) = (ChangeKind::ConfigurationRejected, Some(reason.clone()));
                        if let Some(audit) = &self.audit {
                            audit.record(who, kind, self.file.display().to_string(), None, why).await;
                        }
                    }
                    let facts = ConfigFacts { refused: Some(reason.clone()), ..(**self.active.load()).clone() };
                    self.active.store(Arc::new(facts));
                    Some((Instant::now() + RETRY_INTERVAL, reason))
                }
            };
        }
    }

    fn stamp(&self) -> Option<FileStamp> {
        FileStamp::of(&self.file).ok()
    }

    /// Applies all of the file, but for the `config` of plugins that refuse theirs; or nothing of it.
    async fn apply(&mut self) -> Result<Applied, HostError> {
        let config = Config::read(&self.file).map_err(|problems| HostError::Config(problems.in_one_line()))?;
        let policies = policies::read(&config.plugins)?;
        let accepts = self.accepts(&config)?;
        let (allowances, listed) = self.allowances(&config).await?;
        let receivers = policies::receivers(&config.plugins, &accepts);
        let checked = self.refunds.as_ref().map_or(Ok(()), |refunds| refunds.check_receivers(&receivers));
        checked.map_err(|problem| HostError::Config(format!("refunds: {problem}")))?;
        let logo = super::logo(&config)?;
        let secrets = NewSecrets::read(&self.webhooks, &config.webhooks)?;
        // Before the first challenge that names a new receiver: its payment may come at once. If the rest fails, a
        // receiver that no challenge names costs nothing.
        self.facilitators.settle_for(&receivers);
        let sales = policies::sales(&config, accepts, self.origin.clone());
        let reconfigured = self.reconfigure(policies, sales).await?;
        self.payments.allowances().replace(allowances);
        if let Some(refunds) = &self.refunds {
            refunds.reconfigure(&config);
        }
        self.publisher.reconfigure(config.discover.clone(), logo);
        secrets.apply();
        self.output.configure(&policies::log_levels(&config.plugins));
        if let Err(problem) = crate::logging::set_level(config.log.as_deref()) {
            tracing::warn!(%problem, "the level of the log stays as it was");
        }
        let warnings = policies::warnings(&config);
        for warning in &warnings {
            tracing::warn!("{warning}");
        }
        for name in reconfigured.unknown {
            tracing::warn!("{}", unknown_plugin(&name));
        }
        for (file, reason) in reconfigured.refused {
            tracing::warn!(%file, %reason, "the plugin cannot use its new `config`, and keeps the former one");
        }
        Ok(self.activate(config, warnings, listed))
    }

    /// Reads the allowances of a configuration, with the changes in the files with payers. These may have hundreds of
    /// thousands: they are read and compared beside the threads of requests.
    async fn allowances(&self, config: &Config) -> Result<(AllowancePolicy, Vec<SettingChange>), HostError> {
        let (config, former) = (config.clone(), self.payments.allowances().policy());
        let read = move || {
            let allowances = allowances::read(&config.allowances)?;
            let listed = payer_changes(&former.payers, &allowances.payers, &config);
            Ok((allowances, listed))
        };
        let read = tokio::task::spawn_blocking(read).await;
        read.map_err(|error| HostError::Runtime(error.to_string()))?
    }

    /// Has the watch of the plugin folder use new policies, and waits until it does.
    async fn reconfigure(&self, policies: PluginPolicies, sales: SalesPolicy) -> Result<Reconfigured, HostError> {
        let (done, answer) = oneshot::channel();
        let gone = || HostError::Runtime("the plugin folder is not watched any more".to_owned());
        self.reconfigure.send(Reconfigure { policies, sales, done }).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?.map_err(HostError::Config)
    }

    /// Shows a configuration as the active one, and warns of the settings that wait for a restart. `listed` are the
    /// changes in the files that it names.
    fn activate(&self, config: Config, warnings: Vec<String>, listed: Vec<SettingChange>) -> Applied {
        let at = |when: TakesEffect| move |change: &SettingChange| change.takes_effect == when;
        let former = self.active.load();
        let changed = changes(&former.config, &config, &self.config).into_iter().filter(at(TakesEffect::Reload));
        let changed = changed.chain(listed).collect();
        let waiting: Vec<_> =
            changes(&self.config, &config, &self.config).into_iter().filter(at(TakesEffect::Restart)).collect();
        for change in &waiting {
            tracing::warn!("{} has changed: this takes effect at the next start", change.path);
        }
        let shown = waiting.iter().map(|change| change.path.clone()).collect();
        let since = crate::operate::time::now();
        self.active.store(Arc::new(ConfigFacts { config, since, waiting: shown, warnings, refused: None }));
        Applied { changed, waiting }
    }

    /// The assets that are taken from now on: the assets that a facilitator is connected for, in their new order and
    /// for their new receivers.
    fn accepts(&self, config: &Config) -> Result<Vec<Accept>, HostError> {
        let mut accepts = Vec::new();
        for AcceptConfig { accept, .. } in &config.payment.accepts {
            match self.facilitators.accepts.iter().find(|former| former.asset == accept.asset) {
                Some(former) => accepts.push(Accept {
                    asset: Arc::clone(&former.asset),
                    versions: former.versions,
                    max_unsettled: former.max_unsettled,
                    ..accept.clone()
                }),
                None => tracing::warn!(
                    "{} on {} is not taken yet: a new asset is taken from the next start on",
                    accept.asset.symbol,
                    accept.asset.network
                ),
            }
        }
        if accepts.is_empty() {
            let problem = "none of its assets was taken at the start: restart to take others";
            return Err(HostError::Config(problem.to_owned()));
        }
        Ok(accepts)
    }
}
