//! The 402 of one endpoint: version 2 in the header and version 1 in the body of the same response.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use http::HeaderValue;
use serde_json::Value;

use super::offer::Offer;
use super::secret::{ChallengeSecret, SecretHeader};
use crate::bazaar::{self, Bazaar};
use crate::{Object, Version, X402Version, identifier, v1, v2};

/// The largest value of `PAYMENT-REQUIRED`, in bytes. By default nginx keeps the head of an answer in a page of 4 KiB,
/// and turns a larger one into 502: this leaves 576 bytes for everything else in the head.
const MAX_HEADER: usize = 3520;

/// The most bytes of the document in the header: Base64 makes four of three.
const MAX_DOCUMENT: usize = MAX_HEADER / 4 * 3;

/// The description of the resource that is sold, without its URL, which differs in each request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Plain text.
    pub description: String,
    /// One line, which is the header's description where the whole one would not fit.
    pub summary: String,
    /// Media type of the answer.
    pub mime_type: String,
    /// The declaration for facilitators that list what is sold, if the operator wants it listed.
    pub bazaar: Option<Arc<Bazaar>>,
}

/// The two documents of a 402, encoded. A version that nothing can be paid in is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// `PAYMENT-REQUIRED`, if something can be paid in version 2. Shared, because prepared challenges are cloned.
    header: Option<Arc<SecretHeader>>,
    /// A JSON object: the challenge of version 1 if something can be paid in it, else only `error` and `message`.
    pub body: Bytes,
}

/// The error of a challenge that would not pass through proxies and clients, with the size of its header in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the PAYMENT-REQUIRED header would have {0} bytes, more than {MAX_HEADER}: accept fewer assets or shorten the path"
)]
pub struct TooLarge(usize);

/// The extensions that every challenge advertises.
pub fn extensions() -> &'static Object {
    static EXTENSIONS: LazyLock<Object> =
        LazyLock::new(|| Object::from_iter([(identifier::KEY.to_owned(), identifier::advertised())]));
    &EXTENSIONS
}

impl Challenge {
    /// Encodes the offer for the resource at `url`, which is absolute. `error` is the reason why the request was not
    /// served: `Payment required`, or a [`crate::Reason`].
    pub fn new(offer: &Offer, url: &str, resource: &Resource, error: &str) -> Result<Self, TooLarge> {
        Self::with_extensions(offer, url, resource, error, &Object::new(), &[])
    }

    /// Like [`Challenge::new`], with extensions that only this challenge advertises, for a request with these path
    /// parameters. The extensions stay where the header becomes too large otherwise: texts about the resource go first.
    pub fn with_extensions(
        offer: &Offer,
        url: &str,
        resource: &Resource,
        error: &str,
        own: &Object,
        params: &[(String, String)],
    ) -> Result<Self, TooLarge> {
        let header = if offer.takes(Version::V2) {
            let required = required(offer, url, resource, error, own);
            Some(Arc::new(encoded(required, resource, own, params)?))
        } else {
            None
        };
        let mut accepts = offer.requirements_v1(url, &resource.description, &resource.mime_type);
        for entry in &mut accepts {
            entry.output_schema = resource.output_schema().cloned();
        }
        let body = if accepts.is_empty() {
            let message = "this is paid by x402 version 2: the PAYMENT-REQUIRED header says how";
            serde_json::to_vec(&serde_json::json!({ "error": error, "message": message }))
        } else {
            let legacy = v1::PaymentRequired { x402_version: X402Version, error: error.to_owned(), accepts };
            serde_json::to_vec(&legacy)
        };
        Ok(Self { header, body: body.unwrap_or_default().into() })
    }

    /// The value of `PAYMENT-REQUIRED`, if something can be paid in version 2. Each response has a secret of its own.
    pub fn header(&self, secret: &ChallengeSecret) -> Option<HeaderValue> {
        self.header.as_ref().map(|header| header.with(secret))
    }

    /// A challenge that offers nothing, for an offer whose shortest form does not fit. No endpoint is loaded with such
    /// an offer.
    pub fn empty() -> Self {
        Self { header: None, body: Bytes::from_static(b"{}") }
    }
}

impl Resource {
    /// `outputSchema` of its entries in version 1.
    pub fn output_schema(&self) -> Option<&Object> {
        self.bazaar.as_ref()?.output_schema()
    }
}

/// The document of the header in full, but for `bazaar`.
fn required(offer: &Offer, url: &str, resource: &Resource, error: &str, own: &Object) -> v2::PaymentRequired {
    let all: Object = extensions().iter().chain(own).map(|(key, value)| (key.clone(), value.clone())).collect();
    v2::PaymentRequired {
        x402_version: X402Version,
        error: Some(error.to_owned()),
        resource: v2::ResourceInfo {
            url: url.to_owned(),
            description: Some(resource.description.clone()),
            mime_type: Some(resource.mime_type.clone()),
            ..v2::ResourceInfo::default()
        },
        accepts: offer.requirements(),
        extensions: Some(all),
    }
}

/// Encodes the header. What does not fit is left out in this order: parts of `bazaar` and then all of it, the extensions
/// of every challenge, the description, and the summary that stands in its place.
fn encoded(
    mut required: v2::PaymentRequired,
    resource: &Resource,
    own: &Object,
    params: &[(String, String)],
) -> Result<SecretHeader, TooLarge> {
    if let Some(bazaar) = &resource.bazaar {
        declare(&mut required, resource, bazaar, params);
    }
    let mut encoded = SecretHeader::new(&required);
    if encoded.len() > MAX_HEADER {
        required.extensions = (!own.is_empty()).then(|| own.clone());
        encoded = SecretHeader::new(&required);
    }
    for shorter in [Some(&resource.summary), None] {
        if encoded.len() > MAX_HEADER {
            required.resource.description = shorter.cloned();
            encoded = SecretHeader::new(&required);
        }
    }
    if encoded.len() > MAX_HEADER {
        return Err(TooLarge(encoded.len()));
    }
    Ok(encoded)
}

/// Adds the form of `bazaar` that fits: one that says what goes in, or else the least one. The summary stands in the place
/// of the description if only that makes room for it.
fn declare(required: &mut v2::PaymentRequired, resource: &Resource, bazaar: &Bazaar, params: &[(String, String)]) {
    let bytes = |text: &str| bazaar::json_bytes(&text.into());
    let saved = bytes(&resource.description).saturating_sub(bytes(&resource.summary));
    let taken = SecretHeader::document(required).len();
    let (room, more_room) = (MAX_DOCUMENT.saturating_sub(taken), (MAX_DOCUMENT + saved).saturating_sub(taken));
    let with_summary = |extension: Value| (extension, true);
    let found = bazaar.detailed(room, params).map(|extension| (extension, false));
    let found = found.or_else(|| bazaar.detailed(more_room, params).map(with_summary));
    let found = found.or_else(|| bazaar.least(room, params).map(|extension| (extension, false)));
    let found = found.or_else(|| bazaar.least(more_room, params).map(with_summary));
    let (Some((extension, is_by_summary)), Some(extensions)) = (found, &mut required.extensions) else { return };
    extensions.insert(bazaar::KEY.to_owned(), extension);
    if is_by_summary {
        required.resource.description = Some(resource.summary.clone());
    }
}
