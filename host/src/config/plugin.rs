//! `[plugin.NAME]`: what is said of one plugin, by the name in its manifest.

use std::collections::BTreeMap;

use serde::Deserialize;

/// What the operator says of one plugin.
#[derive(Clone, Debug, Default)]
pub struct PluginConfig {}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPlugin {}

/// Reads all tables, each problem with its key.
pub(super) fn read(raw: BTreeMap<String, RawPlugin>, problems: &mut Vec<String>) -> BTreeMap<String, PluginConfig> {
    let mut plugins = BTreeMap::new();
    for (name, _table) in raw {
        if !crate::plugin::is_name(&name) {
            problems.push(format!(
                "plugin.{name}: not a plugin's name: lower-case letters, digits and hyphens, at most 64"
            ));
        }
        plugins.insert(name, PluginConfig {});
    }
    plugins
}
