//! Streams a paid answer that the guest is still writing, and records its end in the ledger.
//!
//! The money moved before the guest ran (the `upfront` flow), so nothing is sealed: frames go to the client as they
//! come, and a copy of them grows beside, up to the size that is kept of an answer. The end is in the ledger before the
//! client sees it, whichever it is:
//!
//! - the guest has written everything: the answer is kept, or not if it outgrew the copy;
//! - the guest failed: the answer is owed, and the same payment runs the guest again, a bounded number of times
//!   (`owed_retries`);
//! - the client hung up with a part of the body: the guest is stopped, and the answer is owed. After a few times it
//!   counts as given, or else one payment would buy any number of almost whole answers;
//! - the answer met a limit of its plugin when the client had a part: it counts as given, because a retry would end at
//!   the same limit.
//!
//! A client that was gone before the first byte does not stop the guest, or else it could have the guest begin again
//! and again: the guest writes on, for the copy.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use coinslot_ledger::{Retained, Step, StoredAnswer};
use coinslot_plugin::{Fault, ResponseBody};
use http::HeaderMap;
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use tokio::sync::oneshot;

use super::Payments;
use super::answer::stored_headers;
use super::budget::{Exhausted, HeldBytes};
use super::held_buffer::HeldBuffer;
use super::hold_guard::HoldGuard;

const HUNG_UP: &str = "the client hung up before the end of its answer";

/// The runs of one payment that its client may break off in the middle of the answer. The last counts as given.
const HANG_UPS: u32 = 3;

/// A paid answer that the guest is still writing.
pub(super) struct StreamedAnswer {
    /// None when the body has ended, or a task reads on for the copy.
    body: Option<ResponseBody>,
    /// None when the end is being written down.
    copy: Option<AnswerCopy>,
    end: Option<EndOfStream>,
    /// Set once the client had a part of the body.
    begun: bool,
}

/// The end of a body, which waits for its row in the ledger.
struct EndOfStream {
    written: oneshot::Receiver<()>,
    fault: Option<Fault>,
}

/// The copy of an answer that grows while the guest writes, with everything that its row needs.
pub(super) struct AnswerCopy {
    payments: Arc<Payments>,
    hold: HoldGuard,
    status: u16,
    headers: HeaderMap,
    /// The reason why it is not kept, where it is not.
    body: Result<HeldBuffer, &'static str>,
    since: Instant,
}

/// The outcome of a streamed answer for its payer.
enum StreamOutcome {
    /// The guest wrote everything, and the client had it.
    Delivered,
    /// The guest wrote everything for the copy, after the client had gone.
    Copied,
    /// The client has a part of the answer, and gets no more, for this reason.
    Partial(&'static str),
    /// The client has a part of the answer, and hung up.
    HungUp,
    /// The client has nothing: the answer is owed. `left`: the client hung up first.
    Owed { reason: String, left: bool },
    /// The client has a part of the answer, and the guest failed: the answer is owed, a few times.
    Broken(String),
}

impl StreamedAnswer {
    pub(super) fn new(body: ResponseBody, copy: AnswerCopy) -> Self {
        Self { body: Some(body), copy: Some(copy), end: None, begun: false }
    }

    /// Polls the guest for a frame, copies it, and passes it on. After the last frame it first waits until the end is
    /// in the ledger: a client that has seen the end can rely on it.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        if let (Some(body), Some(copy)) = (&mut self.body, &mut self.copy) {
            let frame = match Pin::new(body).poll_frame(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(frame) => frame,
            };
            let (outcome, fault) = match frame {
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref().filter(|data| !data.is_empty()) {
                        self.begun = true;
                        copy.add(data);
                    }
                    return Poll::Ready(Some(Ok(frame)));
                }
                Some(Err(fault)) => (self.interrupted(&fault), Some(fault)),
                None => (StreamOutcome::Delivered, None),
            };
            self.body = None;
            self.end = self.copy.take().map(|copy| EndOfStream { written: copy.close(outcome), fault });
        }
        let Some(end) = &mut self.end else { return Poll::Ready(None) };
        // The sender is dropped after the write, whether it succeeded or not; the log reports a failure.
        if Pin::new(&mut end.written).poll(cx).is_pending() {
            return Poll::Pending;
        }
        Poll::Ready(self.end.take().and_then(|end| end.fault).map(Err))
    }

    pub(super) fn is_over(&self) -> bool {
        self.body.is_none() && self.end.is_none()
    }

    /// The outcome of an answer that breaks off with this fault.
    fn interrupted(&self, fault: &Fault) -> StreamOutcome {
        if !self.begun {
            return StreamOutcome::Owed { reason: fault.to_string(), left: false };
        }
        match fault {
            // A client that reads too slowly counts as one that hung up: it has a part, and the guest was stopped.
            Fault::Unread => StreamOutcome::HungUp,
            // A retry would end at the same limit, with another partial answer each time.
            Fault::TotalTime | Fault::Deadline => StreamOutcome::Partial("the answer took as long as its plugin may"),
            Fault::ResponseTooLarge => StreamOutcome::Partial("the answer was larger than its plugin may give"),
            Fault::Trap(_)
            | Fault::Error
            | Fault::Cpu
            | Fault::Memory
            | Fault::HostMemory
            | Fault::SlowQuote(_)
            | Fault::PluginMemory
            | Fault::NoResponse(_)
            | Fault::Busy
            | Fault::SlowRequest
            | Fault::RequestEndedEarly(_)
            | Fault::RequestTooLarge(_)
            | Fault::Paused
            | Fault::CircuitOpen { .. } => StreamOutcome::Broken(fault.to_string()),
        }
    }
}

