//! The state of the permits: who holds them, who waits, and who is next.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use coinslot_base::client::is_of_one_client;
use tokio::sync::oneshot;

use super::fair_share::{FairShare, PermitClaim};
use super::memory::MemoryInUse;
use super::pool::{LimitKey, LimitTerms};
use super::queue::{ClientQueue, ClientTurn};
use super::{Demand, InstanceLimit, InstancePermits, PermitRequest, Room, Sells};
use crate::permit::Client;

/// The part of the permits that is kept for those who need it more: one in this many.
pub(super) const KEPT: usize = 4;
/// The part of a plugin's permits, and of its memory, that free routes leave to its quotes: one in this many.
pub(super) const KEPT_FOR_QUOTES: usize = 8;

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
    running: RunningInstances,
    paid: ClientQueue,
    quotes: ClientQueue,
    free: ClientQueue,
}

/// The instances of a plugin that run.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RunningInstances {
    pub(super) all: usize,
    /// Those that nobody has paid for.
    unpaid: usize,
    /// Those of them that are no quotes.
    free: usize,
}

/// The permits of one plugin.
#[derive(Debug, Default)]
pub(super) struct PluginShare {
    /// Its bounds: those of its builds, and those of former terms under which instances still run.
    pub(super) limits: Vec<LimitKey>,
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

/// The place of a request among those that wait, of which the least is the next to run: paid work, then the plugin that
/// holds the fewest permits, then the client that has the fewest instances in use, then the order of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    is_unpaid: bool,
    held: usize,
    running: usize,
    number: u64,
    demand: Demand,
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
    fn claim(&self, total: usize, key: LimitKey, request: PermitRequest) -> PermitClaim {
        let Some(limit) = self.limits.get(&key) else { return PermitClaim::Refused };
        let demand = request.demand;
        if !self.has_room(limit, request) {
            return PermitClaim::Refused;
        }
        let share = self.plugins.get(&limit.terms.plugin);
        // What unpaid work holds is no reason to refuse paid work.
        let (held, used) = match demand {
            Demand::Paid => (share.map_or(0, |share| share.held - share.held_unpaid), total - self.free),
            Demand::Quote | Demand::Free => (share.map_or(0, |share| share.held), self.unpaid),
        };
        let (is_paid, most, plugins) = (demand.is_paid(), self.most(total, demand), self.plugins.len().max(1));
        FairShare { total, free: self.free, most, used, held, weight: limit.terms.weight, plugins, is_paid }.claim()
    }

    /// The permits that such work may hold in all.
    fn most(&self, total: usize, demand: Demand) -> usize {
        match demand {
            Demand::Quote | Demand::Free if self.sellers > 0 => total - total / KEPT,
            Demand::Quote | Demand::Free | Demand::Paid => total,
        }
    }

    /// Tells whether an instance may run now, and no request that waits comes before it.
    pub(super) fn room(&self, total: usize, key: LimitKey, request: PermitRequest) -> Room {
        let Some(limit) = self.limits.get(&key) else { return Room::Taken };
        let demand = request.demand;
        if !self.has_room(limit, request) || self.has_waiting(limit, demand) {
            return Room::Taken;
        }
        let (is_unpaid, held) = (!demand.is_paid(), self.held(limit));
        let newest = Turn { is_unpaid, held, running: usize::MAX, number: u64::MAX, demand, key };
        let runs = self.claim(total, key, request) == PermitClaim::Runs
            && self.next_in_turn(total).is_none_or(|first| newest < first);
        if runs { Room::Free } else { Room::TakenByOthers(self.freed) }
    }

    /// True if the plugin's own bounds, of instances and of memory, allow another instance.
    fn has_room(&self, limit: &LimitState, request: PermitRequest) -> bool {
        let LimitTerms { plugin, memory, sells, .. } = &limit.terms;
        let fits = |share: &PluginShare| share.memory.fits_another(memory, *sells, request.demand);
        limit.has_room(self.running(plugin), request) && self.plugins.get(plugin).is_none_or(fits)
    }

    /// The instances of a plugin, under all of its bounds: those that began before a reload count under its new terms.
    pub(super) fn running(&self, plugin: &str) -> RunningInstances {
        let bounds = self.plugins.get(plugin).into_iter().flat_map(|share| &share.limits);
        bounds.filter_map(|key| self.limits.get(key)).fold(RunningInstances::default(), |sum, limit| {
            let RunningInstances { all, unpaid, free } = limit.running;
            RunningInstances { all: sum.all + all, unpaid: sum.unpaid + unpaid, free: sum.free + free }
        })
    }

    /// True if a request of this kind waits that comes before a new one. Those of clients that have all that they may
    /// have do not.
    fn has_waiting(&self, limit: &LimitState, demand: Demand) -> bool {
        let may_run = |client| self.has_room(limit, PermitRequest { demand, client });
        limit.queue(demand).first().is_some_and(|first| may_run(first.client))
    }

