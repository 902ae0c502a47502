//! Notes what is read and written on a connection, and closes its stream so that the client can read the last answer.
//!
//! A socket that is closed with unread bytes in it is reset by the kernel, and the reset overtakes the answer: a client
//! that still sends its body then finds a broken pipe in the place of its 402. So after an answer that came before the
//! end of the request, the host closes its own side only, and reads and discards for a while (RFC 9112, section 9.6).

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::activity::Activity;

/// The greatest number of bytes that are discarded.
const MOST_DISCARDED: usize = 64 << 20;

/// The times of closing.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClosingTimes {
    /// The longest time of discarding.
    linger: Duration,
    /// The longest silence of a client in it.
    silence: Duration,
    /// The longest time that a client which has closed its side is served for.
    half_closed: Duration,
}

impl Default for ClosingTimes {
    fn default() -> Self {
        Self { linger: Duration::from_secs(30), silence: Duration::from_secs(5), half_closed: Duration::from_secs(60) }
    }
}

/// The stream of a connection.
#[derive(Debug)]
pub(super) struct ClientStream<S> {
    stream: S,
    activity: Arc<Activity>,
    /// The time at which the client closed its side.
    half_closed: Option<Instant>,
    linger: Linger,
    times: ClosingTimes,
}

/// The steps of closing.
#[derive(Debug)]
enum Linger {
    /// The host's side is open.
    Open,
    /// The host's side is closed, and what still comes is discarded.
    Discarding(Discard),
    Over,
}

/// The limits of discarding what a client still sends.
#[derive(Debug)]
struct Discard {
    /// The longest silence of the client.
    silence: Duration,
    silence_ends: Pin<Box<Sleep>>,
    until: Instant,
    /// The bytes that may still be discarded.
    left: usize,
}

impl<S> ClientStream<S> {
    pub(super) fn new(stream: S, activity: Arc<Activity>) -> Self {
        Self { stream, activity, half_closed: None, linger: Linger::Open, times: ClosingTimes::default() }
    }

    fn note(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(bytes @ 1..)) => self.activity.wrote(bytes),
            Poll::Pending => self.activity.write_waits(),
            Poll::Ready(Ok(0) | Err(_)) => {}
        }
        written
    }

    /// True while the end of the client's side is kept from hyper, which would take it for a hang-up.
    fn is_half_closed(&mut self) -> bool {
        if self.half_closed.is_none() && self.activity.half_close_is_allowed() {
            self.half_closed = Some(Instant::now());
        }
        let waits = self.half_closed.is_some_and(|since| since.elapsed() < self.times.half_closed);
        waits && self.activity.is_answering()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ClientStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        if self.half_closed.is_none() {
            ready!(Pin::new(&mut self.stream).poll_read(context, buf))?;
            if buf.filled().len() > before {
                self.activity.read();
                return Poll::Ready(Ok(()));
            }
        }
        if !self.is_half_closed() {
            return Poll::Ready(Ok(()));
        }
        // The connection is also polled at each check, which ends a client that has waited for too long.
        self.activity.wake_when_answered(context.waker());
        Poll::Pending
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for ClientStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, buf);
        self.note(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, activity, half_closed, linger, times } = &mut *self;
        if matches!(linger, Linger::Open) {
            ready!(Pin::new(&mut *stream).poll_shutdown(context))?;
            let now = Instant::now();
            *linger = if activity.has_unread_body() && half_closed.is_none() {
                Linger::Discarding(Discard::new(*times, now))
            } else {
                Linger::Over
            };
        }
        if let Linger::Discarding(discard) = linger {
            ready!(discard.poll(stream, context));
            *linger = Linger::Over;
        }
        Poll::Ready(Ok(()))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bufs);
        self.note(written)
    }
}

impl Discard {
    fn new(times: ClosingTimes, now: Instant) -> Self {
        let silence_ends = Box::pin(tokio::time::sleep_until(now + times.silence));
        Self { silence: times.silence, silence_ends, until: now + times.linger, left: MOST_DISCARDED }
    }

    /// Reads and discards until the client closes its side, pauses for too long, or has sent enough.
    fn poll<S: AsyncRead + Unpin>(&mut self, stream: &mut S, context: &mut Context<'_>) -> Poll<()> {
        let mut scratch = [0; 16 << 10];
        loop {
            let mut buf = ReadBuf::new(&mut scratch);
            match Pin::new(&mut *stream).poll_read(context, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {
                    self.left = self.left.saturating_sub(buf.filled().len());
                    if self.left == 0 {
                        return Poll::Ready(());
                    }
                    self.silence_ends.as_mut().reset((Instant::now() + self.silence).min(self.until));
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return self.silence_ends.as_mut().poll(context),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    const TIMES: ClosingTimes = ClosingTimes {
        linger: Duration::from_millis(1_500),
        silence: Duration::from_millis(500),
        half_closed: Duration::from_millis(500),
    };

    fn stream(activity: &Arc<Activity>) -> (DuplexStream, ClientStream<DuplexStream>) {
        let (client, host) = duplex(1024);
        (client, ClientStream { times: TIMES, ..ClientStream::new(host, Arc::clone(activity)) })
    }

    #[tokio::test]
    async fn discarding_ends_with_the_client_its_silence_or_a_bound() {
        for (case, milliseconds) in [("closes", 0..400), ("falls silent", 500..1_400), ("drips", 1_500..8_000)] {
            let activity = Arc::new(Activity::default());
            activity.leave_body_unread();
            let (mut client, mut stream) = stream(&activity);
            let client = tokio::spawn(async move {
                client.write_all(&vec![0; 100_000]).await.expect("the host reads on");
                while case == "drips" && client.write_all(&[0]).await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                if case == "falls silent" {
                    tokio::time::sleep(Duration::from_secs(100)).await;
                }
            });
            let started = Instant::now();
            stream.shutdown().await.expect("closed");
            let took = started.elapsed();
            assert!(milliseconds.contains(&took.as_millis()), "{case}: {took:?}");
            client.abort();
        }
    }

    #[tokio::test]
    async fn a_connection_whose_requests_were_read_closes_at_once() {
        let (mut client, mut stream) = stream(&Arc::default());
        let started = Instant::now();
        stream.shutdown().await.expect("closed");
        assert!(started.elapsed() < TIMES.silence);
        assert_eq!(client.read(&mut [0; 8]).await.expect("the end"), 0);
    }

    #[tokio::test]
    async fn the_end_of_the_clients_side_waits_for_its_answer_for_a_bounded_time() {
        let activity = Arc::new(Activity::default());
        let mut scratch = [0; 8];
        let (client, mut idle) = stream(&activity);
        drop(client);
        assert_eq!(idle.read(&mut scratch).await.expect("the end"), 0, "no answer is being made");
        let (client, mut stream) = stream(&activity);
        drop(client);
        activity.request(false);
        activity.allow_half_close(true);
        let _work = activity.begin();
        // As in a connection, which is polled again at each check.
        let started = Instant::now();
        while tokio::time::timeout(Duration::from_millis(20), stream.read(&mut scratch)).await.is_err() {}
        assert!(started.elapsed() >= TIMES.half_closed);
    }
}
