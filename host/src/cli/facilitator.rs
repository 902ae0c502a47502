//! `coinslot facilitator`: verifies and settles payments for other servers over HTTP.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::{Address, U256};
use clap::Args;
use tokio::net::TcpListener;
use url::Url;

use super::Failure;
use super::assemble::settlers::apply;
use super::signals::Interrupt;
use crate::config::{Settling, parse_units};
use coinslot_evm::Key;
use coinslot_facilitator::http::{Service, serve};
use coinslot_facilitator::local::{Local, LocalConfig};
use coinslot_x402::Network;
use coinslot_x402::price::Asset;

/// Serve a facilitator: verify and settle `exact` payments of other servers on one EVM chain.
///
/// The key pays gas and nothing else. Everybody who can reach the address makes it pay gas, so
/// either keep it private, or name the receivers that it works for (--pay-to), or ask for a token
/// (--bearer-env).
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
    /// Where to listen; port 0 is any free one.
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
    /// How often the chain is asked for receipts, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 150, value_parser = clap::value_parser!(u64).range(20..))]
    pub poll_ms: u64,
    #[command(flatten)]
    pub settling: SettlingArgs,
}

/// The same as in `coinslot.toml`.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Settlement")]
pub struct SettlingArgs {
    /// Blocks that a payment must be in or under before it counts as settled; 1 is its own block.
    #[arg(long, value_name = "BLOCKS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub confirmations: u64,
    /// Payments that come so soon after a transaction wait for the end of this time, and go together.
    #[arg(long, value_name = "MS", default_value_t = 40, value_parser = clap::value_parser!(u64).range(..=5_000))]
    pub batch_delay_ms: u64,
    /// Payments in one transaction, at most.
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=200))]
    pub batch_payments: u64,
    /// The most for a unit of gas, in gwei. While the chain asks for more, nothing is sent.
    #[arg(long, value_name = "GWEI", default_value = "50", value_parser = gwei)]
    pub max_gas_price: u128,
    /// Ether for gas in a day (UTC); beyond it nothing is sent.
    #[arg(long, value_name = "ETHER", value_parser = ether)]
    pub gas_budget_per_day: Option<U256>,
    /// The file that remembers over a restart what gas has cost today.
    #[arg(long, value_name = "FILE", requires = "gas_budget_per_day")]
    pub gas_journal: Option<PathBuf>,
    /// Ether below which a gas wallet counts as empty. What some hundred settlements cost at the time if none.
    #[arg(long, value_name = "ETHER", value_parser = ether)]
    pub low_balance: Option<U256>,
}

impl SettlingArgs {
    fn settling(&self) -> Settling {
        Settling {
            confirmations: Some(self.confirmations),
            batch_delay: Some(Duration::from_millis(self.batch_delay_ms)),
            batch_payments: usize::try_from(self.batch_payments).ok(),
            max_gas_price: Some(self.max_gas_price),
            gas_budget_per_day: self.gas_budget_per_day,
            low_balance: self.low_balance,
        }
    }
}

fn gwei(text: &str) -> Result<u128, String> {
    parse_units(text, 9)
        .and_then(|wei| u64::try_from(wei).ok())
        .filter(|wei| *wei > 0)
        .map(u128::from)
        .ok_or_else(|| "not a decimal number of gwei above 0 with at most 9 digits after the point".to_owned())
}

fn ether(text: &str) -> Result<U256, String> {
    parse_units(text, 18)
        .ok_or_else(|| "not a decimal number of ether with at most 18 digits after the point".to_owned())
}

/// Serves until interrupted.
pub async fn run(args: FacilitatorArgs) -> Result<(), Failure> {
    let interrupt = Interrupt::listen()?;
    let network = Network::parse_v1(&args.network).map_err(|error| Failure::usage(error.to_string()))?;
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
    config.chain.poll_interval = Duration::from_millis(args.poll_ms);
    apply(&args.settling.settling(), &mut config);
    config.gas.journal = args.settling.gas_journal;
    config.receivers = (!args.pay_to.is_empty()).then_some(args.pay_to);
    let open = config.receivers.is_none() && bearer.is_none();
    let local = Local::connect(config).await.map_err(|error| Failure::new(error.to_string()))?;

    let listener = TcpListener::bind(args.listen)
        .await
        .map_err(|error| Failure::new(format!("cannot listen on {}: {error}", args.listen)))?;
    let address = listener.local_addr().map_err(|error| Failure::new(error.to_string()))?;
    if open && !address.ip().is_loopback() {
        tracing::warn!("everybody who reaches {address} makes this key pay gas: see --pay-to and --bearer-env");
    }
    let gas = local.gas().await.map_err(|error| Failure::new(error.to_string()))?;
    println!("facilitator for {} on http://{address}", local.network());
    println!("gas wallet {} with {} wei", gas.address, gas.balance);

    let local = Arc::new(local);
    let mut service = Service::new(local);
    if let Some(token) = bearer {
        service = service.with_bearer(&token);
    }
    interrupt.govern(|stop| serve(listener, service, stop)).await
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
