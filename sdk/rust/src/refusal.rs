//! Refuses requests, before payment or in place of an answer.

use std::borrow::Cow;
use std::fmt;

use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use serde_json::json;

use crate::answer::Response;
use crate::log;

/// A refused request. The caller does not pay, and reads `{"error": code, "message": message}`; where one place in the
/// request is wrong, also its `pointer` and the rule that it breaks, as `code`: [`Refusal::at`].
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
    /// The place in the request that is wrong, as a JSON pointer.
    pointer: Option<String>,
    /// The rule that the place breaks.
    rule: Option<Cow<'static, str>>,
    /// The error behind it, for the operator's log.
    cause: Option<String>,
    /// True for an error that the endpoint does not handle.
    is_failure: bool,
}

/// Marks the response of a refusal, in its extensions. The error behind it is logged, and no client reads it.
#[derive(Clone, Debug)]
pub(crate) struct RefusalMark {
    pub(crate) cause: Option<String>,
    /// True for an error that the endpoint does not handle: the host counts it as a failure of the plugin.
    pub(crate) is_failure: bool,
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
    /// A status that is not from 400 to 599, or is 402, such as one that another server answered with, makes it the
    /// refusal of a failed plugin: status 500, with the reason in the operator's log.
    pub fn new(status: u16, code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        let code = code.into();
        if !(400..600).contains(&status) || status == 402 {
            return Self::failed(format!("{status} is not the status of a refusal ({code})"));
        }
        let message = message.into().replace(|c: char| c.is_control(), " ");
        Self { status, code, message, pointer: None, rule: None, cause: None, is_failure: false }
    }

    /// The refusal of a failed plugin. The operator reads the cause in the log.
    pub(crate) fn failed(cause: String) -> Self {
        let message = "the plugin failed; its operator can read the reason in the log".to_owned();
        let refusal = Self::new(500, "plugin_failed", message);
        Self { cause: Some(cause), is_failure: true, ..refusal }
    }

    /// The refusal of an answer with text that no header field can have. It does not count as a failure of the plugin: the
    /// text is most often a client's, who could take the plugin off sale by it.
    pub(crate) fn unsendable(cause: String) -> Self {
        Self { is_failure: false, ..Self::failed(cause) }
    }

    /// Refuses with status 400: the request is wrong.
    pub fn bad_request(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(400, code, message)
    }

    /// Refuses with status 404: the requested thing does not exist.
    pub fn not_found(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(404, code, message)
    }

    /// The same refusal, of the place in the request that breaks a rule. `pointer` is a JSON pointer (RFC 6901) below
    /// `/path`, `/query`, `/header` or `/body`; `rule` is the keyword of its schema, such as `maximum`, or a word of
    /// your own. The caller reads them as `pointer` and `code`, as in the host's own refusals.
    ///
    /// ```
    /// # use coinslot_sdk::{Query, Refusal, Result, Text, endpoint, json, model, testing, Value};
    /// #[model]
    /// struct Stay {
    ///     from: u32,
    ///     to: u32,
    /// }
    ///
    /// #[endpoint(get, "/stay", price = "0.01", summary = "Books nights")]
    /// fn stay(Query(stay): Query<Stay>) -> Result<Text> {
    ///     let nights = stay.to.checked_sub(stay.from).ok_or_else(|| {
    ///         Refusal::bad_request("invalid_query", "leave after you arrive").at("/query/to", "before_arrival")
    ///     })?;
    ///     Ok(Text(format!("{nights} nights")))
    /// }
    /// # fn main() {
    /// let refused: Value = testing::get("/stay?from=7&to=3").send().json();
    /// assert_eq!((&refused["pointer"], &refused["code"]), (&json!("/query/to"), &json!("before_arrival")));
    /// # }
    /// ```
    pub fn at(self, pointer: impl Into<String>, rule: impl Into<Cow<'static, str>>) -> Self {
        Self { pointer: Some(pointer.into()), rule: Some(rule.into()), ..self }
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

    /// The JSON pointer to the place in the request that is wrong, if it is one place.
    pub fn pointer(&self) -> Option<&str> {
        self.pointer.as_deref()
    }

    /// The rule that the place at the pointer breaks.
    pub fn rule(&self) -> Option<&str> {
        self.rule.as_deref()
    }

    /// The facts of the refusal beside code and message, by the names that callers read.
    pub(crate) fn facts(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [("pointer", self.pointer()), ("code", self.rule())]
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.filter(|value| !value.is_empty())?)))
    }

    /// The error behind it, with its causes.
    pub(crate) fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    pub(crate) fn response(&self) -> Response {
        let mut body = json!({ "error": self.code, "message": self.message });
        for (name, value) in self.facts() {
            body[name] = value.into();
        }
        let mut response = Response::new(body.to_string().into());
        *response.status_mut() = StatusCode::from_u16(self.status).expect("`new` takes nothing else");
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response.extensions_mut().insert(RefusalMark { cause: self.cause.clone(), is_failure: self.is_failure });
        response
    }
}

/// A name as a segment of a JSON pointer (RFC 6901).
pub(crate) fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.status, self.code, self.message)
    }
}

impl std::error::Error for Refusal {}
