//! Shows the prices of an endpoint: those of its offer, or those of the challenge that a request got.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use coinslot_x402::price::{Amount, Price};
use coinslot_x402::v2;
use http::HeaderValue;
use maud::{Markup, html};
use serde_json::{Value, json};

use super::frame::cut;
use super::networks;
use crate::endpoint::{Access, PaidAccess};
use crate::explorer;

/// The prices that a page shows, the preferred first. None of them: the endpoint is free.
#[derive(Clone, Debug)]
pub(in crate::discover) struct PricesOf {
    prices: Vec<ShownPrice>,
    /// Each is the most that a request can cost: the exact price depends on the request.
    pub(super) at_most: bool,
}

/// One price, in one asset on one network.
#[derive(Clone, Debug)]
struct ShownPrice {
    price: Price,
    amount: Amount,
    pay_to: String,
}

impl PricesOf {
    /// The declared prices.
    pub(in crate::discover) fn declared(access: &Access) -> Self {
        let Access::Paid(paid) = access else { return Self { prices: Vec::new(), at_most: false } };
        let shown =
            |price: &Price| ShownPrice { price: price.clone(), amount: price.amount, pay_to: price.pay_to.to_string() };
        Self { prices: paid.offer.prices().iter().map(shown).collect(), at_most: paid.quoted }
    }

    /// The prices of the challenge in this `PAYMENT-REQUIRED`, in assets of the endpoint's offer. None: it cannot be
    /// read, or has none of them.
    pub(in crate::discover) fn asked(header: &HeaderValue, paid: &PaidAccess) -> Option<Self> {
        let json = BASE64_STANDARD.decode(header.as_bytes()).ok()?;
        let required: v2::PaymentRequired = serde_json::from_slice(&json).ok()?;
        let shown = |entry: &v2::PaymentRequirements| {
            let is_meant = |price: &&Price| {
                price.asset.network == entry.network && price.asset.address.eq_ignore_ascii_case(&entry.asset)
            };
            let price = paid.offer.prices().iter().find(is_meant)?.clone();
            let amount = Amount::parse_atomic(&entry.amount).ok()?;
            Some(ShownPrice { price, amount, pay_to: entry.pay_to.clone() })
        };
        let prices: Vec<ShownPrice> = required.accepts.iter().filter_map(shown).collect();
        (!prices.is_empty()).then_some(Self { prices, at_most: false })
    }

    /// True if a request costs something.
    pub(super) fn is_paid(&self) -> bool {
        !self.prices.is_empty()
    }

    /// True if no price is money.
    pub(super) fn is_test(&self) -> bool {
        self.is_paid() && self.prices.iter().all(|shown| shown.price.asset.testnet)
    }

    /// The preferred price: `0.01 USDC`, `up to 0.50 USDC`, `Free`.
    pub(super) fn short(&self) -> String {
        match self.prices.first() {
            None => "Free".to_owned(),
            Some(first) if self.at_most => format!("up to {}", first.text()),
            Some(first) => first.text(),
        }
    }

    /// The names of the networks that are paid on, each once.
    pub(super) fn networks(&self) -> String {
        let mut names: Vec<String> = Vec::new();
        for shown in &self.prices {
            let name = networks::name(&shown.price.asset.network);
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names.join(", ")
    }

    /// The way or the ways to pay, as a table of facts or as a choice. `in_explorers`: the chains are public.
    pub(super) fn choice(&self, in_explorers: bool) -> Markup {
        html! {
            @if let [one] = &self.prices[..] { (one.facts(0, in_explorers)) }
            @else {
                fieldset.ways {
                    legend { "Pay with" }
                    @for (index, shown) in self.prices.iter().enumerate() {
                        label.way {
                            input type="radio" name="price" value=(index) checked[index == 0];
                            span {
                                strong data-amount=(index) { (shown.text()) } " on " (shown.network())
                                @if shown.price.asset.testnet { " " (test_mark()) }
                            }
                        }
                    }
                }
                @for (index, shown) in self.prices.iter().enumerate() {
                    details.more {
                        summary { "Details of " (shown.text()) " on " (shown.network()) }
                        (shown.facts(index, in_explorers))
                    }
                }
            }
        }
    }

    /// The prices for the script of the page.
    pub(super) fn data(&self) -> Value {
        let entry = |shown: &ShownPrice| {
            let asset = &shown.price.asset;
            // The page of a transaction at an explorer is this, with its hash.
            let transactions = explorer::link(asset.network.as_str(), "tx", "0");
            json!({
                "network": asset.network,
                "chainId": asset.network.chain_id(),
                "networkName": networks::name(&asset.network),
                "asset": asset.address,
                "symbol": asset.symbol,
                "decimals": asset.decimals,
                "amount": shown.amount.to_string(),
                "payTo": shown.pay_to,
                "isTest": asset.testnet,
                "explorer": transactions.map(|link| link.trim_end_matches('0').to_owned()),
                "toAdd": networks::to_add(&asset.network),
            })
        };
        self.prices.iter().map(entry).collect()
    }
}

impl ShownPrice {
    fn text(&self) -> String {
        format!("{} {}", self.amount.decimal(self.price.asset.decimals), cut(&self.price.asset.symbol, 20))
    }

    fn network(&self) -> String {
        networks::name(&self.price.asset.network)
    }

    fn facts(&self, index: usize, in_explorers: bool) -> Markup {
        let asset = &self.price.asset;
        let network = in_explorers.then_some(asset.network.as_str());
        html! {
            dl.facts {
                div { dt { "Amount" } dd { span data-amount=(index) { (self.text()) } } }
                div { dt { "Network" } dd { (self.network()) " " span.quiet { "(" (asset.network) ")" } } }
                div { dt { "Token" } dd { (cut(&asset.symbol, 20)) " " (address(network, &asset.address)) } }
                div { dt { "Receiver" } dd { span data-receiver=(index) { (address(network, &self.pay_to)) } } }
            }
        }
    }
}

/// The mark of what is no money.
pub(super) fn test_mark() -> Markup {
    html! { span.mark { "test network, not money" } }
}

/// An address, with a link to an explorer where there is one.
fn address(network: Option<&str>, text: &str) -> Markup {
    let text = cut(text, 100);
    html! {
        @match network.and_then(|network| explorer::link(network, "address", &text)) {
            Some(href) => a href=(href) rel="noreferrer noopener" { code { (text) } },
            None => code { (text) },
        }
    }
}
