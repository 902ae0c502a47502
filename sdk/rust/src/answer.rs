//! Makes responses of what an endpoint returns.

use std::borrow::Cow;

use bytes::Bytes;
use http::StatusCode;
use http::header::HeaderValue;

use crate::body::{Body, Stream};
use crate::schema::Schemas;

/// Answers made of another answer: with a status, header fields or a media type, or perhaps none.
mod parts;

/// Redirects.
mod redirect;
pub use redirect::Redirect;

/// Server-sent events.
mod sse;
pub use sse::{Event, EventSink, Sse};

/// A whole answer: status, header fields and body, for an endpoint that needs more than the other answer types have.
pub type Response = ::http::Response<Body>;

/// A type that an endpoint can return.
///
/// ```
/// # use coinslot_sdk::{Answer, Response, Text, endpoint, testing};
/// /// Lines of a table, as comma-separated values.
/// struct Csv(Vec<[String; 2]>);
///
/// impl Answer for Csv {
///     const MIME_TYPE: &'static str = "text/csv";
///
///     fn into_response(self) -> Response {
///         let lines: Vec<String> = self.0.iter().map(|row| row.join(",")).collect();
///         Response::new(lines.join("\n").into())
///     }
/// }
///
/// #[endpoint(get, "/planets", price = "0.001", summary = "Lists planets")]
/// async fn planets() -> Csv {
///     Csv(vec![["Mercury".to_owned(), "0.39".to_owned()], ["Venus".to_owned(), "0.72".to_owned()]])
/// }
/// # fn main() {
/// let answer = testing::get("/planets").send();
/// assert_eq!((answer.header("content-type"), answer.text()), (Some("text/csv"), "Mercury,0.39\nVenus,0.72"));
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "an endpoint cannot answer `{Self}`",
    label = "not an answer",
    note = "answers are Text, String, Html, Json<T>, Bytes, Stream, Sse, Redirect, Media<T>, (StatusCode, T), \
            Option<T>, Result<T, Refusal>, Result<T> and Response"
)]
pub trait Answer: Sized {
    /// The media type of a successful answer. An endpoint's `mime_type` and an answer's own `content-type` win over it.
    const MIME_TYPE: &'static str;

    /// Makes the response. A success without a `content-type` gets the endpoint's media type.
    fn into_response(self) -> Response;

    /// Adds the schema of a successful answer's body to the manifest.
    fn describe(schemas: &mut Schemas) {
        let _ = schemas;
    }
}

/// An answer in plain text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text(pub String);

/// An answer that is an HTML page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Html(pub String);

/// An answer whose media type is known only when the answer is made.
///
/// ```
/// # use coinslot_sdk::{Bytes, HeaderValue, Media, Path, endpoint, testing};
/// #[endpoint(get, "/icons/{name}", price = "0.001", summary = "An icon")]
/// async fn icon(Path(name): Path<String>) -> Media<Bytes> {
///     let media_type = if name.ends_with(".svg") { "image/svg+xml" } else { "image/png" };
///     Media(HeaderValue::from_static(media_type), Bytes::from_static(b".."))
/// }
/// # fn main() {
/// assert_eq!(testing::get("/icons/cat.svg").send().header("content-type"), Some("image/svg+xml"));
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Media<T>(pub HeaderValue, pub T);

impl<T: Into<String>> From<T> for Text {
    fn from(text: T) -> Self {
        Self(text.into())
    }
}

impl Answer for Text {
    const MIME_TYPE: &'static str = "text/plain; charset=utf-8";

    fn into_response(self) -> Response {
        Response::new(self.0.into())
    }
}

/// The text, as with [`Text`].
impl Answer for String {
    const MIME_TYPE: &'static str = Text::MIME_TYPE;

    fn into_response(self) -> Response {
        Response::new(self.into())
    }
}

/// The text, as with [`Text`].
impl Answer for &'static str {
    const MIME_TYPE: &'static str = Text::MIME_TYPE;

    fn into_response(self) -> Response {
        Response::new(self.into())
    }
}

/// The text, as with [`Text`].
impl Answer for Cow<'static, str> {
    const MIME_TYPE: &'static str = Text::MIME_TYPE;

    fn into_response(self) -> Response {
        self.into_owned().into_response()
    }
}

impl Answer for Html {
    const MIME_TYPE: &'static str = "text/html; charset=utf-8";

    fn into_response(self) -> Response {
        Response::new(self.0.into())
    }
}

impl Answer for Bytes {
    const MIME_TYPE: &'static str = "application/octet-stream";

    fn into_response(self) -> Response {
        Response::new(self.into())
    }
}

impl Answer for Vec<u8> {
    const MIME_TYPE: &'static str = "application/octet-stream";

    fn into_response(self) -> Response {
        Response::new(self.into())
    }
}

impl Answer for Body {
    const MIME_TYPE: &'static str = "application/octet-stream";

    fn into_response(self) -> Response {
        Response::new(self)
    }
}

impl Answer for Stream {
    const MIME_TYPE: &'static str = "application/octet-stream";

    fn into_response(self) -> Response {
        Response::new(self.0)
    }
}

/// An answer with status 204 and without a body.
impl Answer for () {
    const MIME_TYPE: &'static str = "application/octet-stream";

    fn into_response(self) -> Response {
        (StatusCode::NO_CONTENT, Body::empty()).into_response()
    }
}

/// An answer with this status and without a body.
impl Answer for StatusCode {
    const MIME_TYPE: &'static str = "application/octet-stream";

    fn into_response(self) -> Response {
        (self, Body::empty()).into_response()
    }
}

impl Answer for Response {
    const MIME_TYPE: &'static str = "application/octet-stream";

    fn into_response(self) -> Response {
        self
    }
}
