//! Runs the streams of HTTP/2 connections, and resets one whose client does not take its answer.
//!
//! hyper polls a body only when the stream may send, so a stream whose client gives it no window can be ended neither
//! by its body nor by the connection. But hyper hands the task of each stream to the executor: a task that is dropped
//! resets its stream.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::Executor;
use tokio::time::{Instant, Sleep};

tokio::task_local! {
    /// The progress of the stream whose task is being polled.
    static CURRENT: Arc<StreamProgress>;
}

/// The executor of hyper's tasks for streams.
#[derive(Clone, Copy, Debug)]
pub(super) struct StreamExecutor {
    /// The longest time that a piece of an answer may wait for its client.
    pub(super) stalled: Duration,
}

/// The progress of one stream's answer.
#[derive(Debug, Default)]
pub(super) struct StreamProgress {
    /// A piece was given to the connection, and has not left.
    waits: AtomicBool,
    /// The number of pieces that were given.
    pieces: AtomicUsize,
}

impl StreamProgress {
    /// The progress of the stream whose task is being polled. None on HTTP/1, where streams have no tasks.
    pub(super) fn current() -> Option<Arc<Self>> {
        CURRENT.try_with(Arc::clone).ok()
    }

    /// Notes that a piece was given to the connection.
    pub(super) fn note_given(&self) {
        self.pieces.fetch_add(1, Relaxed);
        self.waits.store(true, Relaxed);
    }

    /// Notes that everything that was given has left.
    pub(super) fn note_left(&self) {
        self.waits.store(false, Relaxed);
    }
}

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for StreamExecutor {
    fn execute(&self, stream: F) {
        tokio::spawn(run(stream, self.stalled));
    }
}

/// Runs a stream to its end, or until a piece of its answer has waited for too long.
async fn run(stream: impl Future, stalled: Duration) {
    let progress = Arc::<StreamProgress>::default();
    let mut stream = pin!(CURRENT.scope(Arc::clone(&progress), stream));
    let mut clock = PieceClock { pieces: 0, sleep: None };
    std::future::poll_fn(|context| match stream.as_mut().poll(context) {
        Poll::Ready(_) => Poll::Ready(()),
        Poll::Pending => clock.poll(&progress, stalled, context),
    })
    .await;
}

/// Measures the time for which a piece waits. Most streams never wait, and need no timer.
struct PieceClock {
    /// The number of the piece that is measured.
    pieces: usize,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl PieceClock {
    /// Ready when the piece has waited for too long.
    fn poll(&mut self, progress: &StreamProgress, stalled: Duration, context: &mut Context<'_>) -> Poll<()> {
        if !progress.waits.load(Relaxed) {
            return Poll::Pending;
        }
        let until = Instant::now() + stalled;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        let pieces = progress.pieces.load(Relaxed);
        if pieces != self.pieces {
            self.pieces = pieces;
            sleep.as_mut().reset(until);
        }
        let ended = sleep.as_mut().poll(context);
        if ended.is_ready() {
            tracing::debug!("a stream is reset: its client does not take the answer");
        }
        ended
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
        let (client, server) = duplex(64 << 10);
        let activity = Arc::new(Activity::default());
        let service = service_fn(move |_: Request<Incoming>| {
            let sending = Arc::clone(activity.sending());
            async move {
                let body = Full::new(Bytes::from(vec![b'x'; SIZE])).map_err(|never| match never {}).boxed_unsync();
                Ok::<_, Infallible>(Response::new(AnswerBody::new(body, None, Some(sending))))
            }
        });
        let mut builder = hyper::server::conn::http2::Builder::new(StreamExecutor { stalled });
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
}
