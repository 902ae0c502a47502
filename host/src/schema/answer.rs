//! Checks answers against the schema that their endpoint declares, and tells the author in the log. It is for `dev`:
//! the last part of an answer waits for its check, and an answer that does not fit goes out all the same.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use coinslot_base::json::{self, JsonError};
use coinslot_plugin::{Fault, ResponseBody};
use http::Response;
use http::header::CONTENT_TYPE;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use jsonschema::Validator;
use serde_json::Value;

use super::body::JSON_BOUNDS;
use super::budget::{Budget, within};
use super::compile::{CompiledSchema, SchemaCompiler};
use super::document::SchemaDocument;
use super::error::SchemaError;
use super::mismatch::Mismatch;
use super::text::essence;
use super::unenforced::{DeclaredSchema, Unenforced};

/// The largest answer that is checked, in bytes.
const MAX_ANSWER: usize = 4 << 20;

/// The schema of an endpoint's answers, compiled.
#[derive(Debug)]
pub struct AnswerSchema {
    endpoint: String,
    validator: Validator,
    /// The copies that the errors of an answer may hold.
    copies: u64,
}

impl AnswerSchema {
    /// Compiles a schema. Returns it with the patterns that are not checked.
    pub fn compile(
        compiler: &mut SchemaCompiler,
        endpoint: &str,
        schema: &Value,
    ) -> Result<(Self, Vec<Unenforced>), SchemaError> {
        let CompiledSchema { validator, unchecked, copies } =
            compiler.compile(schema, &SchemaDocument::read(schema)?)?;
        let unchecked = unchecked.into_iter().map(|place| Unenforced::pattern(DeclaredSchema::Output, place)).collect();
        Ok((Self { endpoint: endpoint.to_owned(), validator, copies }, unchecked))
    }

    /// The place and the reason where a body does not fit, for a message.
    pub(crate) fn misfit(&self, body: &[u8]) -> Option<String> {
        let Mismatch { pointer, reason, .. } = self.mismatch(body)?;
        Some(if pointer.is_empty() { reason } else { format!("at `{pointer}`: {reason}") })
    }

    /// The reason why a body does not fit; none if it fits, and if that is too expensive to tell.
    fn mismatch(&self, body: &[u8]) -> Option<Mismatch> {
        let broken = |keyword: &str, reason: String| {
            Some(Mismatch { pointer: String::new(), keyword: keyword.to_owned(), reason })
        };
        let value = match json::parse(body, JSON_BOUNDS) {
            Ok(value) => value,
            Err(error @ JsonError::DuplicateKey { .. }) => return broken("duplicate_name", error.to_string()),
            Err(JsonError::TooLarge { .. }) => return None,
            Err(error @ (JsonError::Syntax { .. } | JsonError::TooDeep { .. })) => {
                return broken("json", format!("it is not JSON: {error}"));
            }
        };
        let (cpu, copies) = (Duration::from_secs(1), self.copies);
        let budget = Budget { steps: 5_000_000, stack: 512 << 10, cpu, copies };
        let checked = within(budget, || self.validator.validate(&value).map_err(|error| Mismatch::of(&error)));
        checked.ok()?.err()
    }

    fn report(&self, body: &[u8]) {
        if let Some(Mismatch { pointer, keyword, reason }) = self.mismatch(body) {
            tracing::warn!(
                endpoint = self.endpoint,
                pointer,
                code = keyword,
                "the answer does not fit the output schema: {reason}"
            );
        }
    }
}

/// The answer, whose body is checked when it has been read to its end. Only a success that is JSON has the schema.
pub fn checked(schema: Option<&Arc<AnswerSchema>>, answer: Response<ResponseBody>) -> Response<ResponseBody> {
    let media_type = answer.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = essence(media_type);
    let is_json = essence == "application/json" || essence.ends_with("+json");
    match schema.filter(|_| answer.status().is_success() && is_json) {
        Some(schema) => {
            let copied = |body| CopiedBody { body, copy: Some(BytesMut::new()), schema: Arc::clone(schema) };
            answer.map(|body| copied(body).boxed_unsync())
        }
        None => answer,
    }
}

/// A body of which a copy is kept until its end.
struct CopiedBody {
    body: ResponseBody,
    /// None once the body is too large, or was checked.
    copy: Option<BytesMut>,
    schema: Arc<AnswerSchema>,
}

impl Body for CopiedBody {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let this = self.get_mut();
        let frame = std::task::ready!(Pin::new(&mut this.body).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                if let (Some(data), Some(copy)) = (frame.data_ref(), &mut this.copy) {
                    copy.extend_from_slice(data);
                }
                this.copy.take_if(|copy| copy.len() > MAX_ANSWER);
                // A reader that knows the length does not ask for the end.
                if this.body.is_end_stream() {
                    this.end();
                }
            }
            None => this.end(),
            Some(Err(_)) => this.copy = None,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl CopiedBody {
    fn end(&mut self) {
        if let Some(copy) = self.copy.take() {
            self.schema.report(&copy);
        }
    }
}
