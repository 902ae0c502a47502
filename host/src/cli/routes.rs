//! Formats the table of routes that `serve`, `check` and `dev` print.

use comfy_table::{Table, presets};

use crate::catalog::Catalog;

/// The routes of the active plugins, with their prices.
pub(super) fn routes(catalog: &Catalog) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["METHOD", "PATH", "PRICE", "PLUGIN", "WHAT IT DOES"]);
    for installed in catalog.installed() {
        for endpoint in &installed.endpoints {
            let info = installed.plugin.info();
            table.add_row([
                endpoint.method.to_string(),
                endpoint.path.to_string(),
                endpoint.access.to_string(),
                format!("{} {}", info.name, info.version),
                endpoint.resource.summary.clone(),
            ]);
        }
    }
    table
}
