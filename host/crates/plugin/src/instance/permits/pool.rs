//! The permits of all plugins, who holds them, and who waits for them.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::{Demand, InstanceLimit, InstancePermits, Ticket};

/// The part of the permits that is kept for those who need it more: one in this many.
const KEPT: usize = 4;
/// The least share of a plugin on a host with many plugins: one permit in this many.
const LEAST_SHARE: usize = 32;

/// The permits of running instances.
#[derive(Debug)]
pub(crate) struct PermitPool {
    total: usize,
    state: Mutex<PoolState>,
}

/// The number of one bound.
pub(super) type LimitKey = u64;

#[derive(Debug)]
struct PoolState {
    free: usize,
    /// Permits that unpaid work holds.
    unpaid: usize,
    /// Bounds of plugins that sell something.
    sellers: usize,
    /// Requests that wait.
    waiting: usize,
    /// The number of the next bound, or of the next request that waits.
    next: u64,
    limits: BTreeMap<LimitKey, LimitState>,
    /// All builds of one plugin share what is fair for it.
    plugins: HashMap<Arc<str>, PluginShare>,
}

/// The terms of one bound.
#[derive(Clone, Debug)]
pub(super) struct LimitTerms {
    pub(super) plugin: Arc<str>,
    /// Instances at once.
    pub(super) most: usize,
    /// Permits of one instance.
    pub(super) weight: usize,
    /// True if any of the plugin's requests can be paid for.
    pub(super) sells: bool,
}

/// One bound: that of a build, under policies that leave it as it is.
#[derive(Debug)]
struct LimitState {
    terms: LimitTerms,
    running: usize,
    running_unpaid: usize,
    paid: VecDeque<Waiting>,
    unpaid: VecDeque<Waiting>,
}

/// The permits of one plugin.
#[derive(Debug, Default)]
struct PluginShare {
    /// Its bounds.
    limits: usize,
    held: usize,
    /// Those of them that unpaid work holds.
    held_unpaid: usize,
}

/// A request that waits.
#[derive(Debug)]
struct Waiting {
    number: u64,
    limit: InstanceLimit,
    granted: oneshot::Sender<InstancePermits>,
}

impl PermitPool {
    pub(crate) fn new(total: usize) -> Arc<Self> {
        let state = PoolState {
            free: total,
            unpaid: 0,
            sellers: 0,
            waiting: 0,
            next: 0,
            limits: BTreeMap::new(),
            plugins: HashMap::new(),
        };
        Arc::new(Self { total, state: Mutex::new(state) })
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
        state.sellers += usize::from(terms.sells);
        state.plugins.entry(Arc::clone(&terms.plugin)).or_default().limits += 1;
        let (paid, unpaid) = (VecDeque::new(), VecDeque::new());
        state.limits.insert(key, LimitState { terms, running: 0, running_unpaid: 0, paid, unpaid });
        key
    }

    /// Removes a bound that is not used any more.
    pub(super) fn remove(&self, key: LimitKey) {
        let mut state = self.state.lock();
        let Some(limit) = state.limits.remove(&key) else { return };
        state.sellers -= usize::from(limit.terms.sells);
        if let Some(share) = state.plugins.get_mut(&limit.terms.plugin) {
            share.limits -= 1;
            if share.limits == 0 {
                state.plugins.remove(&limit.terms.plugin);
            }
        }
        drop(state);
        // A request that waits holds a reference to its bound, so both queues are empty.
        drop(limit);
    }

    /// Counts an instance as running, if it may run now.
    pub(super) fn try_take(&self, key: LimitKey, demand: Demand) -> bool {
        let mut state = self.state.lock();
        let queued = state.limits.get(&key).is_some_and(|limit| !limit.queue(demand).is_empty());
        let takes = !queued && state.may_run(self.total, key, demand);
        if takes {
            state.take(key, demand);
        }
        takes
    }

    /// Queues a request, or grants it at once what has become free in between.
    pub(super) fn enqueue(
        &self,
        limit: &InstanceLimit,
        demand: Demand,
        granted: oneshot::Sender<InstancePermits>,
    ) -> Ticket {
        let mut state = self.state.lock();
        let number = state.number();
        if let Some(entry) = state.limits.get_mut(&limit.0.key) {
            entry.queue_mut(demand).push_back(Waiting { number, limit: limit.clone(), granted });
            state.waiting += 1;
        }
        let undelivered = state.grant(self.total);
        drop(state);
        drop(undelivered);
        Ticket { number, demand }
    }

    /// Removes a request from its queue, if it is still there.
    pub(super) fn leave(&self, key: LimitKey, ticket: Ticket) {
        let mut state = self.state.lock();
        let Some(limit) = state.limits.get_mut(&key) else { return };
        let queue = limit.queue_mut(ticket.demand);
        let left = match queue.binary_search_by_key(&ticket.number, |waiting| waiting.number) {
            Ok(index) => queue.remove(index),
            Err(_) => None,
        };
        state.waiting -= usize::from(left.is_some());
        drop(state);
        // It may hold the last reference to its bound.
        drop(left);
    }

