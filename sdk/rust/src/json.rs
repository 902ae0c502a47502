//! Reads JSON as an argument, and writes it as an answer.

use std::ops::Deref;

use serde_json::error::Category;
use serde_path_to_error::{Path, Segment};

use crate::answer::{Answer, Response};
use crate::body::Body;
use crate::extract::{Extract, Request};
use crate::model::{Input, Output};
use crate::refusal::{Refusal, escaped};
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
            )
            .at("/body", "required"));
        }
        read(&body).map(Self)
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

/// Reads a body that is JSON.
fn read<T: Input>(body: &[u8]) -> Result<T, Refusal> {
    // A byte order mark, which a parser may ignore (RFC 8259, section 8.1), and the host does.
    let json = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let mut parser = serde_json::Deserializer::from_slice(json);
    let value = serde_path_to_error::deserialize(&mut parser).map_err(|error| {
        let (pointer, error) = (pointer(error.path()), error.into_inner());
        match error.classify() {
            Category::Data => misfit(&pointer, &error),
            _ => not_json(&error),
        }
    })?;
    parser.end().map_err(|error| not_json(&error))?;
    Ok(value)
}

fn not_json(error: &serde_json::Error) -> Refusal {
    Refusal::bad_request("invalid_body", format!("the body is not JSON: {error}")).at("/body", "json")
}

/// The refusal of JSON that is not what a type wants, at the place where reading has stopped.
fn misfit(place: &str, error: &serde_json::Error) -> Refusal {
    let text = error.to_string();
    let message = format!("the JSON does not fit this endpoint: `{place}`: {text}");
    let refusal = Refusal::bad_request("invalid_body", message);
    // The errors of this parser tell their kind by their text alone, which is that of serde.
    let named = |start: &str| text.strip_prefix(start)?.split_once('`').map(|(name, _)| escaped(name));
    if let Some(field) = named("missing field `") {
        return refusal.at(format!("{place}/{field}"), "required");
    }
    let kinds = [
        ("unknown field", "additionalProperties"),
        ("unknown variant", "enum"),
        ("duplicate field", "duplicate_name"),
        ("invalid type", "type"),
    ];
    let rule = kinds.into_iter().find_map(|(start, rule)| text.starts_with(start).then_some(rule));
    refusal.at(place, rule.unwrap_or_default())
}

/// A path as a JSON pointer below the body.
fn pointer(path: &Path) -> String {
    let mut pointer = "/body".to_owned();
    for segment in path {
        match segment {
            Segment::Seq { index } => pointer += &format!("/{index}"),
            Segment::Map { key } => pointer = pointer + "/" + &escaped(key),
            // A variant is no place of its own, or one that its key has named.
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    pointer
}

impl<T: Output> Answer for Json<T> {
    const MIME_TYPE: &'static str = "application/json";

    /// A value that has no JSON, for example a map whose keys are not text, is a failure of the plugin: status 500, the
    /// reason in the operator's log, and the caller pays nothing.
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(bytes) => Response::new(Body::from(bytes)),
            Err(error) => Refusal::failed(format!("the answer cannot be JSON: {error}")).response(),
        }
    }

    fn describe(schemas: &mut Schemas) {
        schemas.output::<T>();
    }
}
