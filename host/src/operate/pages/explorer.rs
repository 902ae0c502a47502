//! Links transactions and addresses to the block explorers of their networks.

use maud::{Markup, html};

use super::write::digest;
use crate::explorer::link;

/// A transaction, with a link to its explorer if there is one.
pub(super) fn transaction(network: &str, hash: &str) -> Markup {
    linked(link(network, "tx", hash), hash)
}

/// An address, with a link to its explorer if there is one.
pub(super) fn address(network: &str, address: &str) -> Markup {
    linked(link(network, "address", address), address)
}

fn linked(href: Option<String>, text: &str) -> Markup {
    match href {
        Some(href) => {
            html! { a href=(href) rel="noreferrer noopener" { (digest(text)) span.unseen { " in the explorer" } } }
        }
        None => digest(text),
    }
}
