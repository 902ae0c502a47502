//! `[[accept]]`: what is taken, for whom, and who settles it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use super::facilitator::FacilitatorConfig;
use coinslot_x402::price::{Accept, Amount, Asset, Decimal, Eip712, evm_receiver};
use coinslot_x402::{Network, Versions};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAccept {
    network: String,
    #[serde(default = "usdc")]
    asset: String,
    decimals: Option<u8>,
    eip712_name: Option<String>,
    eip712_version: Option<String>,
    pay_to: String,
    #[serde(default = "max_timeout")]
    max_timeout_seconds: u64,
    #[serde(default = "max_unsettled")]
    max_unsettled: String,
    facilitator: Option<Names>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "the name of a facilitator, or a list of names with the preferred first")]
enum Names {
    One(String),
    Several(Vec<String>),
}

fn usdc() -> String {
    "USDC".to_owned()
}
fn max_timeout() -> u64 {
    300
}

fn max_unsettled() -> String {
    "100".to_owned()
}

/// One entry with the facilitators that it names, or every problem with it.
pub(super) fn accept(
    raw: RawAccept,
    facilitators: &BTreeMap<String, FacilitatorConfig>,
) -> Result<(Accept, Vec<String>), Vec<String>> {
    let mut problems = Vec::new();
    let network = Network::parse_v1(&raw.network).map_err(|error| problems.push(format!(".network: {error}"))).ok();
    if let Some(network) = &network
        && network.chain_id().is_none()
    {
        problems.push(format!(".network: {network} is not an EVM network; this version settles on eip155 networks"));
    }
    let pay_to = evm_receiver(&raw.pay_to).map_err(|error| problems.push(format!(".pay_to: {error}"))).ok();
    let asset =
        network.as_ref().and_then(|network| asset(network, &raw).map_err(|problem| problems.push(problem)).ok());
    if !(60..=86_400).contains(&raw.max_timeout_seconds) {
        problems.push(".max_timeout_seconds: from 60 to 86400".to_owned());
    }
    let by = match (&raw.facilitator, facilitators.len()) {
        (Some(Names::One(name)), _) => vec![name.clone()],
        (Some(Names::Several(names)), _) => names.clone(),
        (None, 1) => facilitators.keys().cloned().collect(),
        (None, 0) => {
            problems.push(": there is no [facilitator.NAME] to settle it".to_owned());
            Vec::new()
        }
        (None, _) => {
            problems.push(".facilitator: there are several: name one, or a list with the preferred first".to_owned());
            Vec::new()
        }
    };
    if let (Some(asset), Some(pay_to)) = (&asset, &pay_to)
        && asset.address.eq_ignore_ascii_case(pay_to)
    {
        problems.push(
            ".pay_to: this is the contract of the asset, and nobody could take out what is paid to it".to_owned(),
        );
    }
    let max_unsettled = asset.as_ref().and_then(|asset| {
        let amount = Decimal::parse(&raw.max_unsettled).and_then(|decimal| Amount::of(&decimal, asset));
        amount.map_err(|error| problems.push(format!(".max_unsettled: {error}"))).ok()
    });
    if raw.facilitator.is_some() && by.is_empty() {
        problems.push(".facilitator: the list is empty".to_owned());
    }
    for (index, name) in by.iter().enumerate() {
        if !facilitators.contains_key(name) {
            problems.push(format!(".facilitator: there is no [facilitator.{name}]"));
        }
        if by[..index].contains(name) {
            problems.push(format!(".facilitator: {name} is named twice"));
        }
    }
    match (asset, pay_to, max_unsettled) {
        (Some(asset), Some(pay_to), Some(max_unsettled)) if problems.is_empty() => Ok((
            Accept {
                asset: Arc::new(asset),
                pay_to: pay_to.into(),
                max_timeout_seconds: raw.max_timeout_seconds,
                max_unsettled,
                versions: Versions::Both,
            },
            by,
        )),
        _ => Err(problems),
    }
}

/// A symbol of the table, or a contract with everything that the table would say of it.
fn asset(network: &Network, raw: &RawAccept) -> Result<Asset, String> {
    if !raw.asset.starts_with("0x") {
        if raw.decimals.is_some() || raw.eip712_name.is_some() || raw.eip712_version.is_some() {
            return Err(
                ": decimals, eip712_name and eip712_version describe an asset that is named by its contract".to_owned()
            );
        }
        return Asset::known(network, Some(&raw.asset)).ok_or_else(|| {
            format!(
                ".asset: no `{}` is known on {network}: name the contract, with decimals, eip712_name and eip712_version",
                raw.asset
            )
        });
    }
    let address = evm_receiver(&raw.asset).map_err(|error| format!(".asset: {error}"))?;
    match (raw.decimals, &raw.eip712_name, &raw.eip712_version) {
        (Some(decimals), Some(name), Some(version)) if decimals <= 36 => Ok(Asset {
            network: network.clone(),
            address,
            symbol: name.to_ascii_uppercase(),
            decimals,
            eip712: Some(Eip712 { name: name.clone(), version: version.clone() }),
            testnet: Asset::known(network, None).is_none_or(|known| known.testnet),
        }),
        _ => Err(".asset: an asset named by its contract needs decimals (at most 36), eip712_name and eip712_version"
            .to_owned()),
    }
}
