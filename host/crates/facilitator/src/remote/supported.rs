//! Asks a facilitator what it supports: `GET /supported`. Source: x402 specification v2, section 7.

#![expect(clippy::disallowed_types, reason = "a client reads the answer of its facilitator")]

use std::time::Duration;

use coinslot_x402::facilitator::Supported;
use coinslot_x402::{Network, Versions};
use reqwest::StatusCode;
use reqwest::header::RETRY_AFTER;

use super::connection::{RequestFailure, location, read, unexpected};
use super::{Remote, RemoteError};
use crate::calls::{CallResult, Operation};
use crate::facilitator::{Facilitator as _, Unavailable};

/// The largest answer to `/supported` that is read, in bytes. That of a facilitator with many networks has some ten
/// thousand.
const MAX_SUPPORTED: usize = 512 * 1024;

/// Calls of `/supported` while the answer is 429, and the longest wait between two.
const TRIES: u32 = 3;
const MAX_WAIT: Duration = Duration::from_secs(30);

impl Remote {
    /// Asks in which versions of the protocol each network can be paid, for the check at the start. An error if one of
    /// the networks is not listed at all.
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

    /// Asks once, to learn whether the facilitator answers. A 429 is an answer.
    pub(crate) async fn look(&self) -> Result<(), Unavailable> {
        let response = self.get_supported().await?;
        if response.status() == StatusCode::TOO_MANY_REQUESTS {
            return Ok(());
        }
        self.read_supported(response).await.map(drop)
    }

    /// Sends the request, and reads the head of the answer.
    async fn get_supported(&self) -> Result<reqwest::Response, Unavailable> {
        let call = self.calls.begin(Operation::Supported);
        let response = self.connection.get(&self.supported, self.verify_timeout, call.headers()).await;
        call.ended(result(&response));
        response.map_err(|failure| unavailable(failure.into_message()))
    }

    /// Reads the answer, and remembers on which networks transactions are shared.
    async fn read_supported(&self, response: reqwest::Response) -> Result<Supported, Unavailable> {
        if response.status() != StatusCode::OK {
            return Err(unavailable(unexpected(response.status(), location(&response).as_deref())));
        }
        let body = read(response, MAX_SUPPORTED).await.map_err(|failure| unavailable(failure.into_message()))?;
        let supported = serde_json::from_slice(&body)
            .map_err(|error| unavailable(format!("not what the protocol says: {error}")))?;
        self.sharing.learn(&supported);
        Ok(supported)
    }

    /// Asks what is supported, again while the answer is 429.
    pub(super) async fn ask_supported(&self) -> Result<Supported, Unavailable> {
        for attempt in 0..TRIES {
            let response = self.get_supported().await?;
            if response.status() == StatusCode::TOO_MANY_REQUESTS && attempt + 1 < TRIES {
                let asked = response
                    .headers()
                    .get(RETRY_AFTER)
                    .and_then(|value| value.to_str().ok()?.trim().parse().ok())
                    .map(Duration::from_secs);
                let wait = asked.unwrap_or(Duration::from_millis(500) * 2_u32.pow(attempt));
                tokio::time::sleep(wait.min(MAX_WAIT)).await;
                continue;
            }
            return self.read_supported(response).await;
        }
        Err(unavailable("it keeps answering 429".to_owned()))
    }
}

/// The result of a call, by the head of its answer.
fn result(response: &Result<reqwest::Response, RequestFailure>) -> CallResult {
    match response {
        Ok(response) if response.status() == StatusCode::OK => CallResult::Ok,
        Ok(response) if response.status().is_client_error() => CallResult::Refused,
        Ok(_) => CallResult::Unknown,
        Err(failure) => failure.into(),
    }
}

fn unavailable(message: String) -> Unavailable {
    Unavailable { message: format!("/supported: {message}") }
}

/// Lists up to eight supported kinds of payment as text. True if Base Sepolia is among all of them.
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
