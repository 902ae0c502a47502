//! Reads arguments that may be absent or wrong.

use super::{Extract, Request};
use crate::refusal::Refusal;
use crate::schema::Schemas;

/// The argument if the request has it: none without a query, without a body, or without the header field. What the
/// request has and does not fit is refused all the same.
///
/// ```
/// # use coinslot_sdk::{Json, Text, endpoint, model, testing};
/// #[model]
/// struct Wishes {
///     colour: String,
/// }
///
/// #[endpoint(post, "/paint", price = "0.01", summary = "Paint, black unless you wish another colour")]
/// fn paint(wishes: Option<Json<Wishes>>) -> Text {
///     Text(wishes.map_or("black".to_owned(), |Json(wishes)| wishes.colour))
/// }
/// # fn main() {
/// assert_eq!(testing::post("/paint").send().text(), "black");
/// assert_eq!(testing::post("/paint").body(r#"{"colour": "red"}"#).send().text(), "red");
/// assert_eq!(testing::post("/paint").body("red").send().status(), 400);
/// # }
/// ```
impl<T: Extract> Extract for Option<T> {
    async fn extract(request: &mut Request) -> Result<Self, Refusal> {
        T::extract_optional(request).await
    }

    fn describe(schemas: &mut Schemas) {
        schemas.optional(T::describe);
    }
}

/// The argument, or the refusal with which a request is answered that it cannot be read of: for an endpoint that serves
/// such requests, too. The manifest has no schema of the argument.
impl<T: Extract> Extract for Result<T, Refusal> {
    async fn extract(request: &mut Request) -> Result<Self, Refusal> {
        Ok(T::extract(request).await)
    }
}
