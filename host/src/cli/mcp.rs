//! `coinslot mcp`: a server of MCP on standard streams, for an agent on this machine. It has the tools of a remote server,
//! and pays the calls that cost something within a budget.
//!
//! A payment is on the disk before it is sent, and counts for the budget from then on, whatever the server says of it.
//! Only a node's proof gives it back. While its end is unknown, the same call sends the same payment again, also after a
//! restart: it cannot pay twice.

mod answer;
mod bridge;
mod budget;
mod errors;
mod payer;
mod proof;
mod remote;
mod spending;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use coinslot_x402::Network;
use coinslot_x402::price::Decimal;
use rmcp::ServiceExt as _;
use rmcp::transport::stdio;
use url::Url;

use super::pay::{self, PayerArgs, PayerKey, state_folder};
use super::{Failure, dev_hosts};
use crate::logging;
use crate::wallet::SpendingPolicy;
use bridge::Bridge;
use budget::Budget;
use payer::AgentPayer;
use proof::PaymentProof;
use remote::Remote;
use spending::SpendingFile;

/// The path of MCP at a host whose address has no path.
const DEFAULT_PATH: &str = "/mcp";

/// Serve the tools of a remote MCP server to an agent on this machine, over stdin and stdout, and pay for calls.
///
/// Put it into the configuration of a desktop agent as the command of an MCP server. A call that costs more than --max,
/// or more than is left of --budget, is refused before anything is signed. The key comes from --key-file, --key-env, a
/// running `coinslot dev` of yours that serves the URL (--dev-json, or found by itself), or COINSLOT_PAYER_KEY. If none of
/// these is there, only free tools can be called.
///
/// A signed payment counts as spent, also if the server says that it was not charged: it could take the money all the same.
/// With --rpc it is given back once the node shows that nobody took it.
///
/// Ends with 0 when the agent does, 1 if the agent or the server does not speak MCP or the key cannot be read, and 2 for
/// wrong usage.
#[derive(Args, Clone, Debug)]
pub struct McpArgs {
    /// The address of the server: of its MCP path, or of a host that has it at /mcp.
    #[arg(value_name = "URL")]
    pub url: String,
    /// The most to pay for one call, in US dollars.
    #[arg(long, value_name = "AMOUNT", default_value = pay::DEFAULT_MAX)]
    pub max: String,
    /// The most to pay to this server from this account, in US dollars: in all, or per day or month, as in 5/day.
    #[arg(long, value_name = "AMOUNT[/day|/month]", default_value = "1.00")]
    pub budget: String,
    #[command(flatten)]
    pub payer: PayerArgs,
    /// The authority that has signed the server's certificate, in PEM, beside those that the machine trusts.
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Pay only on this network: a CAIP-2 identifier, or a name such as `base`; repeatable.
    #[arg(long)]
    pub network: Vec<String>,
    /// The JSON-RPC of a node of the network on which is paid: it proves which payments nobody took.
    #[arg(long, value_name = "URL")]
    pub rpc: Option<Url>,
    /// The longest time for each call, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub timeout: u64,
    /// The directory in which payments and the spent budget are kept.
    #[arg(long, value_name = "DIR", env = "COINSLOT_STATE_DIR")]
    pub state_dir: Option<PathBuf>,
}

/// Serves until the agent closes stdin.
pub async fn run(args: McpArgs) -> Result<(), Failure> {
    let url = url_of(&args.url)?;
    let policy = policy(&args)?;
    let budget = Budget::parse(&args.budget)?;
    let payer = match pay::key_if_any(&args.payer, &url)? {
        Some(PayerKey { key, .. }) => {
            let folder = state_folder(args.state_dir.as_deref(), "agents")?;
            let spending = SpendingFile::open(&folder, &url, key.address())?;
            let rpc = args.rpc.clone().or_else(|| dev_hosts::rpc_serving(args.payer.dev_json.as_deref(), &url));
            Some(AgentPayer::new(key, policy, budget, spending, PaymentProof::new(rpc)))
        }
        None => {
            logging::say("there is no key to pay with: only free tools can be called (see `coinslot mcp --help`)");
            None
        }
    };
    let remote = Remote::connect(&url, args.ca.as_deref(), Duration::from_secs(args.timeout.max(1))).await?;
    let bridge = Bridge::new(remote, payer, url);
    let served = bridge.serve(stdio()).await;
    let serving = served.map_err(|error| Failure::new(format!("the agent does not speak MCP on stdin: {error}")))?;
    serving.waiting().await.map_err(|error| Failure::new(error.to_string()))?;
    Ok(())
}

fn url_of(text: &str) -> Result<Url, Failure> {
    let mut url = match Url::parse(text) {
        Ok(url) if ["http", "https"].contains(&url.scheme()) && url.has_host() => url,
        Ok(_) | Err(_) => {
            return Err(Failure::usage(format!("{text} is not an http or https URL: write https://host/mcp")));
        }
    };
    if url.path() == "/" {
        url.set_path(DEFAULT_PATH);
    }
    Ok(url)
}

fn policy(args: &McpArgs) -> Result<SpendingPolicy, Failure> {
    let network = |text: &String| Network::parse_name(text).map_err(|error| Failure::usage(error.to_string()));
    let networks = args.network.iter().map(network).collect::<Result<_, _>>()?;
    let max = Decimal::parse(&args.max).map_err(|error| Failure::usage(format!("--max: {error}")))?;
    Ok(SpendingPolicy { max, networks })
}
