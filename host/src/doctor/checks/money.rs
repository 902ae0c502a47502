//! Checks the values of the ways to pay: amounts, addresses, networks, times, tokens and what stock clients pay.

use alloy::primitives::{Address, U256};
use coinslot_x402::Network;
use coinslot_x402::price::{Amount, Asset};

use crate::doctor::check::{Check, Verdict};
use crate::doctor::facts::{ChallengeFacts, Entry, Reach};

/// The most that stock clients of version 2 pay unasked, in millionths of a dollar.
const CAP: u64 = 1_000_000;
/// The most that those of version 1 pay unasked.
const CAP_V1: u64 = 100_000;
/// A price in dollars that is more likely a mistake of units, in millionths.
const IMPLAUSIBLE: u64 = 1_000_000_000;
/// The time that a settlement takes where blocks are slow, in seconds: Base was seen to take 10 to 28.
const SHORT: u64 = 30;
/// The longest time that wallets sign for, in seconds.
const LONG: u64 = 3_600;
/// The decimals of every well-known token.
const DECIMALS: u8 = 6;
/// Base and Solana.
const OF_DIRECTORIES: [&str; 2] = ["eip155:8453", "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp"];

pub(super) const CHECKS: &[Check<ChallengeFacts>] = &[
    Check {
        name: "amounts",
        why: "amounts are atomic units: a decimal amount is refused or misread by a factor of a million",
        advice: "write the amount as digits of the token's smallest unit: 0.01 USDC is \"10000\"",
        judge: amounts,
    },
    Check {
        name: "addresses",
        why: "money that goes to a mistyped address is lost, and clients refuse what is no address",
        advice: "write payTo and asset as the chain's own addresses, on EVM chains with the checksum of EIP-55",
        judge: addresses,
    },
    Check {
        name: "networks",
        why: "clients find the chain by its CAIP-2 identifier, and directories list what is paid on Base or Solana",
        advice: "write CAIP-2, such as eip155:8453 for Base; offer a network with real money where the endpoint \
              is public",
        judge: networks,
    },
    Check {
        name: "timeout",
        why: "the payment has to be settled within this time: too short a time expires under way, too long a one \
              stays open",
        advice: "set maxTimeoutSeconds between 30 and 3600; 60 to 300 suits most endpoints",
        judge: timeout,
    },
    Check {
        name: "token-domain",
        why: "clients sign with extra.name and extra.version: if they are not the token's own, every settlement \
              fails",
        advice: "set extra.name and extra.version to the token's EIP-712 domain: \"USD Coin\" on Base, \"USDC\" \
              on Base Sepolia, version \"2\"",
        judge: token_domain,
    },
    Check {
        name: "client-caps",
        why: "stock clients pay unasked only the usual tokens, and only so much: others have to be configured \
              for this endpoint",
        advice: "offer `exact` in a default token, such as USDC, first, and at most 1.00 USD (0.10 for clients \
              of version 1); else tell your payers what to set",
        judge: client_caps,
    },
];

fn amounts(facts: &ChallengeFacts) -> Verdict {
    let mut failures = Vec::new();
    let mut warnings = Vec::new();
    let mut seen = Vec::new();
    for entry in facts.entries() {
        let Some(text) = entry.amount() else { continue };
        let name = format!("{}.{}", entry.name(), entry.amount_key());
        match Amount::parse_atomic(text) {
            Err(_) => failures.push(format!("{name} is {text:?}, which is no number of atomic units")),
            Ok(Amount(U256::ZERO)) => failures.push(format!("{name} is 0")),
            Ok(amount) => {
                let asset = entry.known_asset();
                let is_large = asset.as_ref().is_some_and(|asset| asset.dollar) && amount.0 >= U256::from(IMPLAUSIBLE);
                let shown = match &asset {
                    Some(asset) => format!("{} {}", amount.decimal(asset.decimals), asset.symbol),
                    None => format!("{amount} atomic units"),
                };
                if is_large {
                    warnings.push(format!("{name} is {shown}: are these units meant?"));
                }
                seen.push(shown);
            }
        }
    }
    if failures.is_empty() && seen.is_empty() {
        return Verdict::skipped("no entry has an amount");
    }
    Verdict::of(failures, warnings, seen.join(", "))
}

