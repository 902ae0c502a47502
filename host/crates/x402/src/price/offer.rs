//! The prices that one payment may choose from.

use super::Price;
use crate::{Version, v1, v2};

/// The prices of one thing, the preferred first. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    prices: Vec<Price>,
}

impl Offer {
    /// `None` if there is no price, if one is zero, or if two prices share a network and an asset.
    pub fn new(prices: Vec<Price>) -> Option<Self> {
        let sellable = |index: usize, price: &Price| {
            !price.amount.0.is_zero()
                && prices[..index].iter().all(|earlier| !earlier.asset.is_same_token(&price.asset))
        };
        let all = prices.iter().enumerate().all(|(i, p)| sellable(i, p));
        (all && !prices.is_empty()).then_some(Self { prices })
    }

    /// Changes each price. `change` must keep its asset, and keep its amount above zero.
    pub fn map(&self, change: impl FnMut(&Price) -> Price) -> Self {
        Self { prices: self.prices.iter().map(change).collect() }
    }

    /// The prices, at least one.
    pub fn prices(&self) -> &[Price] {
        &self.prices
    }

    /// The prices that can be paid in this version.
    pub fn payable(&self, version: Version) -> impl Iterator<Item = &Price> {
        self.prices.iter().filter(move |price| price.takes(version))
    }

    /// True if any price can be paid in this version.
    pub fn takes(&self, version: Version) -> bool {
        self.payable(version).next().is_some()
    }

    /// `accepts` of version 2, the preferred first; empty if nothing can be paid in it.
    pub fn requirements(&self) -> Vec<v2::PaymentRequirements> {
        self.payable(Version::V2).map(Price::requirements).collect()
    }

    /// `accepts` of version 1; empty if nothing can be paid in it. One entry for each network, the preferred: payments
    /// of version 1 name the network alone, so a second entry could not be told from the first.
    pub fn requirements_v1(&self, resource: &str, description: &str, mime_type: &str) -> Vec<v1::PaymentRequirements> {
        let mut entries: Vec<v1::PaymentRequirements> = Vec::new();
        for price in &self.prices {
            let entry = price.requirements_v1(resource, description, mime_type);
            if let Some(entry) = entry
                && entries.iter().all(|other| other.network != entry.network)
            {
                entries.push(entry);
            }
        }
        entries
    }
}
