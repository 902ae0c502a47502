//! Publishes what is sold: documents for directories and agents, and pages for people.
//!
//! Everything is derived from the active generation of the catalogue, which has the plugin's declaration with the
//! operator's changes, so no document can disagree with a challenge. The documents of a generation are made when the
//! first of them is asked for, and kept until the generation or the operator's settings change.
//!
//! A route of a plugin with the very path of a document goes before the document; a template with parameters does not.

mod document;
mod listing;
mod pages;
mod publisher;
mod robots;
#[cfg(feature = "dev")]
mod test_wallet;

pub use document::{Document, DocumentName};
pub use listing::{ListedEndpoint, Listing};
pub use publisher::{PaywallRequest, Publisher};
#[cfg(feature = "dev")]
pub use test_wallet::TestWallet;
