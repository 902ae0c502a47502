//! A document that the host publishes, and the names of all of them.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::HeaderValue;
use sha2::{Digest as _, Sha256};

use crate::config::{DiscoverConfig, Robots};

/// A document, ready to be sent.
#[derive(Clone, Debug)]
pub struct Document {
    pub media_type: HeaderValue,
    pub body: Bytes,
    /// The entity tag, in quotes: the same for the same bytes.
    pub etag: HeaderValue,
}

/// A document of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DocumentName {
    Robots,
}

impl Document {
    /// A document of these bytes.
    pub fn new(media_type: &'static str, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        let digest = BASE64_URL_SAFE_NO_PAD.encode(&Sha256::digest(&body)[..16]);
        // Base64 in quotes is a header value.
        let etag = HeaderValue::try_from(format!("\"{digest}\"")).unwrap_or(HeaderValue::from_static("\"\""));
        Self { media_type: HeaderValue::from_static(media_type), body, etag }
    }
}

impl DocumentName {
    pub const ALL: [Self; 1] = [Self::Robots];

    /// The path of a document.
    pub fn path(self) -> &'static str {
        match self {
            Self::Robots => "/robots.txt",
        }
    }

    /// The document at a path, if the operator publishes it.
    pub(super) fn at(path: &str, config: &DiscoverConfig) -> Option<Self> {
        Self::ALL.into_iter().find(|name| name.path() == path && name.is_published(config))
    }

    fn is_published(self, config: &DiscoverConfig) -> bool {
        match self {
            Self::Robots => config.robots != Robots::Off,
        }
    }
}
