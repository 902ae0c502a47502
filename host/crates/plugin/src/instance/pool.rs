//! Pools instances that answer one request after another, where the operator allows it for a plugin.
//!
//! A guest's memory stays from one client to the next: that is the purpose of reuse, and its danger. The host's own
//! state does not: limits, log, grants and the receipt begin anew with each request, and a task that an earlier request
//! left behind belongs to no request ([`RequestContexts`](crate::instance::context::RequestContexts)).
//!
//! An instance is reused only after its guest has ended without a fault, with its response complete. An idle instance
//! takes no permit of a running one, but one of the permits for idle instances, and a bounded part of the memory of its
//! plugin. It is evicted after a while.
//! Instances are always dropped outside of the lock and off the async threads: each may free much memory.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use coinslot_base::offload::offload;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::Store;
use wasmtime_wasi_http::p2::bindings::Proxy;
use wasmtime_wasi_http::p2::body::HostOutgoingBody;
use wasmtime_wasi_http::p2::types::HostResponseOutparam;
use wasmtime_wasi_http::p3::bindings::Service;

use crate::instance::permits::InstanceMemory;
use crate::instance::store::GuestState;

/// An instance that has had no request for this long is evicted.
pub(crate) const IDLE: Duration = Duration::from_secs(30);
/// Handles that an instance may hold between two requests: its standard streams and what it caches. A guest that leaks
/// handles has more.
pub(crate) const IDLE_HANDLES: usize = 64;

/// An instance that can answer a request.
pub(crate) struct PooledInstance {
    pub(crate) store: Store<GuestState>,
    pub(crate) handler: GuestHandler,
    /// Behind the store, and so counted until the store has been dropped.
    pub(crate) memory: Arc<InstanceMemory>,
    /// Requests that it has answered.
    answered: u32,
}

/// The permits of idle instances, as one plugin takes them.
#[derive(Clone, Debug)]
pub(crate) struct IdlePermits {
    /// Shared by all plugins: an idle instance takes slots of wasmtime's pool.
    permits: Arc<Semaphore>,
    /// Permits of one instance.
    weight: u32,
}

impl IdlePermits {
    pub(crate) fn new(permits: Arc<Semaphore>, weight: usize) -> Self {
        Self { permits, weight: u32::try_from(weight).unwrap_or(u32::MAX) }
    }

    /// Takes the permits of one instance, if they are free.
    pub(crate) fn try_acquire(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.permits).try_acquire_many_owned(self.weight).ok()
    }
}

/// The handler that an instance exports.
pub(crate) enum GuestHandler {
    P2(Proxy),
    P3(Service),
}

/// The idle instances of one build.
pub(crate) struct InstancePool {
    /// Requests of an instance in its life.
    total: u32,
    /// Linear memory above which an instance is dropped, in bytes.
    memory: usize,
    permits: IdlePermits,
    /// The instance that has been idle for longest is the first.
    idle: Mutex<Vec<IdleInstance>>,
    /// Set while the task that evicts instances runs.
    evicting: AtomicBool,
}

struct IdleInstance {
    instance: PooledInstance,
    since: Instant,
    _permit: OwnedSemaphorePermit,
}

impl PooledInstance {
    /// An instance that has answered no request.
    pub(crate) fn new(store: Store<GuestState>, handler: GuestHandler, memory: Arc<InstanceMemory>) -> Self {
        Self { store, handler, memory, answered: 0 }
    }
}

impl Drop for InstancePool {
    fn drop(&mut self) {
        let idle = std::mem::take(self.idle.get_mut());
        if !idle.is_empty() {
            offload(|| drop(idle));
        }
    }
}

impl InstancePool {
    /// A pool for instances of this memory limit, each of which answers this many requests.
    pub(crate) fn new(total: u32, memory: usize, permits: IdlePermits) -> Arc<Self> {
        let (idle, evicting) = (Mutex::default(), AtomicBool::new(false));
        Arc::new(Self { total, memory: memory / 2, permits, idle, evicting })
    }

    /// Takes the instance that was used last: its memory is still in the processor's caches.
    pub(crate) fn take(&self) -> Option<PooledInstance> {
        self.idle.lock().pop().map(|idle| idle.instance)
    }

    /// Returns an instance whose guest has ended without a fault. Drops it if it is used up, holds too much, could
    /// still write to the response that it has given, or if there are too many idle ones.
    pub(crate) fn put(self: &Arc<Self>, mut instance: PooledInstance) {
        instance.answered += 1;
        let state = instance.store.data_mut();
        state.meter.log().finish();
        state.permits = None;
        // With one of these handles the guest could still write to the response of the request that has ended.
        if state.table().iter_mut().any(|held| held.is::<HostResponseOutparam>() || held.is::<HostOutgoingBody>()) {
            return;
        }
        let retired = instance.answered >= self.total
            || state.used_memory() > self.memory
            || state.table().iter_mut().count() > IDLE_HANDLES;
        if retired {
            return;
        }
        // Not awaited: if no permit of an idle instance is free, this instance is dropped.
        let Some(permit) = self.permits.try_acquire() else { return };
        if !instance.memory.try_set_idle() {
            return;
        }
        let mut idle = self.idle.lock();
        idle.push(IdleInstance { instance, since: Instant::now(), _permit: permit });
        if !self.evicting.swap(true, Relaxed) {
            tokio::spawn(Self::evict_idle(Arc::downgrade(self)));
        }
    }

    /// Evicts instances that have been idle for too long, until none is left or the plugin is gone.
    async fn evict_idle(pool: Weak<Self>) {
        loop {
            tokio::time::sleep(IDLE / 2).await;
            let Some(pool) = pool.upgrade() else { return };
            let mut idle = pool.idle.lock();
            let stale = idle.iter().take_while(|idle| idle.since.elapsed() > IDLE).count();
            let stale: Vec<_> = idle.drain(..stale).collect();
            let empty = idle.is_empty();
            if empty {
                // Set within the lock, so that an instance that is put afterwards starts the task again.
                pool.evicting.store(false, Relaxed);
            }
            drop(idle);
            if !stale.is_empty() {
                offload(|| drop(stale));
            }
            if empty {
                return;
            }
        }
    }
}
