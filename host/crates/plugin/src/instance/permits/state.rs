//! The state of the permits: who holds them, who waits, and who is next.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;

use super::memory::MemoryInUse;
use super::pool::{LimitKey, LimitTerms};
use super::queue::{ClientQueue, ClientTurn};
use super::{Demand, InstanceLimit, InstancePermits, PermitRequest, Room};
use crate::permit::Client;

/// The part of the permits that is kept for those who need it more: one in this many.
pub(super) const KEPT: usize = 4;
/// The least share of a plugin on a host with many plugins: one permit in this many.
const LEAST_SHARE: usize = 32;

/// The permits that are held, by bound and by plugin, and the requests that wait for some.
#[derive(Debug)]
pub(super) struct PoolState {
    pub(super) free: usize,
    /// The last time at which permits were given back.
    freed: Instant,
    /// Permits that unpaid work holds.
    unpaid: usize,
    /// Bounds of plugins that sell something.
    pub(super) sellers: usize,
    /// Requests that wait.
    pub(super) waiting: usize,
    /// The number of the next bound, or of the next request that waits.
    next: u64,
    pub(super) limits: BTreeMap<LimitKey, LimitState>,
    /// All builds of one plugin share what is fair for it.
    pub(super) plugins: HashMap<Arc<str>, PluginShare>,
}

/// One bound: that of a build, under policies that leave it as it is.
#[derive(Debug)]
pub(super) struct LimitState {
    pub(super) terms: LimitTerms,
    pub(super) running: usize,
    running_unpaid: usize,
    paid: ClientQueue,
    unpaid: ClientQueue,
}

/// The permits of one plugin.
#[derive(Debug, Default)]
pub(super) struct PluginShare {
    /// Its bounds.
    pub(super) limits: usize,
    held: usize,
    /// Those of them that unpaid work holds.
    held_unpaid: usize,
    pub(super) memory: MemoryInUse,
}

/// A request that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) number: u64,
    pub(super) client: Client,
    pub(super) limit: InstanceLimit,
    pub(super) granted: oneshot::Sender<InstancePermits>,
}

/// The answer to a request for permits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PermitClaim {
    /// It may have them now.
    Runs,
    /// It may have them as soon as enough are free. While it is the next in turn, they are kept for it: an instance of
    /// several permits would never find them free at once beside instances of one.
    Gathers,
    /// Others need them more.
    Refused,
}

/// The place of a request among those that wait, of which the least is the next to run: paid work, then the plugin that
/// holds the fewest permits, then the client that has the fewest instances in use, then the order of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    demand: Demand,
    held: usize,
    running: usize,
    number: u64,
    key: LimitKey,
}

impl PoolState {
    pub(super) fn new(total: usize) -> Self {
        let (limits, plugins) = (BTreeMap::new(), HashMap::new());
        Self { free: total, freed: Instant::now(), unpaid: 0, sellers: 0, waiting: 0, next: 0, limits, plugins }
    }

    /// The number of the next bound, or of the next request that waits.
    pub(super) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Tells whether an instance under this bound may run now.
    fn claim(&self, total: usize, key: LimitKey, demand: Demand) -> PermitClaim {
        let Some(limit) = self.limits.get(&key) else { return PermitClaim::Refused };
        if !self.has_room(limit, demand) {
            return PermitClaim::Refused;
        }
        let weight = limit.terms.weight;
        let most = self.most(total, demand);
        // What unpaid work holds is no reason to refuse paid work.
        let held = self.plugins.get(&limit.terms.plugin).map_or(0, |share| match demand {
            Demand::Paid => share.held - share.held_unpaid,
            Demand::Unpaid => share.held,
        });
        let used = match demand {
            Demand::Paid => total - self.free,
            Demand::Unpaid => self.unpaid,
        };
        let (plugins, least) = (self.plugins.len().max(1), (most / LEAST_SHARE).max(weight));
        let leaves = |of_most: usize, of_all: usize| used + weight + of_most <= most && self.free >= weight + of_all;
        let newcomers = (plugins - 1) * (most / LEAST_SHARE).max(1);
        let (is_refused, kept) = if held + weight <= least {
            (weight > most, 0)
        } else if held + weight <= (most / plugins).max(least) {
            (weight > most, if demand == Demand::Unpaid { (most / (2 * KEPT)).min(newcomers) } else { 0 })
        } else {
            (!leaves(most / KEPT, total / KEPT), 0)
        };
        if is_refused {
            return PermitClaim::Refused;
        }
        let has_room = used + weight + kept <= most && self.free >= weight;
        if has_room { PermitClaim::Runs } else { PermitClaim::Gathers }
    }

    /// The permits that such work may hold in all.
    fn most(&self, total: usize, demand: Demand) -> usize {
        match demand {
            Demand::Unpaid if self.sellers > 0 => total - total / KEPT,
            Demand::Unpaid | Demand::Paid => total,
        }
    }

