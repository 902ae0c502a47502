//! Tells what a reload changed: the version, and the endpoints with their prices, texts and schemas.

use std::collections::BTreeMap;

use coinslot_plugin::EndpointInfo;
use coinslot_x402::Flow;

use crate::catalog::Installed;
use crate::endpoint::{Access, Endpoint};

/// A build of a plugin as its author sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PluginSummary {
    name: String,
    version: String,
    /// The endpoints by method and path.
    endpoints: BTreeMap<String, EndpointSummary>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct EndpointSummary {
    price: String,
    paid_first: bool,
    declared: EndpointInfo,
}

impl EndpointSummary {
    fn of(endpoint: &Endpoint, declared: &EndpointInfo) -> Self {
        let paid_first = matches!(&endpoint.access, Access::Paid(paid) if paid.flow == Flow::Upfront);
        Self { price: endpoint.access.to_string(), paid_first, declared: declared.clone() }
    }

    /// The price and what else a payer meets.
    fn shown(&self) -> String {
        if self.paid_first { format!("{}, paid first", self.price) } else { self.price.clone() }
    }

    /// The changes of one endpoint: `price 0.002 USDC -> 0.004 USDC`, `summary`.
    fn changes(&self, now: &Self) -> Vec<String> {
        let (old, new) = (&self.declared, &now.declared);
        let mut changes = Vec::new();
        if self.shown() != now.shown() {
            changes.push(format!("price {} -> {}", self.shown(), now.shown()));
        }
        for (what, changed) in [
            ("summary", old.summary != new.summary),
            ("description", old.description != new.description),
            ("input schema", old.input_schema != new.input_schema),
            ("output schema", old.output_schema != new.output_schema),
            ("headers that the quote reads", old.quote_headers != new.quote_headers),
        ] {
            if changed {
                changes.push(what.to_owned());
            }
        }
        if old.mime_type != new.mime_type {
            changes.push(format!("MIME type {} -> {}", or_none(&old.mime_type), or_none(&new.mime_type)));
        }
        changes
    }
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "none" } else { text }
}

impl PluginSummary {
    pub(super) fn of(installed: &Installed) -> Self {
        let info = installed.plugin.info();
        let endpoints = installed.endpoints.iter();
        let endpoints =
            endpoints.map(|endpoint| (endpoint.label.clone(), EndpointSummary::of(endpoint, endpoint.declared())));
        Self { name: info.name.clone(), version: info.version.clone(), endpoints: endpoints.collect() }
    }

    /// The endpoints with their prices, on a line each.
    pub(super) fn listed(&self) -> Vec<String> {
        self.endpoints.iter().map(|(label, endpoint)| format!("{label}  {}", endpoint.shown())).collect()
    }

    /// The changes of the next build, on a line each. Empty if only code has changed.
    pub(super) fn changes(&self, now: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.name != now.name {
            lines.push(format!("name {} -> {}", self.name, now.name));
        }
        if self.version != now.version {
            lines.push(format!("version {} -> {}", self.version, now.version));
        }
        for (label, endpoint) in &now.endpoints {
            match self.endpoints.get(label) {
                None => lines.push(format!("added {label}  {}", endpoint.shown())),
                Some(before) => match before.changes(endpoint) {
                    changes if changes.is_empty() => {}
                    changes => lines.push(format!("{label}  {}", changes.join(", "))),
                },
            }
        }
        let is_gone = |label: &&String| !now.endpoints.contains_key(*label);
        lines.extend(self.endpoints.keys().filter(is_gone).map(|label| format!("removed {label}")));
        lines
    }
}

#[cfg(test)]
mod tests {
    use coinslot_plugin::DeclaredPrice;
    use http::Method;
    use serde_json::json;

    use super::*;
    use crate::endpoint::testing::free_endpoint;

    fn endpoint(path: &str, price: &str, summary: &str) -> (String, EndpointSummary) {
        let declared = EndpointInfo {
            price: DeclaredPrice::Exact(price.to_owned()),
            summary: summary.to_owned(),
            ..free_endpoint(Method::GET, path)
        };
        (format!("GET {path}"), EndpointSummary { price: format!("{price} USDC"), paid_first: false, declared })
    }

    fn plugin(version: &str, endpoints: &[(String, EndpointSummary)]) -> PluginSummary {
        PluginSummary {
            name: "shop".to_owned(),
            version: version.to_owned(),
            endpoints: endpoints.iter().cloned().collect(),
        }
    }

    #[test]
    fn each_change_has_its_line_and_code_alone_has_none() {
        let before =
            plugin("1.0.0", &[endpoint("/a", "0.002", "Says a"), endpoint("/b", "1", ""), endpoint("/c", "1", "")]);
        assert!(before.changes(&before.clone()).is_empty());
        let mut dearer = endpoint("/a", "0.004", "Says a twice");
        dearer.1.declared.input_schema = Some(json!({ "type": "object" }));
        dearer.1.declared.mime_type = "text/plain".to_owned();
        let mut first = endpoint("/c", "1", "");
        first.1.paid_first = true;
        let after = plugin("1.1.0", &[dearer, first, endpoint("/d", "0.1", "")]);
        assert_eq!(
            before.changes(&after),
            [
                "version 1.0.0 -> 1.1.0",
                "GET /a  price 0.002 USDC -> 0.004 USDC, summary, input schema, MIME type none -> text/plain",
                "GET /c  price 1 USDC -> 1 USDC, paid first",
                "added GET /d  0.1 USDC",
                "removed GET /b",
            ]
        );
    }
}