    /// Permits of the plugin of this bound.
    fn held(&self, limit: &LimitState) -> usize {
        self.plugins.get(&limit.terms.plugin).map_or(0, |share| share.held)
    }

    pub(super) fn take(&mut self, key: LimitKey, PermitRequest { demand, client }: PermitRequest) {
        let Some(limit) = self.limits.get_mut(&key) else { return };
        limit.running.all += 1;
        limit.queue_mut(demand).take(client);
        self.free -= limit.terms.weight;
        let unpaid = if demand.is_paid() { 0 } else { limit.terms.weight };
        limit.running.unpaid += usize::from(unpaid > 0);
        limit.running.free += usize::from(demand == Demand::Free);
        self.unpaid += unpaid;
        if let Some(share) = self.plugins.get_mut(&limit.terms.plugin) {
            share.held += limit.terms.weight;
            share.held_unpaid += unpaid;
            share.memory.begin(&limit.terms.memory, demand);
        }
    }

    pub(super) fn give_back(&mut self, key: LimitKey, PermitRequest { demand, client }: PermitRequest) {
        let Some(limit) = self.limits.get_mut(&key) else { return };
        limit.running.all -= 1;
        limit.queue_mut(demand).give_back(client);
        self.free += limit.terms.weight;
        self.freed = Instant::now();
        let unpaid = if demand.is_paid() { 0 } else { limit.terms.weight };
        limit.running.unpaid -= usize::from(unpaid > 0);
        limit.running.free -= usize::from(demand == Demand::Free);
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
            let Some(first) = self.limits.get(&key).and_then(|limit| limit.queue(demand).first()) else { break };
            // The permits that are free wait for the others that this request needs.
            if self.claim(total, key, PermitRequest { demand, client: first.client }) != PermitClaim::Runs {
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
            let waiting = self.limits.iter().filter_map(move |(&key, limit)| {
                let ClientTurn { running, number, client } = limit.queue(demand).first()?;
                let turn = Turn { is_unpaid: !demand.is_paid(), held: self.held(limit), running, number, demand, key };
                // The first client has the fewest in use: if it may have no more, no other one may.
                let claim = self.claim(total, key, PermitRequest { demand, client });
                (claim != PermitClaim::Refused).then_some(turn)
            });
            waiting.min()
        };
        first(Demand::Paid).or_else(|| first(Demand::Quote).into_iter().chain(first(Demand::Free)).min())
    }
}

impl PluginShare {
    /// The permits that its instances hold.
    pub(super) fn held(&self) -> usize {
        self.held
    }
}

impl LimitState {
    /// A bound under which nothing runs.
    pub(super) fn new(terms: LimitTerms) -> Self {
        let (paid, quotes, free) = <(ClientQueue, ClientQueue, ClientQueue)>::default();
        Self { terms, running: RunningInstances::default(), paid, quotes, free }
    }

    /// The instances under this bound that run.
    pub(super) fn running(&self) -> usize {
        self.running.all
    }

    /// The requests that wait.
    pub(super) fn waiting(&self) -> usize {
        [&self.paid, &self.quotes, &self.free].into_iter().map(ClientQueue::waiting).sum()
    }

    /// True if the plugin's own bound of instances allows another one beside these.
    fn has_room(&self, running: RunningInstances, PermitRequest { demand, client }: PermitRequest) -> bool {
        let LimitTerms { most, sells, .. } = self.terms;
        let kept = if sells == Sells::Nothing { 0 } else { most / KEPT };
        let for_quotes = if sells == Sells::Quoted { (most / KEPT_FOR_QUOTES).max(usize::from(most > 1)) } else { 0 };
        let (unpaid, free) = (most - kept, (most - kept).saturating_sub(for_quotes).max(1));
        // A client without a public address may be a proxy, behind which are all clients. What it has under other bounds
        // does not count: the clients of a queue have their turns by what they have under its own.
        let of_client = if client.is_some_and(is_of_one_client) { free.div_ceil(2) } else { free };
        let is_allowed = match demand {
            Demand::Paid => true,
            Demand::Quote => running.unpaid < unpaid,
            Demand::Free => running.unpaid < unpaid && running.free < free && self.free.running(client) < of_client,
        };
        is_allowed && running.all < most
    }

    fn queue(&self, demand: Demand) -> &ClientQueue {
        match demand {
            Demand::Paid => &self.paid,
            Demand::Quote => &self.quotes,
            Demand::Free => &self.free,
        }
    }

    pub(super) fn queue_mut(&mut self, demand: Demand) -> &mut ClientQueue {
        match demand {
            Demand::Paid => &mut self.paid,
            Demand::Quote => &mut self.quotes,
            Demand::Free => &mut self.free,
        }
    }

    /// Clients that hold or wait, for tests.
    #[cfg(test)]
    pub(super) fn clients(&self) -> usize {
        self.paid.clients() + self.quotes.clients() + self.free.clients()
    }
}
