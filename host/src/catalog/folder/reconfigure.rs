//! Serves the active plugins under other policies, in one step.
//!
//! Assets, receivers, flows, pins, overrides, grants and limits concern money and identity: they hold for all plugins or
//! for none. A plugin that cannot be served under them keeps all of them from being used, and so do two plugins that are
//! in each other's way below their new mounts.
//!
//! The values of a plugin's `config` are its own. It may refuse them, or serve under them what another plugin serves.
//! Then it keeps those that it has, under the new limits and grants, because no plugin decides what it may do; and
//! everything else is used. Its file is loaded again by the next scan, which reports the reason as that of any file that
//! does not load, and tries again what may pass.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use coinslot_plugin::{EndpointInfo, Plugin, PluginPolicies};

use super::Folder;
use super::swap::{self, SwapInput};
use crate::catalog::conflict::conflict;
use crate::catalog::generation::Catalog;
use crate::catalog::install::{Installed, SalesPolicy};
use crate::catalog::install_error::InstallError;
use crate::catalog::kept_routes::KeptRoutes;
use crate::catalog::pins::shown_policies;

/// The parts of a new configuration that are not in use.
#[derive(Debug)]
pub struct Reconfigured {
    /// The names of plugins that are configured and not active.
    pub unknown: Vec<String>,
    /// The files of plugins that keep the values of their former `config`, with the reason.
    pub refused: Vec<(String, String)>,
}

impl Folder {
    /// Serves all active plugins under other policies, in one step. Requests that are running keep what they began
    /// with, and offers that were made are honoured in their time.
    ///
    /// A plugin that only cannot use the new values of its `config` keeps the former ones. Fails with the file of the
    /// first plugin that can be served with neither and with the reason for each, and then nothing has changed.
    pub async fn reconfigure(&mut self, policies: PluginPolicies, sales: SalesPolicy) -> Result<Reconfigured, String> {
        let sales = Arc::new(sales);
        let mut next = PlannedReload::default();
        for former in self.active() {
            next.add(&former, &policies, &sales).await?;
        }
        // The last step that can fail: nothing has changed until here.
        let (current, kept) = (self.live.load_full(), self.start.kept_routes());
        let planned = tokio::task::spawn_blocking(move || next.plan(current, kept)).await;
        let (catalog, refused) = planned.map_err(|error| error.to_string())??;
        for installed in catalog.installed() {
            if let Some(file) = self.files.get_mut(&installed.file) {
                file.active = Some(Arc::clone(installed));
            }
        }
        (self.loader.policies, self.loader.sales) = (Arc::new(policies), sales);
        let catalog = Arc::new(catalog);
        self.live.store(Arc::clone(&catalog));
        // The next start keeps for each file what it serves now.
        if let Some(history) = &mut self.history {
            history.reconfigured(catalog.installed().iter().map(|installed| &**installed));
            self.write_history();
        }
        self.look_again(&refused);
        // Shown at once, and not by the next scan, which may take a while.
        self.show_loading(self.live.load().loading());
        Ok(Reconfigured { unknown: self.unknown_plugins(), refused })
    }

    /// Has the next scan look again at files that were staged or refused under the former policies, and at those of
    /// plugins that refuse the present ones.
    fn look_again(&mut self, refused: &[(String, String)]) {
        let refused: HashSet<&str> = refused.iter().map(|(file, _)| file.as_str()).collect();
        self.staged.clear();
        self.refused.clear();
        self.start.load_anew();
        for (name, file) in &mut self.files {
            let is_settled = file.failure.is_none() && !self.staging.contains(name);
            let is_active = file.staged.as_deref() == file.active.as_ref().map(|active| active.plugin.sha256());
            if !(is_settled && is_active) || refused.contains(name.as_str()) {
                self.staging.cancel(name);
                file.forget_content();
            }
        }
    }
}

/// The active plugins under the new policies.
#[derive(Default)]
struct PlannedReload {
    /// One for each active plugin, with the routes that it declared before unless it is in `without_former`.
    stays: Vec<Arc<Installed>>,
    /// The files of those that cannot keep the former values of their `config`, with the reason.
    without_former: BTreeMap<String, String>,
    /// Those that declare other routes, or have another name, with the new values of their `config`.
    moves: Vec<Arc<Installed>>,
    /// The files of those that refuse the new values of their `config`, with the reason.
    refused: Vec<(String, String)>,
}

