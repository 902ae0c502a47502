//! Sends requests to other servers.
//!
//! A plugin reaches the servers that the operator allows, and no other. The host adds secrets such as API keys, so a
//! plugin need not hold them. Redirects are not followed. In a unit test, which is not a component, there is no
//! network: a test answers the requests itself with [`testing::network`](crate::testing), or they fail with
//! [`HttpError::NoNetwork`].
//!
//! ```no_run
//! # async fn example() -> Result<(), coinslot_sdk::http::HttpError> {
//! use std::time::Duration;
//! let answer = coinslot_sdk::http::get("https://api.example.com/rates")
//!     .header("accept", "application/json")
//!     .timeout(Duration::from_secs(5))
//!     .retries(2)
//!     .send()
//!     .await?;
//! let rates: std::collections::BTreeMap<String, f64> = answer.json().await?;
//! # let _ = rates; Ok(())
//! # }
//! ```

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::body::{Body, BodyError};
use crate::imports;

/// Repeats failed requests.
mod retry;

/// A request that is being built. A mistake in it is returned when it is sent.
#[derive(Debug)]
#[must_use = "a request does nothing until it is sent"]
pub struct ClientRequest {
    built: Result<BuiltRequest, HttpError>,
}

/// A request without a mistake so far.
#[derive(Debug)]
struct BuiltRequest {
    request: ::http::Request<Body>,
    timeout: Option<Duration>,
    /// The most repetitions.
    retries: u32,
}

/// The answer of the other server, whatever its status.
#[derive(Debug)]
pub struct ClientResponse {
    status: StatusCode,
    headers: HeaderMap,
    body: Body,
}

