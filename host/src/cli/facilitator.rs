//! `coinslot facilitator`: verifies and settles payments of other servers over HTTP.

#![expect(clippy::disallowed_methods, reason = "a token may be named by a variable")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::{Address, U256};
use clap::Args;
use coinslot_evm::{Ether, Key};
use coinslot_facilitator::http::{Service, serve};
use coinslot_facilitator::local::{Local, LocalConfig};
use coinslot_x402::Network;
use coinslot_x402::price::Asset;
use url::Url;

use super::signals::Shutdown;
use super::{Failure, listen, print};
use crate::config::{SettlementConfig, parse_duration, parse_ether, parse_gas_price};
use crate::host::configure_settlement;

/// Serve a facilitator: verify and settle `exact` payments of other servers on one EVM chain.
///
/// The key pays gas and nothing else. Every client that can reach the address makes it pay gas, so
/// either keep it private, or name the receivers that it works for (--pay-to), or ask for a token
/// (--bearer-env).
///
/// Ends with 0 after Ctrl-C or SIGTERM (a second one ends at once, with 130 or 143), 1 if it cannot start, 2 for wrong
/// usage.
#[derive(Args, Clone, Debug)]
pub struct FacilitatorArgs {
    /// JSON-RPC of the chain.
    #[arg(long, value_name = "URL", env = "COINSLOT_RPC", hide_env_values = true)]
    pub rpc: Url,
    /// The chain: a CAIP-2 identifier, or a name such as `base`.
    #[arg(long, default_value = "eip155:84532")]
    pub network: String,
    /// The environment variable with the private key that pays for gas.
    #[arg(long, value_name = "NAME", default_value = "COINSLOT_GAS_KEY")]
    pub key_env: String,
    /// A file with that key, instead.
    #[arg(long, value_name = "FILE", conflicts_with = "key_env")]
    pub key_file: Option<PathBuf>,
    /// Listen on this address; port 0 is any free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8403")]
    pub listen: SocketAddr,
    /// The symbol of a known token; repeatable. The network's default token if none.
    #[arg(long, value_name = "SYMBOL")]
    pub asset: Vec<String>,
    /// Settle only payments to this address; repeatable.
    #[arg(long, value_name = "ADDRESS")]
    pub pay_to: Vec<Address>,
    /// The environment variable with a token that callers must send as `Authorization: Bearer`.
    #[arg(long, value_name = "NAME")]
    pub bearer_env: Option<String>,
    /// The time between two questions for a receipt, at least 20ms.
    #[arg(long, value_name = "DURATION", default_value = "150ms", value_parser = poll_interval)]
    pub poll_interval: Duration,
    #[command(flatten)]
    pub settling: SettlingArgs,
}

/// The same as in `coinslot.toml`.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Settlement")]
pub struct SettlingArgs {
    /// Blocks that a payment must be in or under before it counts as settled; 1 is its own block. The default
    /// depends on the chain: 1 on rollups.
    #[arg(long, value_name = "BLOCKS", value_parser = clap::value_parser!(u64).range(1..))]
    pub confirmations: Option<u64>,
    /// Payments that come so soon after a transaction wait for the end of this time, and go together.
    #[arg(long, value_name = "DURATION", default_value = "40ms", value_parser = batch_delay)]
    pub batch_delay: Duration,
    /// Payments in one transaction, at most.
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=200))]
    pub batch_payments: u64,
    /// The most for a unit of gas, in gwei. While the chain asks for more, nothing is sent.
    #[arg(long, value_name = "GWEI", default_value = "50", value_parser = parse_gas_price)]
    pub max_gas_price: u128,
    /// Ether for gas in a day (UTC); beyond it nothing is sent.
    #[arg(long, value_name = "ETHER", value_parser = parse_ether)]
    pub gas_budget_per_day: Option<U256>,
    /// The file that remembers over a restart what gas has cost today.
    #[arg(long, value_name = "FILE", requires = "gas_budget_per_day")]
    pub gas_journal: Option<PathBuf>,
    /// Ether below which a gas wallet counts as empty. What some hundred settlements cost at the time if none.
    #[arg(long, value_name = "ETHER", value_parser = parse_ether)]
    pub low_balance: Option<U256>,
}

impl SettlingArgs {
    fn config(&self) -> SettlementConfig {
        SettlementConfig {
            confirmations: self.confirmations,
            batch_delay: Some(self.batch_delay),
            batch_payments: usize::try_from(self.batch_payments).ok(),
            max_gas_price: Some(self.max_gas_price),
            gas_budget_per_day: self.gas_budget_per_day,
            low_balance: self.low_balance,
        }
    }
}

fn poll_interval(text: &str) -> Result<Duration, String> {
    let interval = parse_duration(text)?;
    if interval < Duration::from_millis(20) { Err("at least 20ms".to_owned()) } else { Ok(interval) }
}

fn batch_delay(text: &str) -> Result<Duration, String> {
    let delay = parse_duration(text)?;
    if delay > Duration::from_secs(5) { Err("at most 5s".to_owned()) } else { Ok(delay) }
}

/// Serves until interrupted.
pub async fn run(args: FacilitatorArgs) -> Result<(), Failure> {
    let shutdown = Shutdown::listen()?;
    let network = Network::parse_name(&args.network).map_err(|error| Failure::usage(error.to_string()))?;
    let assets = assets(&network, &args.asset)?;
    let key = match &args.key_file {
        Some(path) => Key::from_file(path),
        None => Key::from_env(&args.key_env),
    }
    .map_err(|error| Failure::usage(error.to_string()))?;
    let bearer = match &args.bearer_env {
        None => None,
        Some(name) => match std::env::var(name) {
            Ok(token) if !token.is_empty() => Some(token),
            _ => {
                return Err(Failure::usage(format!("the environment variable {name} should hold the bearer token")));
            }
        },
    };
    let mut config = LocalConfig::new(args.rpc, network, assets, vec![key]);
    config.chain.poll_interval = args.poll_interval;
    configure_settlement(&args.settling.config(), &mut config);
    config.gas.journal = args.settling.gas_journal;
    config.receivers = (!args.pay_to.is_empty()).then_some(args.pay_to);
    let open = config.receivers.is_none() && bearer.is_none();
    let local = Local::connect(config).await.map_err(|error| Failure::new(error.to_string()))?;

    let (listener, address) = listen(args.listen, "").await?;
    if open && !address.ip().is_loopback() {
        tracing::warn!("everybody who reaches {address} makes this key pay gas: see --pay-to and --bearer-env");
    }
    let wallets = local.wallets().await.map_err(|error| Failure::new(error.to_string()))?;
    print::line(format_args!("facilitator for {} on http://{address}", local.network()))?;
    for wallet in wallets {
        print::line(format_args!("gas wallet {} with {}", wallet.address, Ether(wallet.balance)))?;
    }

    let local = Arc::new(local);
    let mut service = Service::new(local);
    if let Some(token) = bearer {
        service = service.with_bearer(&token);
    }
    shutdown.run(|stop| serve(listener, service, stop)).await
}

fn assets(network: &Network, symbols: &[String]) -> Result<Vec<Asset>, Failure> {
    if symbols.is_empty() {
        let asset =
            Asset::known(network, None).ok_or_else(|| Failure::usage(format!("no token is known on {network}")))?;
        return Ok(vec![asset]);
    }
    symbols
        .iter()
        .map(|symbol| {
            Asset::known(network, Some(symbol))
                .ok_or_else(|| Failure::usage(format!("no {symbol} is known on {network}")))
        })
        .collect()
}
