//! Reads `[[accept]]`: an asset that is taken, its receiver, and the facilitators that settle it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use coinslot_x402::price::{Accept, Amount, Asset, Decimal, Eip712, evm_receiver};
use coinslot_x402::{Network, Versions};

use super::reader::Section;
use super::settlement::AcceptConfig;
use super::values::{AmountText, OneOrMore};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// The time for which a signed payment may be valid, unless the entry says otherwise.
pub(super) const DEFAULT_MAX_TIMEOUT: Duration = Duration::from_secs(300);
/// The most that may be claimed and not settled, in units of the asset, unless the entry says otherwise.
pub(super) const DEFAULT_MAX_UNSETTLED: &str = "100";
/// The time that a payment has for its settlement after the slowest plugin has answered.
const SETTLEMENT: Duration = Duration::from_secs(30);

/// Reads one entry. None if something is wrong with it, which is reported.
///
/// `slowest` is the longest time that a plugin may take to begin its answer: a payment has to outlive it.
pub(super) fn read(
    mut section: Section<'_, '_>,
    facilitators: &BTreeSet<String>,
    slowest: Duration,
) -> Option<AcceptConfig> {
    let network = network(&mut section);
    let asset = asset(&mut section, network.as_ref());
    let pay_to = receiver(&mut section, asset.as_ref());
    let max_unsettled = max_unsettled(&mut section, asset.as_ref());
    let max_timeout_seconds = max_timeout(&mut section, slowest);
    let facilitators = names(&mut section, facilitators);
    let accept = Accept {
        asset: Arc::new(asset?),
        pay_to: pay_to?.into(),
        max_timeout_seconds,
        max_unsettled: max_unsettled?,
        versions: Versions::Both,
    };
    Some(AcceptConfig { accept, facilitators })
}

fn network(section: &mut Section<'_, '_>) -> Option<Network> {
    let text: String = section.required("network", "name the chain, such as \"base\" or \"eip155:8453\"")?;
    match Network::parse_name(&text) {
        Ok(network) if network.chain_id().is_some() => Some(network),
        Ok(network) => {
            section.key_problem(
                "network",
                format!("{network} is not an EVM network; this version settles on eip155 networks"),
            );
            None
        }
        Err(error) => {
            section.key_problem("network", error);
            None
        }
    }
}

/// A symbol of the table, or a contract with everything that the table would say of it.
fn asset(section: &mut Section<'_, '_>, network: Option<&Network>) -> Option<Asset> {
    let name = section.read::<String>("asset").unwrap_or_else(|| "USDC".to_owned());
    let described = (
        section.read::<u64>("decimals"),
        section.read::<String>("eip712_name"),
        section.read::<String>("eip712_version"),
    );
    let (symbol, usd) = (section.read::<String>("symbol"), section.read::<bool>("usd"));
    let network = network?;
    if !name.starts_with("0x") {
        if described != (None, None, None) || symbol.is_some() || usd.is_some() {
            section.problem(
                "decimals, eip712_name, eip712_version, symbol and usd describe an asset that is named by its contract",
            );
            return None;
        }
        let known = Asset::known(network, Some(&name));
        if known.is_none() {
            section.key_problem(
                "asset",
                format!(
                    "no `{name}` is known on {network}: name the contract, with decimals, eip712_name and eip712_version"
                ),
            );
        }
        return known;
    }
    let address = evm_receiver(&name).map_err(|error| section.key_problem("asset", error)).ok()?;
    let (decimals, name, version) = described;
    match (decimals.and_then(|decimals| u8::try_from(decimals).ok()), name, version) {
        (Some(decimals @ 0..=36), Some(name), Some(version)) => Some(Asset {
            network: network.clone(),
            dollar: usd.unwrap_or_else(|| Asset::at(network, &address).is_some()),
            address,
            symbol: symbol.unwrap_or_else(|| name.clone()).to_ascii_uppercase(),
            decimals,
            eip712: Some(Eip712 { name, version }),
            testnet: Asset::known(network, None).is_none_or(|known| known.testnet),
        }),
        _ => {
            section.key_problem(
                "asset",
                "an asset named by its contract needs decimals (at most 36), eip712_name and eip712_version",
            );
            None
        }
    }
}

fn receiver(section: &mut Section<'_, '_>, asset: Option<&Asset>) -> Option<String> {
    let text: String = section.required("pay_to", "name the address that receives the money")?;
    let pay_to = evm_receiver(&text).map_err(|error| section.key_problem("pay_to", error)).ok()?;
    if asset.is_some_and(|asset| asset.address.eq_ignore_ascii_case(&pay_to)) {
        section
            .key_problem("pay_to", "this is the contract of the asset, and nobody could take out what is paid to it");
    }
    Some(pay_to)
}

fn max_unsettled(section: &mut Section<'_, '_>, asset: Option<&Asset>) -> Option<Amount> {
    let AmountText(text) = match section.field("max_unsettled") {
        Some(field) => field.read()?,
        None => AmountText(DEFAULT_MAX_UNSETTLED.to_owned()),
    };
    let asset = asset?;
    let amount = Decimal::parse(&text).and_then(|decimal| Amount::of(&decimal, asset));
    amount.map_err(|error| section.key_problem("max_unsettled", error)).ok()
}

/// In whole seconds, because the protocol counts them.
fn max_timeout(section: &mut Section<'_, '_>, slowest: Duration) -> u64 {
    let timeout = section.within("max_timeout", MINUTE..=DAY, DEFAULT_MAX_TIMEOUT);
    if timeout.subsec_nanos() != 0 {
        section.key_problem("max_timeout", "write whole seconds: x402 counts in them");
    }
    if timeout < slowest + SETTLEMENT {
        section.key_problem("max_timeout", "at least every plugin's first_byte_timeout and 30 seconds");
    }
    timeout.as_secs()
}

/// The facilitators that settle it; the only one if none is named.
fn names(section: &mut Section<'_, '_>, facilitators: &BTreeSet<String>) -> Vec<String> {
    let named = match section.field("facilitator") {
        Some(field) => field.read().map(|OneOrMore(names)| names),
        None => match facilitators.len() {
            1 => Some(facilitators.iter().cloned().collect()),
            0 => {
                section.problem("there is no [facilitator.NAME] to settle it");
                None
            }
            _ => {
                section.key_problem("facilitator", "there are several: name one, or a list with the preferred first");
                None
            }
        },
    };
    let Some(names) = named else { return Vec::new() };
    if names.is_empty() {
        section.key_problem("facilitator", "the list is empty");
    }
    for (index, name) in names.iter().enumerate() {
        if !facilitators.contains(name) {
            section.key_problem("facilitator", no_facilitator(name, facilitators));
        }
        if names[..index].contains(name) {
            section.key_problem("facilitator", format!("{name} is named twice"));
        }
    }
    names
}

fn no_facilitator(name: &str, facilitators: &BTreeSet<String>) -> String {
    let known: Vec<&str> = facilitators.iter().map(String::as_str).collect();
    match known.is_empty() {
        true => format!("there is no [facilitator.{name}]"),
        false => format!("there is no [facilitator.{name}]; there is {}", known.join(", ")),
    }
}