impl Drop for StreamedAnswer {
    /// The connection is gone before the end of the body.
    fn drop(&mut self) {
        let (Some(body), Some(mut copy)) = (self.body.take(), self.copy.take()) else { return };
        // The guest is stopped before the outcome is written, so that it does no further work for an answer that is
        // over.
        if self.begun {
            drop(body);
            copy.close(StreamOutcome::HungUp);
            return;
        }
        let payments = Arc::clone(&copy.payments);
        payments.track(async move {
            let outcome = copy.read_on(body).await;
            let _ = copy.close(outcome).await;
        });
    }
}

impl AnswerCopy {
    /// The empty copy of an answer whose guest runs since `since`.
    pub(super) fn new(
        payments: &Arc<Payments>,
        hold: HoldGuard,
        status: u16,
        headers: HeaderMap,
        held: HeldBytes,
        since: Instant,
    ) -> Self {
        let payments = Arc::clone(payments);
        let most = payments.config.keep_answer_bytes;
        Self { payments, hold, status, headers, body: Ok(HeldBuffer::new(held, most)), since }
    }

    fn add(&mut self, data: &Bytes) {
        let Ok(body) = &mut self.body else { return };
        if body.len().saturating_add(data.len()) > self.payments.config.keep_answer_bytes {
            self.body = Err("the answer was larger than what is kept");
        } else if let Err(Exhausted) = body.push(data) {
            self.body = Err("there was no room for a copy of the answer");
        }
    }

    /// Reads the rest of a body for the copy alone, as long as the copy can be kept.
    async fn read_on(&mut self, mut body: ResponseBody) -> StreamOutcome {
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => {
                    if let Some(data) = frame.data_ref() {
                        self.add(data);
                    }
                }
                Err(fault) => return StreamOutcome::Owed { reason: fault.to_string(), left: true },
            }
            if let Err(reason) = &self.body {
                let reason = format!("the client hung up, and {reason}");
                return StreamOutcome::Owed { reason, left: true };
            }
        }
        StreamOutcome::Copied
    }

    /// Writes the outcome down, in a task that no client can stop. The receiver is notified when that is done.
    fn close(self, outcome: StreamOutcome) -> oneshot::Receiver<()> {
        let (done, written) = oneshot::channel();
        let payments = Arc::clone(&self.payments);
        payments.track(self.write(outcome, done));
        written
    }

    async fn write(self, outcome: StreamOutcome, done: oneshot::Sender<()>) {
        let Self { payments, hold, status, headers, body, since } = self;
        let id = hold.id();
        let whole = |body: Result<HeldBuffer, &str>| match body {
            Ok(body) => {
                Retained::Answer(StoredAnswer { status, headers: stored_headers(&headers), body: body.whole() })
            }
            Err(why) => Retained::Nothing { why: why.to_owned() },
        };
        let (kept, left) = match outcome {
            StreamOutcome::Delivered => (whole(body), true),
            StreamOutcome::Copied => (whole(body), false),
            StreamOutcome::Partial(why) => (Retained::Nothing { why: why.to_owned() }, true),
            StreamOutcome::HungUp if payments.owed_retries.hung_up(id, Instant::now()) < HANG_UPS => {
                return payments.owe(hold.hold(), HUNG_UP.to_owned(), true).await;
            }
            StreamOutcome::HungUp => (Retained::Nothing { why: HUNG_UP.to_owned() }, true),
            StreamOutcome::Owed { reason, left } => {
                payments.owed_retries.failed(id, Instant::now());
                return payments.owe(hold.hold(), reason, left).await;
            }
            StreamOutcome::Broken(reason) => {
                payments.owed_retries.failed_midway(id, Instant::now());
                return payments.owe(hold.hold(), reason, true).await;
            }
        };
        payments.owed_retries.answered(id);
        let keep = matches!(kept, Retained::Answer(_));
        let step = Step::Answered { kept, run: since.elapsed() };
        if let Err(error) = payments.ledger.advance(hold.hold(), step, payments.now()).await {
            // The client has its answer. After a restart the row is owed, and the answer may be fetched once more.
            tracing::error!(payment = %id, %error, "a paid answer could not be written");
        }
        // The body may end now: it does not wait for the delivery, which only says that the answer left.
        drop(done);
        if left {
            payments.delivered(id, keep).await;
        }
    }
}
