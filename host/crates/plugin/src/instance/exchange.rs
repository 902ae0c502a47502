//! Types that carry a request into an instance, and its response out of it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use http::{Request, Response};
use tokio::sync::{Notify, oneshot};
use wasmtime_wasi_http::{Error, WasiBody};

use crate::capabilities::egress::Provenance;
use crate::contract::PaymentReceipt;
use crate::fault::Fault;

/// The head of a response and its body, or the error that the guest gave instead.
pub(crate) type GuestResponse = Result<Response<WasiBody>, String>;

/// Tells the guest how the transfer of its request's body ended.
pub(crate) type BodyTransfer = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// A request for a guest, with what it may know and do for it.
pub(crate) struct GuestRequest {
    pub(crate) request: Request<WasiBody>,
    pub(crate) receipt: Option<PaymentReceipt>,
    /// The guest may set what is charged.
    pub(crate) is_metered: bool,
    pub(crate) provenance: Provenance,
    pub(crate) response: oneshot::Sender<GuestResponse>,
    pub(crate) body_read: Arc<BodyRead>,
}

/// The state of a request's body, as far as its guest has read it.
#[derive(Debug, Default)]
pub(crate) struct RequestProgress {
    awaited: AtomicBool,
    ended_early: AtomicBool,
    too_large: AtomicBool,
}

impl RequestProgress {
    /// Notes whether the guest waits for bytes that the client has not sent.
    pub(crate) fn set_awaited(&self, awaited: bool) {
        self.awaited.store(awaited, Relaxed);
    }

    /// True while the guest waits for bytes that the client has not sent.
    pub(crate) fn is_awaited(&self) -> bool {
        self.awaited.load(Relaxed)
    }

    /// Notes that the guest has been told that the body is not whole.
    pub(crate) fn set_broken(&self, is_too_large: bool) {
        let which = if is_too_large { &self.too_large } else { &self.ended_early };
        which.store(true, Relaxed);
    }

    /// True if the guest has been told that the body is larger than its limit.
    pub(crate) fn is_too_large(&self) -> bool {
        self.too_large.load(Relaxed)
    }

    /// The fault, or that of the client if the guest did not survive a body that is not whole. What a guest does too
    /// long or with too much memory is its own fault all the same.
    pub(crate) fn excuse(&self, fault: Fault) -> Fault {
        match fault {
            Fault::Trap(_) | Fault::Error | Fault::NoResponse(_) if self.is_too_large() => {
                Fault::RequestTooLarge(fault.to_string())
            }
            Fault::Trap(_) | Fault::Error | Fault::NoResponse(_) if self.ended_early.load(Relaxed) => {
                Fault::RequestEndedEarly(fault.to_string())
            }
            fault => fault,
        }
    }

    /// True if the fault may be the client's: see [`RequestProgress::excuse`].
    pub(crate) fn excuses(&self, fault: &Fault) -> bool {
        self.excuse(fault.clone()) != *fault
    }
}

/// Tells a guest of WASI 0.3 that the body of its response has been read to its end: the body's bytes travel through
/// its store, which has to live until then.
#[derive(Debug, Default)]
pub(crate) struct BodyRead {
    done: AtomicBool,
    notify: Notify,
}

impl BodyRead {
    /// Reports that the body has been read.
    pub(crate) fn finish(&self) {
        self.done.store(true, Relaxed);
        self.notify.notify_one();
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.done.load(Relaxed)
    }

    /// Waits until the body has been read. Only one task may wait: `Notify` keeps a notification that comes before the
    /// wait, but only for one waiter.
    pub(crate) async fn finished(&self) {
        if !self.is_finished() {
            self.notify.notified().await;
        }
    }
}
