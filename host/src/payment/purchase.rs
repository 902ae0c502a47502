//! One request to a paid endpoint, as the states of a payment see it.

use std::borrow::Cow;
use std::sync::Arc;

use coinslot_ledger::Fingerprint;
use coinslot_x402::Version;
use coinslot_x402::price::{Amount, Offer, Price};
use http::HeaderValue;

use super::{ClientAddress, RequestTrace};
use crate::allowance::PresentedKey;
use crate::endpoint::{Endpoint, PaidAccess};

/// One request to a paid endpoint, in the generation of its arrival.
#[derive(Clone, Debug)]
pub struct Purchase {
    /// The endpoint that the request matched.
    pub endpoint: Arc<Endpoint>,
    /// The endpoint's price and the texts of its challenges.
    pub access: Arc<PaidAccess>,
    /// The prices that one payment may choose from, see [`Pricing`].
    pub offer: Offer,
    /// The relation of the offer to this request's price.
    pub pricing: Pricing,
    /// Offers of earlier generations that are still in their time. Source: `host/docs/design.md`, rule 11.
    pub honoured: Vec<Offer>,
    /// The catalogue's generation.
    pub generation: u64,
    /// The path parameters of the request, in the order of the template.
    pub params: Vec<(String, String)>,
    /// The request's public URL, with its query.
    pub url: String,
    /// Set if the request has a query, which the prepared challenge does not name.
    pub has_query: bool,
    /// The client's address, behind trusted proxies.
    pub client: ClientAddress,
    /// The key of a customer that the request carries, whether it counts or not.
    pub key: Option<PresentedKey>,
    /// The proof of an account that the request carries, whether it counts or not.
    pub sign_in: Option<HeaderValue>,
    /// Takes the times of the request, if it is observed.
    pub trace: RequestTrace,
}

/// The relation of a purchase's offer to the price of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pricing {
    /// The offer is the price.
    Declared,
    /// The offer is the most that the request can cost; the plugin has not quoted it yet.
    AtMost,
    /// The plugin has quoted this request. A challenge seals the quote with this fingerprint of the request. None for
    /// an earlier quote that is honoured: it carries its own seal, with its own end.
    Quoted(Option<Fingerprint>),
}

impl Purchase {
    /// The prices in this version that a payment of the amount may be for, the newest first. Where the price is still
    /// to be quoted, every amount up to the declared one may be meant.
    pub(super) fn prices(&self, version: Version, amount: Option<Amount>) -> impl Iterator<Item = Cow<'_, Price>> {
        let offers = std::iter::once(&self.offer).chain(&self.honoured);
        offers.flat_map(move |offer| offer.payable(version)).filter_map(move |price| match (self.pricing, amount) {
            (Pricing::AtMost, Some(amount)) if amount.0.is_zero() || amount > price.amount => None,
            (Pricing::AtMost, Some(amount)) => Some(Cow::Owned(Price { amount, ..price.clone() })),
            (Pricing::AtMost, None) | (Pricing::Declared | Pricing::Quoted(_), _) => Some(Cow::Borrowed(price)),
        })
    }
}