fn addresses(facts: &ChallengeFacts) -> Verdict {
    let mut failures = Vec::new();
    let mut warnings = Vec::new();
    let mut count = 0;
    for entry in facts.entries() {
        let is_evm = entry.text("network").is_some_and(|network| network.starts_with("eip155:") || entry.version == 1);
        for key in ["payTo", "asset"] {
            let Some(text) = entry.text(key).filter(|text| !text.is_empty()) else { continue };
            let name = format!("{}.{key}", entry.name());
            count += 1;
            if !is_evm {
                if text.chars().any(|c| !c.is_ascii_graphic()) {
                    failures.push(format!("{name} is {text:?}, which is no address"));
                }
                continue;
            }
            match text.parse::<Address>() {
                Err(_) => failures.push(format!("{name} is {text:?}, which is no address of an EVM chain")),
                Ok(Address::ZERO) => failures.push(format!("{name} is the zero address")),
                Ok(address) => match Address::parse_checksummed(text, None) {
                    Ok(_) => {}
                    Err(_)
                        if text[2..].bytes().any(|b| b.is_ascii_uppercase())
                            && text.bytes().any(|b| b.is_ascii_lowercase() && b != b'x') =>
                    {
                        failures.push(format!("{name} has a wrong checksum: is {address} meant?"));
                    }
                    Err(_) => warnings.push(format!("{name} has no checksum: write {address}")),
                },
            }
        }
        if let (Some(pay_to), Some(asset)) = (entry.text("payTo"), entry.text("asset"))
            && pay_to.eq_ignore_ascii_case(asset)
        {
            failures.push(format!("{}.payTo is the token's contract", entry.name()));
        }
    }
    if count == 0 {
        Verdict::skipped("no entry has an address")
    } else {
        Verdict::of(failures, warnings, "all are valid")
    }
}

fn networks(facts: &ChallengeFacts) -> Verdict {
    let mut failures = Vec::new();
    let mut warnings = Vec::new();
    let mut seen = Vec::new();
    for entry in facts.entries() {
        let Some(text) = entry.text("network") else { continue };
        match entry.network() {
            Some(network) => seen.push(network),
            None => failures.push(format!("{}.network is {text:?}, which is no CAIP-2 identifier", entry.name())),
        }
        if entry.version == 2 && entry.network().is_none() && Network::parse_v1(text).is_ok() {
            failures.push(format!("{text} is a name of version 1"));
        }
    }
    if failures.is_empty() && seen.is_empty() {
        return Verdict::skipped("no entry has a network");
    }
    let is_public = facts.called.as_ref().is_some_and(|url| Reach::of(url) == Reach::Public);
    let is_test = |network: &Network| Asset::known(network, None).is_some_and(|asset| asset.testnet);
    if is_public && !seen.is_empty() && seen.iter().all(is_test) {
        warnings.push("only test networks are offered, whose money is worth nothing".to_owned());
    } else if is_public && !seen.iter().any(|network| OF_DIRECTORIES.contains(&network.as_str())) {
        warnings.push("neither Base nor Solana is offered, which directories ask for".to_owned());
    }
    seen.dedup();
    let shown = seen.iter().map(Network::to_string).collect::<Vec<_>>().join(", ");
    Verdict::of(failures, warnings, shown)
}

