//! Shows a component as text and as JSON.

use std::collections::BTreeSet;
use std::path::Path;

use coinslot_plugin::{Inspection, Package, PackageError, PluginInfo};

use super::capability::CapabilityRow;
use super::endpoint::{Columns, declared_flow, endpoint_lines};
use super::or_none;
use crate::catalog::RouteChange;
use crate::cli::print;
use crate::cli::routes::changes;
use crate::schema::Unenforced;

/// A component, as far as it is known.
pub(super) struct ShownComponent<'f> {
    pub(super) file: &'f Path,
    pub(super) inspection: Inspection,
    /// The section that its author packed into it.
    pub(super) package: Result<Option<Package>, PackageError>,
    pub(super) capabilities: [CapabilityRow; 3],
    /// Its description of itself, or the reason why there is none; `None` if it was not asked.
    pub(super) described: Option<Result<PluginInfo, String>>,
    /// The schemas of each endpoint that this host would not enforce. Empty if the operator has disabled the checks.
    pub(super) unenforced: Vec<Vec<Unenforced>>,
    /// The facts that the configuration changes.
    pub(super) changes: Vec<RouteChange>,
    /// The reason for which every host, or the one of the configuration, refuses it: a metered price, or the pin of its
    /// name, or a route that it changes and the plugin does not declare. Pins of paths and prices are checked by `coinslot
    /// check`.
    pub(super) misfit: Option<String>,
}

impl ShownComponent<'_> {
    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "component": self.inspection,
            "package": match &self.package {
                Ok(package) => serde_json::json!(package),
                Err(error) => serde_json::json!({ "error": error.to_string() }),
            },
            "capabilities": self.capabilities.iter().map(CapabilityRow::json).collect::<Vec<_>>(),
            "changes": self.changes,
            "misfit": self.misfit,
            "plugin": self.described.as_ref().map(|described| match described {
                Ok(info) => json(info, &self.unenforced),
                Err(reason) => serde_json::json!({ "error": reason }),
            }),
        })
    }

    /// Lines for people, without a line break at the end.
    pub(super) fn text(&self) -> String {
        let inspection = &self.inspection;
        let tools = inspection.toolchain.iter().filter(|tool| tool.role != "language");
        let tools = tools.map(|tool| format!("{} {}", tool.name, tool.version).trim().to_owned());
        // Several interfaces of WASI stand for one thing; --json has their names.
        let uses: BTreeSet<String> = inspection.uses.iter().map(|import| import.meaning.to_owned()).collect();
        let quotes = if inspection.quotes { "yes: it prices or checks each request" } else { "no" };
        let mut lines = vec![
            format!("{}: {}, sha256 {}", self.file.display(), print::size(inspection.size), inspection.sha256),
            format!("language    {}", inspection.language.as_deref().unwrap_or("it does not say")),
            format!("made with   {}", or_none(tools.collect())),
            format!("packed      {}", packed(&self.package)),
            format!("handler     {}", or_none(inspection.handlers.clone())),
            format!("quotes      {quotes}"),
            format!("can use     {}", or_none(uses.into_iter().collect())),
        ];
        lines.extend(self.capabilities.iter().map(CapabilityRow::line));
        if !inspection.basics.is_empty() {
            lines.push(format!("basics      {}", inspection.basics.join(", ")));
        }
        if !inspection.inert.is_empty() {
            lines.push(format!(
                "empty       {}: there, without files, variables and sockets",
                inspection.inert.join(", ")
            ));
        }
        if !inspection.unknown.is_empty() {
            lines.push(format!("unknown     {}", inspection.unknown.join(", ")));
        }
        if let Some(Ok(info)) = &self.described {
            lines.push(format!("\n{} {}", info.name, info.version));
            let columns = Columns::of(&info.endpoints);
            for (index, endpoint) in info.endpoints.iter().enumerate() {
                lines.extend(endpoint_lines(endpoint, columns));
                let unenforced = self.unenforced.get(index).into_iter().flatten();
                lines.extend(unenforced.map(|unenforced| format!("         {unenforced}")));
            }
        }
        if let Some(Ok(info)) = &self.described
            && let Some(changes) = changes(self.changes.iter().map(|change| (&*info.name, change)))
        {
            lines.push(format!("\n{changes}"));
        }
        lines.join("\n")
    }
}

/// The facts of a package beside the manifest: `MIT, typescript, https://example.com/shop at c0ffee (plugins/a)`.
fn packed(package: &Result<Option<Package>, PackageError>) -> String {
    let package = match package {
        Ok(Some(package)) => package,
        Ok(None) => return "no".to_owned(),
        Err(error) => return error.to_string(),
    };
    let license = package.license.clone().unwrap_or_else(|| "no licence".to_owned());
    let source = package.source.as_ref().map(|source| {
        let repository = source.repository.as_deref().unwrap_or("a repository without an address");
        let path = source.path.as_ref().map(|path| format!(" ({path})")).unwrap_or_default();
        let modified = if source.modified { ", modified" } else { "" };
        format!("{repository} at {}{modified}{path}", source.commit)
    });
    let tool = format!("by {} {}", package.tool.name, package.tool.version);
    let facts = [Some(license), package.component.language.clone(), source, Some(tool)];
    facts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn json(info: &PluginInfo, unenforced: &[Vec<Unenforced>]) -> serde_json::Value {
    let endpoints = info.endpoints.iter().enumerate().map(|(index, endpoint)| {
        let unenforced = unenforced.get(index).into_iter().flatten();
        serde_json::json!({
            "method": endpoint.method.as_str(),
            "path": endpoint.path.as_str(),
            "price": endpoint.price.to_string(),
            "summary": endpoint.summary,
            "description": endpoint.description,
            "mimeType": endpoint.mime_type,
            "flow": declared_flow(endpoint),
            "quoteHeaders": endpoint.quote_headers,
            "inputSchema": endpoint.input_schema,
            "outputSchema": endpoint.output_schema,
            "notEnforced": unenforced.map(unenforced_json).collect::<Vec<_>>(),
        })
    });
    serde_json::json!({ "name": info.name, "version": info.version, "endpoints": endpoints.collect::<Vec<_>>() })
}

/// A schema, or a pattern of one, that is not enforced.
fn unenforced_json(unenforced: &Unenforced) -> serde_json::Value {
    let Unenforced { schema, error, is_part } = unenforced;
    serde_json::json!({
        "schema": schema.to_string(),
        "pointer": error.pointer,
        "reason": error.fault.to_string(),
        "restIsEnforced": is_part,
    })
}
