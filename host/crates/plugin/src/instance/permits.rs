//! Bounds how many instances run at once: those of one plugin, and those of all plugins together.
//!
//! An instance takes as many permits as its shape needs of wasmtime's pool ([`weight`](crate::instance::engine::weight)),
//! so that the pool can hold the instance of each request that has its permits. With its permits it has the memory that
//! it begins with, of the budget of its plugin ([`memory`]). Three rules keep one kind of request from taking what
//! others need:
//! - Unpaid work (free routes and quotes) leaves a quarter of the permits to paid work, and a quarter of a plugin's own
//!   where the plugin sells something. Free routes leave an eighth of a plugin's own to its quotes, which are short and
//!   come before every sale, and one public client has at most half of what free routes may have: requests whose bodies
//!   are sent slowly hold their instances for long.
//! - A plugin that has its share already leaves a quarter to plugins that have less: of all permits, and with unpaid
//!   work also of those that unpaid work may take. Unpaid work within a plugin's share leaves up to half as many to
//!   plugins that have next to none.
//! - A permit that becomes free goes to paid work first, then to the plugin that holds the fewest, then to the client
//!   that has the fewest instances of the plugin in use, then in the order of arrival. For an instance of several
//!   permits, those that become free are kept while it is the next in turn.

mod fair_share;
mod memory;
mod pool;
mod queue;
mod state;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

pub(crate) use self::memory::{InstanceMemory, MemoryTerms};
use self::pool::LimitKey;
pub(crate) use self::pool::{LimitTerms, PermitPool};
use crate::fault::Fault;
use crate::permit::Client;

/// The reason for which an instance is wanted. Paid work comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Demand {
    Paid,
    /// A quote, which nobody has paid for.
    Quote,
    /// A request to a free route.
    Free,
}

impl Demand {
    pub(crate) fn is_paid(self) -> bool {
        self == Self::Paid
    }
}

/// The kind of sale for which a plugin's unpaid work leaves permits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sells {
    Nothing,
    /// Some requests have a price, and none is asked for by a quote.
    Declared,
    /// The component exports `quote`, which every sale asks.
    Quoted,
}

/// A request for permits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PermitRequest {
    pub(crate) demand: Demand,
    pub(crate) client: Client,
}

impl From<Demand> for PermitRequest {
    /// A request of which no client is known.
    fn from(demand: Demand) -> Self {
        Self { demand, client: None }
    }
}

/// The answer to a request for permits that does not take them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// Permits are free, and no other request comes before.
    Free,
    /// The plugin runs as many instances as it may, or its own requests wait.
    Taken,
    /// Other plugins hold the permits. Some became free at this time, and went to those who waited.
    TakenByOthers(Instant),
}

/// The permits of all plugins together, for operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolUsage {
    /// Permits that running instances hold.
    pub held: usize,
    /// All permits of the host.
    pub total: usize,
    /// Requests that wait for some.
    pub waiting: usize,
}

/// The share of a plugin in the permits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LimitUsage {
    /// Instances that run.
    pub(crate) instances: usize,
    /// Requests that wait for an instance.
    pub(crate) waiting: usize,
    /// Permits that the instances hold.
    pub(crate) permits: usize,
    /// Memory of all instances, in bytes.
    pub(crate) memory: usize,
}

/// The permits of a running instance, and its memory, returned when the last clone is dropped.
#[derive(Clone, Debug)]
pub(crate) struct InstancePermits {
    memory: Arc<InstanceMemory>,
    held: Arc<HeldPermits>,
}

impl InstancePermits {
    /// The memory of the instance. It counts for longer than the permits are held if the instance waits for another
    /// request.
    pub(crate) fn memory(&self) -> &Arc<InstanceMemory> {
        &self.memory
    }

    /// Holds the permits for an instance that exists already, with this memory, in the place of a new one.
    pub(crate) fn adopt(&mut self, memory: &Arc<InstanceMemory>) {
        memory.set_working(self.held.request.demand);
        self.memory = Arc::clone(memory);
    }
}

#[derive(Debug)]
struct HeldPermits {
    limit: Arc<LimitEntry>,
    request: PermitRequest,
}

/// The bound of one plugin's instances. Clones share it. Under each bound of a plugin all of its instances count: those
/// of a former build, and those that began before a reload.
#[derive(Clone, Debug)]
pub(crate) struct InstanceLimit(Arc<LimitEntry>);

