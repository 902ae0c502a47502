//! Hands out the slots of guests that compute for long, and the turns of the guests of a plugin that uses much.
//!
//! A request that waits several times for something short is interrupted at its first instruction after each wait, and
//! may have to queue then. Behind all guests that compute without end it would lose their number of milliseconds each
//! time. So a guest that has used little comes before those that have used much; but one slot follows each [`IN_A_ROW`]
//! of them for the others, because requests that use little may be many.
//!
//! A guest is polled only while its answer is wanted. So a guest whose client reads nothing at the moment ([`Unread`])
//! gets no slot, and gives back a slot that it has not used up. A client may stop reading at any other moment, too: a
//! slot that a guest has not taken yet, or has not given back yet, is lent to it for [`PICK_UP`].

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use coinslot_base::recent_use::RecentUse;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// The most slots in a row for guests in the queue `first`, while other guests wait.
const IN_A_ROW: u32 = 4;

/// The longest time for which a slot waits for a guest that is not polled.
const PICK_UP: Duration = Duration::from_millis(50);

/// Set while the client of a streamed answer has not asked for its next frame. The guest is not polled then.
pub(crate) type Unread = Arc<AtomicBool>;

/// The slots of one runtime, or the turns of one plugin. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct CpuSlots(Arc<Mutex<SlotQueue>>);

/// A slot, given back when this is dropped. None if it was not handed out after all.
#[derive(Debug)]
pub(crate) struct CpuSlot(Option<CpuSlots>);

/// A slot that goes back when it is not taken in time.
#[derive(Debug)]
pub(crate) struct LentSlot(Arc<Mutex<Option<CpuSlot>>>);

#[derive(Debug)]
struct SlotQueue {
    free: usize,
    /// Guests that have used little, or that quote.
    first: VecDeque<WaitingGuest>,
    others: VecDeque<WaitingGuest>,
    /// Slots that went to `first` since the last one of `others`.
    in_a_row: u32,
}

/// The guest that asks for a slot.
#[derive(Clone, Debug, Default)]
pub(crate) struct SlotUser {
    pub(crate) unread: Unread,
    /// The address that stands for its plugin.
    pub(crate) plugin: usize,
    /// True if somebody has paid for what it does. It takes the place of an unpaid guest of the same plugin.
    pub(crate) is_paid: bool,
}

/// A guest in the queue.
#[derive(Debug)]
struct WaitingGuest {
    granted: oneshot::Sender<LentSlot>,
    user: SlotUser,
}

impl CpuSlots {
    pub(crate) fn new(slots: usize) -> Self {
        let queue = SlotQueue { free: slots, first: VecDeque::new(), others: VecDeque::new(), in_a_row: 0 };
        Self(Arc::new(Mutex::new(queue)))
    }

    /// Waits for a slot, and then for further rounds of the worker while `has_to_wait` is true, as [`RecentUse`] says. The
    /// place of a future that is dropped is passed over.
    pub(crate) async fn acquire(&self, goes_first: bool, user: &SlotUser, has_to_wait: impl Fn() -> bool) -> CpuSlot {
        loop {
            let lent = match self.take_or_queue(goes_first, user) {
                Ok(slot) if !has_to_wait() => return slot,
                Ok(slot) => slot.lend(),
                Err(granted) => match granted.await {
                    Ok(lent) => lent,
                    Err(_) => continue,
                },
            };
            RecentUse::wait_for_quota(&has_to_wait).await;
            if let Some(slot) = lent.take() {
                return slot;
            }
        }
    }

    /// True if a slot is free.
    pub(crate) fn has_free(&self) -> bool {
        self.0.lock().free > 0
    }

    /// Takes a free slot, or a place in the queue.
    fn take_or_queue(&self, goes_first: bool, user: &SlotUser) -> Result<CpuSlot, oneshot::Receiver<LentSlot>> {
        let mut queue = self.0.lock();
        if queue.free > 0 {
            queue.free -= 1;
            return Ok(CpuSlot(Some(self.clone())));
        }
        let (sender, granted) = oneshot::channel();
        let waiting = if goes_first { &mut queue.first } else { &mut queue.others };
        waiting.push_back(WaitingGuest { granted: sender, user: user.clone() });
        Err(granted)
    }

    /// Gives a slot to the next guest that still waits.
    fn release(&self) {
        loop {
            let mut queue = self.0.lock();
            let Some(next) = queue.next() else {
                queue.free += 1;
                return;
            };
            drop(queue);
            match next.granted.send(CpuSlot(Some(self.clone())).lend()) {
                Ok(()) => return,
                Err(lent) => lent.take().into_iter().for_each(CpuSlot::forget),
            }
        }
    }
}

impl CpuSlot {
    /// Lends the slot to a future that may not be polled.
    pub(crate) fn lend(self) -> LentSlot {
        let lent = Arc::new(Mutex::new(Some(self)));
        let left = Arc::downgrade(&lent);
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                tokio::time::sleep(PICK_UP).await;
                // Given back outside of the lock.
                let late = left.upgrade().and_then(|left| left.lock().take());
                drop(late);
            });
        }
        LentSlot(lent)
    }

    /// Drops a slot that was never handed out.
    fn forget(mut self) {
        self.0 = None;
    }
}

impl LentSlot {
    /// The slot, unless it has gone back.
    fn take(&self) -> Option<CpuSlot> {
        self.0.lock().take()
    }
}

impl WaitingGuest {
    fn is_passed_over(&self) -> bool {
        self.granted.is_closed() || self.user.unread.load(Relaxed)
    }
}

impl SlotQueue {
    /// The next guest that waits.
    fn next(&mut self) -> Option<WaitingGuest> {
        for waiting in [&mut self.first, &mut self.others] {
            // A guest that is gone uses up no turn of the others. A guest that is unread queues again when it is
            // polled.
            while waiting.front().is_some_and(WaitingGuest::is_passed_over) {
                waiting.pop_front();
            }
        }
        let others_turn = self.in_a_row >= IN_A_ROW && !self.others.is_empty();
        let next = if others_turn { None } else { self.first.pop_front() };
        if next.is_some() {
            self.in_a_row = self.in_a_row.saturating_add(1);
            return next;
        }
        self.in_a_row = 0;
        self.next_of_others()
    }

    /// The guest whose turn it is, or a paid guest of its plugin in its place: unpaid work is done before paid work
    /// nowhere, and a plugin gains no slot by it.
    fn next_of_others(&mut self) -> Option<WaitingGuest> {
        let next = self.others.pop_front()?;
        let is_before = |other: &WaitingGuest| {
            other.user.is_paid && other.user.plugin == next.user.plugin && !other.is_passed_over()
        };
        let paid = if next.user.is_paid { None } else { self.others.iter().position(is_before) };
        match paid.and_then(|paid| self.others.remove(paid)) {
            Some(paid) => {
                self.others.push_front(next);
                Some(paid)
            }
            None => Some(next),
        }
    }
}

impl Drop for CpuSlot {
    fn drop(&mut self) {
        if let Some(slots) = self.0.take() {
            slots.release();
        }
    }
}
