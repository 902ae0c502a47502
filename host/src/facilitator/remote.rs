//! A facilitator over HTTP. Source: x402 specification v2, section 7.
//!
//! It is believed only as far as its answers are complete and speak of the payment we asked about.
//! What it says is read in `answer`; here are the connection, the limits and the time-outs. After a
//! settlement request may have reached it, anything but a clear answer is
//! [`Settlement::Unknown`]. Redirects are not followed: a payment goes to the host that was
//! configured or nowhere.

mod answer;
#[cfg(test)]
mod tests;

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderValue, RETRY_AFTER};
use reqwest::{Method, StatusCode};
use url::{Host, Url};

use super::{Answer, Facilitator, Readiness, Settlement, Unavailable, Verification};
use crate::x402::facilitator::{PaymentRequest, Supported};
use crate::x402::{Network, Versions};

/// The largest answer that is read, in bytes. `/supported` of a facilitator with many networks has
/// some ten thousand.
const MAX_ANSWER: usize = 512 * 1024;

/// How often `/supported` is asked when the answer is 429, and the longest wait in between.
const TRIES: u32 = 3;
const MAX_WAIT: Duration = Duration::from_secs(30);

/// Where the facilitator is and how long it may take.
#[derive(Clone)]
pub struct RemoteConfig {
    /// With or without a trailing slash; paths are appended.
    pub base: Url,
    /// Sent as `Authorization: Bearer ...`.
    pub bearer: Option<String>,
    pub connect_timeout: Duration,
    /// Of `/verify` and `/supported`.
    pub verify_timeout: Duration,
    pub settle_timeout: Duration,
}

impl RemoteConfig {
    /// The usual time-outs: 5, 10 and 60 seconds.
    pub fn new(base: Url) -> Self {
        Self {
            base,
            bearer: None,
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
            .field("bearer", &self.bearer.as_ref().map(|_| ".."))
            .finish_non_exhaustive()
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
    bearer: Option<HeaderValue>,
    verify_timeout: Duration,
    settle_timeout: Duration,
}

/// An answer's status and body, or why there is none.
type Exchange = Result<(StatusCode, Vec<u8>), String>;

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
        let bearer = match &config.bearer {
            None => None,
            Some(token) => {
                let mut value =
                    HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| RemoteError::Bearer(base.clone()))?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        let client = reqwest::Client::builder()
            .connect_timeout(config.connect_timeout)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| RemoteError::Client(base.clone(), error.to_string()))?;
        Ok(Self {
            client,
            base: base.as_str().trim_end_matches('/').to_owned(),
            bearer,
            verify_timeout: config.verify_timeout,
            settle_timeout: config.settle_timeout,
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
        path: &str,
        body: Option<&PaymentRequest>,
        at_most: Duration,
    ) -> Result<(reqwest::Response, StatusCode), String> {
        let mut request = self.client.request(method, format!("{}/{path}", self.base)).timeout(at_most);
        if let Some(bearer) = &self.bearer {
            request = request.header(AUTHORIZATION, bearer.clone());
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(|error| describe(&error))?;
        let status = response.status();
        Ok((response, status))
    }

    async fn post(&self, path: &str, body: &PaymentRequest, at_most: Duration) -> Exchange {
        let (response, status) = self.exchange(Method::POST, path, Some(body), at_most).await?;
        Ok((status, read(response).await?))
    }

    async fn ask_supported(&self) -> Result<Supported, Unavailable> {
        let unavailable = |message: String| Unavailable { message: format!("/supported: {message}") };
        for attempt in 0..TRIES {
            let (response, status) =
                self.exchange(Method::GET, "supported", None, self.verify_timeout).await.map_err(unavailable)?;
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
            let body = read(response).await.map_err(unavailable)?;
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

/// Reads a body as far as it is allowed to go.
async fn read(mut response: reqwest::Response) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| describe(&error))? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Err(format!("the answer has more than {MAX_ANSWER} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// An error of the connection with its causes, without the URL.
fn describe(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
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
            let exchange = self.post("verify", request, self.verify_timeout).await;
            answer::verification(request, exchange)
        })
    }

    fn settle<'a>(&'a self, request: &'a PaymentRequest) -> Answer<'a, Settlement> {
        Box::pin(async move {
            let exchange = self.post("settle", request, self.settle_timeout).await;
            answer::settlement(request, exchange)
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
