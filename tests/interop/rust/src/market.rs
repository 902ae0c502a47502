//! What is bought and where: the contract that `coinslot dev` writes, and the orders that all clients share.

use std::fs;

use alloy_primitives::Address;
use serde::Deserialize;
use serde_json::Value;

/// Whatever ended the purchase; a program for tests only shows it.
pub type Problem = Box<dyn std::error::Error>;

/// An error with `message` unless `holds`.
pub fn check(holds: bool, message: impl FnOnce() -> String) -> Result<(), Problem> {
    if holds { Ok(()) } else { Err(message().into()) }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Contract {
    url: String,
    rpc: String,
    asset: Address,
    pay_to: Address,
    payers: Vec<Payer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Payer {
    pub address: Address,
    pub private_key: String,
}

/// One purchase. `price` is in atomic units; an answer has the media type `kind` and contains every string.
#[derive(Deserialize)]
pub struct Order {
    plugin: String,
    pub method: String,
    pub path: String,
    pub body: Option<Value>,
    pub text: Option<String>,
    pub price: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub contains: Vec<String>,
}

pub struct Market {
    pub url: String,
    pub rpc: String,
    pub asset: Address,
    pub pay_to: Address,
    pub payer: Payer,
    pub orders: Vec<Order>,
}

impl Market {
    /// Reads the files that the command line names. At least one order is left.
    pub fn open(arguments: impl Iterator<Item = String>) -> Result<Self, Problem> {
        let (mut contract, mut orders) = (".coinslot/dev.json".to_owned(), "orders.json".to_owned());
        let (mut plugins, mut payer) = (Vec::new(), 0);
        let mut arguments = arguments;
        while let Some(option) = arguments.next() {
            let value = arguments.next().ok_or_else(|| format!("{option} needs a value"))?;
            match option.as_str() {
                "--market" => contract = value,
                "--orders" => orders = value,
                "--plugin" => plugins.push(value),
                "--payer" => payer = value.parse()?,
                _ => return Err(format!("unknown option {option}").into()),
            }
        }
        let mut contract: Contract = serde_json::from_str(&fs::read_to_string(&contract)?)?;
        check(payer < contract.payers.len(), || format!("there is no payer {payer}"))?;
        let mut orders: Vec<Order> = serde_json::from_str(&fs::read_to_string(orders)?)?;
        orders.retain(|order| plugins.is_empty() || plugins.contains(&order.plugin));
        check(!orders.is_empty(), || format!("there are no orders of {}", plugins.join(", ")))?;
        Ok(Self {
            url: contract.url,
            rpc: contract.rpc,
            asset: contract.asset,
            pay_to: contract.pay_to,
            payer: contract.payers.swap_remove(payer),
            orders,
        })
    }
}
