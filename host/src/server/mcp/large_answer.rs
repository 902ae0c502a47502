//! Puts a large answer into the result of its call as a text, so that it is never built as a tree.
//!
//! The protocol's server writes the result with a random word in the place of the answer. The word is replaced on its
//! way to the client: as a string of JSON in the content, and as it is in the structure.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use rmcp::model::ContentBlock;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::MessageHold;
use crate::json_text;

/// The deepest structure that is handed on: readers of JSON have bounds.
const MAX_DEPTH: usize = 128;

/// The names by which clients tell payment requirements.
const REQUIREMENTS: [&str; 2] = ["x402Version", "accepts"];

/// The facts that a look at an answer shows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AnswerFacts {
    /// The number of its values, if it is JSON.
    pub(super) values: usize,
    /// Clients would take it for payment requirements if it were an error.
    pub(super) asks_for_payment: bool,
}

impl AnswerFacts {
    pub(super) fn of(body: &[u8]) -> Self {
        let asks_for_payment = json_text::has_names(body, &REQUIREMENTS);
        Self { values: json_text::size(body).values, asks_for_payment }
    }
}

/// An answer whose place is kept by a word.
#[derive(Clone, Debug)]
pub(super) struct LargeAnswer {
    word: String,
    /// A string of JSON, with its quotes.
    text: Bytes,
    /// An object of JSON on one line.
    structure: Option<Bytes>,
}

impl LargeAnswer {
    /// The answer as a text, and as a structure if it is an object of JSON. None if it is no text.
    pub(super) fn new(body: &Bytes, is_json: bool) -> Option<Self> {
        let text = serde_json::to_vec(std::str::from_utf8(body).ok()?).ok()?;
        let is_object = || body.trim_ascii_start().first() == Some(&b'{');
        let is_structure = is_json
            && is_object()
            && json_text::size(body).depth <= MAX_DEPTH
            && serde_json::from_slice::<IgnoredAny>(body).is_ok();
        // An event of a stream is one line.
        let structure = is_structure.then(|| json_text::compact(body).map_or_else(|| body.clone(), Bytes::from));
        let word = hex::encode(secp256k1::rand::random::<[u8; 16]>());
        Some(Self { word, text: text.into(), structure })
    }

    /// The bytes in memory.
    pub(super) fn size(&self) -> usize {
        self.text.len() + self.structure.as_ref().map_or(0, Bytes::len)
    }

    /// The content that stands for the text.
    pub(super) fn content(&self) -> ContentBlock {
        ContentBlock::text(&self.word)
    }

    /// The value that stands for the structure.
    pub(super) fn structure(&self) -> Option<Value> {
        self.structure.as_ref().map(|_| json!({ &*self.word: null }))
    }

    /// The pieces of these bytes, with the answer in the places of its words.
    fn put_into(&self, mut bytes: Bytes) -> VecDeque<Bytes> {
        let (text, structure) = (format!("\"{}\"", self.word), format!("{{\"{}\":null}}", self.word));
        let mut pieces = VecDeque::new();
        while let Some(at) = find(&bytes, text.as_bytes()) {
            let stands_for_structure = at > 0 && bytes[at - 1..].starts_with(structure.as_bytes());
            let (begin, end, answer) = match (&self.structure, stands_for_structure) {
                (Some(answer), true) => (at - 1, at - 1 + structure.len(), answer),
                _ => (at, at + text.len(), &self.text),
            };
            pieces.push_back(bytes.slice(..begin));
            pieces.push_back(answer.clone());
            bytes = bytes.slice(end..);
        }
        pieces.push_back(bytes);
        pieces.retain(|piece| !piece.is_empty());
        pieces
    }
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

/// The answer to a message, with a large answer in the place of its words.
pub(super) struct WithLargeAnswer<B> {
    body: B,
    hold: Arc<MessageHold>,
    pieces: VecDeque<Bytes>,
}

impl<B> WithLargeAnswer<B> {
    pub(super) fn new(body: B, hold: Arc<MessageHold>) -> Self {
        Self { body, hold, pieces: VecDeque::new() }
    }
}

impl<B: Body<Data = Bytes, Error = Infallible> + Unpin> Body for WithLargeAnswer<B> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        loop {
            if let Some(piece) = self.pieces.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            let frame = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => frame,
                end => return Poll::Ready(end),
            };
            let Some(large) = self.hold.large_answer() else { return Poll::Ready(Some(Ok(frame))) };
            match frame.into_data() {
                Ok(data) => self.pieces = large.put_into(data),
                Err(frame) => return Poll::Ready(Some(Ok(frame))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.hold.large_answer().is_some() { SizeHint::default() } else { self.body.size_hint() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_takes_the_places_of_its_word() {
        let body = Bytes::from_static(b"{ \"a\": \"\\\"\n\xc3\xa9\",\n \"n\": 1.50 }");
        let large = LargeAnswer::new(&body, true).expect("a text");
        // A line break within a string is no JSON.
        assert!(large.structure().is_none());
        let body = Bytes::from_static(b"{ \"a\": \"\\\"\xc3\xa9\",\n \"n\": 1.50 }");
        let large = LargeAnswer::new(&body, true).expect("a text");
        let result =
            json!({ "content": [large.content()], "structuredContent": large.structure(), "x": 1 }).to_string();
        let whole = large.put_into(Bytes::from(result)).into_iter().collect::<Vec<_>>().concat();
        let whole = String::from_utf8(whole).expect("a text");
        assert!(!whole.contains(&large.word) && whole.contains(r#""structuredContent":{"a":"\"é","n":1.50},"x":1"#));
        let value: Value = serde_json::from_str(&whole).expect("JSON");
        assert_eq!(value["content"][0]["text"].as_str().expect("a text").as_bytes(), body);
        for other in [&b"[1]"[..], b"nonsense", b"{", b"{} {}"] {
            let large = LargeAnswer::new(&Bytes::copy_from_slice(other), true).expect("a text");
            assert!(large.structure().is_none(), "{other:?}");
        }
        let deep = format!("{}{}", "{\"a\":".repeat(200), "1".to_owned() + &"}".repeat(200));
        assert!(LargeAnswer::new(&Bytes::from(deep), true).expect("a text").structure().is_none());
        assert!(LargeAnswer::new(&body, false).expect("a text").structure().is_none(), "it is no JSON");
        assert!(LargeAnswer::new(&Bytes::from_static(b"\xff"), true).is_none());
    }
}
