//! A facilitator over HTTP. Source: x402 specification v2, section 7.
//!
//! It is believed only as far as its answers are complete and speak of the payment we asked about.
//! What it says is read in `answer`, what it is seen is written in `request`; here are the
//! connection, the limits and the time-outs. After a settlement request may have reached it, anything
//! but a clear answer is [`Settlement::Unknown`]. Redirects are not followed: a payment goes to the
//! host that was configured or nowhere. A payment is sent in the same bytes however often it is sent.

mod answer;
mod request;
mod seen;
#[cfg(test)]
mod tests;

use std::time::{Duration, SystemTime};

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use reqwest::{Method, StatusCode};
use url::{Host, Url};

use super::cdp::CdpKey;
use super::{Answer, Facilitator, Readiness, Settlement, Unavailable, Verification};
use coinslot_x402::facilitator::{PaymentRequest, Supported};
use coinslot_x402::{Network, Versions};
use seen::SeenTransactions;

/// The largest answer to `/supported` that is read, in bytes. That of a facilitator with many networks
/// has some ten thousand.
const MAX_SUPPORTED: usize = 512 * 1024;

/// The largest answer to `/verify` and `/settle` that is read, in bytes. They have a few hundred.
const MAX_VERDICT: usize = 64 * 1024;

/// How often `/supported` is asked when the answer is 429, and the longest wait in between.
const TRIES: u32 = 3;
const MAX_WAIT: Duration = Duration::from_secs(30);

/// Where the facilitator is and how long it may take.
#[derive(Clone)]
pub struct RemoteConfig {
    /// With or without a trailing slash; paths are appended.
    pub base: Url,
    pub credential: Credential,
    /// Whether it is seen the paths that are paid for without their queries, which are the payer's
    /// words and none of its business.
    pub strip_query: bool,
    pub connect_timeout: Duration,
    /// Of `/verify` and `/supported`.
    pub verify_timeout: Duration,
    pub settle_timeout: Duration,
}

/// What a facilitator knows us by: sent as `Authorization: Bearer ...`.
#[derive(Clone)]
pub enum Credential {
    None,
    /// A token that is always the same.
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
        }
    }
}

impl std::fmt::Debug for RemoteConfig {
    /// Without the credential.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteConfig")
            .field("base", &self.base.as_str())
            .field("credential", &self.credential)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Credential {
    /// Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Bearer(_) => f.write_str("Bearer(..)"),
            Self::Cdp(key) => key.fmt(f),
        }
    }
}

/// Why a facilitator cannot be used as configured.
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

/// See the module. Connections are pooled; cheap to share behind an `Arc`.
pub struct Remote {
    client: reqwest::Client,
    base: String,
    verify: Url,
    settle: Url,
    supported: Url,
    access: AuthorizationSource,
    strip_query: bool,
    verify_timeout: Duration,
    settle_timeout: Duration,
    seen: SeenTransactions,
}

/// [`Credential`], ready for a header.
enum AuthorizationSource {
    Open,
    Bearer(HeaderValue),
    Cdp(CdpKey),
}

/// An answer's status and body, or why there is none.
type Exchange = Result<(StatusCode, Vec<u8>), RequestFailure>;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
enum RequestFailure {
    /// There was no connection: not a byte of the request has left.
    NotSent(String),
    /// The request may have arrived, all of it or a part.
    Lost(String),
}

impl RequestFailure {
    fn into_message(self) -> String {
        match self {
            Self::NotSent(message) | Self::Lost(message) => message,
        }
    }
}

/// One try to settle: what it means for the money, and for trying elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    /// A sound answer, whatever it says.
    Answered(Settlement),
    /// No sound answer, after the request may have arrived. The settlement is unknown.
    Unclear(Settlement),
    /// It cannot have arrived: another facilitator may be asked.
    NotSent(String),
}

