//! What an endpoint answers.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, StatusCode};
use serde_json::json;

use crate::body::{Body, Stream};
use crate::schema::Schemas;

/// A whole answer, for when the types below do not say enough.
pub type Response = ::http::Response<Body>;

/// What an endpoint may return.
#[diagnostic::on_unimplemented(
    message = "an endpoint cannot answer `{Self}`",
    label = "not an answer",
    note = "answers are Text, Html, Json<T>, Bytes, Stream, Media<T>, (StatusCode, T), Response and Result<T, Refusal>"
)]
pub trait Answer: Sized {
    /// The media type of a successful answer, where neither the endpoint nor the answer names one.
    const MIME_TYPE: &'static str;

    /// The answer as it is sent. A `content-type` that is absent here is filled in for a success.
    fn into_response(self) -> Response;

    /// Adds the schema of a successful answer's body to the manifest.
    fn describe(schemas: &mut Schemas) {
        let _ = schemas;
    }
}

/// Plain text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text(pub String);

/// An HTML page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Html(pub String);

/// An answer with a media type that is known only when it is made.
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

/// Status 204, without a body.
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

/// Why a request is not served. The caller does not pay for it, and reads
/// `{"error": code, "message": message}`.
///
/// `check` and `quote` may refuse with 400 to 499, but not 402: that word is the host's. A running
/// endpoint may also say 500 to 599, for what is not the caller's fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    status: u16,
    code: Cow<'static, str>,
    message: String,
}

impl Refusal {
    /// `code` is a stable word for programs (lower-case letters, digits, `_`); `message` is a
    /// sentence that says what to do.
    ///
    /// # Panics
    /// If the status is not from 400 to 599, or is 402: the plugin is at fault, and the caller pays nothing.
    pub fn new(status: u16, code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        let code = code.into();
        assert!((400..600).contains(&status) && status != 402, "{status} is not the status of a refusal ({code})");
        Self { status, code, message: message.into() }
    }

    /// Status 400: the request says something wrong.
    pub fn bad_request(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(400, code, message)
    }

    /// Status 404: what the request asks for is not here.
    pub fn not_found(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(404, code, message)
    }

    /// From 400 to 599, not 402.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// For programs.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// For people.
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
