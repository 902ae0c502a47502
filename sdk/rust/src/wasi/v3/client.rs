//! Sends requests to other servers by `wasi:http/client`.
//!
//! The request's body is sent while the answer is awaited, and also while the answer's body is read: another server may
//! answer before it has read all.

use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use http::{HeaderMap, Request, Response};
use wasip3::http::client;
use wasip3::http::types::{Fields, Request as WasiRequest, RequestOptions, Response as WasiResponse};
use wasip3::http_compat::{BodyWriter, http_from_wasi_response};

use super::body::send_body;
use crate::body::Body;
use crate::http::HttpError;
use crate::wasi::{IncomingBody, ReceivedWhileSending, Upload, poll_upload, set_length};

/// Sends a request to another server, and waits for the head of its answer.
pub(crate) async fn send(request: Request<Body>, timeout: Option<Duration>) -> Result<Response<Body>, HttpError> {
    let (mut head, body) = request.into_parts();
    set_length(&mut head.headers, &body);
    let (outgoing, writer) = outgoing(&head, timeout)?;
    let mut upload: Option<Upload> = Some(Box::pin(send_body(body, writer, |_| ())));
    let mut arrived = pin!(client::send(outgoing));
    let mut broken = None;
    // An upload that breaks does not end the waiting: the answer that says why may be on its way.
    let answer = poll_fn(|cx| {
        if let Err(error) = poll_upload(&mut upload, cx) {
            broken = Some(error);
        }
        arrived.as_mut().poll(cx)
    })
    .await;
    match (answer, broken) {
        (Ok(response), _) => received(response, upload),
        (Err(_), Some(error)) => Err(HttpError::failed(error)),
        (Err(code), None) => Err(HttpError::failed(code)),
    }
}

/// Makes the request that the host sends, and the writer of its body.
fn outgoing(head: &http::request::Parts, timeout: Option<Duration>) -> Result<(WasiRequest, BodyWriter), HttpError> {
    let options = options(timeout)?;
    let (writer, contents, end) = BodyWriter::new();
    let (request, _sent) = WasiRequest::new(fields(&head.headers)?, Some(contents), end, options);
    let url = &head.uri;
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let set = request
        .set_method(&(&head.method).into())
        .and_then(|()| request.set_scheme(url.scheme().map(Into::into).as_ref()))
        .and_then(|()| request.set_authority(url.authority().map(|authority| authority.as_str())))
        .and_then(|()| request.set_path_with_query(Some(path)));
    set.map(|()| (request, writer)).map_err(|()| failed("the host takes no such method or URL"))
}

fn fields(headers: &HeaderMap) -> Result<Fields, HttpError> {
    let fields = Fields::new();
    for (name, value) in headers {
        fields.append(name.as_str(), value.as_bytes()).map_err(HttpError::failed)?;
    }
    Ok(fields)
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
    set.map(|()| Some(options)).map_err(|_| failed("the host takes no timeouts"))
}

/// The answer, whose body goes on with the upload while it is read.
fn received(response: WasiResponse, upload: Option<Upload>) -> Result<Response<Body>, HttpError> {
    let response = http_from_wasi_response(response).map_err(HttpError::failed)?;
    Ok(response.map(|body| Body::chunks(ReceivedWhileSending { received: IncomingBody(body), upload })))
}

fn failed(reason: &'static str) -> HttpError {
    HttpError::Failed(reason.into())
}
