//! The mailbox of a shared instance, and the state that its requests have in common.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tokio::sync::{SetOnce, mpsc, oneshot};

use super::occupants::Occupants;
use crate::fault::Fault;
use crate::instance::exchange::{GuestRequest, RequestProgress};
use crate::instance::meter::GuestMeter;

/// A request for a shared instance.
pub(crate) struct SharedRequest {
    pub(crate) request: GuestRequest,
    /// Takes the charge of this request.
    pub(crate) meter: Arc<GuestMeter>,
    /// The progress of its body.
    pub(crate) progress: Arc<RequestProgress>,
}

/// A request on its way to a worker.
pub(super) struct QueuedRequest {
    pub(super) request: Box<SharedRequest>,
    pub(super) end: oneshot::Sender<RequestEnd>,
}

/// The end of a request that did not fail.
pub(super) enum RequestEnd {
    /// The guest has answered and is drained.
    Done,
    /// The instance failed before the guest saw the request.
    NotStarted(Box<SharedRequest>),
}

/// Sends requests to a worker. When the last mailbox of an instance is dropped, so is the instance.
#[derive(Clone)]
pub(super) struct Mailbox {
    requests: mpsc::UnboundedSender<QueuedRequest>,
    _alive: mpsc::Sender<()>,
}

/// The worker's end of a mailbox.
pub(super) struct Inbox {
    pub(super) requests: mpsc::UnboundedReceiver<QueuedRequest>,
    /// Receives `None` when the last mailbox has been dropped. The requests' own channel would not say so while the
    /// worker reads it inside of the guest's future.
    pub(super) alive: mpsc::Receiver<()>,
}

/// A new mailbox and its other end.
pub(super) fn mailbox() -> (Mailbox, Inbox) {
    let (requests, received) = mpsc::unbounded_channel();
    let (alive, watched) = mpsc::channel(1);
    (Mailbox { requests, _alive: alive }, Inbox { requests: received, alive: watched })
}

impl Mailbox {
    /// Sends a request, or returns it if the worker takes none any more.
    pub(super) fn send(
        &self,
        request: Box<SharedRequest>,
    ) -> Result<oneshot::Receiver<RequestEnd>, Box<SharedRequest>> {
        let (end, ended) = oneshot::channel();
        match self.requests.send(QueuedRequest { request, end }) {
            Ok(()) => Ok(ended),
            Err(mpsc::error::SendError(queued)) => Err(queued.request),
        }
    }
}

/// The state that all requests of one shared instance have in common.
pub(super) struct InstanceState {
    pub(super) meter: Arc<GuestMeter>,
    /// The reason why the guest ended. The order is part of the contract: requests that had not started are returned
    /// before it is set, so that they can be retried; the store is dropped after it is set, so that no request waits
    /// for memory to be freed.
    pub(super) fault: SetOnce<Fault>,
    /// Set once a request has taken the fault upon itself.
    blamed: AtomicBool,
    pub(super) occupants: Arc<Occupants>,
    /// Set when the instance holds more than it should: it accepts no further request.
    retired: AtomicBool,
}

impl InstanceState {
    pub(super) fn new(meter: Arc<GuestMeter>) -> Arc<Self> {
        Arc::new(Self {
            meter,
            fault: SetOnce::new(),
            blamed: false.into(),
            occupants: Arc::default(),
            retired: false.into(),
        })
    }

    /// Sets the fault. If the guest may have failed over a body that a client did not send whole, no request takes the
    /// fault upon itself: which of them the guest worked on is not known.
    pub(super) fn fail(&self, fault: Fault) {
        if self.occupants.excuse(&fault) {
            self.blamed.store(true, Relaxed);
        }
        let _ = self.fault.set(fault);
    }

    /// True for the first request that asks: when an instance fails, at most one of its requests counts as a failure of
    /// the plugin. A paid request leaves the failure to an unpaid one, if there is one.
    pub(super) fn take_blame(&self, is_paid: bool) -> bool {
        let is_anothers = is_paid && self.occupants.payers().is_none();
        !is_anothers && !self.blamed.swap(true, Relaxed)
    }

    pub(super) fn retire(&self) {
        self.retired.store(true, Relaxed);
    }

    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Relaxed)
    }
}

/// Sets a fault when it is dropped without one, as by a panic of the worker: no request waits for an instance that is
/// gone.
pub(super) struct FailOnDrop(pub(super) Arc<InstanceState>);

impl Drop for FailOnDrop {
    fn drop(&mut self) {
        self.0.fail(Fault::Trap("its instance is gone".into()));
    }
}
