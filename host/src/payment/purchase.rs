//! One request to a paid endpoint, as the states of a payment see it.

use std::net::IpAddr;
use std::sync::Arc;

use coinslot_x402::price::Offer;

use crate::endpoint::{Endpoint, PaidAccess};

/// One request to a paid endpoint, in the generation of its arrival.
#[derive(Clone, Debug)]
pub struct Purchase {
    /// The endpoint that the request matched.
    pub endpoint: Arc<Endpoint>,
    /// The endpoint's price and the texts of its challenges.
    pub access: Arc<PaidAccess>,
    /// The prices that one payment may choose from: the declared ones, until the plugin has quoted this request.
    pub offer: Offer,
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
    pub client: IpAddr,
}

impl Purchase {
    /// Every offer that a payment may answer, the newest first.
    pub(super) fn offers(&self) -> impl Iterator<Item = &Offer> {
        std::iter::once(&self.offer).chain(&self.honoured)
    }
}
