//! Sends the body of a paid answer to the client, and records its end in the ledger.
//!
//! An answer that was whole before it left is in the ledger already; here it only becomes delivered. An answer that the
//! guest is still writing is a [`StreamedAnswer`].

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use coinslot_ledger::PaymentId;
use coinslot_plugin::Fault;
use http_body::{Body, Frame, SizeHint};

use super::Payments;
use super::streamed::StreamedAnswer;

/// The body of a paid answer.
#[derive(Debug)]
pub struct PaidBody(Content);

enum Content {
    /// In the ledger before it left.
    Whole { body: Option<Bytes>, delivery: Option<Delivery> },
    /// Still being written.
    Streamed(StreamedAnswer),
}

/// The record of a whole answer's delivery, which is still to be written.
struct Delivery {
    payments: Arc<Payments>,
    id: PaymentId,
    keep: bool,
}

impl PaidBody {
    /// A whole answer, which is in the ledger.
    pub(super) fn whole(payments: &Arc<Payments>, id: &PaymentId, body: Bytes) -> Self {
        let keep = body.len() <= payments.config.keep_answer_bytes;
        let delivery = Delivery { payments: Arc::clone(payments), id: id.clone(), keep };
        let body = (!body.is_empty()).then_some(body);
        Self(Content::Whole { body, delivery: Some(delivery) })
    }

    /// An answer that the guest is still writing.
    pub(super) fn streamed(answer: StreamedAnswer) -> Self {
        Self(Content::Streamed(answer))
    }
}

impl Body for PaidBody {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        match &mut self.0 {
            Content::Whole { body, delivery } => {
                let frame = body.take();
                // With this frame the connection has all of the answer. hyper may not poll again after the last byte of
                // a declared length, so the delivery is written now and not at the end.
                if let Some(delivery) = delivery.take() {
                    delivery.done();
                }
                Poll::Ready(frame.map(|bytes| Ok(Frame::data(bytes))))
            }
            Content::Streamed(answer) => answer.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            // hyper does not poll a body that says that it is empty, and the delivery would not be written.
            Content::Whole { body, delivery } => body.is_none() && delivery.is_none(),
            Content::Streamed(answer) => answer.is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Content::Whole { body, .. } => SizeHint::with_exact(body.as_ref().map_or(0, Bytes::len) as u64),
            Content::Streamed(_) => SizeHint::default(),
        }
    }
}

impl Delivery {
    /// The whole answer was handed to the connection. Only the client knows whether it arrived, and may fetch it again.
    fn done(self) {
        let Self { payments, id, keep } = self;
        let task = Arc::clone(&payments);
        payments.track(async move { task.delivered(&id, keep).await });
    }
}

impl fmt::Debug for Content {
    /// Prints the size of the answer, and nothing of its content.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole { body, .. } => write!(f, "Whole({} bytes)", body.as_ref().map_or(0, Bytes::len)),
            Self::Streamed(_) => write!(f, "Streamed"),
        }
    }
}
