//! Prints what an author reads when the host serves for the first time: routes, accounts, and a first payment.

use std::collections::BTreeSet;
use std::sync::Arc;

use coinslot_base::text::printable;

use super::Announcer;
use crate::catalog::Catalog;
use crate::cli::dev::sample;
use crate::cli::routes::routes;
use crate::endpoint::{Access, Endpoint};

impl Announcer {
    /// Prints the routes, the addresses and the accounts.
    pub(super) async fn announce(&self, paid: &[Arc<Endpoint>]) {
        let catalog = self.catalog.load_full();
        self.print(&format!("\n{}\n", routes(&catalog)));
        for (name, address) in self.addresses(&catalog, paid) {
            self.print(&format!("{name:<11} {address}"));
        }
        self.print(&format!("chain       {} (a stand-in for Base Sepolia; nothing on it is money)", self.chain.rpc()));
        self.print(&format!("accounts    from the seed {}", self.chain.seed()));
        for (role, address, balance) in self.chain.balances().await {
            self.print(&format!("{role:<11} {address}  {balance}"));
        }
        let built = self.unbuilt.keys().chain(&self.refused).map(|name| name.trim_end_matches(".wasm"));
        let names: BTreeSet<&str> = built.chain(self.misnamed.iter().map(String::as_str)).collect();
        if !names.is_empty() {
            let names: Vec<&str> = names.into_iter().collect();
            self.print(&format!("not served  {}: see above", names.join(", ")));
        }
        if !self.complete {
            self.print("the other plugins follow as they are built");
        } else if paid.is_empty() {
            let example = self.plugins.join("shop");
            self.print(&format!(
                "\nno paid endpoint is served yet: put a plugin into the plugins folder, as `coinslot new {}` does\n",
                printable(&example.to_string_lossy())
            ));
        }
    }

    /// The addresses to open, and to give to an agent, each with its name.
    fn addresses(&self, catalog: &Catalog, paid: &[Arc<Endpoint>]) -> Vec<(&'static str, String)> {
        let addresses = &self.addresses;
        let with_wallet = |page| format!("{page}  (with a test wallet in the page)");
        let listed = [
            ("serving on", Some(addresses.url.clone())),
            ("index", addresses.index(catalog)),
            ("paid page", sample::page(&addresses.url, paid).map(with_wallet)),
            ("dashboard", Some(addresses.dashboard.clone())),
            ("MCP", addresses.mcp.clone()),
        ];
        listed.into_iter().filter_map(|(name, address)| Some((name, address?))).collect()
    }

    /// The command that pays for an endpoint; or the start of one, if nobody but the payer knows what the endpoint
    /// takes.
    pub(super) fn pay_lines(&self, paid: &[Arc<Endpoint>]) -> String {
        let program = sample::program();
        match (sample::pay_line(&self.addresses.url, &self.state.join("dev.json"), paid), paid.first()) {
            (Some(line), _) => format!("\nnow pay for one:\n\n  {program} {line}\n"),
            (None, Some(endpoint)) => format!(
                "\nnow pay for one, with an input that fits its schema:\n\n  {program} pay -X {} {}{}\n",
                endpoint.method, self.addresses.url, endpoint.path
            ),
            (None, None) => String::new(),
        }
    }
}

/// The endpoints that cost something.
pub(super) fn paid(catalog: &Catalog) -> Vec<Arc<Endpoint>> {
    let endpoints = catalog.installed().iter().flat_map(|installed| &installed.endpoints);
    endpoints.filter(|endpoint| matches!(endpoint.access, Access::Paid(_))).cloned().collect()
}
