//! Counts the memory of all instances of one plugin together, against the plugin's budget.
//!
//! An instance is counted with the memory that it begins with as soon as it has its permits, so that no request starts
//! an instance for which there is no memory. What it grows by is counted before it has it. The first contents of a
//! memory, which are mapped from the component, count as far as the guest has written there: a Python component has 12
//! MiB of them, and most requests write to a part. Unpaid work and instances that wait for a request leave a part of
//! the budget to paid work, and free routes one to quotes, as with permits.

use std::sync::Arc;

use parking_lot::Mutex;

use super::state::{KEPT, KEPT_FOR_QUOTES};
use super::{Demand, LimitEntry, Sells};
use crate::limits::Limits;

/// The memory that the instances of one plugin may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MemoryTerms {
    /// The budget of all instances together, in bytes: at least the limit of one.
    total: usize,
    /// The limit of one instance, in bytes.
    single: usize,
    /// The bytes that an instance counts for when it begins.
    initial: usize,
    /// The other bytes that it begins with, which count once they have been written to.
    mapped: usize,
}

/// First contents that count at once, in bytes. The pool leaves as much of a slot's memory in its place for the next
/// instance, which then writes there without a fault.
const MAPPED_AT_ONCE: usize = 2 << 20;

impl MemoryTerms {
    /// The terms under these limits for instances that begin with this much memory, and with `data` in it, in bytes.
    pub(crate) fn new(limits: &Limits, initial: usize, data: usize) -> Self {
        let (single, initial) = (limits.memory, initial.min(limits.memory));
        let mapped = data.min(initial).saturating_sub(MAPPED_AT_ONCE);
        Self { total: limits.plugin_memory.max(single), single, initial: initial - mapped, mapped }
    }

    /// Terms that bound nothing, for tests of the other bounds.
    #[cfg(test)]
    pub(super) fn unbounded() -> Self {
        Self { total: usize::MAX, single: 0, initial: 0, mapped: 0 }
    }

    /// One in `parts` of the budget, or less: beside what is taken, one instance can always have its whole memory.
    fn part(&self, parts: usize, taken: usize) -> usize {
        (self.total / parts).min(self.total - self.single - taken)
    }

    /// The bytes that unpaid work may have together.
    fn unpaid(&self, sells: Sells) -> usize {
        if sells == Sells::Nothing { self.total } else { self.total - self.part(KEPT, 0) }
    }

    /// The bytes that free routes and idle instances may have together: the rest is for quotes.
    fn free(&self, sells: Sells) -> usize {
        let unpaid = self.unpaid(sells);
        if sells == Sells::Quoted { unpaid - self.part(KEPT_FOR_QUOTES, self.total - unpaid) } else { unpaid }
    }

    /// The bytes that idle instances may have together.
    fn idle(&self, sells: Sells) -> usize {
        self.part(KEPT, self.total - self.free(sells))
    }
}

/// The use of an instance whose memory is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MemoryUse {
    Paid,
    Quote,
    Free,
    /// It waits for a request.
    Idle,
}

impl From<Demand> for MemoryUse {
    fn from(demand: Demand) -> Self {
        match demand {
            Demand::Paid => Self::Paid,
            Demand::Quote => Self::Quote,
            Demand::Free => Self::Free,
        }
    }
}

/// The memory of the instances of one plugin, in bytes.
#[derive(Debug, Default)]
pub(super) struct MemoryInUse {
    paid: usize,
    quotes: usize,
    free: usize,
    idle: usize,
}

impl MemoryInUse {
    fn of(&mut self, purpose: MemoryUse) -> &mut usize {
        match purpose {
            MemoryUse::Paid => &mut self.paid,
            MemoryUse::Quote => &mut self.quotes,
            MemoryUse::Free => &mut self.free,
            MemoryUse::Idle => &mut self.idle,
        }
    }

    pub(super) fn total(&self) -> usize {
        self.paid + self.quotes + self.free + self.idle
    }

    /// True if another instance may begin.
    pub(super) fn fits_another(&self, terms: &MemoryTerms, sells: Sells, demand: Demand) -> bool {
        self.fits(terms, sells, demand.into(), terms.initial)
    }