impl Remote {
    /// Checks the URL; asks nothing yet.
    pub fn new(config: RemoteConfig) -> Result<Self, RemoteError> {
        let base = config.base;
        let loopback = match base.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        if base.scheme() != "https" && !(base.scheme() == "http" && loopback) {
            return Err(RemoteError::NotHttps(base));
        }
        if base.query().is_some() || base.fragment().is_some() || !base.username().is_empty() {
            let mut shown = base;
            let _ = shown.set_password(None);
            return Err(RemoteError::Decorated(shown));
        }
        let access = match config.credential {
            Credential::None => AuthorizationSource::Open,
            Credential::Bearer(token) => {
                AuthorizationSource::Bearer(bearer(&token).ok_or_else(|| RemoteError::Bearer(base.clone()))?)
            }
            Credential::Cdp(key) => AuthorizationSource::Cdp(key),
        };
        let client = reqwest::Client::builder()
            .connect_timeout(config.connect_timeout)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| RemoteError::Client(base.clone(), error.to_string()))?;
        let below = |path: &str| {
            let mut url = base.clone();
            url.path_segments_mut().expect("an http URL has a path").pop_if_empty().push(path);
            url
        };
        Ok(Self {
            client,
            verify: below("verify"),
            settle: below("settle"),
            supported: below("supported"),
            base: base.as_str().trim_end_matches('/').to_owned(),
            access,
            strip_query: config.strip_query,
            verify_timeout: config.verify_timeout,
            settle_timeout: config.settle_timeout,
            seen: SeenTransactions::default(),
        })
    }

    /// The start-up check: in which versions each network can be paid. Refuses a facilitator that does
    /// not list one of them at all.
    pub async fn versions(&self, scheme: &str, networks: &[Network]) -> Result<Vec<Versions>, RemoteError> {
        let supported =
            self.supported().await.map_err(|error| RemoteError::Asked { base: self.base.clone(), error })?;
        let versions = |network: &Network| {
            let offered = |version| network.is_named_in(version) && supported.has(version, scheme, network);
            Versions::of(offered).ok_or_else(|| {
                let (lists, testnets) = listed(&supported);
                RemoteError::NotSupported {
                    base: self.base.clone(),
                    scheme: scheme.to_owned(),
                    network: network.clone(),
                    lists,
                    hint: if testnets { " or a testnet network" } else { "" },
                }
            })
        };
        networks.iter().map(versions).collect()
    }

    async fn exchange(
        &self,
        method: Method,
        url: &Url,
        body: Option<Vec<u8>>,
        at_most: Duration,
    ) -> Result<reqwest::Response, RequestFailure> {
        let authorization = self.authorization(&method, url.as_str())?;
        let mut request = self.client.request(method, url.clone()).timeout(at_most);
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, HeaderValue::from_static("application/json")).body(body);
        }
        request.send().await.map_err(|error| trouble(&error))
    }

    fn authorization(&self, method: &Method, url: &str) -> Result<Option<HeaderValue>, RequestFailure> {
        match &self.access {
            AuthorizationSource::Open => Ok(None),
            AuthorizationSource::Bearer(value) => Ok(Some(value.clone())),
            AuthorizationSource::Cdp(key) => {
                let target = url.split_once("://").map_or(url, |(_, rest)| rest);
                let token = key.token(method.as_str(), target, SystemTime::now().into());
                let value = token.as_deref().and_then(bearer);
                value.map(Some).ok_or_else(|| RequestFailure::NotSent("the token cannot be signed".to_owned()))
            }
        }
    }

    async fn post(&self, url: &Url, payment: &PaymentRequest, at_most: Duration) -> Exchange {
        let body =
            request::body(payment, self.strip_query).map_err(|error| RequestFailure::NotSent(error.to_string()))?;
        let response = self.exchange(Method::POST, url, Some(body), at_most).await?;
        Ok((response.status(), read(response, MAX_VERDICT).await?))
    }

    /// One try to settle.
    pub(super) async fn attempt(&self, payment: &PaymentRequest) -> Attempt {
        let exchange = self.post(&self.settle, payment, self.settle_timeout).await;
        match answer::settlement(payment, exchange) {
            // Two payments are two transfers. Whoever names one transaction for both has to be checked.
            Attempt::Answered(Settlement::Settled(settled)) if !self.seen.is_new(&settled.transaction, payment) => {
                Attempt::Unclear(Settlement::Unknown {
                    transaction: Some(settled.transaction),
                    message: "/settle: success with the transaction of another payment".to_owned(),
                })
            }
            attempt => attempt,
        }
    }

    async fn ask_supported(&self) -> Result<Supported, Unavailable> {
        let unavailable = |message: String| Unavailable { message: format!("/supported: {message}") };
        for attempt in 0..TRIES {
            let response = self
                .exchange(Method::GET, &self.supported, None, self.verify_timeout)
                .await
                .map_err(|trouble| unavailable(trouble.into_message()))?;
            let status = response.status();
            if status == StatusCode::TOO_MANY_REQUESTS && attempt + 1 < TRIES {
                let asked = response
                    .headers()
                    .get(RETRY_AFTER)
                    .and_then(|value| value.to_str().ok()?.trim().parse().ok())
                    .map(Duration::from_secs);
                let wait = asked.unwrap_or(Duration::from_millis(500) * 2_u32.pow(attempt));
                tokio::time::sleep(wait.min(MAX_WAIT)).await;
                continue;
            }
            if status != StatusCode::OK {
                return Err(unavailable(format!("it answered {status}")));
            }
            let body = read(response, MAX_SUPPORTED).await.map_err(|trouble| unavailable(trouble.into_message()))?;
            return serde_json::from_slice(&body)
                .map_err(|error| unavailable(format!("not what the protocol says: {error}")));
        }
        Err(unavailable("it keeps answering 429".to_owned()))
    }
}

