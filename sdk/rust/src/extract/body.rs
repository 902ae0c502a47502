//! Reads bodies that are no JSON: forms, text and bytes.

use std::ops::Deref;

use bytes::Bytes;

use super::{Extract, Request};
use crate::body::Body;
use crate::form;
use crate::model::Input;
use crate::refusal::Refusal;
use crate::schema::Schemas;

/// The media type of [`Form`].
const URLENCODED: &str = "application/x-www-form-urlencoded";

/// The body of an HTML form (`application/x-www-form-urlencoded`), read into a struct as [`Query`](crate::Query) reads
/// a query. A body that does not fit is refused with status 400 and the code `invalid_body`, and a body of another
/// media type with status 415.
///
/// ```
/// # use coinslot_sdk::{Form, Text, endpoint, model, testing};
/// #[model]
/// struct Letter {
///     to: String,
///     text: String,
/// }
///
/// #[endpoint(post, "/letters", price = "0.05", summary = "Sends a letter")]
/// fn send(Form(letter): Form<Letter>) -> Text {
///     Text(format!("{} letters for {}", letter.text.len(), letter.to))
/// }
/// # fn main() {
/// let letter = [("to", "Ada"), ("text", "Hello & goodbye")];
/// assert_eq!(testing::post("/letters").form(&letter).send().text(), "15 letters for Ada");
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Form<T>(pub T);

impl<T> Deref for Form<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Input> Extract for Form<T> {
    async fn extract(request: &mut Request) -> Result<Self, Refusal> {
        // A client that does not name the media type is believed to send what the endpoint reads.
        if let Some(other) = request.media_type().filter(|media_type| media_type != URLENCODED) {
            let message = format!("send the body as `content-type: {URLENCODED}` and not as {other:?}");
            return Err(Refusal::new(415, "unsupported_media_type", message));
        }
        let body = request.whole_body().await?;
        let fields = form::parse_query(std::str::from_utf8(&body).map_err(|_| not_text())?);
        form::query(&fields).map(Self).map_err(|error| {
            let message = format!("the form does not fit this endpoint: {error}");
            error.refusal("invalid_body", "/body", message)
        })
    }

    /// None without a body.
    async fn extract_optional(request: &mut Request) -> Result<Option<Self>, Refusal> {
        match request.has_body().await? {
            true => Self::extract(request).await.map(Some),
            false => Ok(None),
        }
    }

    fn describe(schemas: &mut Schemas) {
        schemas.form::<T>();
    }
}

/// The whole body. Of a request without a body it is empty, and as `Option<Bytes>` none.
impl Extract for Bytes {
    async fn extract(request: &mut Request) -> Result<Self, Refusal> {
        request.whole_body().await
    }

    async fn extract_optional(request: &mut Request) -> Result<Option<Self>, Refusal> {
        request.whole_body().await.map(|body| Some(body).filter(|body| !body.is_empty()))
    }
}

/// The whole body as text. A body that is no UTF-8 is refused with status 400 and the code `invalid_body`.
impl Extract for String {
    async fn extract(request: &mut Request) -> Result<Self, Refusal> {
        Self::from_utf8(request.whole_body().await?.into()).map_err(|_| not_text())
    }

    async fn extract_optional(request: &mut Request) -> Result<Option<Self>, Refusal> {
        Self::extract(request).await.map(|body| Some(body).filter(|body| !body.is_empty()))
    }
}

/// The body while it arrives.
impl Extract for Body {
    async fn extract(request: &mut Request) -> Result<Self, Refusal> {
        Ok(request.take_body())
    }
}

fn not_text() -> Refusal {
    Refusal::bad_request("invalid_body", "the body is not UTF-8 text").at("/body", "encoding")
}
