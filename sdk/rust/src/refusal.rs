//! Refused requests.

use std::borrow::Cow;
use std::fmt;

use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use serde_json::json;

use crate::answer::Response;
use crate::log;

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
    /// The error behind it, for the operator's log.
    cause: Option<String>,
}

/// Marks the response of a refusal, in its extensions. The error behind it is logged, and no client reads it.
#[derive(Clone, Debug)]
pub(crate) struct RefusalMark {
    pub(crate) cause: Option<String>,
}

impl RefusalMark {
    /// True if the response is that of a refusal. An answer around it leaves it as it is: another status would have the
    /// caller pay for it.
    pub(crate) fn is_on(response: &Response) -> bool {
        response.extensions().get::<Self>().is_some()
    }
}

impl Refusal {
    /// Makes a refusal. `code` is a stable word for programs (lower-case letters, digits, `_`); `message` is a sentence
    /// that says what to do, on one line: control characters become spaces.
    ///
    /// # Panics
    /// If the status is not from 400 to 599, or is 402. The plugin is then at fault, and the caller pays nothing.
    pub fn new(status: u16, code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        let code = code.into();
        assert!((400..600).contains(&status) && status != 402, "{status} is not the status of a refusal ({code})");
        let message = message.into().replace(|c: char| c.is_control(), " ");
        Self { status, code, message, cause: None }
    }

    /// Refuses with status 400: the request is wrong.
    pub fn bad_request(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(400, code, message)
    }

    /// Refuses with status 404: the requested thing does not exist.
    pub fn not_found(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(404, code, message)
    }

    /// The same refusal, and the error behind it. The operator reads the error with its causes in the log; the caller
    /// does not.
    ///
    /// ```
    /// # use coinslot_sdk::Refusal;
    /// let read = std::fs::read("rates.json");
    /// let answer = read.map_err(|error| Refusal::new(503, "no_rates", "try again later").caused_by(&error));
    /// # assert_eq!(answer.unwrap_err().status(), 503);
    /// ```
    pub fn caused_by(self, error: &dyn std::error::Error) -> Self {
        Self { cause: Some(log::chain(error)), ..self }
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

    /// The error behind it, with its causes.
    pub(crate) fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    pub(crate) fn response(&self) -> Response {
        let body = json!({ "error": self.code, "message": self.message });
        let mut response = Response::new(body.to_string().into());
        *response.status_mut() = StatusCode::from_u16(self.status).expect("`new` takes nothing else");
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response.extensions_mut().insert(RefusalMark { cause: self.cause.clone() });
        response
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.status, self.code, self.message)
    }
}

impl std::error::Error for Refusal {}
