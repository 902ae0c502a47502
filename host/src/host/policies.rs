//! Turns the configuration of plugins into the policies that the plugin runtime enforces; secrets are looked up here.

use std::collections::BTreeMap;

use coinslot_plugin::{Grants, PluginPolicies, PluginPolicy, Secret};

use super::error::HostError;
use super::keys;
use crate::catalog::PluginPins;
use crate::config::{KeySource, PluginConfig, PluginsConfig, SecretSource};

/// The limits and grants of all plugins. Fails with every secret that is missing or cannot be a header's value.
pub(super) fn read(config: &PluginsConfig) -> Result<PluginPolicies, HostError> {
    let mut problems = Vec::new();
    let mut policies = PluginPolicies { limits: config.limits.clone(), ..PluginPolicies::default() };
    for (name, plugin) in &config.by_name {
        let (grants, missing) = grants(plugin);
        problems.extend(missing.into_iter().map(|problem| format!("plugin.{name}{problem}")));
        policies.plugins.insert(name.clone(), PluginPolicy { limits: plugin.limits.clone(), grants });
    }
    if problems.is_empty() { Ok(policies) } else { Err(HostError::Config(problems.join("\n"))) }
}

/// What the operator holds single plugins to, by name.
pub(super) fn pins(config: &PluginsConfig) -> BTreeMap<String, PluginPins> {
    config.by_name.iter().map(|(name, plugin)| (name.clone(), plugin.pins.clone())).collect()
}

/// The warning for a `[plugin.NAME]` table that no active plugin has the name of: a plugin may arrive later.
pub(crate) fn unknown_plugin(name: &str) -> String {
    format!("plugin.{name}: no plugin of this name is active; the table waits for one")
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
    Secret::new(source.origin.clone(), source.header.clone(), &source.prefix, value.trim())
        .map_err(|error| format!("{from}: {error}"))
}
