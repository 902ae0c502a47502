//! The answers of an endpoint, and refusals.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, StatusCode};
use serde_json::json;

use crate::body::{Body, Stream};
use crate::schema::Schemas;

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
    note = "answers are Text, Html, Json<T>, Bytes, Stream, Media<T>, (StatusCode, T), Response and Result<T, Refusal>"
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

impl Answer for Response {
    const MIME_TYPE: &'static str = "application/octet-stream";

    fn into_response(self) -> Response {
        self
    }
}

impl<T: Answer> Answer for Media<T> {
    const MIME_TYPE: &'static str = T::MIME_TYPE;

    fn into_response(self) -> Response {
        let mut response = self.1.into_response();
        response.headers_mut().insert(CONTENT_TYPE, self.0);
        response
    }

    fn describe(schemas: &mut Schemas) {
        T::describe(schemas);
    }
}

impl<T: Answer> Answer for (StatusCode, T) {
    const MIME_TYPE: &'static str = T::MIME_TYPE;

    fn into_response(self) -> Response {
        let mut response = self.1.into_response();
        *response.status_mut() = self.0;
        response
    }

    fn describe(schemas: &mut Schemas) {
        T::describe(schemas);
    }
}

/// The answer with these header fields added; fields of the same name are replaced.
impl<T: Answer> Answer for (HeaderMap, T) {
    const MIME_TYPE: &'static str = T::MIME_TYPE;

    fn into_response(self) -> Response {
        let mut response = self.1.into_response();
        response.headers_mut().extend(self.0);
        response
    }

    fn describe(schemas: &mut Schemas) {
        T::describe(schemas);
    }
}

impl<T: Answer> Answer for Result<T, Refusal> {
    const MIME_TYPE: &'static str = T::MIME_TYPE;

    fn into_response(self) -> Response {
        self.map_or_else(|refusal| refusal.response(), T::into_response)
    }

    fn describe(schemas: &mut Schemas) {
        T::describe(schemas);
    }
}

/// A refused request. The caller does not pay, and reads `{"error": code, "message": message}`.
///
/// `check` and `quote` may refuse with 400 to 499, but not with 402, which only the host answers. A running endpoint
/// may also refuse with 500 to 599, for a failure that is not the caller's fault.
///
/// ```
/// # use coinslot_sdk::{Path, Refusal, Text, endpoint, testing};
/// #[endpoint(get, "/capital/{country}", price = "0.001", summary = "The capital of a country", check = known)]
/// async fn capital(Path(country): Path<String>) -> Text {
///     Text(format!("the capital of {country}"))
/// }
///
/// fn known(country: &String) -> Result<(), Refusal> {
///     match country.as_str() {
///         "france" | "japan" => Ok(()),
///         _ => Err(Refusal::not_found("unknown_country", "ask for `france` or `japan`")),
///     }
/// }
/// # fn main() { assert_eq!(testing::get("/capital/mars").quote().unwrap_err().code(), "unknown_country"); }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    status: u16,
    code: Cow<'static, str>,
    message: String,
}

impl Refusal {
    /// Makes a refusal. `code` is a stable word for programs (lower-case letters, digits, `_`); `message` is a sentence
    /// that says what to do.
    ///
    /// # Panics
    /// If the status is not from 400 to 599, or is 402. The plugin is then at fault, and the caller pays nothing.
    pub fn new(status: u16, code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        let code = code.into();
        assert!((400..600).contains(&status) && status != 402, "{status} is not the status of a refusal ({code})");
        Self { status, code, message: message.into() }
    }

    /// Refuses with status 400: the request is wrong.
    pub fn bad_request(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(400, code, message)
    }

    /// Refuses with status 404: the requested thing does not exist.
    pub fn not_found(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(404, code, message)
    }

    /// The status: from 400 to 599, and not 402.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The word for programs.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The sentence for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn response(&self) -> Response {
        let body = json!({ "error": self.code, "message": self.message });
        let mut response = Response::new(body.to_string().into());
        *response.status_mut() = StatusCode::from_u16(self.status).expect("`new` takes nothing else");
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.status, self.code, self.message)
    }
}

impl std::error::Error for Refusal {}
