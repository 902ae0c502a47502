//! The list of the shared instances of one build, in which requests look for a slot.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::Instant;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, OwnedSemaphorePermit};

use super::mailbox::{InstanceState, Mailbox};
use crate::instance::permits::{Demand, InstanceMemory, InstancePermits};
use crate::instance::pool::{IDLE, IdlePermits};
use crate::limits::Reuse;

/// The shared instances of one build.
pub(super) struct InstanceList {
    pub(super) reuse: Reuse,
    /// Requests at once that unpaid work leaves to paid work.
    kept: u32,
    idle_permits: IdlePermits,
    /// The newest is the last.
    instances: Mutex<Vec<SharedInstance>>,
    numbers: AtomicU64,
    /// Notified when a slot may be free. Unpaid work does not take every slot, so a notification that it receives must
    /// not be one that paid work waits for.
    freed_for_paid: Notify,
    freed_for_unpaid: Notify,
    /// Set while the task that evicts instances runs.
    evicting: AtomicBool,
}

/// One shared instance.
pub(super) struct SharedInstance {
    pub(super) number: u64,
    pub(super) mailbox: Mailbox,
    pub(super) state: Arc<InstanceState>,
    permit: SharedPermits,
    /// Requests in it.
    active: u32,
    /// Requests that ever were in it.
    used: u32,
    /// Accepts no further request.
    closed: bool,
    /// The time at which its last request left.
    idle_since: Instant,
}

/// The permits that an instance holds. Its worker keeps them until its store has been dropped.
pub(super) type SharedPermits = Arc<Mutex<PermitKind>>;

pub(super) enum PermitKind {
    Running(InstancePermits),
    Idle { _permit: OwnedSemaphorePermit, memory: Arc<InstanceMemory> },
}

impl InstanceList {
    pub(super) fn new(reuse: Reuse, sells: bool, idle_permits: IdlePermits) -> Arc<Self> {
        Arc::new(Self {
            reuse,
            kept: if sells { reuse.concurrent / 4 } else { 0 },
            idle_permits,
            instances: Mutex::default(),
            numbers: AtomicU64::new(0),
            freed_for_paid: Notify::new(),
            freed_for_unpaid: Notify::new(),
            evicting: AtomicBool::new(false),
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Vec<SharedInstance>> {
        self.instances.lock()
    }

    /// True if another request may come into this instance.
    pub(super) fn accepts(&self, instance: &SharedInstance, demand: Demand) -> bool {
        let most = match demand {
            Demand::Paid => self.reuse.concurrent,
            Demand::Quote | Demand::Free => self.reuse.concurrent - self.kept,
        };
        !instance.closed && instance.active < most && instance.used < self.reuse.total
    }

    /// The notification for which this kind of work waits.
    pub(super) fn freed(&self, demand: Demand) -> &Notify {
        match demand {
            Demand::Paid => &self.freed_for_paid,
            Demand::Quote | Demand::Free => &self.freed_for_unpaid,
        }
    }

    /// Notifies a request of each kind: a slot is free.
    fn notify_one(&self) {
        self.freed_for_paid.notify_one();
        self.freed_for_unpaid.notify_one();
    }

    /// Notifies every request that waits: several slots are free.
    pub(super) fn notify_all(&self) {
        self.freed_for_paid.notify_waiters();
        self.freed_for_unpaid.notify_waiters();
    }

    /// A number that no other instance of the list has had.
    pub(super) fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Relaxed)
    }

    /// Lets no further request into an instance, and drops it if it has none.
    pub(super) fn close(&self, number: u64) {
        let mut instances = self.lock();
        let Some(index) = instances.iter().position(|instance| instance.number == number) else { return };
        instances[index].closed = true;
        let removed = (instances[index].active == 0).then(|| instances.remove(index));
        drop(instances);
        drop(removed);
    }

    /// Takes note that a request has left an instance, which is then used up, retired, idle or still in use. `close`
    /// lets no further request into it.
    pub(super) fn release(self: &Arc<Self>, number: u64, close: bool) {
        let mut instances = self.lock();
        let Some(index) = instances.iter().position(|instance| instance.number == number) else { return };
        let instance = &mut instances[index];
        instance.active -= 1;
        instance.closed |= close || instance.used >= self.reuse.total;
        let mut removed = None;
        if instance.active == 0 {
            let permit = if instance.closed { None } else { self.idle_permits.try_acquire() };
            if permit.is_some_and(|permit| instance.set_idle(permit)) {
                instance.idle_since = Instant::now();
                self.start_evicting();
            } else {
                removed = Some(instances.remove(index));
            }
        }
        drop(instances);
        drop(removed);
        self.notify_one();
    }

    /// Starts the task that evicts idle instances, if it does not run.
    fn start_evicting(self: &Arc<Self>) {
        // A slot may be released while the runtime shuts down; the instances are dropped with it then.
        if let Ok(runtime) = tokio::runtime::Handle::try_current()
            && !self.evicting.swap(true, Relaxed)
        {
            runtime.spawn(Self::evict_idle(Arc::downgrade(self)));
        }
    }

    /// Evicts instances that have been idle for too long, until none is idle or the plugin is gone.
    async fn evict_idle(list: Weak<Self>) {
        loop {
            tokio::time::sleep(IDLE / 2).await;
            let Some(list) = list.upgrade() else { return };
            let stale = |instance: &mut SharedInstance| instance.active == 0 && instance.idle_since.elapsed() > IDLE;
            let mut instances = list.lock();
            let evicted: Vec<_> = instances.extract_if(.., stale).collect();
            let none_idle = instances.iter().all(|instance| instance.active > 0);
            if none_idle {
                // Set within the lock, so that an instance that becomes idle afterwards starts the task again.
                list.evicting.store(false, Relaxed);
            }
            drop(instances);
            drop(evicted);
            if none_idle {
                return;
            }
        }
    }
}

impl SharedInstance {
    /// An instance without a request, which holds these permits.
    pub(super) fn new(number: u64, mailbox: Mailbox, state: Arc<InstanceState>, permit: SharedPermits) -> Self {
        let idle_since = Instant::now();
        Self { number, mailbox, state, permit, active: 0, used: 0, closed: false, idle_since }
    }

    pub(super) fn is_in_use(&self) -> bool {
        self.active > 0
    }

    /// Counts a request that comes in.
    pub(super) fn enter(&mut self) {
        self.active += 1;
        self.used += 1;
    }

    /// Takes the permits of a running instance in exchange for that of an idle one.
    pub(super) fn set_running(&self, mut permits: InstancePermits) {
        let mut permit = self.permit.lock();
        permits.adopt(permit.memory());
        *permit = PermitKind::Running(permits);
    }

    /// Takes the permit of an idle instance. The permits of a running one are dropped by that, and so free for another
    /// plugin. False if the plugin has no memory left for another idle instance.
    fn set_idle(&self, idle: OwnedSemaphorePermit) -> bool {
        let mut permit = self.permit.lock();
        let memory = Arc::clone(permit.memory());
        let fits = memory.try_set_idle();
        if fits {
            *permit = PermitKind::Idle { _permit: idle, memory };
        }
        fits
    }
}

impl PermitKind {
    /// The memory of the instance, which stays its own.
    fn memory(&self) -> &Arc<InstanceMemory> {
        match self {
            Self::Running(permits) => permits.memory(),
            Self::Idle { memory, .. } => memory,
        }
    }
}
