//! Reads typed header fields.

use std::ops::Deref;

use headers::{Header, HeaderMapExt};

use super::{Extract, Request};
use crate::refusal::{Refusal, escaped};
use crate::schema::Schemas;

/// A header field, read into a type of the crate `headers`, which is [`coinslot_sdk::headers`](crate::headers). A
/// request without the field, or with one that does not fit, is refused with status 400 and the code `invalid_header`.
/// It needs the feature `typed-header`.
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
/// assert_eq!(testing::get("/agent").quote().unwrap_err().code(), "invalid_header");
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
                let message = format!("{} is missing: send this header field", pointer::<T>());
                Err(Refusal::bad_request("invalid_header", message).at(pointer::<T>(), "required"))
            }
        }
    }

    async fn extract_optional(request: &mut Request) -> Result<Option<Self>, Refusal> {
        request.headers.typed_try_get().map(|value| value.map(Self)).map_err(|_| {
            let message = format!("the value of the header field `{}` is not one that it can have", T::name());
            Refusal::bad_request("invalid_header", message).at(pointer::<T>(), "format")
        })
    }

    fn describe(schemas: &mut Schemas) {
        schemas.header(T::name());
    }
}

/// The JSON pointer (RFC 6901) of a header field.
fn pointer<T: Header>() -> String {
    format!("/header/{}", escaped(T::name().as_str()))
}
