//! Prepares the plugin folder of a host, and scans it for the first time.

use std::sync::Arc;

use arc_swap::ArcSwap;
use coinslot_plugin::{GuestOutput, PausedPlugins, PluginPolicies, Runtime, RuntimeConfig};

use super::error::HostError;
use super::facilitators::Facilitators;
use super::options::HostOptions;
use super::{create, policies};
use crate::catalog::{Catalog, Folder, History, HistoryFile, SalesPolicy, ScanReport};
use crate::config::Config;

/// The plugins of the folder, and the connected facilitators.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) facilitators: Facilitators,
    pub(super) catalog: Arc<ArcSwap<Catalog>>,
    pub(super) folder: Folder,
    pub(super) report: ScanReport,
}

impl Loaded {
    /// Prepares the plugin folder, which is not scanned yet.
    pub(super) fn new(
        config: &Config,
        options: &HostOptions,
        policies: PluginPolicies,
        facilitators: Facilitators,
        paused: &Arc<PausedPlugins>,
        output: &Arc<GuestOutput>,
    ) -> Result<Self, HostError> {
        facilitators.settle_for(&policies::receivers(&config.plugins, &facilitators.accepts));
        let state = &config.state.folder;
        create(state)?;
        let artifacts = config.state.artifacts();
        let runtime = RuntimeConfig {
            functions: options.functions.clone().unwrap_or_else(|| artifacts.clone()),
            instances: config.plugins.max_instances,
            compiler: options.compiler.clone(),
            priority: options.priority,
            paused: Arc::clone(paused),
            output: Arc::clone(output),
            ..RuntimeConfig::new(artifacts, crate::respond::is_host_only)
        };
        let runtime = Runtime::new(runtime).map_err(|error| HostError::Runtime(error.to_string()))?;
        let origin = config.origin(options.address.unwrap_or(config.server.listen));
        let catalog = Arc::new(ArcSwap::from_pointee(Catalog::empty(&origin)));
        let sales = policies::sales(config, facilitators.accepts.clone(), origin);
        let sales = SalesPolicy { checks_answers: options.checks_answers, ..sales };
        let folder = Folder::new(config.plugins.folder.clone(), runtime, policies, sales, Arc::clone(&catalog));
        Ok(Self { facilitators, catalog, folder, report: ScanReport::default() })
    }

    /// Keeps the builds that scans load in the history, and reads what it says before the first scan, which writes it
    /// anew.
    pub(super) fn with_history(self, config: &Config) -> Result<(Self, HistoryFile), HostError> {
        let history = config.state.history();
        let before = HistoryFile::read(&history).unwrap_or_default();
        let opened = History::open(&history).map_err(|source| HostError::File { path: history, source })?;
        Ok((Self { folder: self.folder.with_history(opened), ..self }, before))
    }

    /// Loads what is compiled, and begins with the rest.
    pub(super) async fn begin(&mut self) -> Result<(), HostError> {
        let begun = self.folder.begin().await;
        self.report = begun.map_err(|source| HostError::PluginFolder { dir: self.folder.dir().to_owned(), source })?;
        Ok(())
    }

    /// Loads what the folder holds now.
    pub(super) async fn settle(&mut self) -> Result<(), HostError> {
        let settled = self.folder.settle().await;
        self.report =
            settled.map_err(|source| HostError::PluginFolder { dir: self.folder.dir().to_owned(), source })?;
        Ok(())
    }
}
