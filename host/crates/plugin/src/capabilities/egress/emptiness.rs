//! Finds out whether a guest's request has a body, before its head is sent.
//!
//! WASI gives a request's body as a stream, and a guest often ends the stream of a `GET` only after it has handed the
//! request over. hyper sends no body with a `GET` of unknown length, or with a length of zero, and drops the stream at
//! once. A guest that ends its stream a moment later would then see an error, and lose the answer; and a body that it
//! did write would be lost without a word. So such a request waits for the first piece of the body, or for its end.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Empty};
use wasmtime_wasi_http::{Error, WasiBody};

/// The longest wait. A guest may want to see the answer before it writes: its request then has no body.
const WAIT: Duration = Duration::from_millis(100);

/// The body of a request with this head: an empty one if the guest has ended it without a byte, and else one that is
/// sent. Waits only where hyper would drop it: usually the length is declared, or the method has a body.
pub(super) async fn checked(head: &mut Parts, mut body: WasiBody) -> WasiBody {
    let length = head.headers.get(header::CONTENT_LENGTH);
    let sent = match length {
        Some(length) => length != "0",
        None => !matches!(head.method, Method::GET | Method::HEAD | Method::CONNECT),
    };
    if sent || body.is_end_stream() {
        return body;
    }
    match tokio::time::timeout(WAIT, body.frame()).await {
        Ok(None) => Empty::new().map_err(|never| match never {}).boxed_unsync(),
        Ok(Some(first)) => {
            if length.is_none() {
                head.headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            }
            Peeked { first: Some(first), rest: body }.boxed_unsync()
        }
        Err(_) => body,
    }
}

/// A body whose first frame has been read.
struct Peeked {
    first: Option<Result<Frame<Bytes>, Error>>,
    rest: WasiBody,
}

impl Body for Peeked {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match self.first.take() {
            Some(first) => Poll::Ready(Some(first)),
            None => Pin::new(&mut self.rest).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        // The rest alone would promise too few bytes.
        if self.first.is_some() { SizeHint::default() } else { self.rest.size_hint() }
    }
}
