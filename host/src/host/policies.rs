//! Turns the configuration of plugins into the policies that the plugin runtime enforces; secrets are looked up here.

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::Address;
use coinslot_plugin::{Grants, Limits, OutputLevel, PluginPolicies, PluginPolicy, Secret};
use coinslot_x402::price::Accept;

use super::error::HostError;
use super::keys;
use crate::catalog::{PluginOverrides, PluginPins, SalesPolicy};
use crate::config::{Config, KeySource, PluginConfig, PluginsConfig, SecretSource};
use crate::discover::{ownership, reserved_paths};
use crate::endpoint::PluginPages;
use crate::payment::least_budget;

/// The limits and grants of all plugins. Fails with every secret that is missing or cannot be a header's value.
pub(super) fn read(config: &PluginsConfig) -> Result<PluginPolicies, HostError> {
    let (policies, problem) = read_present(config);
    problem.map_or(Ok(policies), Err)
}

/// The limits and grants of all plugins without the secrets that [`read`] fails for, and its error.
pub(super) fn read_present(config: &PluginsConfig) -> (PluginPolicies, Option<HostError>) {
    let mut problems = Vec::new();
    let mut policies = PluginPolicies { limits: config.limits.clone(), ..PluginPolicies::default() };
    for (name, plugin) in &config.by_name {
        let (grants, missing) = grants(plugin);
        problems.extend(missing.into_iter().map(|problem| format!("plugin.{name}{problem}")));
        let policy = PluginPolicy { limits: plugin.limits.clone(), grants, sold: plugin.overrides.sold() };
        policies.plugins.insert(name.clone(), policy);
    }
    let problem = (!problems.is_empty()).then(|| HostError::Config(problems.join("\n")));
    (policies, problem)
}

/// The operator's rules for selling, by which these assets are taken at this public address.
pub(super) fn sales(config: &Config, accepts: Vec<Accept>, public_url: String) -> SalesPolicy {
    SalesPolicy {
        accepts,
        public_url,
        flows: config.payment.flows.clone(),
        pins: pins(&config.plugins),
        overrides: overrides(&config.plugins),
        unchecked: unchecked(&config.plugins),
        same_origin: same_origin(&config.plugins),
        reserved: reserved_paths(&config.discover),
        bazaar: config.discover.bazaar,
        // Only `dev` checks answers.
        checks_answers: false,
    }
}

/// The conditions of the operator for single plugins, by name.
fn pins(config: &PluginsConfig) -> BTreeMap<String, PluginPins> {
    config.by_name.iter().map(|(name, plugin)| (name.clone(), plugin.pins.clone())).collect()
}

/// The lines of single plugins that get into the log, by name.
pub(super) fn log_levels(config: &PluginsConfig) -> BTreeMap<String, OutputLevel> {
    config.by_name.iter().map(|(name, plugin)| (name.clone(), plugin.log)).collect()
}

/// The operator's changes of what single plugins declare, by name.
fn overrides(config: &PluginsConfig) -> BTreeMap<String, PluginOverrides> {
    config.by_name.iter().map(|(name, plugin)| (name.clone(), plugin.overrides.clone())).collect()
}

/// Everybody who receives money: for these assets, of all plugins and of single ones.
pub(super) fn receivers(config: &PluginsConfig, accepts: &[Accept]) -> Vec<Address> {
    let texts =
        accepts.iter().flat_map(|accept| std::iter::once(&accept.pay_to).chain(config.receivers(&accept.asset)));
    texts.filter_map(|pay_to| pay_to.parse().ok()).collect()
}

/// Everybody who receives money by a configuration.
pub(crate) fn all_receivers(config: &Config) -> Vec<Address> {
    let accepts: Vec<Accept> = config.payment.accepts.iter().map(|entry| entry.accept.clone()).collect();
    let mut receivers = receivers(&config.plugins, &accepts);
    receivers.sort_unstable();
    receivers.dedup();
    receivers
}

/// The names of the plugins whose schemas the operator has disabled.
fn unchecked(config: &PluginsConfig) -> BTreeSet<String> {
    let unchecked = config.by_name.iter().filter(|(_, plugin)| !plugin.validate);
    unchecked.map(|(name, _)| name.clone()).collect()
}