fn timeout(facts: &ChallengeFacts) -> Verdict {
    let entries = facts.entries();
    let seconds = entries.iter().filter_map(|entry| entry.object.get("maxTimeoutSeconds")?.as_u64());
    let (Some(least), Some(most)) = (seconds.clone().min(), seconds.max()) else {
        return Verdict::skipped("no entry has maxTimeoutSeconds");
    };
    if least < SHORT {
        Verdict::warning(format!("maxTimeoutSeconds is {least}: a settlement may take longer"))
    } else if most > LONG {
        Verdict::warning(format!("maxTimeoutSeconds is {most}: wallets sign for an hour at most"))
    } else {
        Verdict::ok(format!("{least} s"))
    }
}

fn token_domain(facts: &ChallengeFacts) -> Verdict {
    let mut failures = Vec::new();
    let mut unknown = Vec::new();
    let mut seen = Vec::new();
    for entry in facts.entries().iter().filter(|entry| entry.is_eip3009()) {
        let (Some(name), Some(version)) = (entry.extra("name"), entry.extra("version")) else {
            failures.push(format!("{}.extra has no name and version", entry.name()));
            continue;
        };
        match entry.known_asset().and_then(|asset| asset.eip712) {
            Some(domain) if domain.name == name && domain.version == version => {
                seen.push(format!("{name:?} {version}"))
            }
            Some(domain) => failures.push(format!(
                "{}.extra is {name:?} version {version:?}, and the token's domain is {:?} version {:?}",
                entry.name(),
                domain.name,
                domain.version
            )),
            None => unknown.push(format!("{name:?} {version}, of a token that is not known here")),
        }
    }
    match (failures.is_empty(), seen.is_empty(), unknown.is_empty()) {
        (true, true, true) => Verdict::skipped("no entry is a transfer by EIP-3009"),
        (true, true, false) => Verdict::skipped(format!("{}: --rpc asks the chain", unknown.join(", "))),
        _ => Verdict::of(failures, Vec::new(), seen.join(", ")),
    }
}

fn client_caps(facts: &ChallengeFacts) -> Verdict {
    let entries = facts.entries();
    // The first that a client supports is the one that it pays.
    let Some(first) = entries.iter().find(|entry| entry.is_eip3009() || entry.text("scheme") == Some("exact")) else {
        let schemes: Vec<_> = entries.iter().filter_map(|entry| entry.text("scheme")).collect();
        return match schemes.is_empty() {
            true => Verdict::skipped("no entry has a scheme"),
            false => Verdict::warning(format!("no entry has the scheme `exact`, but {}", schemes.join(", "))),
        };
    };
    let mut warnings = Vec::new();
    let mut seen = Vec::new();
    let v1 = facts.entries_of(1);
    let capped = std::iter::once((first, CAP)).chain(v1.iter().map(|entry| (entry, CAP_V1)));
    for (entry, cap) in capped {
        match above_cap(entry, cap) {
            Ok(shown) => seen.push(shown),
            Err(Some(warning)) => warnings.push(warning),
            Err(None) => {}
        }
    }
    if warnings.is_empty() && seen.is_empty() {
        return Verdict::skipped("no entry is in a token that is known here");
    }
    seen.dedup();
    Verdict::of(Vec::new(), warnings, seen.join(", "))
}

/// Compares a price with what clients of the entry's version pay unasked. `Err(None)`: it cannot be told.
fn above_cap(entry: &Entry<'_>, cap: u64) -> Result<String, Option<String>> {
    let network = entry.network().filter(|network| network.chain_id().is_some()).ok_or(None)?;
    let Some(asset) = entry.known_asset() else {
        let text = entry.text("asset").ok_or(None)?;
        return Err(Some(format!("{}.asset {text} is no default token of {network}", entry.name())));
    };
    let amount = Amount::parse_atomic(entry.amount().ok_or(None)?).map_err(|_| None)?;
    let shown = format!("{} {}", amount.decimal(asset.decimals), asset.symbol);
    if amount.0 > U256::from(cap) {
        let cap = Amount(U256::from(cap)).decimal(DECIMALS);
        return Err(Some(format!(
            "{shown} is more than the {cap} that stock clients of version {} pay unasked",
            entry.version
        )));
    }
    Ok(format!("{shown} is paid unasked"))
}