/// A request without an answer, or an answer that cannot be read.
#[derive(Debug)]
#[non_exhaustive]
pub enum HttpError {
    /// The URL, or a header's name or value, is malformed.
    Malformed { what: &'static str },
    /// The request's JSON could not be written.
    Encode(serde_json::Error),
    /// The host refused to send the request, or the other server did not answer.
    Failed(Box<dyn std::error::Error + Send + Sync>),
    /// The answer has a status that says that the request failed: an error of [`ClientResponse::ok`] only.
    Status(StatusCode),
    /// The answer's body ended early.
    Body(BodyError),
    /// The answer is not UTF-8 text.
    NotText,
    /// The answer is not the JSON that was expected.
    Decode(serde_json::Error),
    /// The caller is not a component.
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

/// A PUT request.
pub fn put(url: &str) -> ClientRequest {
    request(Method::PUT, url)
}

/// A DELETE request.
pub fn delete(url: &str) -> ClientRequest {
    request(Method::DELETE, url)
}

/// A request with any method. The URL starts with `https://` or `http://`.
pub fn request(method: Method, url: &str) -> ClientRequest {
    let uri = url.parse::<Uri>().ok().filter(|uri| uri.scheme().is_some() && uri.authority().is_some());
    let built = uri.ok_or(HttpError::Malformed { what: "URL" }).map(|uri| {
        let mut request = ::http::Request::new(Body::empty());
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        BuiltRequest { request, timeout: None, retries: 0 }
    });
    ClientRequest { built }
}

impl ClientRequest {
    /// Adds a header field.
    pub fn header(self, name: &str, value: &str) -> Self {
        self.and_then(|built| {
            let name = HeaderName::try_from(name).map_err(|_| HttpError::Malformed { what: "header name" })?;
            let value = HeaderValue::try_from(value).map_err(|_| HttpError::Malformed { what: "header value" })?;
            built.request.headers_mut().append(name, value);
            Ok(())
        })
    }

    /// Sets the body.
    pub fn body(self, body: impl Into<Bytes>) -> Self {
        self.stream(Body::from(body.into()))
    }

    /// Sets a body that is sent while it is made, for example the request's own, an upload that passes through. It has
    /// no `content-length` unless that header field is set. It cannot be sent twice, so there are no retries.
    ///
    /// ```
    /// # use coinslot_sdk::{Body, Result, Text, endpoint, http, testing};
    /// #[endpoint(post, "/keep", price = "0.01", flow = "upfront", summary = "Keeps a file")]
    /// async fn keep(file: Body) -> Result<Text> {
    ///     let stored = http::put("https://store.example/files").stream(file).send().await?;
    ///     Ok(Text(stored.text().await?))
    /// }
    /// # fn main() {
    /// testing::network(|request| Ok(Text(format!("{} bytes", request.body().len()))));
    /// assert_eq!(testing::post("/keep").body("0123456789").send().text(), "10 bytes");
    /// # }
    /// ```
    pub fn stream(self, body: Body) -> Self {
        self.and_then(|built| {
            *built.request.body_mut() = body;
            Ok(())
        })
    }

    /// Sets the body to the JSON of a value, and the media type to `application/json`.
    pub fn json(self, value: &impl Serialize) -> Self {
        self.and_then(|built| {
            *built.request.body_mut() = Body::from(serde_json::to_vec(value).map_err(HttpError::Encode)?);
            built.request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            Ok(())
        })
    }

    /// Limits three waits to this time each: until the connection is established, until the first byte of the answer,
    /// and between two of its bytes. The host's own limits hold as well.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.and_then(|built| {
            built.timeout = Some(timeout);
            Ok(())
        })
    }

    /// Repeats the request up to this many times if it gets no answer, or one of the statuses 429, 502, 503 and 504.
    ///
    /// Between two attempts is a wait, which grows from a tenth of a second to two seconds, or is as long as the
    /// answer's `Retry-After` says, up to five seconds: a longer one is not waited for. POST and PATCH are repeated
    /// only if the request has the header field `idempotency-key`, because an attempt without an answer may have taken
    /// effect. The host's limits hold for all attempts together.
    pub fn retries(self, times: u32) -> Self {
        self.and_then(|built| {
            built.retries = times;
            Ok(())
        })
    }

    /// Sends the request, and waits for the head of the answer.
    pub async fn send(self) -> Result<ClientResponse, HttpError> {
        let BuiltRequest { mut request, timeout, retries } = self.built?;
        let mut attempts = retry::Attempts::of(&request, retries);
        loop {
            let copy = attempts.copy(&request);
            let sent = imports::send(request, timeout).await;
            let (Some(next), Some(wait)) = (copy, attempts.wait_after(&sent)) else {
                return sent.map(|response| {
                    let (head, body) = response.into_parts();
                    ClientResponse { status: head.status, headers: head.headers, body }
                });
            };
            crate::time::sleep(wait).await;
            request = next;
        }
    }

    fn and_then(mut self, change: impl FnOnce(&mut BuiltRequest) -> Result<(), HttpError>) -> Self {
        if let Ok(built) = &mut self.built
            && let Err(error) = change(built)
        {
            self.built = Err(error);
        }
        self
    }
}

impl ClientResponse {
    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The same answer, or an error if its status is 400 or above.
    pub fn ok(self) -> Result<Self, HttpError> {
        match self.status.as_u16() {
            400.. => Err(HttpError::Status(self.status)),
            _ => Ok(self),
        }
    }

    /// The header fields of the answer.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The body while it arrives, for example to answer with it.
    pub fn into_body(self) -> Body {
        self.body
    }

    /// The whole body. Only the plugin's memory bounds it.
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

impl HttpError {
    #[cfg(target_family = "wasm")]
    pub(crate) fn failed(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Failed(source.into())
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { what } => write!(f, "this is not a {what}"),
            Self::Encode(_) => f.write_str("the request's JSON could not be written"),
            Self::Failed(_) => f.write_str("the request got no answer"),
            Self::Status(status) => write!(f, "the answer has status {status}"),
            Self::Body(_) => f.write_str("the answer ended early"),
            Self::NotText => f.write_str("the answer is not UTF-8 text"),
            Self::Decode(_) => f.write_str("the answer is not the expected JSON"),
            Self::NoNetwork => {
                f.write_str("there is no network outside a component: answer requests with `testing::network`")
            }
        }
    }
}

impl std::error::Error for HttpError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Encode(error) | Self::Decode(error) => Some(error),
            Self::Failed(error) => Some(&**error),
            Self::Body(error) => Some(error),
            Self::Malformed { .. } | Self::Status(_) | Self::NotText | Self::NoNetwork => None,
        }
    }
}
