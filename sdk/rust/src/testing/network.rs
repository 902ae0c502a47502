//! Answers for the other servers in a test.

use std::fmt;

use bytes::Bytes;
use http::{Method, Request};
use serde::de::DeserializeOwned;

use crate::answer::Answer;
use crate::imports::simulated;

/// A request that the plugin has sent to another server.
#[derive(Clone, Debug)]
pub struct SentRequest(Request<Bytes>);

/// No answer, as of a server that does not exist, or one that the operator does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoAnswer;

/// Answers the requests that the plugin sends to other servers, on this test's thread.
///
/// ```
/// use coinslot_sdk::testing::{self, NoAnswer};
/// use coinslot_sdk::{Result, StatusCode, Text, endpoint, http, json};
///
/// #[endpoint(get, "/weather", price = "0.001", summary = "The weather")]
/// async fn weather() -> Result<Text> {
///     let answer = http::get("https://api.example.com/now").send().await?.ok()?;
///     Ok(Text(answer.text().await?))
/// }
/// # fn main() {
/// testing::network(|request| match request.url().as_str() {
///     "https://api.example.com/now" => Ok((StatusCode::OK, "rain")),
///     _ => Err(NoAnswer),
/// });
/// assert_eq!(testing::get("/weather").send().text(), "rain");
/// testing::network(|_| Ok((StatusCode::BAD_GATEWAY, "")));
/// assert_eq!(testing::get("/weather").send().status(), 500);
/// # }
/// ```
pub fn network<A: Answer>(mut answer: impl FnMut(&SentRequest) -> Result<A, NoAnswer> + 'static) {
    simulated::network::replace(Box::new(move |request| {
        answer(&SentRequest(request)).map(|answer| {
            let mut response = answer.into_response();
            let mime_type = http::HeaderValue::from_static(A::MIME_TYPE);
            response.headers_mut().entry(http::header::CONTENT_TYPE).or_insert(mime_type);
            response
        })
    }));
}

impl SentRequest {
    /// The method.
    pub fn method(&self) -> &Method {
        self.0.method()
    }

    /// The whole URL. An empty path is `/`.
    pub fn url(&self) -> String {
        self.0.uri().to_string()
    }

    /// A header field; none if it is absent or no text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.0.headers().get(name)?.to_str().ok()
    }

    /// The body.
    pub fn body(&self) -> &Bytes {
        self.0.body()
    }

    /// The body, read as JSON.
    ///
    /// # Panics
    /// If the body is not the JSON of a `T`.
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(self.body()).expect("the request's body is the JSON of this type")
    }
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no such server answers")
    }
}

impl std::error::Error for NoAnswer {}
