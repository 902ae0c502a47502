//! The body of a paid answer on its way to the client, and what the books say when it ends.
//!
//! An answer that was whole before it left is in the ledger already; here it only becomes delivered. One
//! that the guest is still writing goes to the client as it comes, and a copy of it grows beside it, up to
//! what is kept of an answer. Its end is in the ledger before the client sees it, whichever it is:
//!
//! - the guest has written everything: the answer is kept, or not if it outgrew the copy;
//! - the guest failed: the answer is owed, and the same payment runs it again;
//! - the client hung up with some of the body, or the answer met a limit of its plugin when the client had some:
//!   it counts as given, or else one payment would buy any number of almost whole answers. The guest is stopped.
//!
//! A client that was gone before the first byte of its answer does not stop the work, or else it could have the
//! guest begin it again and again: the guest writes on for the copy.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::sync::oneshot;

use super::Payments;
use super::executed::Answer;
use coinslot_ledger::{PaymentId, Retained, Step, StoredAnswer};
use coinslot_plugin::{Fault, ResponseBody};

/// See the module.
#[derive(Debug)]
pub struct PaidBody(Content);

enum Content {
    /// In the ledger before it left.
    Whole { body: Option<Bytes>, delivery: Option<Delivery> },
    /// Still being written.
    Stream(Stream),
}

/// To be told when a whole answer has left.
struct Delivery {
    payments: Arc<Payments>,
    id: PaymentId,
    keep: bool,
}

struct Stream {
    /// None when it has ended, or somebody else reads it.
    body: Option<ResponseBody>,
    /// None when its end is told.
    record: Option<Record>,
    /// Its end, and when that is in the ledger.
    end: Option<(oneshot::Receiver<()>, Option<Fault>)>,
    taken: Taken,
}

const HUNG_UP: &str = "the client hung up before the end of its answer";

/// How much of a body the client had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    Nothing,
    Something,
}

/// What is written when the end is known.
struct Record {
    payments: Arc<Payments>,
    id: PaymentId,
    status: u16,
    headers: HeaderMap,
    /// None when it would be larger than what is kept.
    copy: Option<BytesMut>,
    begun: Instant,
}

/// How a streamed answer ended.
enum End {
    /// The guest wrote everything, and the client took it, or nobody did.
    Whole { taken: bool },
    /// The client has a part of it, and gets no more, for this reason.
    Part(&'static str),
    /// It is to be given again.
    Owed(String),
}

impl PaidBody {
    /// An answer that is in the ledger.
    pub(super) fn whole(payments: &Arc<Payments>, id: &PaymentId, body: Bytes) -> Self {
        let keep = body.len() <= payments.config.keep_answer_bytes;
        let delivery = Delivery { payments: Arc::clone(payments), id: id.clone(), keep };
        let body = (!body.is_empty()).then_some(body);
        Self(Content::Whole { body, delivery: Some(delivery) })
    }

    /// An answer that a guest is writing since then, for money that has moved.
    pub(super) fn stream(
        payments: &Arc<Payments>,
        id: &PaymentId,
        head: (u16, HeaderMap),
        body: ResponseBody,
        begun: Instant,
    ) -> Self {
        let (status, headers) = head;
        let (payments, id) = (Arc::clone(payments), id.clone());
        let record = Record { payments, id, status, headers, copy: Some(BytesMut::new()), begun };
        Self(Content::Stream(Stream { body: Some(body), record: Some(record), end: None, taken: Taken::Nothing }))
    }
}

impl Body for PaidBody {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        match &mut self.0 {
            Content::Whole { body, delivery } => {
                let frame = body.take();
                // The connection has the last of it.
                if let Some(delivery) = delivery.take() {
                    delivery.done();
                }
                Poll::Ready(frame.map(|bytes| Ok(Frame::data(bytes))))
            }
            Content::Stream(stream) => stream.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            // Asked about an empty body, hyper would not poll it, and its delivery would not be told.
            Content::Whole { body, delivery } => body.is_none() && delivery.is_none(),
            Content::Stream(stream) => stream.body.is_none() && stream.end.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Content::Whole { body, .. } => SizeHint::with_exact(body.as_ref().map_or(0, Bytes::len) as u64),
            Content::Stream(_) => SizeHint::default(),
        }
    }
}

