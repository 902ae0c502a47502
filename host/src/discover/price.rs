//! Writes the prices of an endpoint, as documents have them.

use coinslot_x402::exact;
use coinslot_x402::price::Price;
use coinslot_x402::{Flow, Version};
use serde_json::{Value, json};

use crate::endpoint::{Access, PaidAccess};

/// The consequence of a failure for the payer, as every document says it.
pub(super) const FAILED_REQUESTS: &str = "A request that fails is not charged, but where the price says `paid first`: then the \
same request with the same payment fetches the answer that is owed.";

/// The way to the exact price where each request has its own.
const HOW_TO_ASK: &str = "send the request without a payment: the 402 has the exact price of this very request";

/// The price in each asset: the entries of a challenge with what a reader needs to show them. For a quoted price they say
/// the most that a request can cost.
pub(super) fn catalog(access: &Access) -> Value {
    let Access::Paid(paid) = access else { return json!({ "kind": "free" }) };
    let options: Vec<Value> = paid.offer.prices().iter().map(option).collect();
    if paid.quoted {
        json!({ "kind": "quoted", "atMost": options, "exact": HOW_TO_ASK })
    } else {
        json!({ "kind": "exact", "options": options })
    }
}

fn option(price: &Price) -> Value {
    let asset = &price.asset;
    let versions: Vec<u64> =
        [Version::V1, Version::V2].into_iter().filter(|version| price.takes(*version)).map(Version::number).collect();
    json!({
        "scheme": exact::SCHEME,
        "network": asset.network,
        "asset": asset.address,
        "symbol": asset.symbol,
        "decimals": asset.decimals,
        "amount": price.amount.to_string(),
        "decimal": price.amount.decimal(asset.decimals),
        "payTo": price.pay_to.as_ref(),
        "usd": asset.dollar,
        "testnet": asset.testnet,
        "x402Versions": versions,
    })
}

/// `x-payment-info` of OpenAPI. The price is in US dollars if an asset is one. Directories take no other names there than
/// those of currencies, so a price in another token stands in `x-prices` alone.
pub(super) fn payment_info(paid: &PaidAccess) -> Value {
    let mut info = json!({ "protocols": [{ "x402": {} }] });
    if let Some(price) = paid.offer.prices().iter().find(|price| price.asset.dollar) {
        let amount = price.amount.decimal(price.asset.decimals);
        info["price"] = if paid.quoted {
            json!({ "mode": "dynamic", "currency": "USD", "min": "0", "max": amount })
        } else {
            json!({ "mode": "fixed", "currency": "USD", "amount": amount })
        };
    }
    info
}

/// The preferred price and the others, for people: `0.01 USDC on eip155:8453, or 0.01 EURC on eip155:8453`, with `, paid
/// first` where the payment is settled before the plugin runs.
pub(super) fn sentence(access: &Access) -> String {
    let Access::Paid(paid) = access else { return "free".to_owned() };
    let most = if paid.quoted { "quoted for each request, at most " } else { "" };
    let prices = paid.offer.prices().iter().map(|price| {
        let asset = &price.asset;
        let worthless = if asset.testnet { " (test money)" } else { "" };
        format!("{} {} on {}{worthless}", price.amount.decimal(asset.decimals), asset.symbol, asset.network)
    });
    let first = if paid.flow == Flow::Upfront { ", paid first" } else { "" };
    format!("{most}{}{first}", prices.collect::<Vec<_>>().join(", or "))
}
