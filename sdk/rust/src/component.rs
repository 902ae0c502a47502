//! The exports of the component, and its imports.
//!
//! The only room that knows the contract's generated types. `wasi:http` comes from its own crate,
//! and only what Coinslot adds is generated here: the narrow world. Invariant: a body that fails
//! is dropped without `finish`, so that the host sees it cut short and does not take it for complete.

use std::pin::Pin;
use std::task::{Context, Poll};

use http::HeaderMap;
use wasip2::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};
use wstd::http::body::HttpBody;
use wstd::io::AsyncOutputStream;

use crate::body::{Body, BodyError};
use crate::extract::{PaymentSource, Receipt};
use crate::http::{ClientResponse, HttpError, Parts};
use crate::keyvalue::KeyValueError;
use crate::registry::{self, Price};
use crate::{Bytes, Method, Refusal, Response, log};

/// Generated from the contract.
mod bindings {
    #![allow(
        unsafe_code,
        unreachable_pub,
        missing_debug_implementations,
        reason = "generated: the canonical ABI passes pointers"
    )]
    wit_bindgen::generate!({
        inline: "
            package coinslot:sdk;
            // What a plugin does not use is not imported by its component.
            world plugin {
                include coinslot:plugin/narrow-quoting@0.1.0;
                include wasi:config/imports@0.2.0-rc.1;
                include wasi:keyvalue/imports@0.2.0-draft;
            }
        ",
        path: "../../wit",
        generate_all,
    });
}

use bindings::coinslot::plugin as imports;
use bindings::exports::coinslot::plugin as exports;

struct Plugin;

#[allow(unsafe_code, reason = "generated: exported functions take what the canonical ABI passes")]
mod export {
    use super::{Plugin, bindings};
    bindings::export!(Plugin with_types_in bindings);
    wasip2::http::proxy::export!(Plugin with_types_in wasip2);
}

impl exports::manifest::Guest for Plugin {
    fn describe() -> Result<exports::manifest::PluginInfo, String> {
        let manifest = registry::describe().map_err(|error| error.to_string())?;
        let endpoints = manifest.endpoints.into_iter().map(|endpoint| exports::manifest::Endpoint {
            method: endpoint.method.to_owned(),
            path: endpoint.path.to_owned(),
            price: match endpoint.price {
                Price::Free => exports::manifest::Price::Free,
                Price::Exact(amount) => exports::manifest::Price::Exact(amount.to_owned()),
                Price::UpTo(amount) => exports::manifest::Price::UpTo(amount.to_owned()),
                Price::Quoted(amount) => exports::manifest::Price::Quoted(amount.to_owned()),
            },
            summary: endpoint.summary.to_owned(),
            description: endpoint.description.to_owned(),
            mime_type: endpoint.mime_type.to_owned(),
            input_schema: endpoint.input_schema,
            output_schema: endpoint.output_schema,
            extensions: endpoint.flow.map(|flow| ("payment-flow".to_owned(), flow.to_owned())).into_iter().collect(),
        });
        Ok(exports::manifest::PluginInfo {
            name: manifest.name,
            version: manifest.version,
            endpoints: endpoints.collect(),
            extensions: Vec::new(),
        })
    }
}

impl exports::quote::Guest for Plugin {
    fn quote(request: exports::quote::Request) -> Result<String, exports::quote::Refusal> {
        let refusal = |refusal: Refusal| exports::quote::Refusal {
            status: refusal.status(),
            code: refusal.code().to_owned(),
            message: refusal.message().chars().take(2_000).collect(),
        };
        let method = Method::from_bytes(request.method.as_bytes())
            .map_err(|_| refusal(Refusal::bad_request("invalid_method", "the request's method is not one")))?;
        let headers = request.headers.into_iter().filter_map(|(name, value)| {
            Some((crate::HeaderName::try_from(name).ok()?, crate::HeaderValue::try_from(value).ok()?))
        });
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, value);
        }
        registry::quote(method, &request.route, request.params, request.query, map, Body::from(request.body))
            .map(|amount| amount.to_string())
            .map_err(refusal)
    }
}

impl wasip2::exports::http::incoming_handler::Guest for Plugin {
    fn handle(request: IncomingRequest, answer: ResponseOutparam) {
        wstd::runtime::block_on(async move {
            let response = match wstd::http::request::try_from_incoming(request) {
                Ok(request) => {
                    let (head, body) = request.into_parts();
                    let query = head.uri.query().map(str::to_owned);
                    let body = Body::chunks(Incoming(body.into_boxed_body()));
                    registry::serve(head.method, head.uri.path(), query, head.headers, body, PaymentSource::Host).await
                }
                Err(error) => {
                    log::warn(format_args!("a request that is not HTTP: {error:#}"));
                    Refusal::bad_request("invalid_request", "the request is not valid HTTP").response()
                }
            };
            send_response(response, answer).await;
        });
    }
}