impl Stream {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        if let (Some(body), Some(record)) = (&mut self.body, &mut self.record) {
            let frame = match Pin::new(body).poll_frame(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(frame) => frame,
            };
            let (end, fault) = match frame {
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref().filter(|data| !data.is_empty()) {
                        self.taken = Taken::Something;
                        record.add(data);
                    }
                    return Poll::Ready(Some(Ok(frame)));
                }
                Some(Err(fault)) => (self.broken(&fault), Some(fault)),
                None => (End::Whole { taken: true }, None),
            };
            self.body = None;
            self.end = self.record.take().map(|record| (record.close(end), fault));
        }
        let Some((written, _)) = &mut self.end else { return Poll::Ready(None) };
        // Whatever became of the write: the log says so.
        if Pin::new(written).poll(cx).is_pending() {
            return Poll::Pending;
        }
        Poll::Ready(self.end.take().and_then(|(_, fault)| fault).map(Err))
    }

    /// What an answer counts for that breaks off like this.
    fn broken(&self, fault: &Fault) -> End {
        if self.taken != Taken::Something {
            return End::Owed(fault.to_string());
        }
        match fault {
            // Too slow a reader hung up, as far as the guest can tell.
            Fault::Unread => End::Part(HUNG_UP),
            // It would end there each time, and be another answer each time.
            Fault::Deadline => End::Part("the answer took as long as its plugin may"),
            Fault::ResponseTooLarge => End::Part("the answer was larger than its plugin may give"),
            Fault::Trap(_)
            | Fault::Cpu
            | Fault::Memory
            | Fault::NoResponse(_)
            | Fault::Busy
            | Fault::SlowRequest
            | Fault::CircuitOpen { .. } => End::Owed(fault.to_string()),
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let (Some(body), Some(mut record)) = (self.body.take(), self.record.take()) else { return };
        if self.taken == Taken::Something {
            drop(body);
            record.close(End::Part(HUNG_UP));
            return;
        }
        let payments = Arc::clone(&record.payments);
        payments.track(async move {
            let end = record.copy_all(body).await;
            let _ = record.close(end).await;
        });
    }
}

impl Record {
    fn add(&mut self, data: &Bytes) {
        let most = self.payments.config.keep_answer_bytes;
        match &mut self.copy {
            Some(copy) if copy.len().saturating_add(data.len()) <= most => copy.extend_from_slice(data),
            copy => *copy = None,
        }
    }

    /// Reads for nobody, as long as what is read can be kept.
    async fn copy_all(&mut self, mut body: ResponseBody) -> End {
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => {
                    if let Some(data) = frame.data_ref() {
                        self.add(data);
                    }
                }
                Err(fault) => return End::Owed(fault.to_string()),
            }
            if self.copy.is_none() {
                return End::Owed("the client hung up, and the answer is larger than what is kept".to_owned());
            }
        }
        End::Whole { taken: false }
    }

    /// Writes the end down, in a task that nobody can stop. The receiver is told when that is done.
    fn close(self, end: End) -> oneshot::Receiver<()> {
        let (done, written) = oneshot::channel();
        let payments = Arc::clone(&self.payments);
        payments.track(async move {
            let Self { payments, id, status, headers, copy, begun } = self;
            let (kept, taken) = match (end, copy) {
                (End::Owed(reason), _) => {
                    payments.debts.failed(&id, Instant::now());
                    return payments.owe(&id, reason).await;
                }
                (End::Whole { taken }, Some(copy)) => {
                    let answer = StoredAnswer { status, headers: kept_headers(&headers), body: copy.freeze() };
                    (Retained::Answer(answer), taken)
                }
                (End::Whole { taken }, None) => {
                    (Retained::Nothing { why: "the answer was larger than what is kept".to_owned() }, taken)
                }
                (End::Part(why), _) => (Retained::Nothing { why: why.to_owned() }, true),
            };
            payments.debts.paid(&id);
            let keep = matches!(kept, Retained::Answer(_));
            let step = Step::Answered { kept, run: begun.elapsed() };
            if let Err(error) = payments.ledger.advance(&id, step, payments.now()).await {
                // The client is served. After a restart the row is owed, and may be fetched once more.
                tracing::error!(payment = %id, %error, "a paid answer could not be written");
            }
            drop(done);
            if taken {
                delivered(&payments, &id, keep).await;
            }
        });
        written
    }
}

impl Delivery {
    /// The whole answer was handed to the connection. Whether it arrived only the client knows, who may
    /// fetch it again.
    fn done(self) {
        let Self { payments, id, keep } = self;
        let work = Arc::clone(&payments);
        payments.track(async move { delivered(&work, &id, keep).await });
    }
}

async fn delivered(payments: &Payments, id: &PaymentId, keep: bool) {
    if let Err(error) = payments.ledger.advance(id, Step::Delivered { keep }, payments.now()).await {
        tracing::debug!(payment = %id, %error, "a delivery could not be written");
    }
}

impl Answer {
    pub(super) fn kept(&self) -> StoredAnswer {
        StoredAnswer { status: self.status, headers: kept_headers(&self.headers), body: self.body.clone() }
    }
}

fn kept_headers(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect()
}

impl fmt::Debug for Content {
    /// Without what was bought.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole { body, .. } => write!(f, "Whole({} bytes)", body.as_ref().map_or(0, Bytes::len)),
            Self::Stream(stream) => write!(f, "Stream({:?})", stream.taken),
        }
    }
}
