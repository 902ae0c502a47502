//! Runs endpoints in a plain `cargo test`, on the developer's own machine.
//!
//! Requests pass the same routing, arguments and answers as in the component, and a path that a host refuses is
//! refused. No payment is made, and [`network`] answers for other servers: such a test shows that a plugin is right,
//! not that a host can load it.
//!
//! ```
//! # use coinslot_sdk::{Payment, Text, endpoint, testing, Receipt};
//! #[endpoint(get, "/who/{name}", up_to = "0.05", summary = "Says who paid for a name")]
//! async fn who(coinslot_sdk::Path(name): coinslot_sdk::Path<String>, Payment(receipt): Payment) -> Text {
//!     coinslot_sdk::usage::charge("0.02").expect("an endpoint with `up_to` may charge");
//!     Text(format!("{name}, paid by {}", receipt.map_or("nobody".to_owned(), |r| r.payer)))
//! }
//! # fn main() {
//! let answer = testing::get("/who/Ada%20L").paid(Receipt::sample()).send();
//! assert_eq!(answer.status(), 200);
//! assert!(answer.text().starts_with("Ada L, paid by 0x"));
//! assert_eq!(answer.charged(), Some("0.02"));
//! # }
//! ```

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::dispatch::{self, RawRequest};
use crate::imports::simulated::{self, SimulatedRequest};
use crate::registry;
use crate::{Amount, Body, Receipt, Refusal, Response};

/// The paths of requests.
mod path;

/// Forms with files.
mod part;
pub use part::Part;

/// The other servers.
mod network;
pub use network::{NoAnswer, SentRequest, network};

pub use crate::registry::{DeclaredEndpoint, DescribeError, Manifest, Price};
pub use crate::schema::SchemaError;

/// A request to this plugin.
#[derive(Debug)]
#[must_use = "a request does nothing until it is sent"]
pub struct TestRequest {
    method: Method,
    path: String,
    query: Option<String>,
    headers: HeaderMap,
    body: Bytes,
    receipt: Option<Receipt>,
}

/// The answer of an endpoint.
#[derive(Debug)]
pub struct TestAnswer {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
    cut_short: bool,
    charged: Option<String>,
}

/// Sets the value that [`config::get`](crate::config::get) returns for a key, on this test's thread.
pub fn configure(key: &str, value: &str) {
    simulated::configure(key, value);
}

/// The manifest of this plugin. An error is what the operator would read when the plugin is loaded.
pub fn manifest() -> Result<Manifest, DescribeError> {
    registry::describe()
}

/// A GET request to a path, with a query or without.
pub fn get(path: &str) -> TestRequest {
    request(Method::GET, path)
}

/// A POST request to a path, with a query or without.
pub fn post(path: &str) -> TestRequest {
    request(Method::POST, path)
}

/// A request to a path, with any method. The path may have a query.
pub fn request(method: Method, path: &str) -> TestRequest {
    let (path, query) = match path.split_once('?') {
        Some((path, query)) => (path.to_owned(), Some(query.to_owned())),
        None => (path.to_owned(), None),
    };
    TestRequest { method, path, query, headers: HeaderMap::new(), body: Bytes::new(), receipt: None }
}

impl TestRequest {
    /// Adds a header field.
    ///
    /// # Panics
    /// If the name or the value is malformed.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::try_from(name).expect("a test's header has a valid name");
        self.headers.append(name, HeaderValue::try_from(value).expect("a test's header has a valid value"));
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets the body to the JSON of a value, and the media type if it is not set.
    ///
    /// # Panics
    /// If the value cannot be written as JSON.
    pub fn json(self, value: &impl Serialize) -> Self {
        let body = serde_json::to_vec(value).expect("a test's body can be JSON");
        self.media_type("application/json").body(body)
    }