    /// Takes the permits of an instance back, and grants them to requests that wait.
    pub(super) fn give_back(&self, key: LimitKey, demand: Demand) {
        let mut state = self.state.lock();
        state.give_back(key, demand);
        let undelivered = state.grant(self.total);
        drop(state);
        // Each of these is given back in turn, outside of the lock.
        drop(undelivered);
    }

    #[cfg(test)]
    pub(super) fn free_of(&self, key: LimitKey) -> usize {
        self.state.lock().limits.get(&key).map_or(0, |limit| limit.terms.most.saturating_sub(limit.running))
    }
}

impl PoolState {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// True if an instance under this bound may run now.
    fn may_run(&self, total: usize, key: LimitKey, demand: Demand) -> bool {
        let Some(limit) = self.limits.get(&key) else { return false };
        let kept = total / KEPT;
        if !limit.has_room(demand) || self.free < limit.terms.weight {
            return false;
        }
        if demand == Demand::Unpaid && self.sellers > 0 && self.unpaid + limit.terms.weight > total - kept {
            return false;
        }
        // What unpaid work holds is no reason to refuse paid work.
        let held = self.plugins.get(&limit.terms.plugin).map_or(0, |share| match demand {
            Demand::Paid => share.held - share.held_unpaid,
            Demand::Unpaid => share.held,
        });
        let share = (total / self.plugins.len().max(1)).max(total / LEAST_SHARE).max(limit.terms.weight);
        held + limit.terms.weight <= share || self.free - limit.terms.weight >= kept
    }

    fn take(&mut self, key: LimitKey, demand: Demand) {
        let Some(limit) = self.limits.get_mut(&key) else { return };
        limit.running += 1;
        self.free -= limit.terms.weight;
        let unpaid = if demand == Demand::Unpaid { limit.terms.weight } else { 0 };
        limit.running_unpaid += usize::from(unpaid > 0);
        self.unpaid += unpaid;
        if let Some(share) = self.plugins.get_mut(&limit.terms.plugin) {
            share.held += limit.terms.weight;
            share.held_unpaid += unpaid;
        }
    }

    fn give_back(&mut self, key: LimitKey, demand: Demand) {
        let Some(limit) = self.limits.get_mut(&key) else { return };
        limit.running -= 1;
        self.free += limit.terms.weight;
        let unpaid = if demand == Demand::Unpaid { limit.terms.weight } else { 0 };
        limit.running_unpaid -= usize::from(unpaid > 0);
        self.unpaid -= unpaid;
        if let Some(share) = self.plugins.get_mut(&limit.terms.plugin) {
            share.held -= limit.terms.weight;
            share.held_unpaid -= unpaid;
        }
    }

    /// Grants free permits as long as a request may have them. Returns those whose requests have just gone, which are
    /// dropped outside of the lock.
    fn grant(&mut self, total: usize) -> Vec<InstancePermits> {
        let mut undelivered = Vec::new();
        while let Some((key, demand)) = self.next_in_turn(total) {
            let Some(waiting) = self.limits.get_mut(&key).and_then(|limit| limit.queue_mut(demand).pop_front()) else {
                break;
            };
            self.waiting -= 1;
            self.take(key, demand);
            let permits = waiting.limit.taken(demand);
            if let Err(permits) = waiting.granted.send(permits) {
                undelivered.push(permits);
            }
        }
        undelivered
    }

    /// The queue whose first request is the next to run.
    fn next_in_turn(&self, total: usize) -> Option<(LimitKey, Demand)> {
        if self.waiting == 0 || self.free == 0 {
            return None;
        }
        let first = |demand: Demand| {
            let waiting = self.limits.iter().filter_map(|(&key, limit)| {
                let first = limit.queue(demand).front()?;
                let held = self.plugins.get(&limit.terms.plugin).map_or(0, |share| share.held);
                Some((held, first.number, key))
            });
            waiting.filter(|&(_, _, key)| self.may_run(total, key, demand)).min().map(|(_, _, key)| (key, demand))
        };
        first(Demand::Paid).or_else(|| first(Demand::Unpaid))
    }
}

impl LimitState {
    /// True if the plugin's own bound allows another instance.
    fn has_room(&self, demand: Demand) -> bool {
        let kept = if self.terms.sells { self.terms.most / KEPT } else { 0 };
        self.running < self.terms.most && (demand == Demand::Paid || self.running_unpaid < self.terms.most - kept)
    }

    fn queue(&self, demand: Demand) -> &VecDeque<Waiting> {
        match demand {
            Demand::Paid => &self.paid,
            Demand::Unpaid => &self.unpaid,
        }
    }

    fn queue_mut(&mut self, demand: Demand) -> &mut VecDeque<Waiting> {
        match demand {
            Demand::Paid => &mut self.paid,
            Demand::Unpaid => &mut self.unpaid,
        }
    }
}
