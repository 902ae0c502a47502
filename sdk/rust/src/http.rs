//! Requests to other servers.
//!
//! A plugin reaches the servers that the operator allows, and no other; secrets such as API keys are
//! added by the host, so a plugin need not hold them. Redirects are not followed. Off wasm, where
//! unit tests run, there is no network: every request fails with [`HttpError::NoNetwork`].
//!
//! ```no_run
//! # async fn example() -> Result<(), coinslot_sdk::http::HttpError> {
//! use std::time::Duration;
//! let answer = coinslot_sdk::http::get("https://api.example.com/rates")
//!     .header("accept", "application/json")
//!     .timeout(Duration::from_secs(5))
//!     .send()
//!     .await?;
//! let rates: std::collections::BTreeMap<String, f64> = answer.json().await?;
//! # let _ = rates; Ok(())
//! # }
//! ```

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::body::{Body, BodyError};

/// A request that is being put together. Mistakes show when it is sent.
#[derive(Debug)]
#[must_use = "a request does nothing until it is sent"]
pub struct ClientRequest {
    parts: Result<Parts, HttpError>,
}

#[derive(Debug)]
#[cfg_attr(not(target_family = "wasm"), allow(dead_code, reason = "only a component sends requests"))]
pub(crate) struct Parts {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) timeout: Option<Duration>,
}

/// What the other server answered. Any status is an answer.
#[derive(Debug)]
pub struct ClientResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
}

/// Why there is no answer.
#[derive(Debug)]
#[non_exhaustive]
pub enum HttpError {
    /// The URL, or a header's name or value, is not one.
    Malformed { what: &'static str },
    /// The request's JSON could not be written.
    Encode(serde_json::Error),
    /// The host refused to send it, or the other server did not answer.
    Failed(Box<dyn std::error::Error + Send + Sync>),
    /// The answer ended early.
    Body(BodyError),
    /// The answer is not UTF-8 text.
    NotText,
    /// The answer is not the JSON that was expected.
    Decode(serde_json::Error),
    /// This is not a component.
    NoNetwork,
}

/// A GET request.
pub fn get(url: &str) -> ClientRequest {
    request(Method::GET, url)
}

/// A POST request.
pub fn post(url: &str) -> ClientRequest {
    request(Method::POST, url)
}

/// A request with any method. The URL starts with `https://` or `http://`.
pub fn request(method: Method, url: &str) -> ClientRequest {
    let uri = url.parse::<Uri>().ok().filter(|uri| uri.scheme().is_some() && uri.authority().is_some());
    let parts = uri.ok_or(HttpError::Malformed { what: "URL" }).map(|uri| Parts {
        method,
        uri,
        headers: HeaderMap::new(),
        body: Bytes::new(),
        timeout: None,
    });
    ClientRequest { parts }
}

impl ClientRequest {
    /// Adds a header field.
    pub fn header(self, name: &str, value: &str) -> Self {
        self.and_then(|parts| {
            let name = HeaderName::try_from(name).map_err(|_| HttpError::Malformed { what: "header name" })?;
            let value = HeaderValue::try_from(value).map_err(|_| HttpError::Malformed { what: "header value" })?;
            parts.headers.append(name, value);
            Ok(())
        })
    }

    /// Sets the body.
    pub fn body(self, body: impl Into<Bytes>) -> Self {
        self.and_then(|parts| {
            parts.body = body.into();
            Ok(())
        })
    }

    /// Sets the body to the JSON of a value, and the media type with it.
    pub fn json(self, value: &impl Serialize) -> Self {
        self.and_then(|parts| {
            parts.body = serde_json::to_vec(value).map_err(HttpError::Encode)?.into();
            parts.headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            Ok(())
        })
    }

    /// At most this long until the connection stands, until the answer's first byte, and between
    /// its bytes: each of the three. The host's own limits also hold.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.and_then(|parts| {
            parts.timeout = Some(timeout);
            Ok(())
        })
    }

    /// Sends it, and waits for the head of the answer.
    pub async fn send(self) -> Result<ClientResponse, HttpError> {
        let parts = self.parts?;
        #[cfg(target_family = "wasm")]
        return crate::component::send(parts).await;
        #[cfg(not(target_family = "wasm"))]
        return {
            drop(parts);
            Err(HttpError::NoNetwork)
        };
    }

    fn and_then(mut self, change: impl FnOnce(&mut Parts) -> Result<(), HttpError>) -> Self {
        if let Ok(parts) = &mut self.parts
            && let Err(error) = change(parts)
        {
            self.parts = Err(error);
        }
        self
    }
}

impl ClientResponse {
    /// Of the answer.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Of the answer.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The body as it arrives, for example to answer with it.
    pub fn into_body(self) -> Body {
        self.body
    }

    /// The whole body. Nothing bounds it but the plugin's memory.
    pub async fn bytes(self) -> Result<Bytes, HttpError> {
        self.body.collect().await.map_err(HttpError::Body)
    }

    /// The whole body as text.
    pub async fn text(self) -> Result<String, HttpError> {
        String::from_utf8(self.bytes().await?.into()).map_err(|_| HttpError::NotText)
    }

    /// The whole body, read as JSON.
    pub async fn json<T: DeserializeOwned>(self) -> Result<T, HttpError> {
        serde_json::from_slice(&self.bytes().await?).map_err(HttpError::Decode)
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { what } => write!(f, "this is not a {what}"),
            Self::Encode(_) => f.write_str("the request's JSON could not be written"),
            Self::Failed(_) => f.write_str("the request got no answer"),
            Self::Body(_) => f.write_str("the answer ended early"),
            Self::NotText => f.write_str("the answer is not UTF-8 text"),
            Self::Decode(_) => f.write_str("the answer is not the expected JSON"),
            Self::NoNetwork => f.write_str("there is no network outside a component"),
        }
    }
}

impl std::error::Error for HttpError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Encode(error) | Self::Decode(error) => Some(error),
            Self::Failed(error) => Some(&**error),
            Self::Body(error) => Some(error),
            Self::Malformed { .. } | Self::NotText | Self::NoNetwork => None,
        }
    }
}