async fn send_response(response: Response, answer: ResponseOutparam) {
    let (head, body) = response.into_parts();
    let fields = Fields::new();
    let mut announced = false;
    for (name, value) in &head.headers {
        announced |= name == http::header::CONTENT_LENGTH;
        if let Err(error) = fields.append(name.as_str(), value.as_bytes()) {
            log::warn(format_args!("the header {name} is not for a plugin to set: {error}"));
        }
    }
    if let (Some(whole), false) = (body.whole(), announced)
        && (!whole.is_empty() || !matches!(head.status.as_u16(), 204 | 304))
        && let Err(error) = fields.append("content-length", whole.len().to_string().as_bytes())
    {
        log::warn(format_args!("the answer has no content-length: {error}"));
    }
    let outgoing = OutgoingResponse::new(fields);
    outgoing.set_status_code(head.status.as_u16()).expect("a StatusCode is in range");
    let out = outgoing.body().expect("its body is taken once");
    ResponseOutparam::set(answer, Ok(outgoing));
    if let Err(error) = send_body(body, out).await {
        let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        log::error(format_args!("an answer was cut short: {source}"));
    }
}

/// On error the outgoing body is dropped unfinished.
async fn send_body(mut body: Body, out: OutgoingBody) -> Result<(), BodyError> {
    let stream = AsyncOutputStream::new(out.write().expect("its stream is taken once"));
    while let Some(chunk) = body.next().await {
        stream.write_all(&chunk?).await.map_err(BodyError::new)?;
    }
    drop(stream);
    OutgoingBody::finish(out, None).map_err(BodyError::new)
}

/// A body that comes from the host.
struct Incoming(wstd::http::body::util::combinators::UnsyncBoxBody<Bytes, wstd::http::Error>);

impl futures_core::Stream for Incoming {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            return match Pin::new(&mut self.0).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(chunk) => Poll::Ready(Some(Ok(chunk))),
                    // Trailers: nothing here reads them.
                    Err(_) => continue,
                },
                Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(BodyError::new(error)))),
                Poll::Ready(None) => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            };
        }
    }
}

/// The payment behind the request being handled.
pub(crate) fn payment() -> Option<Receipt> {
    let receipt = imports::payment::current()?;
    Some(Receipt {
        payer: receipt.payer,
        amount: receipt.amount,
        asset: receipt.asset,
        network: receipt.network,
        payment_id: receipt.payment_id,
    })
}

pub(crate) fn charge(amount: &str) -> Result<(), String> {
    imports::usage::charge(amount)
}

pub(crate) fn configured(key: &str) -> Option<String> {
    // No host of this contract fails here; one that does tells nothing.
    bindings::wasi::config::store::get(key).ok().flatten()
}

pub(crate) use bindings::wasi::keyvalue::store::Bucket;

fn kept<T>(answer: Result<T, bindings::wasi::keyvalue::store::Error>) -> Result<T, KeyValueError> {
    use bindings::wasi::keyvalue::store::Error;
    answer.map_err(|error| match error {
        Error::AccessDenied => KeyValueError::AccessDenied,
        Error::NoSuchStore => KeyValueError::NoSuchStore,
        Error::Other(sentence) => KeyValueError::Other(sentence),
    })
}

pub(crate) fn open(name: &str) -> Result<Bucket, KeyValueError> {
    kept(bindings::wasi::keyvalue::store::open(name))
}

pub(crate) fn get(bucket: &Bucket, key: &str) -> Result<Option<Vec<u8>>, KeyValueError> {
    kept(bucket.get(key))
}

pub(crate) fn set(bucket: &Bucket, key: &str, value: &[u8]) -> Result<(), KeyValueError> {
    kept(bucket.set(key, value))
}

pub(crate) fn delete(bucket: &Bucket, key: &str) -> Result<(), KeyValueError> {
    kept(bucket.delete(key))
}

pub(crate) fn increment(bucket: &Bucket, key: &str, delta: u64) -> Result<u64, KeyValueError> {
    kept(bindings::wasi::keyvalue::atomics::increment(bucket, key, delta))
}

pub(crate) fn keys(bucket: &Bucket, after: Option<u64>) -> Result<(Vec<String>, Option<u64>), KeyValueError> {
    kept(bucket.list_keys(after)).map(|page| (page.keys, page.cursor))
}

/// Sends a request to another server.
pub(crate) async fn send(parts: Parts) -> Result<ClientResponse, HttpError> {
    let mut client = wstd::http::Client::new();
    if let Some(timeout) = parts.timeout {
        client.set_connect_timeout(timeout);
        client.set_first_byte_timeout(timeout);
        client.set_between_bytes_timeout(timeout);
    }
    let mut headers = parts.headers;
    // Without it the host would send chunks, which some servers refuse for a short body.
    if !parts.body.is_empty() || parts.method == Method::POST || parts.method == Method::PUT {
        headers.insert(http::header::CONTENT_LENGTH, parts.body.len().into());
    }
    let mut request = http::Request::new(parts.body);
    *request.method_mut() = parts.method;
    *request.uri_mut() = parts.uri;
    *request.headers_mut() = headers;
    let response = client.send(request).await.map_err(|error| HttpError::Failed(error.into()))?;
    let (head, body) = response.into_parts();
    let body = Body::chunks(Incoming(body.into_boxed_body()));
    Ok(ClientResponse { status: head.status, headers: head.headers, body })
}
