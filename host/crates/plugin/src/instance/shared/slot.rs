//! The slot of a request in a shared instance.

use std::sync::Arc;

use super::list::{InstanceList, SharedInstance};
use super::mailbox::{InstanceState, Mailbox, RequestEnd, SharedRequest};
use super::occupants::Occupants;
use crate::fault::Fault;
use crate::instance::exchange::BodyRead;

/// One of the requests that an instance may have at once. Dropping it gives the slot back.
pub(crate) struct RequestSlot {
    list: Arc<InstanceList>,
    number: u64,
    mailbox: Mailbox,
    state: Arc<InstanceState>,
    progress: SlotProgress,
}

/// The progress of the request in a slot.
enum SlotProgress {
    NotSent,
    /// The guest may work on it, until this body has been read.
    Sent(Arc<BodyRead>),
    /// The guest has answered and is drained, or has never seen the request.
    Done,
}

/// The end of a request in a slot that did not succeed.
pub(super) enum SlotFailure {
    /// The instance failed before the guest saw the request: another instance can answer it.
    NotStarted(Box<SharedRequest>),
    /// The instance failed with the request in it.
    Failed {
        fault: Fault,
        /// True if another request has taken the failure upon itself.
        excused: bool,
    },
}

impl RequestSlot {
    /// A slot of an instance that accepts a request.
    pub(super) fn new(list: &Arc<InstanceList>, instance: &mut SharedInstance) -> Self {
        instance.enter();
        let (number, mailbox, state) = (instance.number, instance.mailbox.clone(), Arc::clone(&instance.state));
        Self { list: Arc::clone(list), number, mailbox, state, progress: SlotProgress::NotSent }
    }

    /// Has the request answered. Ready when its guest has answered it and is drained, or has failed.
    pub(super) async fn answer(&mut self, request: Box<SharedRequest>) -> Result<(), SlotFailure> {
        let is_paid = request.request.receipt.is_some();
        self.progress = SlotProgress::Sent(Arc::clone(&request.request.body_read));
        let ended = match self.mailbox.send(request) {
            Ok(ended) => ended,
            Err(request) => return Err(self.not_started(request)),
        };
        // The end first: a request that was returned before the fault was set is retried, and does not fail.
        let end = tokio::select! {
            biased;
            end = ended => end.ok(),
            _ = self.state.fault.wait() => None,
        };
        match end {
            Some(RequestEnd::Done) => {
                self.progress = SlotProgress::Done;
                Ok(())
            }
            Some(RequestEnd::NotStarted(request)) => Err(self.not_started(request)),
            // The sender may be dropped a moment before the fault is set, which it is in any case (`FailOnDrop`).
            None => {
                let fault = self.state.fault.wait().await.clone();
                Err(SlotFailure::Failed { fault, excused: !self.state.take_blame(is_paid) })
            }
        }
    }

    /// The requests in the instance.
    pub(super) fn occupants(&self) -> &Arc<Occupants> {
        &self.state.occupants
    }

    /// Gives the slot back, and returns the list to look for another one.
    pub(super) fn into_list(self) -> Arc<InstanceList> {
        Arc::clone(&self.list)
    }

    /// Closes the instance, which failed between the choice of this slot and the request.
    fn not_started(&mut self, request: Box<SharedRequest>) -> SlotFailure {
        self.progress = SlotProgress::Done;
        self.list.close(self.number);
        SlotFailure::NotStarted(request)
    }
}

impl Drop for RequestSlot {
    fn drop(&mut self) {
        // A request that is dropped while its guest works on it leaves a guest task behind that cannot be cancelled, so
        // the instance is closed. After its whole body has been read, only the end of that task was waited for.
        let left_early = matches!(&self.progress, SlotProgress::Sent(body_read) if !body_read.is_finished());
        self.list.release(self.number, left_early || self.state.is_retired());
    }
}
