//! Checks the contract of a plugin: its component is loaded by a real host in this process, which sells its endpoints
//! on the embedded chain.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use coinslot_ledger::SqliteLedger;
use coinslot_plugin::CompilePriority;
use tokio::net::TcpListener;

use super::buyer::Buyer;
use super::endpoint::EndpointCheck;
use super::report::{Report, Suite};
use crate::cli::dev::chain::{self, DevChain};
use crate::cli::{Failure, listen, own_executable};
use crate::config::PluginsConfig;
use crate::host::{Chains, Host, HostOptions};

/// The largest answer that the host keeps for a repetition, in bytes. Checks repeat every payment.
const MAX_KEPT: usize = 64 << 20;

/// The conditions of a check.
#[derive(Clone, Debug)]
pub(super) struct ContractOptions {
    /// Grants, limits and configurations of plugins, if the author names a file.
    pub(super) policies: Option<PluginsConfig>,
    /// The longest time of one request.
    pub(super) timeout: Duration,
    /// Endpoints are checked whose `METHOD /path` contains this.
    pub(super) filter: String,
}

/// Checks the component in a folder of its own, `plugins` in the folder `work`, which also gets the state of the host.
pub(super) async fn check(work: &Path, options: ContractOptions, report: &mut Report) -> Result<(), Failure> {
    let (listener, address) = listen(SocketAddr::from(([127, 0, 0, 1], 0)), "").await?;
    let seed = hex::encode(secp256k1::rand::random::<[u8; 16]>());
    let chain = Arc::new(chain::start(SocketAddr::from(([127, 0, 0, 1], 0)), None, &seed).await?);
    let host = host(work, &chain, address, options.policies.clone()).await?;
    for (file, reason) in &host.report().failed {
        report.add(Suite::Contract, file, "load", Err(reason.clone()));
    }
    if host.catalog().load().installed().is_empty() && host.report().failed.is_empty() {
        return Err(Failure::new("the host found no plugin to load"));
    }
    let buyer = Buyer::new(format!("http://{address}"), Arc::clone(&chain), options.timeout).map_err(Failure::new)?;
    serve_and_check(host, listener, &buyer, &options, report).await?;
    drop(buyer);
    if let Some(chain) = Arc::into_inner(chain) {
        chain.stop().await;
    }
    Ok(())
}

/// Builds the host, with what the author's configuration says about plugins.
async fn host(
    work: &Path,
    chain: &DevChain,
    address: SocketAddr,
    policies: Option<PluginsConfig>,
) -> Result<Host, Failure> {
    let mut config = chain.config(address, &work.join("state"), &work.join("plugins"));
    config.state.max_kept_answer = MAX_KEPT;
    if let Some(PluginsConfig { limits, by_name, .. }) = policies {
        (config.plugins.limits, config.plugins.by_name) = (limits, by_name);
        // What is built here is another build each time, in another file; and it is checked for what it declares.
        for plugin in config.plugins.by_name.values_mut() {
            (plugin.pins, plugin.overrides) = Default::default();
        }
    }
    let ledger = SqliteLedger::create(&work.join("ledger.db")).map_err(|error| Failure::new(error.to_string()))?;
    let options = HostOptions {
        address: Some(address),
        chains: Chains::Devnet,
        compiler: own_executable(),
        priority: CompilePriority::Normal,
        ledger: Some(Arc::new(ledger)),
        ..HostOptions::default()
    };
    Ok(Host::build(config, options).await?)
}

/// Checks every endpoint while the host serves. The host ends with the checks.
async fn serve_and_check(
    host: Host,
    listener: TcpListener,
    buyer: &Buyer,
    options: &ContractOptions,
    report: &mut Report,
) -> Result<(), Failure> {
    let catalog = host.catalog().load_full();
    let checks = async {
        for installed in catalog.installed() {
            let info = installed.plugin.info();
            let own = options.policies.as_ref().and_then(|policies| policies.by_name.get(&info.name));
            if options.policies.is_some() && own.is_none() {
                report
                    .note(&format!("the configuration has no table [plugin.{}]: nothing is granted to it", info.name));
            }
            let label = |declared: &coinslot_plugin::EndpointInfo| format!("{} {}", declared.method, declared.path);
            for declared in info.endpoints.iter().filter(|declared| label(declared).contains(&options.filter)) {
                let endpoint = installed.endpoints.iter().find(|endpoint| endpoint.label == label(declared));
                let check = EndpointCheck {
                    buyer,
                    declared,
                    unenforced: endpoint.map(|endpoint| endpoint.unenforced.as_slice()).unwrap_or_default(),
                    is_enforced: own.is_none_or(|own| own.validate),
                    advice: advice(options.policies.is_some()),
                };
                check.run(report).await;
            }
        }
    };
    tokio::select! {
        () = checks => Ok(()),
        () = host.serve(listener, std::future::pending()) => Err(Failure::new("the host ended before its checks")),
    }
}

/// The advice for a plugin that fails.
fn advice(has_grants: bool) -> &'static str {
    if has_grants {
        "add --log coinslot=info to read what the plugin printed"
    } else {
        "add --log coinslot=info to read what the plugin printed; outgoing HTTP, configuration and a key-value store are \
         granted by a coinslot.toml: -c FILE"
    }
}
