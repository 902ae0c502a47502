//! Takes the facts that a configuration needs out of flags, or asks for them on the terminal.

use std::io::{BufRead, Write};
use std::str::FromStr;

use coinslot_x402::Network;
use coinslot_x402::price::{Asset, evm_receiver};
use url::Url;

use super::InitArgs;
use crate::cli::Failure;

/// The public facilitator of x402, which settles on this network and pays the gas.
const PUBLIC_FACILITATOR: &str = "https://x402.org/facilitator";
const OF_PUBLIC_FACILITATOR: &str = "base-sepolia";

const CDP_FACILITATOR: &str = "https://api.cdp.coinbase.com/platform/v2/x402";

/// The facts that a configuration needs.
#[derive(Clone, Debug)]
pub(super) struct Answers {
    /// As people write it: the name of the chain, or CAIP-2 if it has none.
    pub(super) network: String,
    pub(super) asset: Asset,
    /// The receiver, in the mixed case of EIP-55.
    pub(super) pay_to: String,
    pub(super) settler: Settler,
    pub(super) public_url: Option<Url>,
}

/// The facilitator of the configuration.
#[derive(Clone, Debug)]
pub(super) enum Settler {
    /// This host settles through a node.
    Own { rpc: Url },
    /// Coinbase's facilitator, and a node that is asked whether its word is true.
    Cdp { url: Url, rpc: Option<Url> },
    /// Another facilitator over HTTP, and such a node.
    Remote { url: Url, rpc: Option<Url> },
}

/// The words for a facilitator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FacilitatorChoice {
    Own,
    Cdp,
    At(Url),
}

impl FromStr for FacilitatorChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "own" => Ok(Self::Own),
            "cdp" => Ok(Self::Cdp),
            _ => url(text).map(Self::At).map_err(|error| format!("neither `own` nor `cdp`, and {error}")),
        }
    }
}

impl Answers {
    /// Takes what the flags say, asks for the rest if it may, and refuses what is missing.
    pub(super) fn of(args: &InitArgs, asks: bool) -> Result<Self, Failure> {
        let chain = match &args.network {
            Some(text) => chain(text).map_err(|error| Failure::usage(format!("--network: {error}")))?,
            None => ask(asks.then(TerminalQuestion::network), "--network", chain)?,
        };
        let name = chain.network.v1_name().map_or_else(|| chain.written.clone(), str::to_owned);
        let receiver = |text: &str| receiver(text, &chain.asset);
        let whose = format!("Address on {name} that receives the money");
        let pay_to = match &args.pay_to {
            Some(text) => receiver(text).map_err(|error| Failure::usage(format!("--pay-to: {error}")))?,
            None => ask(asks.then(|| TerminalQuestion::plain(&whose)), "--pay-to", receiver)?,
        };
        let choice = match (&args.facilitator, &args.rpc) {
            (Some(choice), _) => choice.clone(),
            (None, Some(_)) => FacilitatorChoice::Own,
            (None, None) if !asks && name == OF_PUBLIC_FACILITATOR => {
                FacilitatorChoice::from_str(PUBLIC_FACILITATOR).map_err(Failure::usage)?
            }
            (None, None) => ask(
                asks.then(|| TerminalQuestion::facilitator(&name)),
                "--facilitator or --rpc",
                FacilitatorChoice::from_str,
            )?,
        };
        let rpc = args.rpc.clone();
        let settler = match (choice, rpc) {
            (FacilitatorChoice::Own, Some(rpc)) => Settler::Own { rpc },
            (FacilitatorChoice::Own, None) => {
                let question = format!("URL of a node of {name}, for JSON-RPC");
                Settler::Own { rpc: ask(asks.then(|| TerminalQuestion::plain(&question)), "--rpc", url)? }
            }
            (FacilitatorChoice::Cdp, rpc) => Settler::Cdp { url: url(CDP_FACILITATOR).map_err(Failure::usage)?, rpc },
            (FacilitatorChoice::At(url), rpc) => Settler::Remote { url, rpc },
        };
        Ok(Self { network: name, asset: chain.asset, pay_to, settler, public_url: args.public_url.clone() })
    }

