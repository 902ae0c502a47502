//! Writes the pages for people: what is sold here, one page for each endpoint, and the paywall.
//!
//! A page is one document without a second request: its style and its script are in it, and its policy names them by
//! their digests, so nothing else runs. The texts are those of plugins and of the operator: each is cut, characters
//! that are not shown or change the direction of others are replaced, and the templates escape the rest. What the
//! script reads is JSON with every character escaped that could end its element.

mod colour;
mod data;
mod endpoint;
mod field;
mod form;
mod frame;
mod index;
mod networks;
mod price;
mod ways;

pub(super) use endpoint::{EndpointView, endpoint};
pub(super) use frame::Seller;
pub use index::address as endpoint_page;
pub(super) use index::index;
pub(super) use price::PricesOf;

/// The path of the page of an endpoint. The query is the endpoint's label, as in `?GET%20/now`.
pub(super) const ENDPOINT_PATH: &str = "/.well-known/coinslot/endpoint";
