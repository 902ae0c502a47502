//! Writes `/openapi.json`: OpenAPI 3.1 with what directories of x402 read there.
//!
//! Paths of OpenAPI differ only in their fixed parts: `/a/{x}` and `/a/{y}` are one, and a rest has no notation. So
//! templates of one shape share a path, under the names of the first, and an operation that has no place left is not
//! described here; `/catalog.json` has it.

mod operation;
mod shared;

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use self::operation::Operation;
use super::document::Document;
use super::listing::Listing;
use super::{price, text};

/// The most bytes of the operator's description.
const MAX_DESCRIPTION: usize = 8_000;

/// The name of the scheme by which an account proves itself. Directories know the word.
const SIGN_IN: &str = "siwx";

/// The document.
pub(super) fn document(listing: &Listing) -> Document {
    let (mut paths, mut schemas) = (Map::new(), Map::new());
    for listed in &listing.endpoints {
        let operation = Operation::of(listed);
        let shape = operation::shape(&listed.endpoint.path);
        let known = paths.keys().find(|path| operation::same_shape(path, &shape)).cloned();
        let path = known.unwrap_or_else(|| shape.clone());
        let methods = paths.entry(path.clone()).or_insert_with(|| json!({}));
        let method = listed.endpoint.method.as_str().to_ascii_lowercase();
        if methods.get(&method).is_none() {
            let Operation { value, definitions } = operation.renamed(&shape, &path);
            methods[&method] = value;
            schemas.extend(definitions);
        }
    }
    let tags: Vec<Value> = listing.plugins().into_iter().map(|name| json!({ "name": name })).collect();
    let mut document = json!({
        "openapi": "3.1.0",
        "info": info(listing),
        "servers": [{ "url": listing.public_url }],
        "tags": tags,
        "paths": paths,
        "components": shared::components(schemas, listing.endpoints.iter().any(|listed| listed.takes_sign_in)),
    });
    let proofs = &listing.config.ownership_proofs;
    if !proofs.is_empty() {
        for key in ["x-discovery", "x-agentcash-provenance"] {
            document[key] = json!({ "ownershipProofs": proofs });
        }
    }
    if listing.config.llms {
        document["x-agentcash-guidance"] = json!({ "llmsTxtUrl": format!("{}/llms.txt", listing.public_url) });
    }
    // The version is that of what is described, and changes with it alone.
    let digest = hex::encode(&Sha256::digest(document.to_string().as_bytes())[..6]);
    document["info"]["version"] = format!("1.0.0+{digest}").into();
    Document::json(&document)
}

fn info(listing: &Listing) -> Value {
    let config = &listing.config;
    let summary = listing.summary();
    let description = config.description.as_deref().unwrap_or(&summary);
    let mut info = json!({
        "title": text::line(&listing.name, MAX_DESCRIPTION),
        "version": "",
        "description": text::common_mark(&text::lines(description, MAX_DESCRIPTION)),
        "x-guidance": guidance(listing),
    });
    if let Some(terms) = &config.terms {
        info["termsOfService"] = terms.as_str().into();
    }
    let mut contact = Map::new();
    if config.email.is_some() || config.website.is_some() {
        contact.insert("name".to_owned(), text::line(&listing.name, MAX_DESCRIPTION).into());
    }
    if let Some(email) = &config.email {
        contact.insert("email".to_owned(), email.as_str().into());
    }
    if let Some(website) = &config.website {
        contact.insert("url".to_owned(), website.as_str().into());
    }
    if !contact.is_empty() {
        info["contact"] = contact.into();
    }
    info
}

/// The advice to an agent before its first call, in a few sentences.
fn guidance(listing: &Listing) -> String {
    format!(
        "Each operation with x-payment-info is paid by x402: send the request; the 402 says the price in its header \
         PAYMENT-REQUIRED; sign one entry of its `accepts`, and send the same request again with the header \
         PAYMENT-SIGNATURE. A price of mode `dynamic` is the most that a request costs; the 402 to the request itself has \
         its exact price. If an answer does not come, send the same request with the same payment again. {} {}",
        price::FAILED_REQUESTS,
        if listing.config.catalog { "Prices in every asset, health and usual durations: /catalog.json." } else { "" }
    )
    .trim()
    .to_owned()
}
