//! Watches the body of an answer, and ends the report of its request with it.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use coinslot_plugin::Fault;
use http_body::{Body, Frame, SizeHint};

use super::{RequestOutcome, WatchedRequest};
use crate::respond::{FailureNote, ReplyBody};

/// The bytes of an error that are read for its message.
const MAX_ERROR: usize = 64 << 10;

/// The body of an observed answer.
#[derive(Debug)]
pub(super) struct WatchedBody {
    pub(super) body: ReplyBody,
    /// Bytes that are still to come, where their number is known, or the guest has declared it.
    pub(super) left: Option<u64>,
    /// The time of the head of an answer that the guest still writes.
    pub(super) streamed: Option<Instant>,
    /// Set if the body says why the request failed.
    pub(super) explains: bool,
    /// None when the report has been made.
    pub(super) request: Option<Box<WatchedRequest>>,
}

impl WatchedBody {
    fn took(&mut self, data: &Bytes) {
        self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
        let Some(answer) = self.request.as_mut().map(|request| &mut request.answer) else { return };
        if std::mem::take(&mut self.explains) && answer.reason.is_none() && data.len() <= MAX_ERROR {
            answer.reason = explanation(data);
        }
    }

    /// Ends the request. `end` changes the outcome that its head had.
    fn end(&mut self, end: Option<(RequestOutcome, FailureNote)>) {
        let Some(mut request) = self.request.take() else { return };
        let answer = &mut request.answer;
        answer.streamed = self.streamed.map(|begun| begun.elapsed()).unwrap_or_default();
        if let Some((outcome, FailureNote(reason))) = end {
            (answer.outcome, answer.reason) = (outcome, Some(reason));
        }
        request.finish();
    }

    fn failed(&mut self, fault: &Fault) {
        let endpoint = self.request.as_ref().and_then(|request| request.trace.endpoint());
        let note = endpoint.map_or_else(|| FailureNote(fault.to_string()), |one| FailureNote::of_fault(fault, one));
        self.end(Some((RequestOutcome::BrokenOff, note)));
    }
}

/// The message of an error in the shape that the host and the SDKs give to errors.
fn explanation(body: &Bytes) -> Option<String> {
    let document: serde_json::Value = serde_json::from_slice(body).ok()?;
    let text = |key: &str| document[key].as_str();
    match (text("error"), text("message")) {
        (Some(code), Some(message)) => Some(format!("{code}: {message}")),
        (only, None) | (None, only) => only.map(ToOwned::to_owned),
    }
}

impl Body for WatchedBody {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    let data = data.clone();
                    self.took(&data);
                }
            }
            Poll::Ready(Some(Err(fault))) => self.failed(fault),
            Poll::Ready(None) => self.end(None),
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for WatchedBody {
    /// hyper does not poll for the end of a body whose length it knows.
    fn drop(&mut self) {
        let is_whole = self.left == Some(0) || self.body.is_end_stream();
        let left = || (RequestOutcome::HungUp, FailureNote("before the end of the answer".to_owned()));
        self.end((!is_whole).then(left));
    }
}
