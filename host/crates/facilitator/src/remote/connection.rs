//! HTTP to a facilitator: credentials, time-outs, limits of answers, and the meaning of a failure for the money.
//!
//! Redirects are not followed: a payment goes to the configured host or nowhere.

#![expect(clippy::disallowed_methods, reason = "a token says when it was made")]
#![expect(clippy::disallowed_types, reason = "a client reads the answer of its facilitator")]

use std::time::{Duration, SystemTime};

use coinslot_base::text::excerpt;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Method, StatusCode};
use url::Url;

use super::config::Credential;
use crate::calls::CallResult;
use crate::cdp::CdpKey;

/// An answer, or the reason for which there is none.
pub(super) type Exchange = Result<HttpAnswer, RequestFailure>;

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HttpAnswer {
    pub(super) status: StatusCode,
    /// The address to which a redirect leads.
    pub(super) location: Option<String>,
    pub(super) body: Vec<u8>,
}

/// The longest address of a redirect, and the longest header of an extension, that is shown, in characters.
const MAX_LOCATION: usize = 200;
const MAX_EXTENSION_RESPONSES: usize = 1_024;

/// The header in which a facilitator answers for the payment's extensions.
const EXTENSION_RESPONSES: &str = "extension-responses";

/// The reason for which there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RequestFailure {
    /// There was no connection: not a byte of the request has left.
    NotSent(String),
    /// The request may have arrived, all of it or a part.
    Lost(String),
    /// The same, and there was no answer in time.
    Late(String),
}

impl RequestFailure {
    pub(super) fn into_message(self) -> String {
        match self {
            Self::NotSent(message) | Self::Lost(message) | Self::Late(message) => message,
        }
    }

    /// Reads an error of the client. Only an error of connecting proves that nothing was sent.
    fn of(error: &reqwest::Error) -> Self {
        if error.is_connect() || error.is_builder() {
            Self::NotSent(describe(error))
        } else {
            Self::after_sending(error)
        }
    }

    /// Reads an error of the client after the request was sent.
    fn after_sending(error: &reqwest::Error) -> Self {
        let end = if error.is_timeout() { Self::Late } else { Self::Lost };
        end(describe(error))
    }
}

impl From<&RequestFailure> for CallResult {
    fn from(failure: &RequestFailure) -> Self {
        match failure {
            RequestFailure::NotSent(_) | RequestFailure::Lost(_) => Self::Unreachable,
            RequestFailure::Late(_) => Self::Timeout,
        }
    }
}

/// [`Credential`], ready for a header.
enum AuthorizationSource {
    None,
    Bearer(HeaderValue),
    Cdp(CdpKey),
}

/// A pool of connections.
pub(super) struct HttpConnection {
    client: reqwest::Client,
    authorization: AuthorizationSource,
}

/// The credential has characters that no header can carry.
pub(super) struct UnsendableCredential;

impl HttpConnection {
    /// Takes a credential and a client that follows no redirects.
    pub(super) fn new(credential: Credential, client: reqwest::Client) -> Result<Self, UnsendableCredential> {
        let authorization = match credential {
            Credential::None => AuthorizationSource::None,
            Credential::Bearer(token) => AuthorizationSource::Bearer(bearer(&token).ok_or(UnsendableCredential)?),
            Credential::Cdp(key) => AuthorizationSource::Cdp(key),
        };
        Ok(Self { client, authorization })
    }

    /// `trace`: the fields that continue the trace of the call.
    pub(super) async fn get(
        &self,
        url: &Url,
        at_most: Duration,
        trace: HeaderMap,
    ) -> Result<reqwest::Response, RequestFailure> {
        self.send(Method::GET, url, |request| request.headers(trace).timeout(at_most)).await
    }

    /// Sends JSON, and reads an answer of up to `limit` bytes. `trace`: the fields that continue the trace of the call.
    pub(super) async fn post(
        &self,
        url: &Url,
        json: Vec<u8>,
        at_most: Duration,
        limit: usize,
        trace: HeaderMap,
    ) -> Exchange {
        let response = self
            .send(Method::POST, url, |request| {
                let json_type = HeaderValue::from_static("application/json");
                request.headers(trace).timeout(at_most).header(CONTENT_TYPE, json_type).body(json)
            })
            .await?;
        let (status, location) = (response.status(), location(&response));
        if let Some(answers) = extension_responses(response.headers()) {
            tracing::info!(host = url.host_str(), path = url.path(), answers, "the facilitator answers for extensions");
        }
        Ok(HttpAnswer { status, location, body: read(response, limit).await? })
    }

    async fn send(
        &self,
        method: Method,
        url: &Url,
        build: impl FnOnce(reqwest::RequestBuilder) -> reqwest::RequestBuilder,
    ) -> Result<reqwest::Response, RequestFailure> {
        let authorization = self.authorization(&method, url.as_str())?;
        let mut request = self.client.request(method, url.clone());
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        build(request).send().await.map_err(|error| RequestFailure::of(&error))
    }

    fn authorization(&self, method: &Method, url: &str) -> Result<Option<HeaderValue>, RequestFailure> {
        match &self.authorization {
            AuthorizationSource::None => Ok(None),
            AuthorizationSource::Bearer(value) => Ok(Some(value.clone())),
            AuthorizationSource::Cdp(key) => {
                let target = url.split_once("://").map_or(url, |(_, rest)| rest);
                let token = key.token(method.as_str(), target, SystemTime::now().into());
                let value = token.as_deref().and_then(bearer);
                value.map(Some).ok_or_else(|| RequestFailure::NotSent("the token cannot be signed".to_owned()))
            }
        }
    }
}

/// The header of a token. None if the token has characters that no header can carry.
fn bearer(token: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// The facilitator's answers for the payment's extensions, for the log. They are not passed on.
fn extension_responses(headers: &HeaderMap) -> Option<String> {
    let answers = headers.get(EXTENSION_RESPONSES)?;
    Some(excerpt(&String::from_utf8_lossy(answers.as_bytes()), MAX_EXTENSION_RESPONSES))
}

/// The address to which a redirect leads, for people: it is not followed.
pub(super) fn location(response: &reqwest::Response) -> Option<String> {
    let location = response.headers().get(LOCATION).filter(|_| response.status().is_redirection())?;
    Some(excerpt(&String::from_utf8_lossy(location.as_bytes()), MAX_LOCATION))
}

/// Describes a status that is no answer. A redirect names the address that the operator may want to configure.
pub(super) fn unexpected(status: StatusCode, location: Option<&str>) -> String {
    match location {
        Some(location) => format!("it answered {status}, and has moved to {location}: configure the new address"),
        None => format!("it answered {status}"),
    }
}

/// Reads a body of up to `limit` bytes.
pub(super) async fn read(mut response: reqwest::Response, limit: usize) -> Result<Vec<u8>, RequestFailure> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| RequestFailure::after_sending(&error))? {
        if body.len() + chunk.len() > limit {
            return Err(RequestFailure::Lost(format!("the answer has more than {limit} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Describes an error of the connection with its causes, without the URL.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_for_extensions_are_logged_in_part() {
        let mut headers = HeaderMap::new();
        assert_eq!(extension_responses(&headers), None);
        headers.insert(EXTENSION_RESPONSES, HeaderValue::from_bytes(&[b'x'; 4_000]).expect("a value"));
        assert_eq!(extension_responses(&headers).map(|text| text.len()), Some(MAX_EXTENSION_RESPONSES + 3));
    }
}
