//! Gives the body of an answer to its connection: whole on HTTP/1, in small pieces on HTTP/2.
//!
//! h2 takes what it is given into the stream's buffer, whether the client lets the stream send or not, and hyper's task
//! for the stream ends with the last frame. So a large answer that is given whole would wait in memory without a limit
//! of time. A piece is given only with a permit, of which a connection has few, and the permit stays until the piece
//! has left, or has waited for a second ([`streams`](super::streams)).

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use coinslot_plugin::Fault;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

use super::activity::{InFlight, least_taken};
use super::streams::StreamProgress;
use crate::respond::ReplyBody;

/// The greatest size of a piece: the size of an HTTP/2 frame that every client takes.
const PIECE: usize = 16 << 10;
/// The greatest size of a last piece that needs no permit, as most answers of the host itself are.
const SMALL: usize = 4 << 10;

/// The body of an answer, with its guard if the answer had to be made.
#[derive(Debug)]
pub(super) struct AnswerBody {
    body: ReplyBody,
    /// None on HTTP/1.
    pieces: Option<Pieces>,
    _in_flight: Option<InFlight>,
}

/// The pieces of an answer on an HTTP/2 stream.
#[derive(Debug)]
struct Pieces {
    progress: Arc<StreamProgress>,
    permits: Permits,
    /// The part of the last frame that was not given yet.
    rest: Bytes,
}

/// The permits to send, of which the stream's progress holds one while a piece is on its way.
struct Permits {
    of_connection: Arc<Semaphore>,
    awaited: Option<AwaitedPermit>,
}

type AwaitedPermit = Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send>>;

impl AnswerBody {
    /// `sending`: the permits to send of an HTTP/2 connection. None on HTTP/1.
    pub(super) fn new(body: ReplyBody, in_flight: Option<InFlight>, sending: Option<Arc<Semaphore>>) -> Self {
        let stream = sending.and_then(|sending| Some((sending, StreamProgress::current()?)));
        // The size of a body is known if it is held whole.
        let size = body.size_hint().exact().and_then(|size| usize::try_from(size).ok()).unwrap_or(0);
        match (&stream, &in_flight) {
            (Some((_, progress)), _) => progress.expect_pieces(least_taken(size) / PIECE),
            (None, Some(in_flight)) => in_flight.activity().answer_of(size),
            (None, None) => {}
        }
        let pieces = stream.map(|(of_connection, progress)| Pieces {
            progress,
            permits: Permits { of_connection, awaited: None },
            rest: Bytes::new(),
        });
        Self { body, pieces, _in_flight: in_flight }
    }
}

impl Pieces {
    /// Polls for the next piece. hyper asks for one only when the stream may send: what was given before has left.
    fn poll_next(
        &mut self,
        body: &mut ReplyBody,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        self.progress.note_left();
        if self.rest.is_empty() {
            // A guest may take its time: another stream sends meanwhile.
            self.progress.release_permit();
            let data = match ready!(Pin::new(&mut *body).poll_frame(context)).map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) => data,
                Some(Ok(Err(frame))) => return Poll::Ready(Some(Ok(frame))),
                Some(Err(fault)) => return Poll::Ready(Some(Err(fault))),
                None => return Poll::Ready(None),
            };
            if data.is_empty() || (data.len() <= SMALL && body.is_end_stream()) {
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            self.rest = data;
        }
        if !self.progress.has_permit() {
            // The semaphore is never closed.
            if let Ok(permit) = ready!(self.permits.poll(context)) {
                self.progress.keep_permit(permit);
            }
        }
        self.progress.note_given();
        let piece = self.rest.split_to(PIECE.min(self.rest.len()));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
}

impl Permits {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<OwnedSemaphorePermit, AcquireError>> {
        if self.awaited.is_none()
            && let Ok(permit) = Arc::clone(&self.of_connection).try_acquire_owned()
        {
            return Poll::Ready(Ok(permit));
        }
        let awaited = self.awaited.get_or_insert_with(|| Box::pin(Arc::clone(&self.of_connection).acquire_owned()));
        let permit = ready!(awaited.as_mut().poll(context));
        self.awaited = None;
        Poll::Ready(permit)
    }
}

impl std::fmt::Debug for Permits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Permits").field("of_connection", &self.of_connection).finish_non_exhaustive()
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let Self { body, pieces, .. } = &mut *self;
        match pieces {
            None => Pin::new(body).poll_frame(context),
            Some(pieces) => pieces.poll_next(body, context),
        }
    }

    fn is_end_stream(&self) -> bool {
        // A piece with a permit is never the end: hyper asks for the end once the piece has left.
        let is_sending =
            self.pieces.as_ref().is_some_and(|pieces| !pieces.rest.is_empty() || pieces.progress.has_permit());
        !is_sending && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        // Asked for before the first frame.
        self.body.size_hint()
    }
}
