//! Knows the paths that belong to the host, which no plugin declares: what programs read there speaks for all that is
//! sold here, and what agents send there is meant for the host.

use coinslot_plugin::Template;

/// A path at which the host itself answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReservedPath {
    pub path: String,
    /// The thing that the host serves there, as in "the tools of agents (MCP)".
    pub what: &'static str,
    /// The step by which the operator frees the path, as in "move them". None: the host always serves it.
    pub release: Option<&'static str>,
}

impl ReservedPath {
    /// The reserved path that a template names.
    pub(super) fn named<'r>(reserved: &'r [Self], template: &Template) -> Option<&'r Self> {
        reserved.iter().find(|reserved| reserved.path == template.as_str())
    }

    /// The advice for a plugin of this name.
    pub(super) fn advice(&self, plugin: &str) -> String {
        let below = format!("serve the plugin below another path (`mount = \"/{plugin}\"` in [plugin.{plugin}])");
        match self.release {
            Some(release) => format!("declare another path, {below}, or {release}"),
            None => format!("declare another path, or {below}"),
        }
    }
}