    /// True if an instance may have this much more.
    fn fits(&self, terms: &MemoryTerms, sells: Sells, purpose: MemoryUse, more: usize) -> bool {
        let fits = |used: usize, most: usize| used.saturating_add(more) <= most;
        let is_paid = purpose == MemoryUse::Paid;
        let is_free = matches!(purpose, MemoryUse::Free | MemoryUse::Idle);
        fits(self.total(), terms.total)
            && (is_paid || fits(self.total() - self.paid, terms.unpaid(sells)))
            && (!is_free || fits(self.free + self.idle, terms.free(sells)))
            && (purpose != MemoryUse::Idle || fits(self.idle, terms.idle(sells)))
    }

    /// Counts an instance that begins.
    pub(super) fn begin(&mut self, terms: &MemoryTerms, demand: Demand) {
        *self.of(demand.into()) += terms.initial;
    }
}

/// The memory of one instance, which counts until this is dropped.
#[derive(Debug)]
pub(crate) struct InstanceMemory {
    limit: Arc<LimitEntry>,
    counted: Mutex<CountedMemory>,
}

#[derive(Debug)]
struct CountedMemory {
    bytes: usize,
    purpose: MemoryUse,
}

impl InstanceMemory {
    /// The memory of an instance that the pool has counted already.
    pub(super) fn begun(limit: &Arc<LimitEntry>, demand: Demand) -> Arc<Self> {
        let counted = CountedMemory { bytes: limit.terms.memory.initial, purpose: demand.into() };
        Arc::new(Self { limit: Arc::clone(limit), counted: Mutex::new(counted) })
    }

    /// The bytes of an instance that count once they have been written to.
    pub(crate) fn mapped(&self) -> usize {
        self.limit.terms.memory.mapped
    }

    /// Counts this many bytes from here on, if the budget has room for them. What an instance has begun with stays
    /// counted.
    pub(crate) fn resize(&self, bytes: usize) -> bool {
        let mut counted = self.counted.lock();
        let bytes = bytes.max(self.limit.terms.memory.initial);
        let purpose = counted.purpose;
        let fits = self.change(|memory, terms| {
            let more = bytes.saturating_sub(counted.bytes);
            let fits = more == 0 || memory.fits(&terms.memory, terms.sells, purpose, more);
            if fits {
                let of_purpose = memory.of(purpose);
                *of_purpose = *of_purpose - counted.bytes + bytes;
            }
            fits
        });
        if fits {
            counted.bytes = bytes;
        }
        fits
    }

    /// Counts as the memory of an instance that waits for a request, if the budget has room for another such one.
    pub(crate) fn try_set_idle(&self) -> bool {
        let mut counted = self.counted.lock();
        let CountedMemory { bytes, purpose } = *counted;
        let fits = self.change(|memory, terms| {
            *memory.of(purpose) -= bytes;
            let fits = memory.fits(&terms.memory, terms.sells, MemoryUse::Idle, bytes);
            *memory.of(if fits { MemoryUse::Idle } else { purpose }) += bytes;
            fits
        });
        if fits {
            counted.purpose = MemoryUse::Idle;
        }
        fits
    }

    /// Counts as the memory of an instance that works for such a request. It fits always: idle instances count like
    /// those of free routes.
    pub(super) fn set_working(&self, demand: Demand) {
        let mut counted = self.counted.lock();
        let CountedMemory { bytes, purpose } = *counted;
        self.change(|memory, _| {
            *memory.of(purpose) -= bytes;
            *memory.of(demand.into()) += bytes;
            true
        });
        counted.purpose = demand.into();
    }

    fn change(&self, change: impl FnOnce(&mut MemoryInUse, &super::pool::LimitTerms) -> bool) -> bool {
        self.limit.pool.change_memory(&self.limit.terms, change)
    }

    /// Bytes that count, for tests.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.counted.lock().bytes
    }
}

impl Drop for InstanceMemory {
    fn drop(&mut self) {
        let CountedMemory { bytes, purpose } = *self.counted.get_mut();
        self.limit.pool.change_memory(&self.limit.terms, |memory, _| {
            *memory.of(purpose) -= bytes;
            true
        });
    }
}

#[cfg(test)]
mod tests;
