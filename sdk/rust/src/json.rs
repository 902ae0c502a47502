//! JSON as an argument and as an answer.

use std::ops::Deref;

use crate::answer::{Answer, Response};
use crate::body::Body;
use crate::error::{Error, Failure};
use crate::extract::{Extract, Request};
use crate::model::{Input, Output};
use crate::refusal::Refusal;
use crate::schema::Schemas;

/// JSON. As an argument it is the body, read as JSON whatever its media type says; a body that does not fit is refused
/// with status 400 and the code `invalid_body`. As an answer its media type is `application/json`.
///
/// ```
/// # use coinslot_sdk::{Deserialize, Json, JsonSchema, Serialize, endpoint, testing};
/// #[derive(Deserialize, JsonSchema)]
/// struct Numbers {
///     values: Vec<f64>,
/// }
///
/// #[derive(Serialize, JsonSchema)]
/// struct Sum {
///     sum: f64,
/// }
///
/// #[endpoint(post, "/sum", price = "0.001", summary = "Adds numbers")]
/// async fn sum(Json(numbers): Json<Numbers>) -> Json<Sum> {
///     Json(Sum { sum: numbers.values.iter().sum() })
/// }
/// # fn main() {
/// assert_eq!(testing::post("/sum").body(r#"{"values": [1, 2.5]}"#).send().text(), r#"{"sum":3.5}"#);
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T> Deref for Json<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Input> Extract for Json<T> {
    async fn extract(request: &mut Request) -> Result<Self, Refusal> {
        let body = request.whole_body().await?;
        if body.is_empty() {
            return Err(Refusal::bad_request(
                "invalid_body",
                "the body is empty; send JSON that fits the input schema",
            ));
        }
        // A byte order mark, which a parser may ignore (RFC 8259, section 8.1), and the host does.
        let json = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&body);
        serde_json::from_slice(json).map(Self).map_err(|error| {
            let problem = match error.classify() {
                serde_json::error::Category::Data => {
                    format!("the JSON does not fit this endpoint: {error}")
                }
                _ => format!("the body is not JSON: {error}"),
            };
            Refusal::bad_request("invalid_body", problem)
        })
    }

    /// None without a body.
    async fn extract_optional(request: &mut Request) -> Result<Option<Self>, Refusal> {
        match request.has_body().await? {
            true => Self::extract(request).await.map(Some),
            false => Ok(None),
        }
    }

    fn describe(schemas: &mut Schemas) {
        schemas.body::<T>();
    }
}

impl<T: Output> Answer for Json<T> {
    const MIME_TYPE: &'static str = "application/json";

    /// A value that has no JSON, for example a map whose keys are not text, is a failure of the plugin: status 500, the
    /// reason in the operator's log, and the caller pays nothing.
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(bytes) => Response::new(Body::from(bytes)),
            Err(error) => Error::new(format!("the answer cannot be JSON: {error}")).into_refusal().response(),
        }
    }

    fn describe(schemas: &mut Schemas) {
        schemas.output::<T>();
    }
}
