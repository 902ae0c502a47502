//! Runs the streams of HTTP/2 connections, and resets one whose client does not take its answer.
//!
//! hyper polls a body only when the stream may send, so a stream whose client gives it no window can be ended neither
//! by its body nor by the connection. But hyper hands the task of each stream to the executor: a task that is dropped
//! resets its stream.
//!
//! A piece of an answer is given to the connection with a permit, of which each connection has few. A client may leave
//! some answers unread, and read others. So a piece that has waited for a second gives its permit back, in exchange for
//! one of a second kind, of which the process has a number: together they bound what unread answers cost.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::Executor;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};

use super::read_turns::ConnectionTurns;

/// The time after which a piece that waits gives the permit of its connection back.
const PATIENCE: Duration = Duration::from_secs(1);
/// The number of pieces of all connections that wait without a permit of their connection. Each may hold 32 KiB, so
/// that all hold 64 MiB.
const WAITING_PIECES: usize = 2_048;

tokio::task_local! {
    /// The progress of the stream whose task is being polled.
    static CURRENT: Arc<StreamProgress>;
}

/// The executor of hyper's tasks for streams.
#[derive(Clone, Debug)]
pub(super) struct StreamExecutor {
    /// The longest time that a piece of an answer may wait for its client.
    stalled: Duration,
    /// Leave to wait without a permit of the connection, for all connections together.
    waiting: Arc<Semaphore>,
}

/// The progress of one stream's answer.
#[derive(Debug, Default)]
pub(super) struct StreamProgress {
    /// A piece was given to the connection, and has not left.
    waits: AtomicBool,
    /// The number of pieces that were given.
    pieces: AtomicUsize,
    /// The pieces that the client has to take within the longest time that one may wait. At least one counts.
    least: AtomicUsize,
    /// Leave to send, or to wait.
    permit: Mutex<Option<PiecePermit>>,
}

