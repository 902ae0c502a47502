//! Answers made of another answer.

use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};

use super::{Answer, Media, Response};
use crate::error::Failure;
use crate::refusal::Refusal;
use crate::schema::Schemas;

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

/// The answer with these header fields, by their names; fields of the same name are replaced.
///
/// ```
/// # use coinslot_sdk::{Text, endpoint, testing};
/// #[endpoint(get, "/report", price = "0.01", summary = "A report to keep")]
/// fn report() -> ([(&'static str, &'static str); 1], Text) {
///     ([("content-disposition", "attachment; filename=report.txt")], Text::from("all is well"))
/// }
/// # fn main() {
/// assert!(testing::get("/report").send().header("content-disposition").is_some());
/// # }
/// ```
///
/// # Panics
/// If a name or a value is not one of HTTP. The caller then pays nothing.
impl<const N: usize, V: AsRef<str>, T: Answer> Answer for ([(&'static str, V); N], T) {
    const MIME_TYPE: &'static str = T::MIME_TYPE;

    fn into_response(self) -> Response {
        let mut response = self.1.into_response();
        for (name, value) in self.0 {
            let value = value.as_ref();
            let field = (HeaderName::try_from(name), HeaderValue::try_from(value));
            let (Ok(name), Ok(value)) = field else { panic!("{name:?}: {value:?} is not a header field") };
            response.headers_mut().insert(name, value);
        }
        response
    }

    fn describe(schemas: &mut Schemas) {
        T::describe(schemas);
    }
}

/// The answer, or status 404 with the code `not_found`. The caller does not pay for the latter.
impl<T: Answer> Answer for Option<T> {
    const MIME_TYPE: &'static str = T::MIME_TYPE;

    fn into_response(self) -> Response {
        match self {
            Some(answer) => answer.into_response(),
            None => Refusal::not_found("not_found", "there is nothing of this name").response(),
        }
    }

    fn describe(schemas: &mut Schemas) {
        T::describe(schemas);
    }
}

/// The answer, or the failure's response, for which the caller does not pay.
impl<T: Answer, E: Failure> Answer for Result<T, E> {
    const MIME_TYPE: &'static str = T::MIME_TYPE;

    fn into_response(self) -> Response {
        self.map_or_else(|failure| failure.into_refusal().response(), T::into_response)
    }

    fn describe(schemas: &mut Schemas) {
        T::describe(schemas);
    }
}