    /// Sets the body to a form's names and values, and the media type if it is not set.
    pub fn form(self, fields: &[(&str, &str)]) -> Self {
        let pairs: Vec<_> =
            fields.iter().map(|(name, value)| path::encode(name) + "=" + &path::encode(value)).collect();
        self.media_type("application/x-www-form-urlencoded").body(pairs.join("&"))
    }

    /// Sets the body to a form with files, and the media type if it is not set.
    pub fn multipart(self, parts: &[Part]) -> Self {
        self.media_type(part::MEDIA_TYPE).body(part::body(parts))
    }

    fn media_type(mut self, media_type: &'static str) -> Self {
        self.headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static(media_type));
        self
    }

    /// Makes the request a paid one, with this receipt.
    pub fn paid(mut self, receipt: Receipt) -> Self {
        self.receipt = Some(receipt);
        self
    }

    /// Asks what the request costs, as the host does before a payment.
    ///
    /// # Panics
    /// If the plugin is at fault, as it would be in the host: the quote is no amount.
    pub fn quote(self) -> Result<Amount, Refusal> {
        dispatch::quote_path(self.raw()?)
    }

    /// Runs the endpoint, and reads its answer to the end.
    ///
    /// As in the host, a path that is ambiguous is refused, and `HEAD` of a free endpoint is `GET` without the body; of
    /// a paid one it is 402 and runs nothing.
    pub fn send(mut self) -> TestAnswer {
        let request = SimulatedRequest { receipt: self.receipt.take(), ..SimulatedRequest::default() };
        let before = simulated::replace(Some(request));
        let answer = block_on(async {
            let (head, mut body) = self.respond().await.into_parts();
            let (mut bytes, mut cut_short) = (Vec::new(), false);
            while let Some(chunk) = body.next().await {
                match chunk {
                    Ok(chunk) => bytes.extend_from_slice(&chunk),
                    Err(_) => cut_short = true,
                }
            }
            let (status, headers) = (head.status.as_u16(), head.headers);
            TestAnswer { status, headers, body: bytes.into(), cut_short, charged: None }
        });
        let charged = simulated::replace(before).and_then(|request| request.charged);
        TestAnswer { charged, ..answer }
    }

    async fn respond(self) -> Response {
        let head_only = self.method == Method::HEAD;
        let raw = match self.raw() {
            Ok(raw) => raw,
            Err(refusal) => return refusal.response(),
        };
        if head_only && dispatch::is_paid(&raw) {
            let mut challenge = Response::new(Body::empty());
            *challenge.status_mut() = StatusCode::PAYMENT_REQUIRED;
            return challenge;
        }
        simulated::limit_charge(dispatch::maximum(&raw));
        let mut response = dispatch::serve(raw).await;
        if head_only {
            *response.body_mut() = Body::empty();
        }
        response
    }

    /// The request as the host gives it to the plugin, or the host's refusal.
    fn raw(self) -> Result<RawRequest, Refusal> {
        let Self { method, path, query, headers, body, receipt: _ } = self;
        let method = if method == Method::HEAD { Method::GET } else { method };
        let path = path::canonical(&path).map_err(|problem| Refusal::bad_request("bad_path", problem))?;
        Ok(RawRequest { method, path, query, headers, body: Body::from(body) })
    }
}

impl TestAnswer {
    /// The status of the answer.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// A header field of the answer; none if it is absent or no text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body.
    pub fn bytes(&self) -> &Bytes {
        &self.body
    }

    /// The body as text.
    ///
    /// # Panics
    /// If the body is not UTF-8.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the answer is text")
    }

    /// The body, read as JSON.
    ///
    /// # Panics
    /// If the body is not the JSON of a `T`.
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).expect("the answer is the expected JSON")
    }

    /// True if a streamed body ended with an error.
    pub fn cut_short(&self) -> bool {
        self.cut_short
    }

    /// The last charge, for an endpoint with `up_to = ".."`.
    pub fn charged(&self) -> Option<&str> {
        self.charged.as_deref()
    }
}

/// Runs a future on this thread until it is ready, for example an endpoint called as a function.
pub fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}