/// The names of the plugins whose pages have the origin of the host.
fn same_origin(config: &PluginsConfig) -> BTreeSet<String> {
    let trusted = config.by_name.iter().filter(|(_, plugin)| plugin.pages == PluginPages::SameOrigin);
    trusted.map(|(name, _)| name.clone()).collect()
}

/// The warning for a `[plugin.NAME]` table that no active plugin has the name of: a plugin may arrive later.
pub(crate) fn unknown_plugin(name: &str) -> String {
    format!("plugin.{name}: no plugin of this name is active; the table waits for one")
}

/// The warnings for settings that are used as they are and that an operator hardly wants.
pub(crate) fn warnings(config: &Config) -> Vec<String> {
    let mut warnings = too_large_for_budget(config);
    warnings.extend(credential_services(&config.plugins));
    warnings.extend(proofs(config));
    warnings
}

/// The warnings for proofs of ownership that directories would not believe.
fn proofs(config: &Config) -> Vec<String> {
    let origin = config.origin(config.server.listen);
    ownership::warnings(&origin, &config.discover.ownership_proofs, &all_receivers(config))
}

/// The warnings for origins at which a cloud serves the credentials of its machines: a name never leads there, but an
/// entry that is the address does.
fn credential_services(plugins: &PluginsConfig) -> impl Iterator<Item = String> {
    plugins.by_name.iter().flat_map(|(name, plugin)| {
        let entries = plugin.http.iter().enumerate().filter(|(_, entry)| entry.serves_credentials());
        entries.map(move |(index, entry)| {
            format!(
                "plugin.{name}.http[{index}]: {} is where clouds serve the credentials of the machine: the plugin can \
                 read them; remove the entry unless that is its work",
                entry.origin
            )
        })
    })
}

/// The warnings for limits of plugins that do not fit `max_held_bytes`: such a request or answer would always find the
/// host busy, however idle it is.
fn too_large_for_budget(config: &Config) -> Vec<String> {
    let budget = config.server.max_held_bytes as u64;
    let of_plugins = config.plugins.by_name.iter().filter_map(|(name, plugin)| {
        let limits = plugin.limits.as_ref()?;
        Some((format!("plugin.{name}.limits"), limits))
    });
    let all = std::iter::once(("limits".to_owned(), &config.plugins.limits)).chain(of_plugins);
    let warning = |(table, limits): (String, &Limits)| {
        let least = least_budget(limits.request_body, limits.response_body);
        (least > budget).then(|| {
            let mebibytes = least.div_ceil(1 << 20);
            format!(
                "{table}: one payer may hold a quarter of max_held_bytes, and a request of {} bytes with an answer of {} \
                 does not fit: its payer is told that the host is busy; write max_held_bytes = \"{mebibytes}MiB\" or \
                 more in [server], or lower request_body or response_body",
                limits.request_body, limits.response_body
            )
        })
    };
    all.filter_map(warning).collect()
}

/// The grants of one plugin, and the problems with its secrets.
fn grants(plugin: &PluginConfig) -> (Grants, Vec<String>) {
    let (mut secrets, mut problems) = (Vec::new(), Vec::new());
    for (index, source) in plugin.secrets.iter().enumerate() {
        match secret(source) {
            Ok(secret) => secrets.push(secret),
            Err(problem) => problems.push(format!(".secrets[{index}]: {problem}")),
        }
    }
    let grants =
        Grants { http: plugin.http.clone(), secrets, config: plugin.config.clone(), keyvalue: plugin.keyvalue };
    (grants, problems)
}

/// Reads one secret. The error names its place, never the value.
fn secret(source: &SecretSource) -> Result<Secret, String> {
    let value = keys::text(&source.value)?;
    let from = match &source.value {
        KeySource::Env(name) => name.clone(),
        KeySource::File(file) => file.display().to_string(),
    };
    Secret::new(source.origin.clone(), source.place.clone(), &source.prefix, value.trim())
        .map_err(|error| format!("{from}: {error}"))
}
