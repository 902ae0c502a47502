//! Reads `dev.json` of a running host, and the orders that all clients share.

use std::fs;

use alloy_primitives::Address;
use serde::Deserialize;
use serde_json::Value;

/// The reason why a purchase failed, for printing.
pub(crate) type Problem = Box<dyn std::error::Error>;

/// Returns an error with `message` unless `holds`.
pub(crate) fn check(holds: bool, message: impl FnOnce() -> String) -> Result<(), Problem> {
    if holds { Ok(()) } else { Err(message().into()) }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DevJson {
    url: String,
    rpc: String,
    asset: Address,
    pay_to: Address,
    payers: Vec<Payer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Payer {
    pub(crate) address: Address,
    pub(crate) private_key: String,
}

/// One purchase. `price` is in atomic units; an answer has the media type `kind` and contains every string.
#[derive(Deserialize)]
pub(crate) struct Order {
    plugin: String,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) body: Option<Value>,
    pub(crate) text: Option<String>,
    pub(crate) price: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) contains: Vec<String>,
}

pub(crate) struct Host {
    pub(crate) url: String,
    pub(crate) rpc: String,
    pub(crate) asset: Address,
    pub(crate) pay_to: Address,
    pub(crate) payer: Payer,
    pub(crate) orders: Vec<Order>,
}

impl Host {
    /// Reads the files that the command line names, and selects at least one order.
    pub(crate) fn open(arguments: impl Iterator<Item = String>) -> Result<Self, Problem> {
        let (mut file, mut orders) = (".coinslot/dev.json".to_owned(), "orders.json".to_owned());
        let (mut plugins, mut payer) = (Vec::new(), 0);
        let mut arguments = arguments;
        while let Some(option) = arguments.next() {
            let value = arguments.next().ok_or_else(|| format!("{option} needs a value"))?;
            match option.as_str() {
                "--dev-json" => file = value,
                "--orders" => orders = value,
                "--plugin" => plugins.push(value),
                "--payer" => payer = value.parse()?,
                _ => return Err(format!("unknown option {option}").into()),
            }
        }
        let mut dev_json: DevJson = serde_json::from_str(&fs::read_to_string(&file)?)?;
        check(payer < dev_json.payers.len(), || format!("there is no payer {payer}"))?;
        let mut orders: Vec<Order> = serde_json::from_str(&fs::read_to_string(orders)?)?;
        orders.retain(|order| plugins.is_empty() || plugins.contains(&order.plugin));
        check(!orders.is_empty(), || format!("there are no orders for {}", plugins.join(", ")))?;
        Ok(Self {
            url: dev_json.url,
            rpc: dev_json.rpc,
            asset: dev_json.asset,
            pay_to: dev_json.pay_to,
            payer: dev_json.payers.swap_remove(payer),
            orders,
        })
    }
}
