//! The whole answer of a guest, and its form in the ledger.

use bytes::Bytes;
use coinslot_ledger::StoredAnswer;
use coinslot_plugin::{Fault, Permit, Plugin, ResponseBody};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};

/// A guest's whole answer.
#[derive(Debug)]
pub struct GuestAnswer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Runs the guest until the head of its answer.
pub(super) async fn begin(
    plugin: &Plugin,
    permit: Permit,
    request: Request<Bytes>,
) -> Result<Response<ResponseBody>, Fault> {
    let request = request.map(|body| Full::new(body).map_err(|never| match never {}).boxed_unsync());
    plugin.invoke(permit, request).await
}

impl GuestAnswer {
    /// Reads the whole body, as large as the plugin's limit allows.
    pub(super) async fn read(response: Response<ResponseBody>) -> Result<Self, Fault> {
        let (head, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Self { status: head.status.as_u16(), headers: head.headers, body })
    }

    /// The answer as the ledger stores it.
    pub(super) fn stored(&self) -> StoredAnswer {
        StoredAnswer { status: self.status, headers: stored_headers(&self.headers), body: self.body.clone() }
    }

    /// The answer that the ledger stored. None if a header of it is not one.
    pub(super) fn of_stored(stored: StoredAnswer) -> Option<Self> {
        let mut headers = HeaderMap::with_capacity(stored.headers.len());
        for (name, value) in stored.headers {
            headers.append(HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_bytes(&value).ok()?);
        }
        Some(Self { status: stored.status, headers, body: stored.body })
    }
}

/// Header fields as the ledger stores them.
pub(super) fn stored_headers(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect()
}
