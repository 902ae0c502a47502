//! The arguments of an endpoint, and the request that they are read from.

use std::future::Future;
use std::ops::Deref;

use bytes::Bytes;
use http::{HeaderMap, Method};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::answer::Refusal;
use crate::body::Body;
use crate::form::{self, Pairs};
use crate::imports::{self, Receipt};
use crate::schema::Schemas;

/// One request to an endpoint. Its arguments are read from it.
#[derive(Debug)]
pub struct Request {
    pub(crate) method: Method,
    /// The template of the endpoint that serves the request.
    pub(crate) route: &'static str,
    /// Percent-decoded.
    pub(crate) params: Pairs,
    /// Not decoded.
    pub(crate) query: Option<String>,
    pub(crate) headers: HeaderMap,
    /// None after it has been taken.
    pub(crate) body: Option<Body>,
    pub(crate) payment: PaymentSource,
}

/// The source of [`Payment`].
#[derive(Debug)]
pub(crate) enum PaymentSource {
    /// No payment: this is a quote.
    Nobody,
    /// The host, which is asked when an argument reads the payment.
    Host,
}

/// A type that an endpoint can take as an argument.
///
/// An extractor of your own reads other extractors' parts of the request, or its [`Request::headers`]. It also runs in
/// the host's `quote` call, where it must not wait for the network or the clock.
///
/// ```
/// # use coinslot_sdk::{Extract, Refusal, Request, Text, endpoint, testing};
/// /// The language that the client prefers.
/// struct Language(String);
///
/// impl Extract for Language {
///     async fn extract(request: &mut Request) -> Result<Self, Refusal> {
///         match request.headers().get("accept-language").and_then(|value| value.to_str().ok()) {
///             Some(languages) => Ok(Self(languages.split(',').next().unwrap_or_default().to_owned())),
///             None => Err(Refusal::bad_request("no_language", "send the header Accept-Language")),
///         }
///     }
/// }
///
/// #[endpoint(get, "/language", free, summary = "Says which language you prefer")]
/// async fn language(Language(language): Language) -> Text {
///     Text(language)
/// }
/// # fn main() {
/// let answer = testing::get("/language").header("accept-language", "fr, en").send();
/// assert_eq!(answer.text(), "fr");
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "an endpoint cannot take an argument of type `{Self}`",
    label = "not an argument",
    note = "arguments are Path<T>, Query<T>, Json<T>, Bytes, Body, Headers and Payment; \
            a `T` derives Deserialize and JsonSchema"
)]
pub trait Extract: Sized {
    /// Reads the argument, or refuses the request.
    fn extract(request: &mut Request) -> impl Future<Output = Result<Self, Refusal>>;

    /// Adds the argument's schema to the manifest. Without it the argument has none.
    fn describe(schemas: &mut Schemas) {
        let _ = schemas;
    }
}

impl Request {
    /// `GET`, `POST`, `PUT`, `PATCH` or `DELETE`.
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

    /// The part of the URL after the question mark, not decoded; none if there is no question mark.
    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// The header fields. The host has removed those about the payment.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Takes the body. A second call in the same request returns an empty body.
    pub fn take_body(&mut self) -> Body {
        self.body.take().unwrap_or_else(Body::empty)
    }

    pub(crate) async fn whole_body(&mut self) -> Result<Bytes, Refusal> {
        self.take_body().collect().await.map_err(|_| {
            Refusal::bad_request("incomplete_body", "the body ended before it was complete; send it again")
        })
    }
}

/// The path's parameters: a struct by their names, a tuple by their order, or a single value. Parameters that do not
/// fit are refused with status 400 and the code `invalid_path`.
///
/// ```
/// # use coinslot_sdk::{Path, Text, endpoint, testing};
/// #[endpoint(get, "/convert/{from}/{to}", price = "0.001", summary = "Converts a currency")]
/// async fn convert(Path((from, to)): Path<(String, String)>) -> Text {
///     Text(format!("{from} to {to}"))
/// }
/// # fn main() { assert_eq!(testing::get("/convert/eur/usd").send().text(), "eur to usd"); }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Path<T>(pub T);

/// The query, read into a struct: text, numbers, `true` and `false`, unit enums, options, and lists (a key that occurs
/// several times). A query that does not fit is refused with status 400 and the code `invalid_query`.
///
/// ```
/// # use coinslot_sdk::{Deserialize, JsonSchema, Query, Text, endpoint, testing};
/// #[derive(Deserialize, JsonSchema)]
/// struct Search {
///     q: String,
///     /// At most this many results.
///     limit: Option<u8>,
///     #[serde(default)]
///     tag: Vec<String>,
/// }
///
/// #[endpoint(get, "/search", price = "0.001", summary = "Searches")]
/// async fn search(Query(search): Query<Search>) -> Text {
///     Text(format!("{} {} {:?}", search.q, search.limit.unwrap_or(10), search.tag))
/// }
/// # fn main() {
/// assert_eq!(testing::get("/search?q=a+b&tag=x&tag=y").send().text(), r#"a b 10 ["x", "y"]"#);
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Query<T>(pub T);

/// The request's header fields, without those about the payment.
///
/// `quote` and `check` see `content-type` and those that the endpoint's option `quote_headers` names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(pub HeaderMap);

/// The payment of this request; none on a free route, and none while a price is quoted.
///
/// ```
/// # use coinslot_sdk::{Payment, Receipt, Text, endpoint, testing};
/// #[endpoint(get, "/thanks", price = "0.01", summary = "Thanks the payer")]
/// async fn thanks(Payment(receipt): Payment) -> Text {
///     Text(receipt.map_or_else(String::new, |receipt| format!("Thank you, {}!", receipt.payer)))
/// }
/// # fn main() {
/// assert!(testing::get("/thanks").paid(Receipt::sample()).send().text().starts_with("Thank you, 0x"));
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Payment(pub Option<Receipt>);

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

/// The whole body.
impl Extract for Bytes {
    async fn extract(request: &mut Request) -> Result<Self, Refusal> {
        request.whole_body().await
    }
}

/// The body while it arrives.
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
        Ok(Self(match request.payment {
            PaymentSource::Nobody => None,
            PaymentSource::Host => imports::payment(),
        }))
    }
}
