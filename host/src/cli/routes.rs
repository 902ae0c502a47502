//! Formats the table of routes that `serve`, `check` and `dev` print, and that of routes which a configuration changes.

use coinslot_base::text::{excerpt, one_line};
use coinslot_x402::Flow;
use comfy_table::{Table, presets};

use crate::catalog::{Catalog, RouteChange};
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

/// The routes that are not served as their plugins declare them. None if all are.
pub(super) fn changes<'c>(changes: impl IntoIterator<Item = (&'c str, &'c RouteChange)>) -> Option<Table> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["CHANGED ROUTE", "PLUGIN", "KEY", "DECLARED", "EFFECTIVE"]);
    for (plugin, RouteChange { route, key, declared, effective }) in changes {
        table.add_row([route, plugin, key, &beginning(declared), &beginning(effective)]);
    }
    (!table.is_empty()).then_some(table)
}

/// The beginning of a text that may be a description of many lines.
fn beginning(text: &str) -> String {
    const MOST: usize = 60;
    excerpt(&one_line(text), MOST)
}

/// The price, and whether it is paid before the plugin runs: `0.01 USDC, paid first`.
fn price(access: &Access) -> String {
    match access {
        Access::Paid(paid) if paid.flow == Flow::Upfront => format!("{access}, paid first"),
        Access::Paid(_) | Access::Free => access.to_string(),
    }
}
