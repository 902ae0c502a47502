//! Configures a remote facilitator.

use std::time::Duration;

use coinslot_x402::Network;
use url::Url;

use crate::calls::Calls;
use crate::cdp::CdpKey;
use crate::facilitator::Unavailable;

/// The configuration of one remote facilitator.
#[derive(Clone)]
pub struct RemoteConfig {
    /// The URL to which the paths are appended, with or without a trailing slash.
    pub base: Url,
    pub credential: Credential,
    /// Removes the query from the URLs that the facilitator sees: it is the payer's data, and nothing that a
    /// facilitator needs.
    pub strip_query: bool,
    pub connect_timeout: Duration,
    /// The time-out of `/verify` and `/supported`.
    pub verify_timeout: Duration,
    pub settle_timeout: Duration,
    /// Hears of each call.
    pub calls: Calls,
}

/// The credential that we show to a facilitator: sent as `Authorization: Bearer ...`.
#[derive(Clone)]
pub enum Credential {
    None,
    /// A fixed token.
    Bearer(String),
    /// A token that is signed for each request.
    Cdp(CdpKey),
}

impl RemoteConfig {
    /// The usual time-outs: 5, 10 and 60 seconds.
    pub fn new(base: Url) -> Self {
        Self {
            base,
            credential: Credential::None,
            strip_query: true,
            connect_timeout: Duration::from_secs(5),
            verify_timeout: Duration::from_secs(10),
            settle_timeout: Duration::from_secs(60),
            calls: Calls::default(),
        }
    }
}

impl std::fmt::Debug for RemoteConfig {
    /// Prints the kind of the credential and not its secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteConfig")
            .field("base", &self.base.as_str())
            .field("credential", &self.credential)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Credential {
    /// Prints no token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Bearer(_) => f.write_str("Bearer(..)"),
            Self::Cdp(key) => key.fmt(f),
        }
    }
}

/// The reason for which a facilitator cannot be used as configured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RemoteError {
    #[error(
        "facilitator {0}: https is required, because its answers decide about money; plain http is for loopback addresses"
    )]
    NotHttps(Url),
    #[error("facilitator {0}: the URL must not carry a query, a fragment or credentials")]
    Decorated(Url),
    #[error("facilitator {0}: the bearer token has characters that no header can carry")]
    Bearer(Url),
    #[error("facilitator {0}: no HTTP client: {1}")]
    Client(Url, String),
    #[error("facilitator {base}: {error}")]
    Asked { base: String, error: Unavailable },
    #[error(
        "facilitator {base} does not support {scheme} on {network} (it lists: {lists}); use another facilitator{hint}"
    )]
    NotSupported { base: String, scheme: String, network: Network, lists: String, hint: &'static str },
}
