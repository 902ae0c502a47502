//! Gives out the permits of all plugins, and takes them back.

use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::oneshot;

use super::memory::{MemoryInUse, MemoryTerms};
use super::state::{LimitState, PoolState, Waiting};
use super::{InstanceLimit, InstancePermits, LimitUsage, PermitRequest, PoolUsage, Room, Sells, Ticket};

/// The permits of running instances.
#[derive(Debug)]
pub(crate) struct PermitPool {
    total: usize,
    state: Mutex<PoolState>,
}

/// The number of one bound.
pub(super) type LimitKey = u64;

/// The terms of one bound.
#[derive(Clone, Debug)]
pub(crate) struct LimitTerms {
    pub(crate) plugin: Arc<str>,
    /// Instances at once.
    pub(crate) most: usize,
    /// Permits of one instance.
    pub(crate) weight: usize,
    pub(crate) sells: Sells,
    pub(crate) memory: MemoryTerms,
}

impl PermitPool {
    pub(crate) fn new(total: usize) -> Arc<Self> {
        Arc::new(Self { total, state: Mutex::new(PoolState::new(total)) })
    }

    /// Permits that no instance holds.
    pub(crate) fn free(&self) -> usize {
        self.state.lock().free
    }

    /// Adds a bound.
    pub(super) fn register(&self, mut terms: LimitTerms) -> LimitKey {
        // An instance that needs more than all permits runs alone.
        terms.weight = terms.weight.clamp(1, self.total.max(1));
        let mut state = self.state.lock();
        let key = state.number();
        state.sellers += usize::from(terms.sells != Sells::Nothing);
        state.plugins.entry(Arc::clone(&terms.plugin)).or_default().limits.push(key);
        state.limits.insert(key, LimitState::new(terms));
        key
    }

    /// Removes a bound that is not used any more. The other plugins may have more then.
    pub(super) fn remove(&self, key: LimitKey) {
        let mut state = self.state.lock();
        let Some(limit) = state.limits.remove(&key) else { return };
        state.sellers -= usize::from(limit.terms.sells != Sells::Nothing);
        if let Some(share) = state.plugins.get_mut(&limit.terms.plugin) {
            share.limits.retain(|other| *other != key);
            if share.limits.is_empty() {
                state.plugins.remove(&limit.terms.plugin);
            }
        }
        self.grant(state);
        // A request that waits holds a reference to its bound, so its queues are empty.
        drop(limit);
    }

    /// The share of this plugin.
    pub(super) fn usage(&self, terms: &LimitTerms) -> LimitUsage {
        let state = self.state.lock();
        let Some(share) = state.plugins.get(&terms.plugin) else { return LimitUsage::default() };
        let limits = share.limits.iter().filter_map(|key| state.limits.get(key));
        let (instances, waiting) =
            limits.fold((0, 0), |(running, waiting), limit| (running + limit.running(), waiting + limit.waiting()));
        LimitUsage { instances, waiting, permits: share.held(), memory: share.memory.total() }
    }

    /// The share of all plugins together.
    pub(crate) fn all(&self) -> PoolUsage {
        let state = self.state.lock();
        PoolUsage { held: self.total - state.free, total: self.total, waiting: state.waiting }
    }

    /// Tells whether an instance could run now, without a wait.
    pub(super) fn room(&self, key: LimitKey, request: PermitRequest) -> Room {
        self.state.lock().room(self.total, key, request)
    }

    /// Counts an instance as running, if it may run now.
    pub(super) fn try_take(&self, key: LimitKey, request: PermitRequest) -> bool {
        let mut state = self.state.lock();
        let takes = state.room(self.total, key, request) == Room::Free;
        if takes {
            state.take(key, request);
        }
        takes
    }

    /// Queues a request, or grants it at once what has become free in between.
    pub(super) fn enqueue(
        &self,
        limit: &InstanceLimit,
        request: PermitRequest,
        granted: oneshot::Sender<InstancePermits>,
    ) -> Ticket {
        let mut state = self.state.lock();
        let number = state.number();
        if let Some(entry) = state.limits.get_mut(&limit.0.key) {
            let waiting = Waiting { number, client: request.client, limit: limit.clone(), granted };
            entry.queue_mut(request.demand).push(waiting);
            state.waiting += 1;
        }
        self.grant(state);
        Ticket { number, request }
    }

    /// Removes a request from its queue, if it is still there. Permits that were kept for it go to others.
    pub(super) fn leave(&self, key: LimitKey, ticket: Ticket) {
        let mut state = self.state.lock();
        let Some(limit) = state.limits.get_mut(&key) else { return };
        let left = limit.queue_mut(ticket.request.demand).remove(ticket.request.client, ticket.number);
        if left.is_some() {
            state.waiting -= 1;
            self.grant(state);
        } else {
            drop(state);
        }
        // It may hold the last reference to its bound.
        drop(left);
    }

    /// Takes the permits of an instance back, and grants them to requests that wait.
    pub(super) fn give_back(&self, key: LimitKey, request: PermitRequest) {
        let mut state = self.state.lock();
        state.give_back(key, request);
        self.grant(state);
    }

    /// Changes what is counted of the memory of this plugin's instances. If it has become less, requests that wait may
    /// have room.
    pub(super) fn change_memory(
        &self,
        terms: &LimitTerms,
        change: impl FnOnce(&mut MemoryInUse, &LimitTerms) -> bool,
    ) -> bool {
        let mut state = self.state.lock();
        let Some(share) = state.plugins.get_mut(&terms.plugin) else { return true };
        let before = share.memory.total();
        let changed = change(&mut share.memory, terms);
        if share.memory.total() < before {
            self.grant(state);
        }
        changed
    }

    /// Grants what is free, and unlocks the state.
    fn grant(&self, mut state: MutexGuard<'_, PoolState>) {
        let undelivered = state.grant(self.total);
        drop(state);
        // Each of these is given back in turn, outside of the lock.
        drop(undelivered);
    }

    /// Clients that hold or wait, in all queues.
    #[cfg(test)]
    pub(super) fn clients(&self) -> usize {
        self.state.lock().limits.values().map(LimitState::clients).sum()
    }

    #[cfg(test)]
    pub(super) fn free_of(&self, key: LimitKey) -> usize {
        let state = self.state.lock();
        let left = |terms: &LimitTerms| terms.most.saturating_sub(state.running(&terms.plugin).all);
        state.limits.get(&key).map_or(0, |limit| left(&limit.terms))
    }
}
