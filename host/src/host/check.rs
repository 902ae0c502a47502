//! Checks a configuration beside a running host.

use std::sync::Arc;

use alloy::primitives::Address;
use coinslot_evm::SenderKind;
use coinslot_facilitator::Seller;
use coinslot_facilitator::local::{Gas, Local};
use coinslot_x402::Network;

use super::error::HostError;
use super::loaded::Loaded;
use super::{Host, HostOptions, allowances, facilitators, keys, policies, tls};
use crate::catalog::{Catalog, HistoryFile};
use crate::config::Config;
use crate::operate::{Pauses, Webhook, read_admin_tls, read_token};

/// The findings of [`Host::check`].
#[derive(Debug)]
pub struct HostCheck {
    pub catalog: Arc<Catalog>,
    /// Files that could not be loaded, with the reasons.
    pub failed: Vec<(String, String)>,
    /// Plugin names in the configuration that no active plugin has.
    pub unknown_plugins: Vec<String>,
    /// The address whose key signs receipts, if one does.
    pub receipts: Option<Address>,
    /// The money of the wallet that pays owed answers back, a line for each network.
    pub refunds: Vec<String>,
    /// The facilitators in this process that are connected.
    pub locals: Vec<LocalCheck>,
    /// The reasons why a host would not start: certificate, secrets, key of receipts, facilitators.
    pub problems: Vec<HostError>,
}

/// The findings about a facilitator in this process.
#[derive(Debug)]
pub struct LocalCheck {
    pub name: String,
    pub network: Network,
    /// The wallets that pay for gas.
    pub wallets: Vec<Gas>,
    /// The reason why it could not settle now.
    pub unready: Option<String>,
    /// The time in Unix seconds at which the newest block of its chain was made. None if it says nothing: the chain cannot
    /// be used, or makes blocks on demand.
    pub newest_block: Option<u64>,
}

impl LocalCheck {
    /// Reads the wallets of a facilitator that has just been connected.
    async fn of(name: &str, local: &Local) -> Result<Self, HostError> {
        let wallets = local.wallets().await.map_err(|error| HostError::unavailable(name, error.message))?;
        let head = local.newest_block_time().await;
        let unready = local.ready().err().map(|unready| unready.to_string());
        let unready = unready.or_else(|| head.as_ref().err().map(|unavailable| unavailable.message.clone()));
        let newest_block = head.ok().flatten();
        Ok(Self { name: name.to_owned(), network: local.network().clone(), wallets, unready, newest_block })
    }
}

/// The problems of what operators use: the admin listener, the webhooks and the pauses.
fn of_operators(config: &Config) -> Vec<HostError> {
    let mut problems: Vec<HostError> =
        config.webhooks.iter().filter_map(|hook| Webhook::new(hook.clone()).err()).collect();
    let file = config.state.paused();
    problems.extend(Pauses::open(file.clone()).err().map(|source| HostError::File { path: file, source }));
    if let Some(admin) = &config.admin {
        problems.extend(read_token(admin).err().into_iter().chain(read_admin_tls(admin).err()));
        if admin.listen == config.server.listen && admin.listen.port() != 0 {
            let problem =
                format!("admin: `listen` is {}, the address on which the host sells: name another", admin.listen);
            problems.push(HostError::Config(problem));
        }
    }
    problems
}

impl Host {
    /// Does what [`Host::build`] does, but opens no ledger and changes no history of builds: a running host has them
    /// open. Of the options only the compiler, the chains and the address count.
    ///
    /// A problem ends the check only if nothing can be loaded after it: an operator who mends a configuration wants to
    /// read all that is wrong with it, and a facilitator that is down hides nothing about the plugins.
    pub async fn check(config: &Config, options: &HostOptions) -> Result<HostCheck, HostError> {
        let (policies, without_secrets) = policies::read_present(&config.plugins);
        let mut problems: Vec<HostError> = tls(&config.server).err().into_iter().chain(without_secrets).collect();
        problems.extend(allowances::read(&config.allowances).err());
        problems.extend(of_operators(config));
        problems.extend(super::logo(config).err());
        let receipts = keys::receipts(&config.payment).unwrap_or_else(|problem| {
            problems.push(problem);
            None
        });
        // The ledger has the tag. A check sends nothing, and needs none.
        let attempt = facilitators::try_connect(config, options.chains, Seller::random(SenderKind::Host), None).await;
        problems.extend(attempt.problems);
        let refunds = keys::refunds(config, &attempt.facilitators).unwrap_or_else(|problem| {
            problems.push(problem);
            None
        });
        let mut loaded =
            Loaded::new(config, options, policies, attempt.facilitators, &Arc::default(), &Arc::default())?;
        // A history that cannot be read is begun anew by a host.
        let history = config.state.history();
        let served = HistoryFile::read(&history).unwrap_or_default();
        loaded.folder = loaded.folder.after(&history, &served);
        loaded.settle().await?;
        let mut locals = Vec::new();
        for (name, local) in &loaded.facilitators.locals {
            match LocalCheck::of(name, local).await {
                Ok(local) => locals.push(local),
                Err(problem) => problems.push(problem),
            }
        }
        let refunds = match &refunds {
            Some(refunds) => refunds.balances().await,
            None => Vec::new(),
        };
        Ok(HostCheck {
            catalog: loaded.catalog.load_full(),
            failed: loaded.report.failed,
            unknown_plugins: loaded.folder.unknown_plugins(),
            receipts: receipts.map(|key| key.address()),
            refunds,
            locals,
            problems,
        })
    }
}
