//! Keeps event streams flowing through proxies.
//!
//! A proxy collects an answer until a buffer is full, and gives up one that is silent for about a minute. So the
//! answer says that it is not to be collected, and while the guest is silent the host sends a comment, which clients
//! skip (HTML standard, section 9.2.6: a line that begins with a colon).

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use coinslot_plugin::Fault;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

/// The silence after which a comment is sent.
const PING_INTERVAL: Duration = Duration::from_secs(15);
/// A comment without text. It ends no event that the guest has begun, as an empty line would.
const PING: Bytes = Bytes::from_static(b":\n");
/// A byte order mark, which means something at the beginning of a stream only.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Tells nginx, and proxies that follow it, to pass on each piece as it comes.
static BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// True for an answer that is a stream of events.
pub(super) fn is_event_stream(headers: &HeaderMap) -> bool {
    let media_type = headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    media_type
        .split(|byte| *byte == b';')
        .next()
        .is_some_and(|name| name.trim_ascii().eq_ignore_ascii_case(b"text/event-stream"))
}

/// Says in the head of an event stream that it is not to be collected.
pub(super) fn unbuffered(headers: &mut HeaderMap) {
    headers.insert(&BUFFERING, HeaderValue::from_static("no"));
}

/// True if comments may be added: the answer is text as it stands, and has no length.
pub(super) fn may_have_pings(headers: &HeaderMap) -> bool {
    !headers.contains_key(CONTENT_ENCODING) && !headers.contains_key(CONTENT_LENGTH)
}

/// A stream of events with a comment in each silence.
#[derive(Debug)]
pub(super) struct PingedStream<B> {
    body: B,
    interval: Duration,
    silence: Pin<Box<Sleep>>,
    /// The guest's last byte ended a line: only there may a comment begin.
    at_line_start: bool,
    /// The guest has written something.
    begun: bool,
}

impl<B> PingedStream<B> {
    pub(super) fn new(body: B) -> Self {
        Self::with_interval(body, PING_INTERVAL)
    }

    fn with_interval(body: B, interval: Duration) -> Self {
        let silence = Box::pin(tokio::time::sleep(interval));
        Self { body, interval, silence, at_line_start: true, begun: false }
    }

    fn note(&mut self, frame: Frame<Bytes>) -> Frame<Bytes> {
        self.silence.as_mut().reset(Instant::now() + self.interval);
        frame.map_data(|mut data| {
            if !self.begun && data.starts_with(BYTE_ORDER_MARK) {
                data.advance(BYTE_ORDER_MARK.len());
            }
            if let Some(last) = data.last() {
                self.begun = true;
                self.at_line_start = *last == b'\n';
            }
            data
        })
    }
}

impl<B: Body<Data = Bytes, Error = Fault> + Unpin> Body for PingedStream<B> {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            return Poll::Ready(frame.map(|frame| frame.map(|frame| self.note(frame))));
        }
        if self.at_line_start && self.silence.as_mut().poll(context).is_ready() {
            let next = Instant::now() + self.interval;
            self.silence.as_mut().reset(next);
            return Poll::Ready(Some(Ok(Frame::data(PING))));
        }
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use tokio::sync::mpsc;

    use super::*;

    /// A body that a test writes.
    struct Written(mpsc::Receiver<&'static str>);

    impl Body for Written {
        type Data = Bytes;
        type Error = Fault;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
            let text = self.0.poll_recv(context);
            text.map(|text| text.map(|text| Ok(Frame::data(Bytes::from_static(text.as_bytes())))))
        }
    }

    fn typed(media_type: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(media_type))])
    }

    #[test]
    fn event_streams_are_known_in_every_spelling() {
        for media_type in ["text/event-stream", "Text/Event-Stream; charset=utf-8", "text/event-stream ;a=b"] {
            assert!(is_event_stream(&typed(media_type)), "{media_type}");
        }
        for media_type in ["text/event-streams", "text/plain", ""] {
            assert!(!is_event_stream(&typed(media_type)), "{media_type}");
        }
    }

    #[tokio::test]
    async fn a_silent_event_stream_gets_comments_between_lines_only() {
        const SOON: Duration = Duration::from_millis(50);
        let (write, written) = mpsc::channel(1);
        let mut stream = PingedStream::with_interval(Written(written), SOON);
        let mut next = async || {
            let frame = tokio::time::timeout(20 * SOON, stream.frame()).await.ok()??;
            frame.expect("no fault").into_data().ok()
        };
        assert_eq!(next().await.as_deref(), Some(&b":\n"[..]), "before the first event");
        write.send("\u{feff}data: 1").await.expect("sent");
        assert_eq!(next().await.as_deref(), Some(&b"data: 1"[..]), "a mark after a comment would spoil the first line");
        assert_eq!(next().await, None, "in the middle of a line");
        write.send("\n").await.expect("sent");
        assert_eq!(next().await.as_deref(), Some(&b"\n"[..]));
        assert_eq!(next().await.as_deref(), Some(&b":\n"[..]), "between two lines of an event");
        drop(write);
        assert_eq!(next().await, None, "the end");
    }
}
