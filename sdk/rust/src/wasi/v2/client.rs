//! Sends requests to other servers by the outgoing handler of `wasi:http`.
//!
//! The request's body is sent while the answer is awaited, and also while the answer's body is read: another server may
//! answer before it has read all.

use std::future::poll_fn;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use wasip2::http::outgoing_handler::{self, OutgoingRequest};
use wasip2::http::types::{Fields, IncomingResponse, Method as WasiMethod, RequestOptions, Scheme};
use wstd::runtime::AsyncPollable;

use super::body::{ReceivedBody, send_body};
use crate::body::Body;
use crate::http::HttpError;
use crate::wasi::{ReceivedWhileSending, Upload, poll_upload, set_length};

/// Sends a request to another server, and waits for the head of its answer.
pub(crate) async fn send(request: Request<Body>, timeout: Option<Duration>) -> Result<Response<Body>, HttpError> {
    let (mut head, body) = request.into_parts();
    set_length(&mut head.headers, &body);
    let outgoing = outgoing(&head.method, &head.uri, &head.headers)?;
    let outgoing_body = outgoing.body().map_err(|()| failed("the request's body is taken"))?;
    let answer = outgoing_handler::handle(outgoing, options(timeout)?).map_err(HttpError::failed)?;
    let mut upload: Option<Upload> = Some(Box::pin(send_body(body, outgoing_body, |_| ())));
    let arrived = AsyncPollable::new(answer.subscribe());
    let mut arrived = Box::pin(arrived.wait_for());
    let mut broken = None;
    // An upload that breaks does not end the waiting: the answer that says why may be on its way.
    poll_fn(|cx| {
        if let Err(error) = poll_upload(&mut upload, cx) {
            broken = Some(error);
        }
        arrived.as_mut().poll(cx)
    })
    .await;
    match (answer.get(), broken) {
        (Some(Ok(Ok(response))), _) => received(response, upload),
        (_, Some(error)) => Err(HttpError::failed(error)),
        (Some(Ok(Err(code))), None) => Err(HttpError::failed(code)),
        (Some(Err(())) | None, None) => Err(failed("the answer was taken before")),
    }
}

/// Makes the request that the host sends.
fn outgoing(method: &Method, url: &Uri, headers: &HeaderMap) -> Result<OutgoingRequest, HttpError> {
    let fields = Fields::new();
    for (name, value) in headers {
        fields.append(name.as_str(), value.as_bytes()).map_err(HttpError::failed)?;
    }
    let request = OutgoingRequest::new(fields);
    let method = match method.as_str() {
        "GET" => WasiMethod::Get,
        "HEAD" => WasiMethod::Head,
        "POST" => WasiMethod::Post,
        "PUT" => WasiMethod::Put,
        "DELETE" => WasiMethod::Delete,
        "CONNECT" => WasiMethod::Connect,
        "OPTIONS" => WasiMethod::Options,
        "TRACE" => WasiMethod::Trace,
        "PATCH" => WasiMethod::Patch,
        other => WasiMethod::Other(other.to_owned()),
    };
    let scheme = match url.scheme_str() {
        Some("http") => Scheme::Http,
        Some("https") | None => Scheme::Https,
        Some(other) => Scheme::Other(other.to_owned()),
    };
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let set = request
        .set_method(&method)
        .and_then(|()| request.set_scheme(Some(&scheme)))
        .and_then(|()| request.set_authority(url.authority().map(|authority| authority.as_str())))
        .and_then(|()| request.set_path_with_query(Some(path)));
    set.map(|()| request).map_err(|()| failed("the host takes no such method or URL"))
}

/// Limits three waits to this time each.
fn options(timeout: Option<Duration>) -> Result<Option<RequestOptions>, HttpError> {
    let Some(timeout) = timeout else { return Ok(None) };
    let nanoseconds = Some(u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX));
    let options = RequestOptions::new();
    let set = options
        .set_connect_timeout(nanoseconds)
        .and_then(|()| options.set_first_byte_timeout(nanoseconds))
        .and_then(|()| options.set_between_bytes_timeout(nanoseconds));
    set.map(|()| Some(options)).map_err(|()| failed("the host takes no timeouts"))
}

/// The answer, whose body goes on with the upload while it is read.
fn received(incoming: IncomingResponse, upload: Option<Upload>) -> Result<Response<Body>, HttpError> {
    let mut headers = HeaderMap::new();
    for (name, value) in incoming.headers().entries() {
        let name = HeaderName::try_from(name).map_err(HttpError::failed)?;
        headers.append(name, HeaderValue::try_from(value).map_err(HttpError::failed)?);
    }
    let status = StatusCode::from_u16(incoming.status()).map_err(HttpError::failed)?;
    let body = incoming.consume().map_err(|()| failed("the answer's body is taken"))?;
    let received = ReceivedBody::new(body).map_err(HttpError::failed)?;
    let mut response = Response::new(Body::chunks(ReceivedWhileSending { received, upload }));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

fn failed(reason: &'static str) -> HttpError {
    HttpError::Failed(reason.into())
}
