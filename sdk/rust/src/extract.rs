//! Reads the arguments of an endpoint from a request.

use std::future::Future;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method};

use crate::body::Body;
use crate::form::Pairs;
use crate::refusal::Refusal;
use crate::schema::Schemas;

/// The path's parameters and the query.
mod url;
pub use url::{Path, Query};

/// Bodies that are no JSON.
mod body;
pub use body::Form;

/// Forms with files.
mod multipart;
pub use multipart::{Field, Multipart};

/// Header fields, the client's address and the payment.
mod facts;
pub use facts::{ClientAddress, Headers, Payment};

/// Typed header fields.
#[cfg(feature = "typed-header")]
mod typed;
#[cfg(feature = "typed-header")]
pub use typed::TypedHeader;

/// Arguments that may be absent or wrong.
mod optional;

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
    note = "arguments are Path<T>, Query<T>, Json<T>, Form<T>, Multipart, Bytes, String, Body, Headers, \
            TypedHeader<T>, ClientAddress, Payment, Option<_> of these and Result<_, Refusal>; a `T` has the attribute \
            #[model]"
)]
pub trait Extract: Sized {
    /// Reads the argument, or refuses the request.
    fn extract(request: &mut Request) -> impl Future<Output = Result<Self, Refusal>>;

    /// Reads the argument of type `Option<Self>`: none if the request does not have it. What the request has and does
    /// not fit is refused all the same. Without this function the argument is always there.
    fn extract_optional(request: &mut Request) -> impl Future<Output = Result<Option<Self>, Refusal>> {
        async { Self::extract(request).await.map(Some) }
    }

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

    /// The media type of the body without its parameters, in lower case; none if the request does not say it.
    pub(crate) fn media_type(&self) -> Option<String> {
        let text = self.headers.get(CONTENT_TYPE)?.to_str().ok()?;
        Some(text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
    }

    /// True if there is a body that is not empty. The body can still be read: it is whole now.
    pub(crate) async fn has_body(&mut self) -> Result<bool, Refusal> {
        let body = self.whole_body().await?;
        let has_body = !body.is_empty();
        self.body = Some(Body::from(body));
        Ok(has_body)
    }

    pub(crate) async fn whole_body(&mut self) -> Result<Bytes, Refusal> {
        self.take_body().collect().await.map_err(|_| {
            Refusal::bad_request("incomplete_body", "the body ended before it was complete; send it again")
        })
    }
}