    /// Says what the money of the network is worth.
    pub(super) fn money(&self) -> String {
        let Self { network, asset, .. } = self;
        match asset.testnet {
            true => format!("{network} is a test network, and {} there is worth nothing", asset.symbol),
            false => format!("{network} carries REAL MONEY, paid in {} to {}", asset.symbol, self.pay_to),
        }
    }
}

/// A chain, and the dollar of it that is taken.
struct ChosenChain {
    written: String,
    network: Network,
    asset: Asset,
}

fn chain(text: &str) -> Result<ChosenChain, String> {
    let network = Network::parse_name(text).map_err(|error| error.to_string())?;
    let asset = Asset::known(&network, None).ok_or_else(|| {
        format!(
            "no dollar of {text} is in the built-in table: choose another network, or copy coinslot.example.toml, which \
             shows how an asset is named by its contract"
        )
    })?;
    Ok(ChosenChain { written: text.to_owned(), network, asset })
}

fn receiver(text: &str, asset: &Asset) -> Result<String, String> {
    let receiver = evm_receiver(text).map_err(|error| error.to_string())?;
    match asset.address.eq_ignore_ascii_case(&receiver) {
        true => Err(format!("this is the contract of {}, and nobody could take out what is paid to it", asset.symbol)),
        false => Ok(receiver),
    }
}

fn url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("`{text}` is not a URL: {error}"))?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        scheme => Err(format!("`{text}` is not a URL of http or https, but of {scheme}")),
    }
}

/// A question on the terminal.
struct TerminalQuestion<'q> {
    text: &'q str,
    /// The answer that an empty line gives.
    usual: Option<&'q str>,
}

impl<'q> TerminalQuestion<'q> {
    fn plain(text: &'q str) -> Self {
        Self { text, usual: None }
    }

    fn network() -> Self {
        Self {
            text: "Network: base carries real money, base-sepolia is a test network",
            usual: Some(OF_PUBLIC_FACILITATOR),
        }
    }

    fn facilitator(network: &str) -> Self {
        let usual = if network == OF_PUBLIC_FACILITATOR { PUBLIC_FACILITATOR } else { "own" };
        let text = "Who settles: the URL of a facilitator, cdp (Coinbase's, with keys of its portal), or own (this host, \
                    with a node and a key that pays for gas)";
        Self { text, usual: Some(usual) }
    }
}

/// Asks until the answer is a good one. Without a question the flag was needed.
fn ask<T>(
    question: Option<TerminalQuestion<'_>>,
    flag: &str,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<T, Failure> {
    let Some(TerminalQuestion { text, usual }) = question else {
        return Err(Failure::usage(format!(
            "{flag} is missing: name it, or run `coinslot init` on a terminal to be asked"
        )));
    };
    let failed = |error: std::io::Error| Failure::new(format!("cannot ask: {error}"));
    let usual_shown = usual.map(|usual| format!(" [{usual}]")).unwrap_or_default();
    loop {
        let mut terminal = std::io::stderr();
        write!(terminal, "{text}{usual_shown}: ").and_then(|()| terminal.flush()).map_err(failed)?;
        let mut line = String::new();
        if std::io::stdin().lock().read_line(&mut line).map_err(failed)? == 0 {
            return Err(Failure::usage(format!("no answer came, and nothing is written; {flag} names it")));
        }
        let answer = match line.trim() {
            "" => usual.unwrap_or_default(),
            answer => answer,
        };
        match parse(answer) {
            Ok(answer) => return Ok(answer),
            Err(error) => writeln!(terminal, "  {}", coinslot_base::text::printable(&error)).map_err(failed)?,
        }
    }
}
