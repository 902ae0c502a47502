//! Passes errors of endpoints on: `?` takes any error, and a refusal among its causes stays a refusal.

use std::error::Error as StdError;
use std::fmt;

use crate::log;
use crate::refusal::Refusal;

/// Any error. An endpoint that returns [`Result<T>`](Result) uses `?` on every result in its body.
///
/// An endpoint that ends with an error answers status 500 with the code `plugin_failed`, and the operator reads the
/// error with its causes in the log. A [`Refusal`] stays the refusal that it is, also where it is the cause of another
/// error.
///
/// ```
/// use coinslot_sdk::{Context, Query, Refusal, Result, endpoint, model, testing};
///
/// #[model]
/// struct Sum {
///     left: String,
///     right: String,
/// }
///
/// #[endpoint(get, "/sum", price = "0.001", summary = "Adds two numbers")]
/// fn sum(Query(sum): Query<Sum>) -> Result<String> {
///     let left: i64 = sum.left.parse().context("the left number")?;
///     let right: i64 = sum.right.parse()?;
///     let sum = left.checked_add(right).ok_or(Refusal::bad_request("too_large", "use smaller numbers"))?;
///     Ok(sum.to_string())
/// }
/// # fn main() {
/// assert_eq!(testing::get("/sum?left=1&right=2").send().text(), "3");
/// assert_eq!(testing::get("/sum?left=1&right=two").send().status(), 500);
/// assert_eq!(testing::get("/sum?left=1&right=9223372036854775807").send().status(), 400);
/// # }
/// ```
pub struct Error(Box<dyn StdError + Send + Sync>);

/// The result of an endpoint that may end with any error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A type that an endpoint can fail with.
///
/// Every error is one, and also `String` and `Box<dyn std::error::Error>`. A type of your own that is no
/// [`std::error::Error`] can choose its refusals:
///
/// ```
/// use coinslot_sdk::{Failure, Path, Refusal, Text, endpoint, testing};
///
/// enum OrderFailure {
///     Unknown(u32),
///     Closed,
/// }
///
/// impl Failure for OrderFailure {
///     fn into_refusal(self) -> Refusal {
///         match self {
///             Self::Unknown(id) => Refusal::not_found("unknown_order", format!("there is no order {id}")),
///             Self::Closed => Refusal::new(409, "closed", "this order is closed"),
///         }
///     }
/// }
///
/// #[endpoint(get, "/orders/{id}", price = "0.001", summary = "An order")]
/// fn order(Path(id): Path<u32>) -> Result<Text, OrderFailure> {
///     if id == 1 { Err(OrderFailure::Closed) } else { Err(OrderFailure::Unknown(id)) }
/// }
/// # fn main() { assert_eq!(testing::get("/orders/7").send().status(), 404); }
/// ```
#[diagnostic::on_unimplemented(
    message = "an endpoint cannot fail with `{Self}`",
    label = "not a failure",
    note = "return `coinslot_sdk::Result<T>`, in which `?` takes any error, or a Result with Refusal, with a type that \
            implements std::error::Error, or with one that implements Failure"
)]
pub trait Failure: Sized {
    /// The refusal that the caller reads.
    fn into_refusal(self) -> Refusal;
}

/// Says what failed, in front of an error's own text.
pub trait Context<T> {
    /// The same result, whose error says this first.
    fn context(self, what: impl fmt::Display) -> Result<T>;
}

/// An error with a sentence in front of it.
#[derive(Debug)]
struct Explained {
    what: String,
    cause: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Box::new(Explained { what: text.into(), cause: None }))
    }

    /// The error in the type that it was made of, if it is a `T`.
    pub fn downcast_ref<T: StdError + 'static>(&self) -> Option<&T> {
        self.0.downcast_ref()
    }
}

impl<E: StdError + Send + Sync + 'static> From<E> for Error {
    fn from(error: E) -> Self {
        Self(Box::new(error))
    }
}

impl From<Error> for Box<dyn StdError + Send + Sync> {
    fn from(error: Error) -> Self {
        error.0
    }
}

impl From<Error> for Box<dyn StdError> {
    fn from(error: Error) -> Self {
        error.0
    }
}

/// Lets `check`, `quote` and extractors use `?` on a result of any error.
impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        refusal(&*error.0)
    }
}

// Without `Send + Sync`, because nothing of a plugin changes threads, and `Box<dyn Error>` is what authors write.
#[diagnostic::do_not_recommend]
impl<E: Into<Box<dyn StdError>>> Failure for E {
    fn into_refusal(self) -> Refusal {
        refusal(&*self.into())
    }
}

impl<T, E: Into<Box<dyn StdError + Send + Sync>>> Context<T> for std::result::Result<T, E> {
    fn context(self, what: impl fmt::Display) -> Result<T> {
        self.map_err(|error| Error(Box::new(Explained { what: what.to_string(), cause: Some(error.into()) })))
    }
}

impl<T> Context<T> for Option<T> {
    fn context(self, what: impl fmt::Display) -> Result<T> {
        self.ok_or_else(|| Error::new(what.to_string()))
    }
}

/// The first refusal among an error and its causes, or else the refusal of a failed plugin.
fn refusal(error: &(dyn StdError + 'static)) -> Refusal {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(refusal) = cause.downcast_ref::<Refusal>() {
            return refusal.clone();
        }
        next = cause.source();
    }
    Refusal::failed(log::chain(error))
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl StdError for Explained {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.as_ref().map(|cause| &**cause as _)
    }
}

/// The error; with its causes in the format `{:#}`.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match f.alternate() {
            true => f.write_str(&log::chain(&*self.0)),
            false => fmt::Display::fmt(&self.0, f),
        }
    }
}

/// The error with its causes, as a failed test prints it.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&log::chain(&*self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::{Context, Error, Failure, Refusal, Result};

    fn parse(text: &str) -> Result<u8> {
        text.parse::<u8>().context("the number of pages")
    }

    #[test]
    fn any_error_is_a_refusal_that_tells_the_caller_nothing_and_the_log_everything() {
        let refusal = parse("x").expect_err("no number").into_refusal();
        assert_eq!((refusal.status(), refusal.code()), (500, "plugin_failed"));
        assert!(!refusal.message().contains("pages"));
        assert_eq!(refusal.cause(), Some("the number of pages: invalid digit found in string"));
        assert_eq!("a text".to_owned().into_refusal().cause(), Some("a text"));
        assert_eq!(
            format!("{:?}", parse("").expect_err("no number")),
            "the number of pages: cannot parse integer from empty string"
        );
    }

    #[test]
    fn a_refusal_stays_a_refusal_however_deep_it_is() {
        let refused = || Refusal::not_found("no_page", "pages are 1 to 9");
        assert_eq!(Error::from(refused()).into_refusal(), refused());
        let explained: Result<()> = Err::<(), _>(refused()).context("reading").context("serving");
        assert_eq!(Refusal::from(explained.expect_err("refused")), refused());
        assert!(Error::from(refused()).downcast_ref::<Refusal>().is_some());
        assert!(None::<u8>.context("the limit").expect_err("none").to_string().contains("the limit"));
    }
}
