//! Writes `/catalog.json`: every endpoint with its prices, schemas and example, and whether it can be bought now.
//!
//! Almost all of it is of a generation, and written once. What changes meanwhile, health and durations, is read when the
//! document is asked for, at most once a second; the document is put together anew only if something of it has changed.
//! Its tag is a hash of the fixed part and of what was read, so that a large catalogue is not hashed for each change.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::document::Document;
use super::listing::{ListedEndpoint, Listing};
use super::schema_texts::plain_texts;
use super::{price, text};
use crate::endpoint::Endpoint;
use crate::payment::{Availability, Payments, availability};

/// The time for which what was read counts.
const FRESH: Duration = Duration::from_secs(1);

/// The most bytes of a text, and of the body of an example.
const MAX_TEXT: usize = 8_000;
const MAX_BODY: usize = 8 << 10;

/// The catalogue of one generation.
#[derive(Debug)]
pub(super) struct CatalogDocument {
    /// The document up to its endpoints.
    head: String,
    entries: Vec<CatalogEntry>,
    /// The hash of all that is fixed.
    digest: [u8; 32],
    last: Mutex<Option<Assembled>>,
}

/// An endpoint, and its JSON object up to what changes.
#[derive(Debug)]
struct CatalogEntry {
    endpoint: Arc<Endpoint>,
    json: String,
}

/// The document as it was put together last.
#[derive(Debug)]
struct Assembled {
    read: Instant,
    states: Vec<EndpointState>,
    document: Document,
}

/// The facts of an endpoint that change within a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct EndpointState {
    availability: Availability,
    /// The median duration of the last answers, in milliseconds. None: the host does not know one.
    median: Option<u64>,
}

impl CatalogDocument {
    pub(super) fn new(listing: &Listing) -> Self {
        let mut head = about(listing).to_string();
        head.pop();
        head.push_str(",\"endpoints\":[");
        let entry = |listed: &ListedEndpoint| {
            let mut json = entry(listed, listing).to_string();
            json.pop();
            CatalogEntry { endpoint: Arc::clone(&listed.endpoint), json }
        };
        let entries: Vec<CatalogEntry> = listing.endpoints.iter().map(entry).collect();
        let mut hash = Sha256::new();
        hash.update(&head);
        entries.iter().for_each(|entry| hash.update(&entry.json));
        Self { head, entries, digest: hash.finalize().into(), last: Mutex::default() }
    }

    /// The document as it is now.
    pub(super) fn document(&self, payments: &Payments) -> Document {
        let mut last = self.last.lock();
        if let Some(known) = last.as_ref().filter(|known| known.read.elapsed() < FRESH) {
            return known.document.clone();
        }
        let read = Instant::now();
        let states: Vec<EndpointState> =
            self.entries.iter().map(|entry| EndpointState::of(payments, &entry.endpoint)).collect();
        let document = match last.take() {
            Some(known) if known.states == states => known.document,
            _ => self.assembled(&states),
        };
        *last = Some(Assembled { read, states, document: document.clone() });
        document
    }

    fn assembled(&self, states: &[EndpointState]) -> Document {
        let fixed = self.head.len() + self.entries.iter().map(|entry| entry.json.len() + 64).sum::<usize>();
        let (mut json, mut hash) = (String::with_capacity(fixed + 2), Sha256::new());
        json.push_str(&self.head);
        hash.update(self.digest);
        for (index, (entry, state)) in self.entries.iter().zip(states).enumerate() {
            let state = state.written();
            hash.update(&state);
            json.push_str(if index == 0 { "" } else { "," });
            json.push_str(&entry.json);
            json.push_str(&state);
        }
        json.push_str("]}");
        Document::tagged("application/json", json, hash.finalize().as_slice())
    }
}

impl EndpointState {
    fn of(payments: &Payments, endpoint: &Endpoint) -> Self {
        let median = endpoint.recent.median().map(|median| rounded(median.as_micros()));
        Self { availability: availability(payments, endpoint), median }
    }

    /// The end of the endpoint's object.
    fn written(self) -> String {
        let health = self.availability.as_str();
        match self.median {
            Some(median) => format!(",\"health\":\"{health}\",\"medianMilliseconds\":{median}}}"),
            None => format!(",\"health\":\"{health}\"}}"),
        }
    }
}

/// Microseconds as milliseconds with two digits that count, and at least one: more would change with each answer.
fn rounded(microseconds: u128) -> u64 {
    let milliseconds = u64::try_from(microseconds.div_ceil(1_000)).unwrap_or(u64::MAX);
    let unit = 10_u64.pow(milliseconds.max(1).ilog10().saturating_sub(1));
    milliseconds / unit * unit
}

/// The facts of the whole.
fn about(listing: &Listing) -> Value {
    let config = &listing.config;
    let mut about = json!({
        "version": 1,
        "name": text::line(&listing.name, MAX_TEXT),
        "url": listing.public_url,
        "description": text::lines(config.description.as_deref().unwrap_or(&listing.summary()), MAX_TEXT),
    });
    if let Some(email) = &config.email {
        about["email"] = email.as_str().into();
    }
    if let Some(website) = &config.website {
        about["website"] = website.as_str().into();
    }
    if let Some(terms) = &config.terms {
        about["terms"] = terms.as_str().into();
    }
    about
}

/// The fixed facts of an endpoint.
fn entry(listed: &ListedEndpoint, listing: &Listing) -> Value {
    let (endpoint, info) = (&listed.endpoint, listed.endpoint.plugin.info());
    let resource = &endpoint.resource;
    let mut entry = json!({
        "id": listed.id,
        "plugin": { "name": info.name, "version": info.version },
        "method": endpoint.method.as_str(),
        "path": endpoint.path.as_str(),
        "url": endpoint.url,
        "summary": text::line(&resource.summary, MAX_TEXT),
        "description": text::lines(&resource.description, MAX_TEXT),
        "mimeType": resource.mime_type,
        "price": price::catalog(&endpoint.access),
        "signInWithX": listed.takes_sign_in,
    });
    if let Some(pass) = endpoint.pass() {
        entry["pass"] = json!(pass);
    }
    if let Some(schema) = &listed.info.input_schema {
        entry["inputSchema"] = plain_texts(schema);
    }
    if let Some(schema) = &listed.info.output_schema {
        entry["outputSchema"] = plain_texts(schema);
    }
    if let Some(example) = &listed.example
        && let Ok(body) = std::str::from_utf8(&example.body)
        && body.len() <= MAX_BODY
    {
        let url = format!("{}{}", listing.public_url, example.target);
        entry["example"] = json!({ "method": example.method.as_str(), "url": url });
        if let Some(media) = example.media_type.as_ref().and_then(|media| media.to_str().ok()) {
            entry["example"]["contentType"] = media.into();
            entry["example"]["body"] = body.into();
        }
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_two_digits_that_count() {
        for (microseconds, milliseconds) in
            [(0, 0), (1, 1), (900, 1), (1_001, 2), (12_300, 13), (99_000, 99), (123_456, 120), (9_999_000, 9_900)]
        {
            assert_eq!(rounded(microseconds), milliseconds, "{microseconds}");
        }
    }
}