/// Leave for one piece, until it has left.
#[derive(Debug)]
enum PiecePermit {
    /// A permit of the connection, held for any time.
    Send(#[expect(dead_code, reason = "held, and given back when it is dropped")] OwnedSemaphorePermit),
    /// A permit of the process, for a piece that its client does not take.
    Wait(#[expect(dead_code, reason = "held, and given back when it is dropped")] OwnedSemaphorePermit),
}

impl StreamExecutor {
    pub(super) fn new(stalled: Duration) -> Self {
        Self { stalled, waiting: Arc::new(Semaphore::new(WAITING_PIECES)) }
    }
}

impl StreamProgress {
    /// The progress of the stream whose task is being polled. None on HTTP/1, where streams have no tasks.
    pub(super) fn current() -> Option<Arc<Self>> {
        CURRENT.try_with(Arc::clone).ok()
    }

    /// Notes the pieces that the client has to take within the longest time that one may wait.
    pub(super) fn expect_pieces(&self, least: usize) {
        self.least.store(least, Relaxed);
    }

    /// Notes that a piece was given to the connection.
    pub(super) fn note_given(&self) {
        self.pieces.fetch_add(1, Relaxed);
        self.waits.store(true, Relaxed);
    }

    /// Notes that everything that was given has left. A permit to send can be used again.
    pub(super) fn note_left(&self) {
        self.waits.store(false, Relaxed);
        self.permit.lock().take_if(|permit| matches!(permit, PiecePermit::Wait(_)));
    }

    /// Takes a permit of the connection, to hold it until a piece has left and none follows.
    pub(super) fn keep_permit(&self, permit: OwnedSemaphorePermit) {
        *self.permit.lock() = Some(PiecePermit::Send(permit));
    }

    /// Gives the permit back.
    pub(super) fn release_permit(&self) {
        *self.permit.lock() = None;
    }

    /// True if a piece may be given, or was given and has not left.
    pub(super) fn has_permit(&self) -> bool {
        self.permit.lock().is_some()
    }

    /// Gives the permit of the connection back for one to wait, if there is one.
    fn wait_apart(&self, waiting: &Arc<Semaphore>) {
        let mut permit = self.permit.lock();
        if matches!(*permit, Some(PiecePermit::Send(_)))
            && let Ok(leave) = Arc::clone(waiting).try_acquire_owned()
        {
            *permit = Some(PiecePermit::Wait(leave));
        }
    }
}

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for StreamExecutor {
    fn execute(&self, stream: F) {
        let stream = run(stream, self.clone());
        match ConnectionTurns::current() {
            Some(turns) => tokio::spawn(turns.run_stream(stream)),
            None => tokio::spawn(stream),
        };
    }
}

/// Runs a stream to its end, or until a piece of its answer has waited for too long.
async fn run(stream: impl Future, executor: StreamExecutor) {
    let progress = Arc::<StreamProgress>::default();
    let mut stream = pin!(CURRENT.scope(Arc::clone(&progress), stream));
    let mut clock = PieceClock { latest: 0, waits: None, sleep: None };
    std::future::poll_fn(|context| match stream.as_mut().poll(context) {
        Poll::Ready(_) => Poll::Ready(()),
        Poll::Pending => clock.poll(&progress, &executor, context),
    })
    .await;
}

/// Measures the time for which pieces wait. Most streams never wait, and need no timer.
struct PieceClock {
    /// The number of the piece that waits.
    latest: usize,
    /// The beginning of a time in which pieces have waited without a break, and the number of pieces then: the client
    /// has to take some.
    waits: Option<(Instant, usize)>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl PieceClock {
    /// Ready when the client has taken too few pieces for too long.
    fn poll(&mut self, progress: &StreamProgress, executor: &StreamExecutor, context: &mut Context<'_>) -> Poll<()> {
        if !progress.waits.load(Relaxed) {
            self.waits = None;
            return Poll::Pending;
        }
        let now = Instant::now();
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(now)));
        let pieces = progress.pieces.load(Relaxed);
        let least = progress.least.load(Relaxed).max(1);
        let waits = self.waits.get_or_insert((now, pieces));
        if pieces - waits.1 >= least {
            *waits = (now, pieces);
        }
        let until = waits.0 + executor.stalled;
        if pieces != self.latest {
            self.latest = pieces;
            sleep.as_mut().reset(until.min(now + PATIENCE));
        }
        loop {
            ready!(sleep.as_mut().poll(context));
            let now = Instant::now();
            if now >= until {
                tracing::debug!("a stream is reset: its client does not take the answer");
                return Poll::Ready(());
            }
            progress.wait_apart(&executor.waiting);
            sleep.as_mut().reset(until.min(now + PATIENCE));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bytes::Bytes;
    use http::{Request, Response};
    use http_body_util::{BodyExt, Empty, Full};
    use hyper::body::Incoming;
    use hyper::client::conn::http2;
    use hyper::service::service_fn;
    use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
    use tokio::io::duplex;

    use super::*;
    use crate::server::activity::{Activity, SENDING_STREAMS};
    use crate::server::answer_body::AnswerBody;

    const SIZE: usize = 300_000;

    /// A connection to a server that answers each request with 300,000 bytes.
    async fn connect(window: u32, stalled: Duration) -> http2::SendRequest<Empty<Bytes>> {
        connect_to(window, StreamExecutor::new(stalled)).await
    }

    async fn connect_to(window: u32, executor: StreamExecutor) -> http2::SendRequest<Empty<Bytes>> {
        connect_to_with(window, executor, SIZE).await
    }

    /// A connection to a server that answers each request with this many bytes.
    async fn connect_to_with(window: u32, executor: StreamExecutor, size: usize) -> http2::SendRequest<Empty<Bytes>> {
        let (client, server) = duplex(64 << 10);
        let activity = Arc::new(Activity::default());
        let service = service_fn(move |_: Request<Incoming>| {
            let sending = Arc::clone(activity.sending());
            async move {
                let body = Full::new(Bytes::from(vec![b'x'; size])).map_err(|never| match never {}).boxed_unsync();
                Ok::<_, Infallible>(Response::new(AnswerBody::new(body, None, Some(sending))))
            }
        });
        let mut builder = hyper::server::conn::http2::Builder::new(executor);
        builder.timer(TokioTimer::new());
        tokio::spawn(builder.serve_connection(TokioIo::new(server), service));
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.initial_stream_window_size(window);
        let (sender, connection) = builder.handshake(TokioIo::new(client)).await.expect("a connection");
        tokio::spawn(connection);
        sender
    }

    fn request() -> Request<Empty<Bytes>> {
        Request::get("http://a.example/").body(Empty::new()).expect("a request")
    }

    #[tokio::test]
    async fn an_http_2_answer_arrives_whole_in_pieces_whatever_the_window() {
        for window in [1, 1_000, 16 << 10, SIZE as u32, 1 << 20] {
            let mut sender = connect(window, Duration::from_secs(30)).await;
            let answer = sender.send_request(request()).await.expect("an answer");
            let body = answer.into_body().collect().await.expect("a whole answer").to_bytes();
            assert_eq!(body.len(), SIZE, "with a window of {window}");
        }
    }

    #[tokio::test]
    async fn a_large_http_2_answer_that_is_read_piece_by_piece_is_reset_in_the_end() {
        let executor = StreamExecutor::new(Duration::from_millis(300));
        let mut sender = connect_to_with(16 << 10, executor, 30 * SIZE).await;
        let mut body = sender.send_request(request()).await.expect("an answer").into_body();
        let begun = Instant::now();
        while let Some(piece) = body.frame().await {
            if piece.is_err() {
                assert!(begun.elapsed() >= Duration::from_millis(250));
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            assert!(begun.elapsed() < Duration::from_secs(20), "it is read piece by piece for ever");
        }
        panic!("all of it, at this pace?");
    }

    #[tokio::test]
    async fn an_http_2_stream_that_is_not_read_is_reset_and_the_others_are_served() {
        let mut sender = connect(20_000, Duration::from_millis(300)).await;
        let mut unread = Vec::new();
        // More than may send at once: those that wait get their turn when the first ones are reset.
        for _ in 0..SENDING_STREAMS + 4 {
            unread.push(sender.send_request(request()).await.expect("an answer").into_body());
        }
        let read = sender.send_request(request()).await.expect("an answer").into_body();
        let read = tokio::time::timeout(Duration::from_secs(10), read.collect()).await.expect("in time");
        assert_eq!(read.expect("a whole answer").to_bytes().len(), SIZE);
        tokio::time::sleep(Duration::from_millis(700)).await;
        for body in unread {
            body.collect().await.expect_err("the host has reset the stream");
        }
    }

    /// Answers that a client leaves unread.
    async fn left_unread(sender: &mut http2::SendRequest<Empty<Bytes>>, count: usize) -> Vec<Incoming> {
        let mut unread = Vec::new();
        for _ in 0..count {
            unread.push(sender.send_request(request()).await.expect("an answer").into_body());
        }
        unread
    }

    #[tokio::test]
    async fn no_more_than_48_http_2_answers_that_are_not_read_are_on_their_way_at_once() {
        let nobody_waits_apart = Arc::new(Semaphore::new(0));
        let executor = StreamExecutor { stalled: Duration::from_secs(60), waiting: nobody_waits_apart };
        let mut sender = connect_to(1_000, executor).await;
        let unread = left_unread(&mut sender, 60).await;
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let (mut arrived, mut kept) = (0, Vec::new());
        for mut body in unread {
            // A frame that has arrived is there at once.
            let frame = tokio::time::timeout(Duration::from_millis(1), body.frame()).await;
            arrived += usize::from(frame.is_ok());
            kept.push(body);
        }
        assert_eq!(arrived, 48);
    }

    /// Those that a client did not read took every permit, and its other answers waited until they were reset.
    #[tokio::test]
    async fn http_2_answers_that_are_not_read_hold_up_the_others_for_seconds_at_most() {
        let mut sender = connect(20_000, Duration::from_secs(60)).await;
        let unread = left_unread(&mut sender, 90).await;
        let read = sender.send_request(request()).await.expect("an answer").into_body();
        let read = tokio::time::timeout(Duration::from_secs(20), read.collect()).await.expect("in time");
        assert_eq!(read.expect("a whole answer").to_bytes().len(), SIZE);
        // And they are there when they are read after all.
        for body in unread {
            assert_eq!(body.collect().await.expect("a whole answer").to_bytes().len(), SIZE);
        }
    }
}
