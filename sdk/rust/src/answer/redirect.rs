//! Answers with a redirect.

use http::StatusCode;
use http::header::{HeaderValue, LOCATION};

use super::{Answer, Response};
use crate::body::Body;
use crate::refusal::Refusal;

/// An answer that sends the caller to another address. It has a status below 400, so the caller pays for it. Where the
/// address cannot stand in a header field, as text of a client may not, the answer is status 500 instead, the reason is
/// in the operator's log, and the caller pays nothing.
///
/// ```
/// # use coinslot_sdk::{Path, Redirect, endpoint, testing};
/// #[endpoint(get, "/go/{word}", price = "0.001", summary = "Leads to a page about a word")]
/// fn go(Path(word): Path<String>) -> Redirect {
///     Redirect::to(format!("https://en.wiktionary.org/wiki/{word}"))
/// }
/// # fn main() {
/// let answer = testing::get("/go/coin").send();
/// assert_eq!((answer.status(), answer.header("location")), (303, Some("https://en.wiktionary.org/wiki/coin")));
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    status: StatusCode,
    location: String,
}

impl Redirect {
    /// The caller asks for the other address with GET (status 303).
    pub fn to(location: impl Into<String>) -> Self {
        Self { status: StatusCode::SEE_OTHER, location: location.into() }
    }

    /// The caller sends the same request to the other address, this time (status 307).
    pub fn temporary(location: impl Into<String>) -> Self {
        Self { status: StatusCode::TEMPORARY_REDIRECT, location: location.into() }
    }

    /// The caller sends the same request to the other address, from now on (status 308).
    pub fn permanent(location: impl Into<String>) -> Self {
        Self { status: StatusCode::PERMANENT_REDIRECT, location: location.into() }
    }
}

impl Answer for Redirect {
    const MIME_TYPE: &'static str = "application/octet-stream";

    fn into_response(self) -> Response {
        let Ok(location) = HeaderValue::try_from(&self.location) else {
            return Refusal::unsendable(format!("{:?} is not an address to redirect to", self.location)).response();
        };
        let mut response = (self.status, Body::empty()).into_response();
        response.headers_mut().insert(LOCATION, location);
        response
    }
}
