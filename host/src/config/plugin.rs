//! `[plugin.NAME]`: what is said of one plugin, by the name in its manifest.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::limits::{self, RawHealth, RawLimits};
use crate::plugin::Limits;

/// What the operator says of one plugin.
#[derive(Clone, Debug, Default)]
pub struct PluginConfig {
    /// Its own bounds, if anything is said of them.
    pub limits: Option<Limits>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPlugin {
    limits: Option<RawLimits>,
    health: Option<RawHealth>,
}

/// Reads all tables, each problem with its key. What is not said of a plugin is as for `all`.
pub(super) fn read(
    raw: BTreeMap<String, RawPlugin>,
    all: &Limits,
    problems: &mut Vec<String>,
) -> BTreeMap<String, PluginConfig> {
    let mut plugins = BTreeMap::new();
    for (name, table) in raw {
        if !crate::plugin::is_name(&name) {
            problems.push(format!(
                "plugin.{name}: not a plugin's name: lower-case letters, digits and hyphens, at most 64"
            ));
        }
        let limits = bounds(&name, &table, all, problems);
        plugins.insert(name, PluginConfig { limits });
    }
    plugins
}

/// Its own limits, if the table has any.
fn bounds(name: &str, table: &RawPlugin, all: &Limits, problems: &mut Vec<String>) -> Option<Limits> {
    let mut own = all.clone();
    if let Some(raw) = &table.limits {
        let key = format!("plugin.{name}.limits");
        own = limits::read(&key, raw, all, problems);
        own.instances = limits::instances(&format!("{key}.instances"), raw.instances, all.instances, problems);
        if raw.instances_per_plugin.is_some() {
            problems.push(format!("{key}.instances_per_plugin: here it is `instances`"));
        }
    }
    if let Some(raw) = &table.health {
        own.patience = limits::health(&format!("plugin.{name}.health"), raw, all.patience, problems);
    }
    (own != *all).then_some(own)
}
