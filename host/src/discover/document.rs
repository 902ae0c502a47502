//! Names the documents that the host publishes, and holds one of them.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::HeaderValue;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::pages;
#[cfg(feature = "dev")]
use super::test_wallet;
use crate::config::{DiscoverConfig, Robots};

/// A document, ready to be sent.
#[derive(Clone, Debug)]
pub struct Document {
    pub media_type: HeaderValue,
    pub body: Bytes,
    /// The entity tag, in quotes: the same for the same bytes.
    pub etag: HeaderValue,
    /// The rules of a browser for loading and running: `Content-Security-Policy`. None: it is no page.
    pub policy: Option<HeaderValue>,
    /// False: pages of other origins cannot read it.
    pub is_for_every_page: bool,
}

/// A document of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DocumentName {
    /// The list of what is sold, for people.
    Index,
    /// One endpoint, for people. It is made when it is asked for.
    Endpoint,
    OpenApi,
    WellKnown,
    Catalog,
    Llms,
    Robots,
    Icon,
    /// The wallet of a development chain. It is made when it is asked for, and is only there with such a chain.
    #[cfg(feature = "dev")]
    TestWallet,
}

impl Document {
    /// A document of these bytes.
    pub fn new(media_type: &'static str, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        let digest = Sha256::digest(&body);
        Self::tagged(media_type, body, &digest)
    }

    /// A document of JSON.
    pub fn json(document: &Value) -> Self {
        Self::new("application/json", document.to_string())
    }

    /// A document with this hash of all that its bytes depend on.
    pub fn tagged(media_type: &'static str, body: impl Into<Bytes>, digest: &[u8]) -> Self {
        let tag = BASE64_URL_SAFE_NO_PAD.encode(&digest[..digest.len().min(16)]);
        // Base64 in quotes is a header value.
        let etag = HeaderValue::try_from(format!("\"{tag}\"")).unwrap_or(HeaderValue::from_static("\"\""));
        let media_type = HeaderValue::from_static(media_type);
        Self { media_type, body: body.into(), etag, policy: None, is_for_every_page: true }
    }

    /// A page for people, and its policy.
    pub fn page(html: String, policy: HeaderValue) -> Self {
        Self { policy: Some(policy), ..Self::new("text/html; charset=utf-8", html) }
    }

    /// The same, for pages of this origin alone.
    pub fn for_own_pages(self) -> Self {
        Self { is_for_every_page: false, ..self }
    }
}

impl DocumentName {
    /// The documents that every host may publish.
    pub const ALL: [Self; 8] = [
        Self::Index,
        Self::Endpoint,
        Self::OpenApi,
        Self::WellKnown,
        Self::Catalog,
        Self::Llms,
        Self::Robots,
        Self::Icon,
    ];

    /// The path of a document.
    pub fn path(self) -> &'static str {
        match self {
            Self::Index => "/",
            Self::Endpoint => pages::ENDPOINT_PATH,
            Self::OpenApi => "/openapi.json",
            Self::WellKnown => "/.well-known/x402",
            Self::Catalog => "/catalog.json",
            Self::Llms => "/llms.txt",
            Self::Robots => "/robots.txt",
            Self::Icon => "/favicon.ico",
            #[cfg(feature = "dev")]
            Self::TestWallet => test_wallet::PATH,
        }
    }

    /// True if it signs for the page that asks, as the test wallet of a development host does.
    pub fn signs(self) -> bool {
        #[cfg(feature = "dev")]
        return self == Self::TestWallet;
        #[cfg(not(feature = "dev"))]
        false
    }

    /// True if no plugin answers at its path. The page for people gives way to a plugin's own.
    pub fn is_reserved(self) -> bool {
        self != Self::Index
    }

    /// The document at a path, if the operator publishes it.
    pub(super) fn at(path: &str, config: &DiscoverConfig) -> Option<Self> {
        Self::ALL.into_iter().find(|name| name.path() == path && name.is_published(config))
    }

    /// True if the operator publishes it.
    pub(super) fn is_published(self, config: &DiscoverConfig) -> bool {
        match self {
            Self::Index | Self::Endpoint => config.index,
            #[cfg(feature = "dev")]
            Self::TestWallet => false,
            Self::OpenApi => config.openapi,
            Self::WellKnown => config.well_known,
            Self::Catalog => config.catalog,
            Self::Llms => config.llms,
            Self::Robots => config.robots != Robots::Off,
            Self::Icon => true,
        }
    }
}
