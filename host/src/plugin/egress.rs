//! Outgoing HTTP of guests, and which header fields pass between a guest and the world.
//!
//! The answer to every outgoing request is a refusal. The stock client of `wasmtime-wasi-http` is
//! not compiled in, so nothing else can answer.

use std::sync::Arc;

use http::{HeaderName, header};
use wasmtime_wasi_http::{Error, ForbiddenHeaderFilter, RequestOptions, Result, WasiBody, WasiHttpHooks};

/// Bytes of one write to a body, and how many of them are buffered before the guest waits. Together
/// they let a small answer be written without suspending the guest.
const CHUNK: usize = 64 << 10;
const CHUNKS: usize = 4;

/// What a guest may reach.
#[derive(Debug)]
pub(super) struct Egress;

/// Header fields that belong to a connection or to a payment. They are removed from what a guest
/// is given, in headers and in trailers, and a guest cannot set them.
pub(super) fn is_withheld(name: &HeaderName) -> bool {
    const WITHHELD: [HeaderName; 12] = [
        header::CONNECTION,
        header::HOST,
        header::PROXY_AUTHENTICATE,
        header::PROXY_AUTHORIZATION,
        header::TE,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        HeaderName::from_static("http2-settings"),
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("proxy-connection"),
        HeaderName::from_static("payment-signature"),
        HeaderName::from_static("x-payment"),
    ];
    WITHHELD.contains(name)
}

impl WasiHttpHooks for Egress {
    fn is_forbidden_header(&mut self, name: &HeaderName) -> bool {
        is_withheld(name)
    }

    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        Arc::new(is_withheld)
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        _options: Option<RequestOptions>,
        _response_read: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<
        dyn Future<Output = Result<(http::Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>)>>
            + Send,
    > {
        tracing::debug!(authority = request.uri().authority().map(tracing::field::display), "outgoing request denied");
        Box::new(std::future::ready(Err(Error::HttpRequestDenied)))
    }

    fn p2_outgoing_body_buffer_chunks(&mut self) -> usize {
        CHUNKS
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK
    }

    fn p3_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK
    }
}
