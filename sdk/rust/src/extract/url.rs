//! Reads the path's parameters and the query.

use std::ops::Deref;

use super::{Extract, Request};
use crate::form;
use crate::model::Input;
use crate::refusal::Refusal;
use crate::schema::Schemas;

/// The path's parameters: a struct by their names, a tuple by their order, or a single value. Parameters that do not
/// fit are refused with status 400 and the code `invalid_path`.
///
/// ```
/// # use coinslot_sdk::{Path, Text, endpoint, testing};
/// #[endpoint(get, "/convert/{from}/{to}", price = "0.001", summary = "Converts a currency")]
/// async fn convert(Path((from, to)): Path<(String, String)>) -> Text {
///     Text(format!("{from} to {to}"))
/// }
/// # fn main() { assert_eq!(testing::get("/convert/eur/usd").send().text(), "eur to usd"); }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Path<T>(pub T);

/// The query, read into a struct: text, numbers, `true` and `false`, unit enums, options, and lists (a key that occurs
/// several times). A query that does not fit is refused with status 400 and the code `invalid_query`.
///
/// ```
/// # use coinslot_sdk::{Deserialize, JsonSchema, Query, Text, endpoint, testing};
/// #[derive(Deserialize, JsonSchema)]
/// struct Search {
///     q: String,
///     /// At most this many results.
///     limit: Option<u8>,
///     #[serde(default)]
///     tag: Vec<String>,
/// }
///
/// #[endpoint(get, "/search", price = "0.001", summary = "Searches")]
/// async fn search(Query(search): Query<Search>) -> Text {
///     Text(format!("{} {} {:?}", search.q, search.limit.unwrap_or(10), search.tag))
/// }
/// # fn main() {
/// assert_eq!(testing::get("/search?q=a+b&tag=x&tag=y").send().text(), r#"a b 10 ["x", "y"]"#);
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Query<T>(pub T);

impl<T> Deref for Path<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> Deref for Query<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Input> Extract for Path<T> {
    async fn extract(request: &mut Request) -> Result<Self, Refusal> {
        form::path(&request.params).map(Self).map_err(|error| {
            let message = format!("the path does not fit {}: {error}", request.route);
            error.refusal("invalid_path", "/path", message)
        })
    }

    fn describe(schemas: &mut Schemas) {
        schemas.path::<T>();
    }
}

impl<T: Input> Extract for Query<T> {
    async fn extract(request: &mut Request) -> Result<Self, Refusal> {
        let fields = form::parse_query(request.query.as_deref().unwrap_or_default());
        form::query(&fields).map(Self).map_err(|error| {
            let message = format!("the query does not fit this endpoint: {error}");
            error.refusal("invalid_query", "/query", message)
        })
    }

    /// None without a query, or with an empty one.
    async fn extract_optional(request: &mut Request) -> Result<Option<Self>, Refusal> {
        match request.query.as_deref() {
            None | Some("") => Ok(None),
            Some(_) => Self::extract(request).await.map(Some),
        }
    }

    fn describe(schemas: &mut Schemas) {
        schemas.query::<T>();
    }
}
