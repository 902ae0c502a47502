//! Writes `/.well-known/x402`, which older directories read: the URLs of what is sold, and proofs of who owns the host.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::document::Document;
use super::listing::Listing;
use super::text;
use crate::endpoint::Access;

/// The most bytes of the operator's description.
const MAX_DESCRIPTION: usize = 4_000;

/// The document. A URL of a template is that of its example.
pub(super) fn document(listing: &Listing) -> Document {
    let paid = listing.endpoints.iter().filter(|listed| matches!(listed.endpoint.access, Access::Paid(_)));
    // One path may have several methods.
    let mut known = HashSet::new();
    let resources = paid.map(|listed| listing.url_of(listed)).filter(|url| known.insert(url.clone()));
    let resources: Vec<String> = resources.collect();
    let mut document = json!({ "version": 1, "resources": resources });
    if !listing.config.ownership_proofs.is_empty() {
        document["ownershipProofs"] = json!(listing.config.ownership_proofs);
    }
    document["instructions"] = Value::from(match &listing.config.description {
        Some(description) => text::lines(description, MAX_DESCRIPTION),
        None => listing.summary(),
    });
    Document::json(&document)
}
