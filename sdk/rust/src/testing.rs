//! Endpoints in a plain `cargo test`, on the developer's own machine.
//!
//! Requests meet the same matching, arguments and answers as in the component. Nobody pays here and
//! there is no network: it shows that a plugin is right, not that a host runs it.
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

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::extract::PaymentSource;
use crate::usage::ChargeError;
use crate::{Amount, Body, Receipt, Refusal, registry};

pub use crate::registry::{Declared, DescribeError, Manifest, Price};
pub use crate::schema::SchemaError;

pub(crate) mod store;

thread_local! {
    /// What the running request has charged; none outside a request.
    static CHARGED: RefCell<Option<Charged>> = const { RefCell::new(None) };
    /// What `config` tells on this thread.
    static CONFIGURED: RefCell<BTreeMap<String, String>> = const { RefCell::new(BTreeMap::new()) };
}

#[derive(Debug, Default)]
struct Charged(Option<String>);

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

/// What the endpoint answered.
#[derive(Debug)]
pub struct TestAnswer {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
    cut_short: bool,
    charged: Option<String>,
}

/// Sets what [`config::get`](crate::config::get) finds, for this test's thread.
pub fn configure(key: &str, value: &str) {
    CONFIGURED.with_borrow_mut(|configured| configured.insert(key.to_owned(), value.to_owned()));
}

pub(crate) fn configured(key: &str) -> Option<String> {
    CONFIGURED.with_borrow(|configured| configured.get(key).cloned())
}

/// What this plugin declares. An error is what the operator would read at load.
pub fn manifest() -> Result<Manifest, DescribeError> {
    registry::describe()
}

/// A GET request to a path, with a query or without.
pub fn get(path: &str) -> TestRequest {
    request(Method::GET, path)
}

/// A POST request to a path.
pub fn post(path: &str) -> TestRequest {
    request(Method::POST, path)
}

/// A request to a path with any method.
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
    /// If it is not one.
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

    /// Sets the body to the JSON of a value.
    ///
    /// # Panics
    /// If the value has no JSON.
    pub fn json(self, value: &impl Serialize) -> Self {
        self.body(serde_json::to_vec(value).expect("a test's body can be JSON"))
    }

    /// Says what was paid.
    pub fn paid(mut self, receipt: Receipt) -> Self {
        self.receipt = Some(receipt);
        self
    }

    /// Asks what the request costs, as the host does before a payment.
    ///
    /// # Panics
    /// If the plugin is at fault, as it would be in the host: an answer that is not an amount.
    pub fn quote(self) -> Result<Amount, Refusal> {
        registry::quote_path(self.method, &self.path, self.query, self.headers, self.body.into())
    }

    /// Runs the endpoint, and reads its answer to the end.
    pub fn send(self) -> TestAnswer {
        let before = CHARGED.replace(Some(Charged::default()));
        let payment = PaymentSource::Test(self.receipt);
        let answer = block_on(async {
            let body = Body::from(self.body);
            let response = registry::serve(self.method, &self.path, self.query, self.headers, body, payment).await;
            let (head, mut body) = response.into_parts();
            let (mut bytes, mut cut_short) = (Vec::new(), false);
            while let Some(chunk) = body.next().await {
                match chunk {
                    Ok(chunk) => bytes.extend_from_slice(&chunk),
                    Err(_) => cut_short = true,
                }
            }
            TestAnswer {
                status: head.status.as_u16(),
                headers: head.headers,
                body: bytes.into(),
                cut_short,
                charged: None,
            }
        });
        let charged = CHARGED.replace(before).and_then(|charged| charged.0);
        TestAnswer { charged, ..answer }
    }
}

impl TestAnswer {
    /// Of the answer.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// A header field of the answer, if it is there and is text.
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
    /// If it is not UTF-8.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the answer is text")
    }

    /// The body, read as JSON.
    ///
    /// # Panics
    /// If it is not the JSON of a `T`.
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).expect("the answer is the expected JSON")
    }

    /// Whether a streamed body ended with an error.
    pub fn cut_short(&self) -> bool {
        self.cut_short
    }

    /// The last charge, for an endpoint with `up_to = ".."`.
    pub fn charged(&self) -> Option<&str> {
        self.charged.as_deref()
    }
}

pub(crate) fn charge(amount: &str) -> Result<(), ChargeError> {
    CHARGED.with_borrow_mut(|charged| match (charged, Amount::parse(amount)) {
        (None, _) => Err(ChargeError("no request is being handled".to_owned())),
        (_, Err(error)) => Err(ChargeError(error.to_string())),
        (Some(charged), Ok(_)) => {
            charged.0 = Some(amount.to_owned());
            Ok(())
        }
    })
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
