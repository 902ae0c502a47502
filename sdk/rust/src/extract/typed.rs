//! Typed header fields.

use std::ops::Deref;

use headers::{Header, HeaderMapExt};

use super::{Extract, Request};
use crate::refusal::Refusal;
use crate::schema::Schemas;

/// A header field, read into a type of the crate `headers`, which is [`coinslot_sdk::headers`](crate::headers). A
/// request without the field is refused with status 400 and the code `missing_header`, and one whose field does not fit
/// with `invalid_header`. It needs the feature `typed-header`.
///
/// The field is one of those that `check` and `quote` see, so a quote holds only for the same value.
///
/// ```
/// # use coinslot_sdk::{Text, TypedHeader, endpoint, headers, testing};
/// #[endpoint(get, "/agent", price = "0.001", summary = "Your user agent")]
/// fn agent(TypedHeader(agent): TypedHeader<headers::UserAgent>) -> Text {
///     Text(agent.to_string())
/// }
/// # fn main() {
/// assert_eq!(testing::get("/agent").header("user-agent", "curl/8").send().text(), "curl/8");
/// assert_eq!(testing::get("/agent").quote().unwrap_err().code(), "missing_header");
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TypedHeader<T>(pub T);

impl<T> Deref for TypedHeader<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Header> Extract for TypedHeader<T> {
    async fn extract(request: &mut Request) -> Result<Self, Refusal> {
        match Self::extract_optional(request).await? {
            Some(value) => Ok(value),
            None => {
                let message = format!("send the header field `{}`", T::name());
                Err(Refusal::bad_request("missing_header", message))
            }
        }
    }

    async fn extract_optional(request: &mut Request) -> Result<Option<Self>, Refusal> {
        request.headers.typed_try_get().map(|value| value.map(Self)).map_err(|_| {
            let message = format!("the value of the header field `{}` is not one that it can have", T::name());
            Refusal::bad_request("invalid_header", message)
        })
    }

    fn describe(schemas: &mut Schemas) {
        schemas.header(T::name());
    }
}
