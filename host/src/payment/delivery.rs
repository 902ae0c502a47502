//! Sends the body of a paid answer to the client, and records its end in the ledger.
//!
//! An answer that was whole before it left is in the ledger already; here it only becomes delivered. An answer that is
//! too large to be kept leaves in pieces, and stays in the ledger until a connection has taken the last one for the
//! first time, and for two minutes more: a client whose connection breaks in the middle has paid, and fetches it again.
//! An answer that the guest is still writing is a [`StreamedAnswer`].

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use coinslot_ledger::PaymentId;
use coinslot_plugin::Fault;
use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;

use super::Payments;
use super::budget::{ByteBudget, HeldBytes};
use super::streamed::StreamedAnswer;

/// The size of the pieces of an answer that is too large to be kept. hyper takes a little more than one ahead of
/// the client.
const PIECE: usize = 64 << 10;
/// The time for which such an answer stays in the ledger when the connection has taken it: what the host and the kernel
/// hold of it may still be lost on its way.
const ON_THE_WAY: Duration = Duration::from_secs(120);
/// Such answers may have this part of the room for kept answers: one in this many. What comes above it is deleted when
/// the connection has taken it.
const ROOM_PART: u64 = 4;

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
    /// The size of an answer that is too large to be kept.
    large: Option<usize>,
}

/// The answers that are too large to be kept and were delivered of late, each with its part of their room.
#[derive(Debug)]
pub(super) struct LargeAnswers {
    room: Arc<ByteBudget>,
    held: Mutex<HashMap<PaymentId, HeldBytes>>,
}

impl LargeAnswers {
    /// `kept`: the bytes of all kept answers.
    pub(super) fn new(kept: u64) -> Self {
        let room = usize::try_from(kept / ROOM_PART).unwrap_or(usize::MAX);
        Self { room: ByteBudget::new(room), held: Mutex::default() }
    }

    /// Takes room for an answer of this size, of which its payer has a share. An answer that is fetched again and again
    /// takes no more room, and is not kept for longer.
    fn take(&self, id: &PaymentId, size: usize) -> RoomTaken {
        let mut held = self.held.lock();
        if held.contains_key(id) {
            return RoomTaken::Before;
        }
        let mut room = self.room.of_payer(id.payer());
        if room.grow_to(size).is_err() {
            return RoomTaken::Nothing;
        }
        held.insert(id.clone(), room);
        RoomTaken::Now
    }

    fn give_back(&self, id: &PaymentId) {
        self.held.lock().remove(id);
    }
}

/// The room that an answer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RoomTaken {
    Now,
    /// It was delivered a while ago, and is deleted when its time is over.
    Before,
    Nothing,
}

impl PaidBody {
    /// A whole answer, which is in the ledger.
    pub(super) fn whole(payments: &Arc<Payments>, id: &PaymentId, body: Bytes) -> Self {
        let large = Some(body.len()).filter(|size| *size > payments.config.keep_answer_bytes);
        let delivery = Delivery { payments: Arc::clone(payments), id: id.clone(), large };
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
                let is_large = delivery.as_ref().is_some_and(|delivery| delivery.large.is_some());
                let frame = match body {
                    Some(rest) if is_large && rest.len() > PIECE => Some(rest.split_to(PIECE)),
                    _ => body.take(),
                };
                // With the last frame the connection has all of the answer. hyper may not poll again after the last
                // byte of a declared length, so the delivery is written now and not at the end.
                if body.is_none()
                    && let Some(delivery) = delivery.take()
                {
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
        let Self { payments, id, large } = self;
        let task = Arc::clone(&payments);
        payments.track(async move {
            let Some(size) = large else { return task.delivered(&id, true).await };
            let taken = task.large_answers.take(&id, size);
            task.delivered(&id, taken != RoomTaken::Nothing).await;
            if taken == RoomTaken::Now {
                delete_later(&task, id);
            }
        });
    }
}

/// Deletes an answer that is too large to be kept, when all of it has arrived or was lost. Shutdown does not wait for
/// that: what a host leaves behind is pruned by its age.
fn delete_later(payments: &Arc<Payments>, id: PaymentId) {
    let payments = Arc::downgrade(payments);
    tokio::spawn(async move {
        tokio::time::sleep(ON_THE_WAY).await;
        if let Some(payments) = payments.upgrade() {
            payments.delivered(&id, false).await;
            payments.large_answers.give_back(&id);
        }
    });
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

#[cfg(test)]
mod tests {
    use super::*;

    fn payment(payer: &str, nonce: &str) -> PaymentId {
        let network = coinslot_x402::Network::parse("eip155:84532").expect("a network");
        PaymentId::new(network, "0xa".to_owned(), payer.to_owned(), nonce.to_owned())
    }

    #[test]
    fn large_answers_have_a_quarter_of_the_room_for_kept_ones_and_each_payer_a_part_of_it() {
        let large = LargeAnswers::new(64 << 20);
        let (one, other) = (payment("0x1", "a"), payment("0x1", "b"));
        assert_eq!(large.take(&one, 3 << 20), RoomTaken::Now);
        assert_eq!(large.take(&other, 2 << 20), RoomTaken::Nothing, "a payer has 4 of 16 MiB");
        for payer in ["0x2", "0x3", "0x4"] {
            assert_eq!(large.take(&payment(payer, "a"), 4 << 20), RoomTaken::Now);
        }
        assert_eq!(large.take(&payment("0x5", "a"), 2 << 20), RoomTaken::Nothing, "one MiB is left");
        large.give_back(&one);
        assert_eq!(large.take(&other, 2 << 20), RoomTaken::Now);
        assert_eq!(LargeAnswers::new(0).take(&one, 1), RoomTaken::Nothing);
    }

    #[test]
    fn a_large_answer_that_is_fetched_many_times_takes_its_room_once() {
        let large = LargeAnswers::new(64 << 20);
        let (often, another) = (payment("0x1", "a"), payment("0x1", "b"));
        assert_eq!(large.take(&often, 2 << 20), RoomTaken::Now);
        for _ in 0..100 {
            assert_eq!(large.take(&often, 2 << 20), RoomTaken::Before);
        }
        assert_eq!(large.take(&another, 2 << 20), RoomTaken::Now);
    }
}