/// What can be paid with, for people; and whether it looks like testnets only.
fn listed(supported: &Supported) -> (String, bool) {
    let mut lists: Vec<String> = Vec::new();
    for kind in &supported.kinds {
        // Version 1 has names for the same networks.
        let network = Network::parse_v1(&kind.network).map_or_else(|_| kind.network.clone(), |known| known.to_string());
        let entry = format!("{} on {network}", kind.scheme);
        if !lists.contains(&entry) {
            lists.push(entry);
        }
    }
    let testnets = lists.iter().any(|kind| kind.ends_with("eip155:84532"));
    let more = lists.len().saturating_sub(8);
    lists.truncate(8);
    if more > 0 {
        lists.push(format!("and {more} more"));
    }
    if lists.is_empty() {
        lists.push("nothing".to_owned());
    }
    (lists.join(", "), testnets)
}

/// The header, if the token has only characters that one can carry.
fn bearer(token: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Reads a body as far as it is allowed to go.
async fn read(mut response: reqwest::Response, limit: usize) -> Result<Vec<u8>, RequestFailure> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| RequestFailure::Lost(describe(&error)))? {
        if body.len() + chunk.len() > limit {
            return Err(RequestFailure::Lost(format!("the answer has more than {limit} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// What a failed request means: only an error of connecting proves that nothing was sent.
fn trouble(error: &reqwest::Error) -> RequestFailure {
    if error.is_connect() || error.is_builder() {
        RequestFailure::NotSent(describe(error))
    } else {
        RequestFailure::Lost(describe(error))
    }
}

/// An error of the connection with its causes, without the URL.
fn describe(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return if error.is_connect() { "no connection in time" } else { "no answer in time" }.to_owned();
    }
    let mut text = if error.is_connect() { "no connection".to_owned() } else { "the connection failed".to_owned() };
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

impl Facilitator for Remote {
    fn verify<'a>(&'a self, request: &'a PaymentRequest) -> Answer<'a, Verification> {
        Box::pin(async move {
            let exchange = self.post(&self.verify, request, self.verify_timeout).await;
            answer::verification(request, exchange)
        })
    }

    fn settle<'a>(&'a self, request: &'a PaymentRequest) -> Answer<'a, Settlement> {
        Box::pin(async move {
            match self.attempt(request).await {
                Attempt::Answered(settlement) | Attempt::Unclear(settlement) => settlement,
                Attempt::NotSent(message) => {
                    Settlement::Unknown { transaction: None, message: format!("/settle: {message}") }
                }
            }
        })
    }

    /// Nothing is known of it in advance: its answers tell.
    fn readiness(&self) -> Readiness {
        Readiness::Ready
    }

    fn supported(&self) -> Answer<'_, Result<Supported, Unavailable>> {
        Box::pin(self.ask_supported())
    }
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remote").field("base", &self.base).finish_non_exhaustive()
    }
}
