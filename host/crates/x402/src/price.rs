//! What an endpoint costs, in atomic units of named assets: never a float, never rounded.
//!
//! `Amount` counts, `Asset` names the token, `Price` says how much of it goes to whom, `Offer` is
//! the non-empty list of prices that one payment may choose from. No I/O.

mod accept;
mod amount;
mod asset;
mod challenge;
mod receiver;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::{Flow, Object, Version, Versions, exact, v1, v2};

pub use accept::Accept;
pub use amount::{Amount, AmountError, Decimal};
pub use asset::{Asset, Eip712};
pub use challenge::{Challenge, Resource, TooLarge, extensions};
pub use receiver::{ReceiverError, evm_receiver};

/// An amount of an asset, to a receiver, payable for so long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    pub amount: Amount,
    pub asset: Arc<Asset>,
    /// Checksummed address of the receiver, see [`evm_receiver`].
    pub pay_to: Arc<str>,
    /// `maxTimeoutSeconds`.
    pub max_timeout_seconds: u64,
    /// `extra.paymentFlow`, which is written only if it is not `authorization`.
    pub flow: Flow,
    /// `extra.quote`: our proof that this amount was quoted for one request.
    pub quote: Option<Arc<str>>,
    /// What whoever settles it understands.
    pub versions: Versions,
}

/// The ways to pay for one thing, the preferred first. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    prices: Vec<Price>,
}

impl Price {
    /// Whether it can be paid in this version.
    pub fn takes(&self, version: Version) -> bool {
        self.versions.contains(version) && self.asset.network.is_named_in(version)
    }

    /// One entry of `accepts` in version 2, scheme `exact`.
    pub fn requirements(&self) -> v2::PaymentRequirements {
        v2::PaymentRequirements {
            scheme: exact::SCHEME.to_owned(),
            network: self.asset.network.clone(),
            amount: self.amount.to_string(),
            asset: self.asset.address.clone(),
            pay_to: self.pay_to.to_string(),
            max_timeout_seconds: self.max_timeout_seconds,
            extra: self.extra(),
        }
    }

    /// One entry of `accepts` in version 1, if it can be paid so.
    pub fn requirements_v1(
        &self,
        resource: &str,
        description: &str,
        mime_type: &str,
    ) -> Option<v1::PaymentRequirements> {
        if !self.takes(Version::V1) {
            return None;
        }
        let extra = self.extra();
        Some(v1::PaymentRequirements {
            scheme: exact::SCHEME.to_owned(),
            network: self.asset.network.v1_name()?.to_owned(),
            max_amount_required: self.amount.to_string(),
            resource: resource.to_owned(),
            description: description.to_owned(),
            mime_type: mime_type.to_owned(),
            output_schema: None,
            pay_to: self.pay_to.to_string(),
            max_timeout_seconds: self.max_timeout_seconds,
            asset: self.asset.address.clone(),
            extra: (!extra.is_empty()).then_some(extra),
        })
    }

    /// The token's EIP-712 domain: what every client needs to sign, under the keys it looks for.
    fn extra(&self) -> Object {
        let mut extra = Object::new();
        if let Some(domain) = &self.asset.eip712 {
            extra.insert("name".to_owned(), domain.name.as_str().into());
            extra.insert("version".to_owned(), domain.version.as_str().into());
        }
        if let Some(quote) = &self.quote {
            extra.insert("quote".to_owned(), quote.as_ref().into());
        }
        if self.flow != Flow::Authorization {
            extra.insert("paymentFlow".to_owned(), self.flow.as_str().into());
        }
        extra
    }
}

impl Offer {
    /// None if there is no price, if one is zero, or if two prices share a network and an asset.
    pub fn new(prices: Vec<Price>) -> Option<Self> {
        let sellable = |index: usize, price: &Price| {
            !price.amount.0.is_zero()
                && prices[..index].iter().all(|earlier| !earlier.asset.is_same_token(&price.asset))
        };
        let all = prices.iter().enumerate().all(|(i, p)| sellable(i, p));
        (all && !prices.is_empty()).then_some(Self { prices })
    }

    /// The same ways to pay, each price changed in anything but its asset and its being above zero.
    pub fn map(&self, change: impl FnMut(&Price) -> Price) -> Self {
        Self { prices: self.prices.iter().map(change).collect() }
    }

    /// The prices, at least one.
    pub fn prices(&self) -> &[Price] {
        &self.prices
    }

    /// Those that can be paid in this version.
    pub fn payable(&self, version: Version) -> impl Iterator<Item = &Price> {
        self.prices.iter().filter(move |price| price.takes(version))
    }

    /// Whether any can be paid in this version.
    pub fn takes(&self, version: Version) -> bool {
        self.payable(version).next().is_some()
    }

    /// `accepts` of version 2, the preferred first; empty if nothing can be paid so.
    pub fn requirements(&self) -> Vec<v2::PaymentRequirements> {
        self.payable(Version::V2).map(Price::requirements).collect()
    }

    /// `accepts` of version 1; empty if nothing can be paid so. One entry for each
    /// network, the preferred: version 1 payments name the network alone, so a second entry could
    /// never be told from the first.
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
