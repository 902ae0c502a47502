//! Instances that answer one request after another, where the operator allows it for a plugin.
//!
//! What a guest keeps in its memory it then keeps for the next caller: that is the point, and the danger. The
//! host keeps nothing over: limits, log, grants and the receipt begin anew with each request, and a task that
//! an earlier request left behind is told of no payment.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::Store;
use wasmtime_wasi_http::p2::bindings::Proxy;
use wasmtime_wasi_http::p3::bindings::Service;

use super::store::State;

/// For how many requests an instance is used, one after another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reuse {
    pub total: u32,
}

/// An instance that nobody asked for so long is given up.
const IDLE: Duration = Duration::from_secs(30);
/// Handles that an instance may hold between two requests: its streams and what it caches. One that leaks has more.
const HANDLES: usize = 64;

/// An instance between two requests, or in one.
pub(super) struct Warm {
    pub(super) store: Store<State>,
    pub(super) live: Live,
    /// Requests that it has answered.
    used: u32,
}

/// The handler that an instance exports.
pub(super) enum Live {
    P2(Proxy),
    P3(Service),
}

/// Instances of one build that wait for a request.
pub(super) struct Spares {
    total: u32,
    /// Linear memory above which an instance is given up, in bytes.
    memory: usize,
    /// Shared by all plugins: a spare instance takes a slot of the pool.
    places: Arc<Semaphore>,
    waiting: Mutex<Vec<(Warm, Instant, OwnedSemaphorePermit)>>,
}

impl Warm {
    /// A new one.
    pub(super) fn new(store: Store<State>, live: Live) -> Self {
        Self { store, live, used: 0 }
    }
}

impl Spares {
    pub(super) fn new(reuse: Reuse, memory: usize, places: Arc<Semaphore>) -> Self {
        Self { total: reuse.total, memory: memory / 2, places, waiting: Mutex::default() }
    }

    /// The one that was used last: what it needs is still in the processor's caches.
    pub(super) fn take(&self) -> Option<Warm> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = waiting.pop();
        let stale = waiting.iter().take_while(|(_, since, _)| since.elapsed() > IDLE).count();
        let stale: Vec<_> = waiting.drain(..stale).collect();
        drop(waiting);
        drop(stale);
        taken.map(|(warm, ..)| warm)
    }

    /// Takes back one whose guest has ended well, unless its time is over.
    pub(super) fn put(&self, mut warm: Warm) {
        warm.used += 1;
        let state = warm.store.data_mut();
        state.watch.log().finish();
        let worn =
            warm.used >= self.total || state.used_memory() > self.memory || state.table().iter_mut().count() > HANDLES;
        if worn {
            return;
        }
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else { return };
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push((warm, Instant::now(), place));
    }
}
