//! The 402 of one endpoint: version 2 in the header and version 1 in the body of the same response.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use http::HeaderValue;

use super::offer::Offer;
use super::secret::{ChallengeSecret, SecretHeader};
use crate::{Object, Version, X402Version, identifier, v1, v2};

/// The largest value of `PAYMENT-REQUIRED`, in bytes. By default nginx keeps the head of an answer in a page of 4 KiB,
/// and turns a larger one into 502: this leaves 576 bytes for everything else in the head.
const MAX_HEADER: usize = 3520;

/// The description of the resource that is sold, without its URL, which differs in each request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Plain text.
    pub description: String,
    /// One line, which is the header's description where the whole one would not fit.
    pub summary: String,
    /// Media type of the answer.
    pub mime_type: String,
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
        Self::with_extensions(offer, url, resource, error, &Object::new())
    }

    /// Like [`Challenge::new`], with extensions that only this challenge advertises. They stay where the header becomes
    /// too large otherwise: texts about the resource go first.
    pub fn with_extensions(
        offer: &Offer,
        url: &str,
        resource: &Resource,
        error: &str,
        own: &Object,
    ) -> Result<Self, TooLarge> {
        let header =
            if offer.takes(Version::V2) { Some(Arc::new(required(offer, url, resource, error, own)?)) } else { None };
        let accepts = offer.requirements_v1(url, &resource.description, &resource.mime_type);
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

/// Encodes the header. The extensions of every challenge, the description and the summary are dropped in this order
/// until it fits.
fn required(
    offer: &Offer,
    url: &str,
    resource: &Resource,
    error: &str,
    own: &Object,
) -> Result<SecretHeader, TooLarge> {
    let all: Object = extensions().iter().chain(own).map(|(key, value)| (key.clone(), value.clone())).collect();
    let mut required = v2::PaymentRequired {
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
    };
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
