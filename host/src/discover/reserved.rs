//! Says which paths the host keeps for itself by its settings.

use super::document::DocumentName;
use crate::catalog::ReservedPath;
use crate::config::DiscoverConfig;

/// The paths of the published documents that programs read, and the path of MCP. `/` is not among them: a plugin may
/// have a page of its own there.
pub fn reserved_paths(config: &DiscoverConfig) -> Vec<ReservedPath> {
    let documents = DocumentName::ALL.into_iter().filter(|name| name.is_published(config) && name.is_reserved());
    let documents = documents.map(|name| {
        let (what, release) = described(name);
        ReservedPath { path: name.path().to_owned(), what, release }
    });
    let mcp = config.mcp.as_ref().map(|path| ReservedPath {
        path: path.as_str().to_owned(),
        what: "the tools of agents (MCP)",
        release: Some("move the host's (`mcp = \"/agents\"` or \"off\" in [discover])"),
    });
    documents.chain(mcp).collect()
}

/// The purpose of a document, and the setting by which the operator switches it off.
fn described(name: DocumentName) -> (&'static str, Option<&'static str>) {
    match name {
        DocumentName::Index | DocumentName::Endpoint => {
            ("a page for people", Some("switch the host's off (`index = false` in [discover])"))
        }
        DocumentName::OpenApi => {
            ("its OpenAPI description", Some("switch the host's off (`openapi = false` in [discover])"))
        }
        DocumentName::WellKnown => {
            ("the list of what is sold", Some("switch the host's off (`well_known = false` in [discover])"))
        }
        DocumentName::Catalog => ("its catalogue", Some("switch the host's off (`catalog = false` in [discover])")),
        DocumentName::Llms => {
            ("its text for language models", Some("switch the host's off (`llms = false` in [discover])"))
        }
        DocumentName::Robots => {
            ("its file for search engines", Some("switch the host's off (`robots = \"off\"` in [discover])"))
        }
        // The operator's picture is `logo` of [discover].
        DocumentName::Icon => ("the operator's logo", None),
        #[cfg(feature = "dev")]
        DocumentName::TestWallet => ("its test wallet", None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Robots;

    #[test]
    fn what_is_switched_off_or_moved_is_not_reserved() {
        let paths = |config: &DiscoverConfig| -> Vec<String> {
            reserved_paths(config).into_iter().map(|reserved| reserved.path).collect()
        };
        let all = paths(&DiscoverConfig::default());
        for path in ["/openapi.json", "/catalog.json", "/llms.txt", "/robots.txt", "/favicon.ico", "/mcp"] {
            assert!(all.iter().any(|reserved| reserved == path), "{path}: {all:?}");
        }
        assert!(!all.iter().any(|reserved| reserved == "/"), "{all:?}");
        let some = DiscoverConfig { robots: Robots::Off, openapi: false, mcp: None, ..DiscoverConfig::default() };
        for path in ["/openapi.json", "/robots.txt", "/mcp"] {
            assert!(!paths(&some).iter().any(|reserved| reserved == path), "{path}");
        }
    }
}