    /// Tells whether an instance may run now, and no request that waits comes before it.
    pub(super) fn room(&self, total: usize, key: LimitKey, demand: Demand) -> Room {
        let Some(limit) = self.limits.get(&key) else { return Room::Taken };
        if !self.has_room(limit, demand) || !limit.queue(demand).is_empty() {
            return Room::Taken;
        }
        let newest = Turn { demand, held: self.held(limit), running: usize::MAX, number: u64::MAX, key };
        let runs = self.claim(total, key, demand) == PermitClaim::Runs
            && self.next_in_turn(total).is_none_or(|first| newest < first);
        if runs { Room::Free } else { Room::TakenByOthers(self.freed) }
    }

    /// True if the plugin's own bounds, of instances and of memory, allow another instance.
    fn has_room(&self, limit: &LimitState, demand: Demand) -> bool {
        let LimitTerms { plugin, memory, sells, .. } = &limit.terms;
        let fits = |share: &PluginShare| share.memory.fits_another(memory, *sells, demand);
        limit.has_room(demand) && self.plugins.get(plugin).is_none_or(fits)
    }

    /// Permits of the plugin of this bound.
    fn held(&self, limit: &LimitState) -> usize {
        self.plugins.get(&limit.terms.plugin).map_or(0, |share| share.held)
    }

    pub(super) fn take(&mut self, key: LimitKey, PermitRequest { demand, client }: PermitRequest) {
        let Some(limit) = self.limits.get_mut(&key) else { return };
        limit.running += 1;
        limit.queue_mut(demand).take(client);
        self.free -= limit.terms.weight;
        let unpaid = if demand == Demand::Unpaid { limit.terms.weight } else { 0 };
        limit.running_unpaid += usize::from(unpaid > 0);
        self.unpaid += unpaid;
        if let Some(share) = self.plugins.get_mut(&limit.terms.plugin) {
            share.held += limit.terms.weight;
            share.held_unpaid += unpaid;
            share.memory.begin(&limit.terms.memory, demand);
        }
    }

    pub(super) fn give_back(&mut self, key: LimitKey, PermitRequest { demand, client }: PermitRequest) {
        let Some(limit) = self.limits.get_mut(&key) else { return };
        limit.running -= 1;
        limit.queue_mut(demand).give_back(client);
        self.free += limit.terms.weight;
        self.freed = Instant::now();
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
    pub(super) fn grant(&mut self, total: usize) -> Vec<InstancePermits> {
        let mut undelivered = Vec::new();
        while let Some(Turn { key, demand, .. }) = self.next_in_turn(total) {
            // The permits that are free wait for the others that this request needs.
            if self.claim(total, key, demand) != PermitClaim::Runs {
                break;
            }
            let Some(waiting) = self.limits.get_mut(&key).and_then(|limit| limit.queue_mut(demand).pop()) else {
                break;
            };
            self.waiting -= 1;
            let request = PermitRequest { demand, client: waiting.client };
            self.take(key, request);
            let permits = waiting.limit.taken(request);
            if let Err(permits) = waiting.granted.send(permits) {
                undelivered.push(permits);
            }
        }
        undelivered
    }

    /// The request that is the next to run: now, or when it has enough permits.
    fn next_in_turn(&self, total: usize) -> Option<Turn> {
        if self.waiting == 0 || self.free == 0 {
            return None;
        }
        let first = |demand: Demand| {
            let waiting = self.limits.iter().filter_map(|(&key, limit)| {
                let ClientTurn { running, number, .. } = limit.queue(demand).first()?;
                Some(Turn { demand, held: self.held(limit), running, number, key })
            });
            waiting.filter(|turn| self.claim(total, turn.key, demand) != PermitClaim::Refused).min()
        };
        first(Demand::Paid).or_else(|| first(Demand::Unpaid))
    }
}

impl LimitState {
    /// A bound under which nothing runs.
    pub(super) fn new(terms: LimitTerms) -> Self {
        Self { terms, running: 0, running_unpaid: 0, paid: ClientQueue::default(), unpaid: ClientQueue::default() }
    }

    /// True if the plugin's own bound of instances allows another one.
    fn has_room(&self, demand: Demand) -> bool {
        let kept = if self.terms.sells { self.terms.most / KEPT } else { 0 };
        self.running < self.terms.most && (demand == Demand::Paid || self.running_unpaid < self.terms.most - kept)
    }

    fn queue(&self, demand: Demand) -> &ClientQueue {
        match demand {
            Demand::Paid => &self.paid,
            Demand::Unpaid => &self.unpaid,
        }
    }

    pub(super) fn queue_mut(&mut self, demand: Demand) -> &mut ClientQueue {
        match demand {
            Demand::Paid => &mut self.paid,
            Demand::Unpaid => &mut self.unpaid,
        }
    }

    /// Clients that hold or wait, for tests.
    #[cfg(test)]
    pub(super) fn clients(&self) -> usize {
        self.paid.clients() + self.unpaid.clients()
    }
}
