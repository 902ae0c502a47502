//! Makes the request that a call of a tool means.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use coinslot_x402::header;
use http::header::{
    ACCEPT, ACCEPT_LANGUAGE, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT,
};
use http::{Request, Uri};
use serde_json::Value;

use super::super::forwarded::is_proxy_field;
use super::super::trace_context::{TRACEPARENT, TRACESTATE};
use super::received::CallArguments;
use crate::allowance::{PresentedKey, SIGN_IN_WITH_X};
use crate::discover::EndpointTool;
use crate::example::ExampleRequest;

/// The payment of a call, among the metadata of its parameters.
const PAYMENT: &str = "x402/payment";
/// The proof of an account, in place of a payment: the JSON of the header `SIGN-IN-WITH-X`. The transport of x402 for MCP
/// names no place for it; this one is beside that of the payment.
const SIGN_IN: &str = "x402/sign-in-with-x";

/// The fields of a client's message that the request of its call has, too. None of them is a credential for a guest.
static PASSED: [HeaderName; 5] = [
    HOST,
    USER_AGENT,
    ACCEPT_LANGUAGE,
    // Guests never see it: the host takes it over HTTP and by MCP.
    HeaderName::from_static(SIGN_IN_WITH_X),
    HeaderName::from_static("idempotency-key"),
];

/// The fields in which keys of the operator's customers come. A client sends the fields of its configuration with every
/// call of every tool, so anything else in them would reach plugins that it is not meant for.
static OF_KEYS: [HeaderName; 3] =
    [AUTHORIZATION, HeaderName::from_static("x-api-key"), HeaderName::from_static("api-key")];

/// The values in the metadata of a call.
#[derive(Debug, Default)]
pub(super) struct CallCredentials {
    pub(super) payment: Option<Value>,
    pub(super) sign_in: Option<Value>,
}

impl CallCredentials {
    /// Reads what `of` finds in the metadata.
    pub(super) fn read<'v>(of: impl Fn(&str) -> Option<&'v Value>) -> Self {
        Self { payment: of(PAYMENT).map(object), sign_in: of(SIGN_IN).map(object) }
    }
}

/// The request of a call. Fails with what is wrong with its arguments.
pub(super) fn request(
    tool: &EndpointTool,
    arguments: CallArguments,
    credentials: &CallCredentials,
    message: &HeaderMap,
) -> Result<Request<Bytes>, String> {
    let CallArguments { parts, body } = arguments;
    let made = ExampleRequest::of_input(&tool.info, &Value::Object(parts), body)?;
    let uri: Uri = made.target.parse().map_err(|_| format!("`{}` is not a path and a query", made.target))?;
    let body = if tool.takes_base64() && !made.body.is_empty() {
        STANDARD.decode(&made.body).map_err(|error| format!("`body` is not Base64: {error}"))?.into()
    } else {
        made.body
    };
    let mut headers = HeaderMap::new();
    for (name, value) in message {
        let is_passed = PASSED.contains(name) || OF_KEYS.contains(name) && PresentedKey::is_in(value.as_bytes());
        if is_passed || is_proxy_field(name) || *name == TRACEPARENT || *name == TRACESTATE {
            headers.append(name.clone(), value.clone());
        }
    }
    headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
    if let Some(media_type) = made.media_type {
        headers.insert(CONTENT_TYPE, media_type);
    }
    if let Some(payment) = &credentials.payment {
        let (name, value) = payment_field(payment)?;
        headers.insert(name, value);
    }
    if let Some(proof) = &credentials.sign_in {
        let value = HeaderValue::try_from(header::encode(proof)).map_err(|error| error.to_string())?;
        headers.insert(HeaderName::from_static(SIGN_IN_WITH_X), value);
    }
    let mut request = Request::new(body);
    *request.method_mut() = tool.info.method.clone();
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    Ok(request)
}

/// A payment or a proof. Some clients write the object as a text.
fn object(value: &Value) -> Value {
    let read = value.as_str().and_then(|text| serde_json::from_str::<Value>(text).ok()).filter(Value::is_object);
    read.unwrap_or_else(|| value.clone())
}

/// The header field of a payment, which its reader judges.
fn payment_field(payment: &Value) -> Result<(HeaderName, HeaderValue), String> {
    let is_first = payment.get("x402Version").and_then(Value::as_u64) == Some(1);
    let name = if is_first { header::X_PAYMENT } else { header::PAYMENT_SIGNATURE };
    let value = HeaderValue::try_from(header::encode(payment)).map_err(|error| error.to_string())?;
    Ok((HeaderName::from_static(name), value))
}
