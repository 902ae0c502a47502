//! Makes answers of another answer.

use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};

use super::{Answer, Media, Response};
use crate::error::Failure;
use crate::refusal::{Refusal, RefusalMark};
use crate::schema::Schemas;

/// The response of an answer with this change. A refusal stays as it is.
fn around(answer: impl Answer, change: impl FnOnce(&mut Response)) -> Response {
    let mut response = answer.into_response();
    if !RefusalMark::is_on(&response) {
        change(&mut response);
    }
    response
}

impl<T: Answer> Answer for Media<T> {
    const MIME_TYPE: &'static str = T::MIME_TYPE;

    fn into_response(self) -> Response {
        around(self.1, |response| {
            response.headers_mut().insert(CONTENT_TYPE, self.0);
        })
    }

    fn describe(schemas: &mut Schemas) {
        T::describe(schemas);
    }
}

/// The answer with this status. A refusal in it keeps its own.
impl<T: Answer> Answer for (StatusCode, T) {
    const MIME_TYPE: &'static str = T::MIME_TYPE;

    fn into_response(self) -> Response {
        around(self.1, |response| *response.status_mut() = self.0)
    }

    fn describe(schemas: &mut Schemas) {
        T::describe(schemas);
    }
}

/// The answer with these header fields added; fields of the same name are replaced.
impl<T: Answer> Answer for (HeaderMap, T) {
    const MIME_TYPE: &'static str = T::MIME_TYPE;

    fn into_response(self) -> Response {
        around(self.1, |response| response.headers_mut().extend(self.0))
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
/// Where a name or a value is not one of HTTP, as text of a client may not be, the answer is status 500 instead, the
/// reason is in the operator's log, and the caller pays nothing.
impl<const N: usize, V: AsRef<str>, T: Answer> Answer for ([(&'static str, V); N], T) {
    const MIME_TYPE: &'static str = T::MIME_TYPE;

    fn into_response(self) -> Response {
        let mut fields = HeaderMap::new();
        for (name, value) in self.0 {
            let value = value.as_ref();
            let field = (HeaderName::try_from(name), HeaderValue::try_from(value));
            let (Ok(name), Ok(value)) = field else {
                return Refusal::unsendable(format!("{name:?}: {value:?} is not a header field")).response();
            };
            fields.insert(name, value);
        }
        (fields, self.1).into_response()
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
