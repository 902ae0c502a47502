//! Formats the table of routes that `serve`, `check` and `dev` print.

use coinslot_x402::Flow;
use comfy_table::{Table, presets};

use crate::catalog::Catalog;
use crate::endpoint::Access;

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
                price(&endpoint.access),
                format!("{} {}", info.name, info.version),
                endpoint.resource.summary.clone(),
            ]);
        }
    }
    table
}

/// The price, and whether it is paid before the plugin runs: `0.01 USDC, paid first`.
fn price(access: &Access) -> String {
    match access {
        Access::Paid(paid) if paid.flow == Flow::Upfront => format!("{access}, paid first"),
        Access::Paid(_) | Access::Free => access.to_string(),
    }
}
