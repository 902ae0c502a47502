//! Counts a free request, and follows it to its end.
//!
//! Each request that is counted gets one end in the books: its answer has left, its guest has failed, its client has
//! left, or the host has ended.

use std::sync::Arc;
use std::time::Duration;

use coinslot_base::request_id::RequestId;
use coinslot_ledger::{
    FreeClaim, FreeCounted, FreeEnd, FreeHold, FreeKind, FreeLeft, FreeQuota, LedgerError, PassRefusal,
};
use coinslot_plugin::Fault;
use coinslot_x402::UnixTime;

use super::Payments;

/// The use of an allowance by a request that is at work. If it is dropped without an end, the client has left.
#[derive(Debug)]
pub struct FreeUse {
    payments: Arc<Payments>,
    /// None once its end is written.
    hold: Option<FreeHold>,
    remainder: Option<FreeRemainder>,
}

/// The use of an allowance whose answer leaves. It counts, unless the answer breaks off: by a fault of the guest, or
/// because the host ends.
#[derive(Debug)]
pub struct ServedUse {
    payments: Arc<Payments>,
    /// None once nothing about it can change.
    hold: Option<FreeHold>,
}

/// The remainder of an allowance or of the quota of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreeRemainder {
    pub kind: FreeKind,
    pub quota: FreeQuota,
    pub left: u64,
    /// The time until it begins anew, or until a pass ends. None: never.
    pub resets_in: Option<Duration>,
}

impl FreeRemainder {
    pub(super) fn of(kind: FreeKind, left: FreeLeft, now: UnixTime) -> Self {
        let FreeLeft { quota, left, resets_at } = left;
        let resets_in = resets_at.map(|end| Duration::from_secs(end.0.saturating_sub(now.0)));
        Self { kind, quota, left, resets_in }
    }
}

impl FreeUse {
    /// The remainder after this request. None: a key without a quota.
    pub fn remainder(&self) -> Option<FreeRemainder> {
        self.remainder
    }

    /// Writes down that the guest has answered, before its answer leaves: after a crash the request counts.
    pub async fn served(mut self) -> ServedUse {
        let (payments, hold) = (Arc::clone(&self.payments), self.hold.take());
        if let Some(hold) = hold
            && let Err(error) = payments.ledger.end_free(hold, FreeEnd::Served, payments.now()).await
        {
            // It is counted all the same, until the ledger is opened again.
            tracing::warn!(%error, "the end of a free request could not be written");
        }
        ServedUse { payments, hold }
    }

    /// Gives the request back: its guest has failed, or has not run at all.
    pub fn failed(mut self, fault: Option<&Fault>) {
        let has_run = !matches!(fault, Some(Fault::Busy | Fault::Paused | Fault::CircuitOpen { .. }));
        self.end(if has_run { FreeEnd::Failed } else { FreeEnd::NotRun });
    }

    fn end(&mut self, end: FreeEnd) {
        if let Some(hold) = self.hold.take()
            && self.payments.finish_free(hold)
        {
            self.payments.ledger.note_free(hold, end, self.payments.now());
        }
    }
}

impl Drop for FreeUse {
    fn drop(&mut self) {
        self.end(FreeEnd::HungUp);
    }
}

impl ServedUse {
    /// Gives the request back: its guest has failed while it answered.
    pub fn broke_off(mut self) {
        self.end(FreeEnd::Failed);
    }

    fn end(&mut self, end: FreeEnd) {
        if let Some(hold) = self.hold.take()
            && self.payments.finish_free(hold)
        {
            self.payments.ledger.note_free(hold, end, self.payments.now());
        }
    }
}

impl Drop for ServedUse {
    fn drop(&mut self) {
        // The answer has left, or its client has: the request counts.
        if let Some(hold) = self.hold.take() {
            self.payments.finish_free(hold);
        }
    }
}

/// The outcome of a count, as [`FreeCounted`], with the use that it begins.
pub(super) enum Counted {
    Yes(FreeUse),
    Exhausted(FreeLeft),
    NonceUsed,
    KeyGone,
    NoPass(PassRefusal),
    Full,
}

/// Counts a free request, in a task of its own.
///
/// A client that leaves while its request is counted drops the future that awaits this, and the ledger writes the count
/// all the same. The task then has the use, which it drops: so the row gets its end. Shutdown waits for the task.
pub(super) async fn count(payments: &Arc<Payments>, claim: FreeClaim) -> Result<Counted, LedgerError> {
    let (of_task, kind) = (Arc::clone(payments), claim.kind);
    let counting = payments.work.spawn(RequestId::inherited(async move {
        Ok(match of_task.ledger.count_free(claim, of_task.now()).await? {
            FreeCounted::Counted(hold, left) => {
                let remainder = left.map(|left| FreeRemainder::of(kind, left, of_task.now()));
                of_task.begin_free(hold);
                Counted::Yes(FreeUse { payments: of_task, hold: Some(hold), remainder })
            }
            FreeCounted::Exhausted(left) => Counted::Exhausted(left),
            FreeCounted::NonceUsed => Counted::NonceUsed,
            FreeCounted::KeyGone => Counted::KeyGone,
            FreeCounted::NoPass(refusal) => Counted::NoPass(refusal),
            FreeCounted::Full => Counted::Full,
        })
    }));
    counting.await.unwrap_or_else(|error| Err(LedgerError::Unavailable(error.to_string())))
}

impl Payments {
    /// Gives back the free requests that are at work: the host ends, and drops them. Their clients have not left.
    pub async fn interrupt(&self) {
        let at_work = self.free_at_work.lock().take();
        for hold in at_work.into_iter().flatten() {
            if let Err(error) = self.ledger.end_free(hold, FreeEnd::Interrupted, self.now()).await {
                tracing::warn!(%error, "a free request that the end of the host interrupts could not be given back");
            }
        }
    }

    /// Notes that a free request is at work.
    fn begin_free(&self, hold: FreeHold) {
        if let Some(at_work) = &mut *self.free_at_work.lock() {
            at_work.insert(hold);
        }
    }

    /// Notes that nothing changes about a free request any more. False if [`Self::interrupt`] has given it back.
    fn finish_free(&self, hold: FreeHold) -> bool {
        self.free_at_work.lock().as_mut().is_some_and(|at_work| at_work.remove(&hold))
    }
}
