//! Has a guest wait for a CPU slot, or for a turn of its plugin, before it computes.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};

use super::GuestMeter;
use crate::instance::cpu_slots::{CpuSlot, SlotUser};

/// The turn of a guest whose plugin uses much. It is dropped with the guest, because a turn is not held for a guest
/// that is gone.
#[derive(Default)]
pub(crate) struct PollTurn {
    waiting: Option<Pin<Box<dyn Future<Output = CpuSlot> + Send>>>,
    /// Held for one poll.
    pub(super) held: Option<CpuSlot>,
}

impl GuestMeter {
    /// Lets other tasks of this thread run, and then waits for a CPU slot: behind all other guests that compute for
    /// long, or before them if it has used little. So a short request waits for one long computation at a time, however
    /// many there are.
    pub(crate) async fn wait_for_cpu_slot(self: Arc<Self>) {
        self.yielding.store(true, Relaxed);
        // Held while others run: given back before, it would wake the next guest that computes, which this thread would
        // run at once, and so on, before it looks whose socket or timer is ready.
        let held = self.cpu_slot.lock().take().map(CpuSlot::lend);
        *self.lent_slot.lock() = held;
        let lent = LentWhileOthersRun(&self);
        tokio::task::yield_now().await;
        // A guest that waits for another slot while it holds one would keep others from computing.
        drop(lent);
        let slot = self.plugin_cpu.slot(self.goes_first(), &self.slot_user()).await;
        *self.cpu_slot.lock() = Some(slot);
        self.has_had_slot.store(true, Relaxed);
        self.yielding.store(false, Relaxed);
    }

    /// Waits for a turn before a poll, if the guests of this plugin have used much lately, and their quota of this
    /// round.
    ///
    /// A guest may compute for a tick without a slot. But each of many small guests computes for less, and those of one
    /// busy plugin would be polled one after the other, with all other plugins' guests behind them. Quotes come before
    /// the other guests of their plugin: they are few at once, and have little time.
    pub(crate) fn poll_turn(&self, turn: &mut PollTurn, cx: &mut Context<'_>) -> Poll<()> {
        if turn.waiting.is_none() {
            // A guest that waits for a slot in its own future is polled, to go on waiting there. The guest of a request
            // in a shared instance computes elsewhere.
            let runs_elsewhere = self.per_request == u64::MAX;
            if runs_elsewhere || self.yielding.load(Relaxed) || !self.plugin_cpu.has_to_wait() {
                return Poll::Ready(());
            }
            let (cpu, user) = (Arc::clone(&self.plugin_cpu), self.slot_user());
            turn.waiting = Some(Box::pin(cpu.turn(self.is_quote.load(Relaxed), user)));
        }
        if let Some(waiting) = &mut turn.waiting {
            self.waits_for_turn.store(true, Relaxed);
            turn.held = Some(ready!(waiting.as_mut().poll(cx)));
            self.waits_for_turn.store(false, Relaxed);
            turn.waiting = None;
        }
        Poll::Ready(())
    }

    /// True if the guest comes before those that have used much. The guests of a plugin that uses much do not, but for
    /// its quotes.
    fn goes_first(&self) -> bool {
        let is_plugin_quiet = self.is_quote.load(Relaxed) || !self.plugin_cpu.recent.is_much();
        is_plugin_quiet && self.used.load(Relaxed) <= self.little()
    }

    fn slot_user(&self) -> SlotUser {
        SlotUser {
            unread: Arc::clone(&self.unread),
            plugin: Arc::as_ptr(&self.plugin_cpu).addr(),
            is_paid: self.is_paid.load(Relaxed),
        }
    }

    /// Notes whether the client has yet to ask for the next frame: a guest that is unread is not polled, and holds no
    /// slot.
    pub(crate) fn set_unread(&self, unread: bool) {
        self.unread.store(unread, Relaxed);
        if unread && self.has_had_slot.load(Relaxed) {
            self.give_lent_slot_back();
        }
    }

    /// Drops the lent slot outside of the lock, because the drop grants the slot to another guest.
    fn give_lent_slot_back(&self) {
        let lent = self.lent_slot.lock().take();
        drop(lent);
    }

    /// Lets other tasks of this thread run.
    pub(crate) async fn yield_once(&self) {
        self.yielding.store(true, Relaxed);
        tokio::task::yield_now().await;
        self.yielding.store(false, Relaxed);
    }

    #[cfg(test)]
    pub(crate) fn set_yielding(&self, yielding: bool) {
        self.yielding.store(yielding, Relaxed);
    }

    /// True while the guest waits for nothing but a processor.
    pub(crate) fn is_runnable(&self) -> bool {
        self.yielding.load(Relaxed) || self.waits_for_turn.load(Relaxed)
    }

    /// True while the guest computes for long, or waits for a CPU slot to do so.
    pub(crate) fn is_computing(&self) -> bool {
        self.yielding.load(Relaxed) || self.cpu_slot.lock().is_some()
    }
}

/// The lent slot of a guest. It goes back when this is dropped, also with a guest that is gone.
struct LentWhileOthersRun<'m>(&'m GuestMeter);

impl Drop for LentWhileOthersRun<'_> {
    fn drop(&mut self) {
        self.0.give_lent_slot_back();
    }
}

impl PollTurn {
    /// Gives the turn back after a poll.
    pub(crate) fn end(&mut self) {
        self.held = None;
    }
}
