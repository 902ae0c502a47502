//! Instances that answer one request after another, where the operator allows it for a plugin.
//!
//! What a guest keeps in its memory it then keeps for the next caller: that is the point, and the danger. The
//! host keeps nothing over: limits, log, grants and the receipt begin anew with each request, and a task that
//! an earlier request left behind is told of no payment.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::Store;
use wasmtime_wasi_http::p2::bindings::Proxy;
use wasmtime_wasi_http::p2::body::HostOutgoingBody;
use wasmtime_wasi_http::p2::types::HostResponseOutparam;
use wasmtime_wasi_http::p3::bindings::Service;

use crate::instance::offload::aside;
use crate::instance::store::GuestState;

/// For how many requests an instance is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reuse {
    /// In its life.
    pub total: u32,
    /// At once. More than one takes a handler of WASI 0.3.
    pub concurrent: u32,
}

/// An instance that nobody asked for so long is given up.
pub(crate) const IDLE: Duration = Duration::from_secs(30);
/// Handles that an instance may hold between two requests: its streams and what it caches. One that leaks has more.
pub(crate) const HANDLES: usize = 64;

/// An instance between two requests, or in one.
pub(crate) struct PooledInstance {
    pub(crate) store: Store<GuestState>,
    pub(crate) live: GuestHandler,
    /// Requests that it has answered.
    used: u32,
}

/// The handler that an instance exports.
pub(crate) enum GuestHandler {
    P2(Proxy),
    P3(Service),
}

/// Instances of one build that wait for a request.
pub(crate) struct InstancePool {
    total: u32,
    /// Linear memory above which an instance is given up, in bytes.
    memory: usize,
    /// Shared by all plugins: a spare instance takes a slot of the pool.
    places: Arc<Semaphore>,
    /// The one that waits longest is the first.
    waiting: Mutex<Vec<IdleInstance>>,
    /// Whether a task gives up those that wait for too long.
    tidied: AtomicBool,
}

/// Since when it waits, and its slot.
type IdleInstance = (PooledInstance, Instant, OwnedSemaphorePermit);

impl PooledInstance {
    /// A new one.
    pub(crate) fn new(store: Store<GuestState>, live: GuestHandler) -> Self {
        Self { store, live, used: 0 }
    }
}

impl Drop for InstancePool {
    /// With what they hold, which may be much.
    fn drop(&mut self) {
        let waiting = std::mem::take(&mut *self.waiting());
        if !waiting.is_empty() {
            aside(|| drop(waiting));
        }
    }
}

impl InstancePool {
    pub(crate) fn new(reuse: Reuse, memory: usize, places: Arc<Semaphore>) -> Arc<Self> {
        let (waiting, tidied) = (Mutex::default(), AtomicBool::new(false));
        Arc::new(Self { total: reuse.total, memory: memory / 2, places, waiting, tidied })
    }

    /// The one that was used last: what it needs is still in the processor's caches.
    pub(crate) fn take(&self) -> Option<PooledInstance> {
        self.waiting().pop().map(|(warm, ..)| warm)
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<IdleInstance>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives up those that nobody asked for, until none is left or the plugin has gone.
    async fn tidy(spares: Weak<Self>) {
        loop {
            tokio::time::sleep(IDLE / 2).await;
            let Some(spares) = spares.upgrade() else { return };
            let mut waiting = spares.waiting();
            let stale = waiting.iter().take_while(|(_, since, _)| since.elapsed() > IDLE).count();
            let stale: Vec<_> = waiting.drain(..stale).collect();
            let none = waiting.is_empty();
            if none {
                spares.tidied.store(false, Relaxed);
            }
            drop(waiting);
            if !stale.is_empty() {
                aside(|| drop(stale));
            }
            if none {
                return;
            }
        }
    }

    /// Takes back one whose guest has ended well, unless its time is over.
    pub(crate) fn put(self: &Arc<Self>, mut warm: PooledInstance) {
        warm.used += 1;
        let state = warm.store.data_mut();
        state.meter.log().finish();
        // It could still answer the request that it was said to have answered.
        if state.table().iter_mut().any(|held| held.is::<HostResponseOutparam>() || held.is::<HostOutgoingBody>()) {
            return;
        }
        let worn =
            warm.used >= self.total || state.used_memory() > self.memory || state.table().iter_mut().count() > HANDLES;
        if worn {
            return;
        }
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else { return };
        let mut waiting = self.waiting();
        waiting.push((warm, Instant::now(), place));
        if !self.tidied.swap(true, Relaxed) {
            tokio::spawn(Self::tidy(Arc::downgrade(self)));
        }
    }
}
