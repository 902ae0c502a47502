//! What an endpoint reads.

use std::future::Future;
use std::ops::Deref;

use bytes::Bytes;
use http::{HeaderMap, Method};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::answer::Refusal;
use crate::body::Body;
use crate::form::{self, Pairs};
use crate::schema::Schemas;

/// One request to an endpoint, as its arguments read it.
#[derive(Debug)]
pub struct Request {
    pub(crate) method: Method,
    /// The template of the endpoint that serves it.
    pub(crate) route: &'static str,
    /// Percent-decoded.
    pub(crate) params: Pairs,
    /// Not decoded.
    pub(crate) query: Option<String>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Body>,
    pub(crate) payment: PaymentSource,
}

/// Where the payment of this request is known.
#[derive(Debug)]
pub(crate) enum PaymentSource {
    /// Nowhere: this is a quote, before any payment.
    Nobody,
    /// The host is asked when an argument wants to know.
    #[cfg(target_family = "wasm")]
    Host,
    /// A test said it.
    #[cfg(not(target_family = "wasm"))]
    Test(Option<Receipt>),
}

/// What an argument of an endpoint is made of.
///
/// An extractor of your own reads other extractors' parts of the request, or its [`Request::headers`].
/// It also runs in the host's `quote` call, where it must not wait for the network or the clock.
#[diagnostic::on_unimplemented(
    message = "an endpoint cannot take an argument of type `{Self}`",
    label = "not an argument",
    note = "arguments are Path<T>, Query<T>, Json<T>, Bytes, Body, Headers and Payment; a `T` derives Deserialize and JsonSchema"
)]
pub trait Extract: Sized {
    /// Reads it, or refuses the request.
    fn extract(request: &mut Request) -> impl Future<Output = Result<Self, Refusal>>;

    /// Adds its schema to the manifest.
    fn describe(schemas: &mut Schemas) {
        let _ = schemas;
    }
}

impl Request {
    /// One of those that the attribute knows.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The path template of the endpoint.
    pub fn route(&self) -> &'static str {
        self.route
    }

    /// Names and values of the path's parameters, percent-decoded.
    pub fn params(&self) -> &[(String, String)] {
        &self.params
    }

    /// What stands after the question mark, not decoded.
    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// Payment headers are not among them: the host keeps those.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Takes the body. The second call in one request gets an empty one.
    pub fn take_body(&mut self) -> Body {
        self.body.take().unwrap_or_else(Body::empty)
    }

    pub(crate) async fn whole_body(&mut self) -> Result<Bytes, Refusal> {
        self.take_body().collect().await.map_err(|_| {
            Refusal::bad_request("incomplete_body", "the body ended before it was complete; send it again")
        })
    }
}

/// The path's parameters: a struct by their names, a tuple by their order, or a single value.
/// What does not fit is refused with `invalid_path`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Path<T>(pub T);

/// The query, read into a struct: text, numbers, `true` and `false`, unit enums, options, and lists
/// (a key that stands several times). What does not fit is refused with `invalid_query`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Query<T>(pub T);

/// The request's header fields, without those about the payment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(pub HeaderMap);

/// The payment behind this request; none on a free route, and none while a price is quoted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Payment(pub Option<Receipt>);

/// What the caller paid. The host says so; no client can.
///
/// It is verified and claimed when the endpoint runs, and settled when the endpoint has answered with
/// a status below 400.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// The payer's address, in the notation of its network.
    pub payer: String,
    /// The authorised amount in decimal units of the asset, for example `0.01`.
    pub amount: String,
    /// The asset's address, in the notation of its network.
    pub asset: String,
    /// A CAIP-2 identifier, for example `eip155:8453`.
    pub network: String,
    /// This payment in the operator's books.
    pub payment_id: String,
}

impl Receipt {
    /// A receipt for a test: a cent on Base Sepolia.
    #[cfg(not(target_family = "wasm"))]
    pub fn sample() -> Self {
        Self {
            payer: "0x857b06519E91e3A54538791bDbb0E22373e36b66".to_owned(),
            amount: "0.01".to_owned(),
            asset: "0x036CbD53842c5426634e7929541eC2318f3dCF7e".to_owned(),
            network: "eip155:84532".to_owned(),
            payment_id: "test".to_owned(),
        }
    }
}

impl<T> Deref for Path<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> Deref for Query<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl Deref for Headers {
    type Target = HeaderMap;

    fn deref(&self) -> &HeaderMap {
        &self.0
    }
}

impl<T: DeserializeOwned + JsonSchema> Extract for Path<T> {
    async fn extract(request: &mut Request) -> Result<Self, Refusal> {
        form::path(&request.params).map(Self).map_err(|error| {
            Refusal::bad_request("invalid_path", format!("the path does not fit {}: {error}", request.route))
        })
    }

    fn describe(schemas: &mut Schemas) {
        schemas.path::<T>();
    }
}

impl<T: DeserializeOwned + JsonSchema> Extract for Query<T> {
    async fn extract(request: &mut Request) -> Result<Self, Refusal> {
        let pairs = form::parse_query(request.query.as_deref().unwrap_or_default());
        pairs.and_then(|pairs| form::query(&pairs)).map(Self).map_err(|error| {
            Refusal::bad_request("invalid_query", format!("the query does not fit this endpoint: {error}"))
        })
    }

    fn describe(schemas: &mut Schemas) {
        schemas.query::<T>();
    }
}

/// The whole body as it is.
impl Extract for Bytes {
    async fn extract(request: &mut Request) -> Result<Self, Refusal> {
        request.whole_body().await
    }
}

/// The body as it arrives.
impl Extract for Body {
    async fn extract(request: &mut Request) -> Result<Self, Refusal> {
        Ok(request.take_body())
    }
}

impl Extract for Headers {
    async fn extract(request: &mut Request) -> Result<Self, Refusal> {
        Ok(Self(request.headers.clone()))
    }
}

impl Extract for Payment {
    async fn extract(request: &mut Request) -> Result<Self, Refusal> {
        Ok(Self(match &request.payment {
            PaymentSource::Nobody => None,
            #[cfg(target_family = "wasm")]
            PaymentSource::Host => crate::component::payment(),
            #[cfg(not(target_family = "wasm"))]
            PaymentSource::Test(receipt) => receipt.clone(),
        }))
    }
}
