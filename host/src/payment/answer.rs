//! Reads the whole answer of a guest, and converts it to and from its form in the ledger.

use bytes::Bytes;
use coinslot_ledger::StoredAnswer;
use coinslot_plugin::{Fault, Permit, ResponseBody};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};

use super::budget::{Exhausted, HeldBytes};
use super::held_buffer::HeldBuffer;
use crate::endpoint::Endpoint;
use crate::schema;

/// The fault of a plugin that asks for money by itself, for the log and the ledger.
pub(crate) const ANSWERED_402: &str = "the plugin answered 402 itself";

/// A guest's whole answer.
#[derive(Debug)]
pub struct GuestAnswer {
    pub status: u16,
    pub headers: HeaderMap,
    /// Its part of the budget is held until its last copy is dropped, which is when the connection has written it: a
    /// client that buys or fetches many answers and reads none of them holds its share, and no more.
    pub body: Bytes,
}

/// The reason why an answer was not read to its end.
#[derive(Debug)]
pub(super) enum UnreadAnswer {
    /// The guest failed while it wrote the answer.
    Fault(Fault),
    /// The budget of bytes has no room for the answer.
    NoRoom,
}

/// Runs the guest until the head of its answer.
pub(super) async fn begin(
    endpoint: &Endpoint,
    permit: Permit,
    request: Request<Bytes>,
) -> Result<Response<ResponseBody>, Fault> {
    let request = request.map(|body| Full::new(body).map_err(|never| match never {}).boxed_unsync());
    let answer = endpoint.plugin.invoke(permit, request).await?;
    Ok(schema::checked(endpoint.answer.as_ref(), answer))
}

impl GuestAnswer {
    /// Reads the whole body, as large as the plugin's limit and the budget allow.
    pub(super) async fn read(response: Response<ResponseBody>, mut held: HeldBytes) -> Result<Self, UnreadAnswer> {
        let (head, mut body) = response.into_parts();
        let first = next_piece(&mut body).await?.unwrap_or_default();
        held.grow_to(first.len()).map_err(|Exhausted| UnreadAnswer::NoRoom)?;
        let body = match next_piece(&mut body).await? {
            // Most answers are one piece, which is not copied.
            None => held.counted(first),
            Some(second) => read_rest(HeldBuffer::new(held, usize::MAX), [first, second], body).await?,
        };
        Ok(Self { status: head.status.as_u16(), headers: head.headers, body })
    }

    /// The answer as the ledger stores it.
    pub(super) fn stored(&self) -> StoredAnswer {
        StoredAnswer { status: self.status, headers: stored_headers(&self.headers), body: self.body.clone() }
    }

    /// The answer that the ledger stored. None if a header of it is not one.
    pub(super) fn of_stored(stored: StoredAnswer, held: HeldBytes) -> Option<Self> {
        let mut headers = HeaderMap::with_capacity(stored.headers.len());
        for (name, value) in stored.headers {
            headers.append(HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_bytes(&value).ok()?);
        }
        let body = held.counted(stored.body);
        Some(Self { status: stored.status, headers, body })
    }
}

/// Reads the rest of a body after its first pieces.
async fn read_rest(mut buffer: HeldBuffer, pieces: [Bytes; 2], mut body: ResponseBody) -> Result<Bytes, UnreadAnswer> {
    for piece in pieces {
        buffer.push(&piece).map_err(|Exhausted| UnreadAnswer::NoRoom)?;
    }
    while let Some(piece) = next_piece(&mut body).await? {
        buffer.push(&piece).map_err(|Exhausted| UnreadAnswer::NoRoom)?;
    }
    Ok(buffer.whole())
}

/// The next bytes of a body. None at its end.
async fn next_piece(body: &mut ResponseBody) -> Result<Option<Bytes>, UnreadAnswer> {
    while let Some(frame) = body.frame().await {
        match frame.map_err(UnreadAnswer::Fault)?.into_data() {
            Ok(piece) if !piece.is_empty() => return Ok(Some(piece)),
            Ok(_) | Err(_) => {}
        }
    }
    Ok(None)
}

/// Header fields as the ledger stores them.
pub(super) fn stored_headers(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect()
}