/// The entry of one bound in the pool, removed when this is dropped.
#[derive(Debug)]
struct LimitEntry {
    pool: Arc<PermitPool>,
    key: LimitKey,
    terms: LimitTerms,
}

impl InstanceLimit {
    /// A bound under these terms.
    pub(crate) fn new(pool: &Arc<PermitPool>, terms: LimitTerms) -> Self {
        let key = pool.register(terms.clone());
        Self(Arc::new(LimitEntry { pool: Arc::clone(pool), key, terms }))
    }

    /// The bound of the same plugin under these terms: this one if the terms are its own, or another one, under which the
    /// instances that run count, too.
    pub(crate) fn under(&self, most: usize, sells: Sells, memory: MemoryTerms) -> Self {
        let terms = &self.0.terms;
        if (terms.most, terms.sells, terms.memory) == (most, sells, memory) {
            return self.clone();
        }
        Self::new(&self.0.pool, LimitTerms { most, sells, memory, ..terms.clone() })
    }

    /// Permits of one instance.
    pub(crate) fn weight(&self) -> usize {
        self.0.terms.weight
    }

    /// True if any of the plugin's requests can be paid for.
    pub(crate) fn sells(&self) -> bool {
        self.0.terms.sells != Sells::Nothing
    }

    /// The plugin's share now, of all its builds.
    pub(crate) fn usage(&self) -> LimitUsage {
        self.0.pool.usage(&self.0.terms)
    }

    /// Tells whether permits are free for a request that comes now.
    pub(crate) fn room(&self, request: impl Into<PermitRequest>) -> Room {
        self.0.pool.room(self.0.key, request.into())
    }

    /// Takes permits, waiting at most this long.
    pub(crate) async fn acquire(
        &self,
        request: impl Into<PermitRequest>,
        wait: Duration,
    ) -> Result<InstancePermits, Fault> {
        let request = request.into();
        if let Some(permits) = self.try_acquire(request) {
            return Ok(permits);
        }
        tokio::time::timeout(wait, self.next(request)).await.ok().flatten().ok_or(Fault::Busy)
    }

    /// Takes permits that are free at once.
    pub(crate) fn try_acquire(&self, request: impl Into<PermitRequest>) -> Option<InstancePermits> {
        let request = request.into();
        self.0.pool.try_take(self.0.key, request).then(|| self.taken(request))
    }

    /// Waits for the next permits that are free.
    pub(crate) async fn next(&self, request: impl Into<PermitRequest>) -> Option<InstancePermits> {
        let request = request.into();
        let (granted, grant) = oneshot::channel();
        let place = QueuePlace { entry: &self.0, ticket: self.0.pool.enqueue(self, request, granted) };
        let permits = grant.await.ok();
        drop(place);
        permits
    }

    /// The permits of an instance that the pool has counted.
    fn taken(&self, request: PermitRequest) -> InstancePermits {
        let memory = InstanceMemory::begun(&self.0, request.demand);
        InstancePermits { memory, held: Arc::new(HeldPermits { limit: Arc::clone(&self.0), request }) }
    }

    /// Memory that the plugin's instances have, in bytes, for tests.
    #[cfg(test)]
    pub(crate) fn memory_in_use(&self) -> usize {
        let mut total = 0;
        self.0.pool.change_memory(&self.0.terms, |memory, _| {
            total = memory.total();
            true
        });
        total
    }

    /// Instances that the plugin may still start, for tests.
    #[cfg(test)]
    pub(crate) fn free(&self) -> usize {
        self.0.pool.free_of(self.0.key)
    }
}

impl Drop for HeldPermits {
    fn drop(&mut self) {
        self.limit.pool.give_back(self.limit.key, self.request);
    }
}

impl Drop for LimitEntry {
    fn drop(&mut self) {
        self.pool.remove(self.key);
    }
}

/// A request's place in the queue of its bound.
#[derive(Clone, Copy, Debug)]
struct Ticket {
    number: u64,
    request: PermitRequest,
}

/// A place in the queue, given up when this is dropped.
struct QueuePlace<'l> {
    entry: &'l LimitEntry,
    ticket: Ticket,
}

impl Drop for QueuePlace<'_> {
    fn drop(&mut self) {
        self.entry.pool.leave(self.entry.key, self.ticket);
    }
}

#[cfg(test)]
mod tests;
