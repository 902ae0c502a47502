//! The body of another server's response, bounded in bytes and in the time between them.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};
use wasmtime_wasi_http::Error;

use crate::headers::{is_kept_from_callers, remove};

/// A body that fails when it is larger or slower than allowed.
pub(crate) struct BoundedResponse<B> {
    inner: B,
    /// Bytes that may still come.
    left: u64,
    /// Bytes that may come altogether.
    most: u64,
    /// The longest time between two frames.
    between: Duration,
    /// Made when a wait begins.
    timer: Option<Pin<Box<Sleep>>>,
    failed: bool,
}

impl<B> BoundedResponse<B> {
    pub(crate) fn new(inner: B, most: u64, between: Duration) -> Self {
        Self { inner, left: most, most, between, timer: None, failed: false }
    }

    fn fail(&mut self, error: Error) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.failed = true;
        Poll::Ready(Some(Err(error)))
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for BoundedResponse<B> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.failed {
            return Poll::Ready(None);
        }
        match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Ready(Some(Err(_))) => self.fail(Error::HttpResponseIncomplete),
            Poll::Ready(Some(Ok(frame))) => {
                self.timer = None;
                let size = frame.data_ref().map_or(0, |data| data.len() as u64);
                match self.left.checked_sub(size) {
                    Some(left) => self.left = left,
                    None => {
                        let most = self.most;
                        return self.fail(Error::HttpResponseBodySize(Some(most)));
                    }
                }
                Poll::Ready(Some(Ok(match frame.into_trailers() {
                    Ok(mut trailers) => {
                        remove(&mut trailers, is_kept_from_callers);
                        Frame::trailers(trailers)
                    }
                    Err(frame) => frame,
                })))
            }
            Poll::Pending => {
                let until = Instant::now() + self.between;
                let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
                ready!(timer.as_mut().poll(cx));
                self.fail(Error::ConnectionReadTimeout)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.failed || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use http_body_util::{BodyExt, Full};

    use super::*;

    struct Silent;

    impl Body for Silent {
        type Data = Bytes;
        type Error = Error;

        fn poll_frame(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
            Poll::Pending
        }
    }

    #[tokio::test]
    async fn a_response_ends_at_its_limit() {
        let response =
            |most| BoundedResponse::new(Full::new(Bytes::from_static(b"twelve bytes")), most, Duration::from_secs(60));
        assert_eq!(response(12).collect().await.unwrap().to_bytes(), "twelve bytes");
        let error = response(11).collect().await.unwrap_err();
        assert!(matches!(error, Error::HttpResponseBodySize(Some(11))), "{error:?}");
    }

    #[tokio::test]
    async fn a_response_that_stops_times_out() {
        let response = BoundedResponse::new(Silent, 10, Duration::from_millis(1));
        let error = response.collect().await.unwrap_err();
        assert!(matches!(error, Error::ConnectionReadTimeout), "{error:?}");
    }
}
