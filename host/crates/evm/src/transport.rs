//! Sends requests to a node, and reads no more of an answer than any question of ours needs.
//!
//! alloy's own transport reads an answer to its end, and whoever answers in the place of a node could fill the memory of
//! the host. An answer that is too large counts as none: what it was to say is not known.

use std::task::{Context, Poll};

use alloy::rpc::client::RpcClient;
use alloy::rpc::json_rpc::{RequestPacket, ResponsePacket};
use alloy::transports::utils::guess_local_url;
use alloy::transports::{TransportError, TransportErrorKind, TransportFut, TransportResult};
use coinslot_base::text::excerpt;
use tower_service::Service;
use url::Url;

/// The most bytes of an answer. The largest are logs of many blocks, which nodes themselves limit to some MB.
const MOST_BYTES: usize = 16 << 20;

/// The longest part of an error page that is reported, in characters.
const PAGE: usize = 300;

/// A client of the node at this address, whose answers are bounded.
pub fn node_client(http: reqwest::Client, url: Url) -> RpcClient {
    let is_local = guess_local_url(url.as_str());
    RpcClient::new(NodeTransport { http, url }, is_local)
}

#[derive(Clone, Debug)]
struct NodeTransport {
    http: reqwest::Client,
    url: Url,
}

impl NodeTransport {
    async fn ask(self, request: RequestPacket) -> TransportResult<ResponsePacket> {
        let asked = self.http.post(self.url).headers(request.headers()).json(&request);
        let answer = asked.send().await.map_err(TransportErrorKind::custom)?;
        let status = answer.status();
        let body = read(answer).await?;
        if status.is_success() {
            return serde_json::from_slice(&body)
                .map_err(|error| TransportError::deser_err(error, String::from_utf8_lossy(&body)));
        }
        // Some nodes say with a status of their own what the document says, too.
        match serde_json::from_slice::<ResponsePacket>(&body) {
            Ok(refusal) if refusal.is_error() => Ok(refusal),
            _ => {
                let page = excerpt(&String::from_utf8_lossy(&body), PAGE);
                Err(TransportErrorKind::http_error(status.as_u16(), page))
            }
        }
    }
}

/// Reads the body of an answer.
async fn read(mut answer: reqwest::Response) -> TransportResult<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(TransportErrorKind::custom)? {
        if body.len() + chunk.len() > MOST_BYTES {
            return Err(TransportErrorKind::custom_str(&format!("the answer has more than {MOST_BYTES} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

impl Service<RequestPacket> for NodeTransport {
    type Response = ResponsePacket;
    type Error = TransportError;
    type Future = TransportFut<'static>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: RequestPacket) -> Self::Future {
        Box::pin(self.clone().ask(request))
    }
}