impl PlannedReload {
    /// Puts an active plugin under the new policies. Fails if it cannot be served under them.
    async fn add(
        &mut self,
        former: &Installed,
        policies: &PluginPolicies,
        sales: &Arc<SalesPolicy>,
    ) -> Result<(), String> {
        let file = &former.file;
        let stays = match under(former, policies, sales).await {
            Ok(installed) if declared(&installed).eq(declared(former)) => installed,
            // Whether others leave room for its new routes is known when all are under the new policies.
            Ok(installed) => match with_former_config(former, policies, sales).await {
                Ok(kept) => {
                    self.moves.push(installed);
                    kept
                }
                Err(reason) => {
                    self.without_former.insert(file.clone(), reason);
                    installed
                }
            },
            Err(reason) => match with_former_config(former, policies, sales).await {
                Ok(kept) => {
                    self.refused.push((file.clone(), reason));
                    kept
                }
                Err(without) => return Err(neither(file, &reason, &without)),
            },
        };
        self.stays.push(stays);
        Ok(())
    }

    /// Makes the next generation, and returns it with the files of plugins that keep their former `config`, because
    /// they refuse the new one, or because another plugin serves what they would serve under it. Fails if a plugin that
    /// cannot keep its former one conflicts with another that can make no room for it.
    fn plan(self, current: Arc<Catalog>, kept: Vec<KeptRoutes>) -> Result<(Catalog, Vec<(String, String)>), String> {
        let Self { stays, without_former, moves, mut refused } = self;
        let (bound, active): (Vec<_>, Vec<_>) =
            stays.into_iter().partition(|installed| without_former.contains_key(&installed.file));
        check_apart(&active, &kept)?;
        let files = bound.iter().map(|installed| installed.file.clone()).collect();
        let staged = moves.into_iter().chain(bound).map(|installed| (installed.file.clone(), installed)).collect();
        let planned = swap::plan(SwapInput { current, active, has_changes: true, staged, bound: files, kept });
        let planned = planned.map_err(|stuck| {
            let conflict = stuck.conflict.to_string();
            let displaced = stuck.displaced.map(|conflict| conflict.to_string());
            let without = without_former.get(&stuck.file).or(displaced.as_ref()).unwrap_or(&conflict);
            neither(&stuck.file, &conflict, without)
        })?;
        let catalog = planned.next.ok_or("the plugins could not be put under the new configuration: report this")?;
        refused.extend(planned.refused.into_iter().map(|(file, conflict)| (file, conflict.to_string())));
        Ok((catalog, refused))
    }
}

/// The error of a plugin that can be served neither with the new values of its `config` nor with the former ones.
fn neither(file: &str, with_new: &str, with_former: &str) -> String {
    if with_new == with_former {
        return format!("{file}: {with_new}");
    }
    format!("{file}: {with_new}; with the former values of its `config`: {with_former}")
}

/// The name of a plugin and the routes that it declares, which only its `config` can change.
fn declared(installed: &Installed) -> impl Iterator<Item = String> {
    let info = installed.plugin.info();
    std::iter::once(info.name.clone()).chain(info.endpoints.iter().map(EndpointInfo::label))
}

/// Fails if two of these plugins are in each other's way, or one is in the way of what is kept: their paths are the
/// operator's choice, and may be new.
fn check_apart(active: &[Arc<Installed>], kept: &[KeptRoutes]) -> Result<(), String> {
    active.iter().enumerate().try_for_each(|(index, installed)| {
        let apart =
            conflict(&active[..index], installed).and_then(|()| kept.iter().try_for_each(|kept| kept.check(installed)));
        apart.map_err(|conflict| format!("{}: {conflict}", installed.file))
    })
}

/// The plugin under these policies. It is not shown them if it does not fit its pins.
async fn under(
    former: &Installed,
    policies: &PluginPolicies,
    sales: &Arc<SalesPolicy>,
) -> Result<Arc<Installed>, String> {
    let name = &former.plugin.info().name;
    if let Some(pins) = sales.pins.get(name)
        && let Err(source) = pins.check_component(&former.file, former.plugin.sha256())
    {
        return Err(InstallError::Pinned { plugin: name.clone(), source }.to_string());
    }
    // Under its new values it may call itself by another name, and would be shown those of that name.
    let shown = shown_policies(policies, &sales.pins, &former.file, former.plugin.sha256());
    let plugin = former.plugin.with_policies(&shown).await.map_err(|error| error.to_string())?;
    priced(former, plugin, sales).await
}

/// The plugin under these policies, but with the values of `config` that it has.
async fn with_former_config(
    former: &Installed,
    policies: &PluginPolicies,
    sales: &Arc<SalesPolicy>,
) -> Result<Arc<Installed>, String> {
    let plugin = former.plugin.with_policies_but_configuration(policies).map_err(|error| error.to_string())?;
    priced(former, plugin, sales).await
}

/// Prices the endpoints, and compiles their schemas: not on a thread that serves requests.
async fn priced(former: &Installed, plugin: Plugin, sales: &Arc<SalesPolicy>) -> Result<Arc<Installed>, String> {
    let (file, sales) = (former.file.clone(), Arc::clone(sales));
    let installed = tokio::task::spawn_blocking(move || Installed::new(file, Arc::new(plugin), &sales)).await;
    installed.map_err(|error| error.to_string())?.map(Arc::new).map_err(|error| error.to_string())
}
