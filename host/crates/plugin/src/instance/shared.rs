//! Instances that answer several requests at once, where the operator allows it for a plugin.
//!
//! An instance is a bench, and a request takes a seat on it. The bench lives in a task of its own ([`worker`]), and
//! is gone when nobody sits on it any more and nobody may sit down: its seats are used up, one who sat there
//! left early (a guest's task cannot be stopped alone), or its guest failed. A seat is held by the future that
//! waits for the answer, so whoever drops that gives it up.
//!
//! A place among the plugin's instances, and among all, is the bench's: it takes one when the first sits down, and
//! gives it back when the last has left.

mod slot;
mod worker;

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, SetOnce, mpsc};

use self::slot::QueuedRequest;
use crate::instance::meter::GuestMeter;
use crate::instance::pool::{IDLE, Reuse};
use crate::invoke::InstancePermits;
use crate::{Fault, Inner};

pub(crate) use self::slot::{GuestRequest, RequestSlot};

/// The benches of one build of a plugin.
pub(crate) struct SharedInstances {
    reuse: Reuse,
    /// Shared by all plugins: a bench on which nobody sits takes a slot of the pool.
    spares: Arc<Semaphore>,
    /// The one that was made last is the last.
    benches: Mutex<Vec<SharedInstance>>,
    number: AtomicU64,
    /// Somebody stood up.
    free: Notify,
    /// Whether a task gives up those on which nobody has sat for long.
    tidied: AtomicBool,
}

/// One instance, as those see it who look for a seat.
struct SharedInstance {
    number: u64,
    way: Mailbox,
    seated: u32,
    /// All that ever sat there.
    used: u32,
    /// Nobody else may sit down.
    closed: bool,
    /// Since when nobody sits there.
    since: Instant,
    place: InstancePermit,
    fate: Arc<InstanceState>,
}

/// What the pool has given for an instance. The worker keeps it until its store is gone.
type InstancePermit = Arc<Mutex<PermitKind>>;

enum PermitKind {
    Working { _slots: InstancePermits },
    Waiting { _spare: OwnedSemaphorePermit },
}

/// The way to a worker. When the last one is dropped, so is the instance.
#[derive(Clone)]
struct Mailbox {
    orders: mpsc::UnboundedSender<QueuedRequest>,
    _held: mpsc::Sender<()>,
}

/// What those on one bench have in common.
struct InstanceState {
    meter: Arc<GuestMeter>,
    /// Why the guest ended. Those who had not begun are told before; the store goes after.
    fault: SetOnce<Fault>,
    /// Whether somebody answers for that.
    blamed: AtomicBool,
    /// It holds more than it should, and is given up.
    worn: AtomicBool,
}

impl SharedInstances {
    /// None unless an instance answers several requests at once.
    pub(crate) fn new(reuse: Reuse, spares: Arc<Semaphore>) -> Arc<Self> {
        Arc::new(Self {
            reuse,
            spares,
            benches: Mutex::default(),
            number: AtomicU64::new(0),
            free: Notify::new(),
            tidied: AtomicBool::new(false),
        })
    }

    /// A seat beside others, or else one on a bench that nobody uses, waiting for at most so long.
    pub(crate) async fn find(self: &Arc<Self>, plugin: &Inner, wait: Duration) -> Result<RequestSlot, Fault> {
        // Nobody else makes a bench meanwhile, so that those who come at once sit together.
        let now = {
            let mut benches = self.benches();
            match self.beside_others(&mut benches, false) {
                None => plugin.free_place().map(|slots| self.alone(&mut benches, plugin, slots)),
                seat => seat,
            }
        };
        if let Some(seat) = now {
            return Ok(seat);
        }
        let seat = || self.beside_others(&mut self.benches(), true);
        self.wait(plugin, wait, seat, |slots| self.alone(&mut self.benches(), plugin, slots)).await
    }

    /// Whether there is either, now or in a moment. Takes none.
    pub(crate) async fn have_room(&self, plugin: &Inner, wait: Duration) -> Result<(), Fault> {
        let seat = || self.benches().iter().any(|bench| bench.seated > 0 && bench.is_open(self.reuse)).then_some(());
        self.wait(plugin, wait, seat, drop).await?;
        // Whoever waits for a seat to take was not told of this one.
        self.free.notify_one();
        Ok(())
    }

    /// Waits until there is a seat beside others, or a place for an instance.
    async fn wait<T>(
        &self,
        plugin: &Inner,
        most: Duration,
        seat: impl Fn() -> Option<T>,
        place: impl FnOnce(InstancePermits) -> T,
    ) -> Result<T, Fault> {
        let found = async {
            let mut slots = pin!(plugin.next_place());
            loop {
                let mut free = pin!(self.free.notified());
                free.as_mut().enable();
                if let Some(seat) = seat() {
                    return Some(seat);
                }
                tokio::select! {
                    biased;
                    slots = &mut slots => return slots.map(place),
                    () = free => {}
                }
            }
        };
        tokio::time::timeout(most, found).await.ok().flatten().ok_or(Fault::Busy)
    }

    /// Where somebody sits already. One whose guest computes for long is left to those who are there, unless there
    /// is no other.
    fn beside_others(self: &Arc<Self>, benches: &mut [SharedInstance], any: bool) -> Option<RequestSlot> {
        let open = |bench: &&mut SharedInstance| bench.seated > 0 && bench.is_open(self.reuse);
        let bench = benches.iter_mut().rev().filter(open).find(|bench| any || !bench.fate.meter.is_busy())?;
        Some(self.sit(bench))
    }

    /// The first seat of a bench that nobody uses, or of a new one.
    fn alone(
        self: &Arc<Self>,
        benches: &mut Vec<SharedInstance>,
        plugin: &Inner,
        slots: InstancePermits,
    ) -> RequestSlot {
        let unused = |bench: &&mut SharedInstance| bench.seated == 0 && bench.is_open(self.reuse);
        let seat = match benches.iter_mut().rev().find(unused) {
            Some(bench) => {
                *lock(&bench.place) = PermitKind::Working { _slots: slots };
                self.sit(bench)
            }
            None => {
                let number = self.number.fetch_add(1, Relaxed);
                let place = Arc::new(Mutex::new(PermitKind::Working { _slots: slots }));
                let (way, fate) = worker::start(plugin, self, number, Arc::clone(&place));
                let since = Instant::now();
                let mut bench = SharedInstance { number, way, seated: 0, used: 0, closed: false, since, place, fate };
                let seat = self.sit(&mut bench);
                benches.push(bench);
                seat
            }
        };
        // There is room beside it.
        self.free.notify_waiters();
        seat
    }

    fn sit(self: &Arc<Self>, bench: &mut SharedInstance) -> RequestSlot {
        bench.seated += 1;
        bench.used += 1;
        let (number, way, fate) = (bench.number, bench.way.clone(), Arc::clone(&bench.fate));
        RequestSlot { benches: Arc::clone(self), number, way, fate, well: false, read: None }
    }

    /// Nobody else sits down there.
    fn close(&self, number: u64) {
        let mut benches = self.benches();
        let Some(index) = benches.iter().position(|bench| bench.number == number) else { return };
        benches[index].closed = true;
        let gone = (benches[index].seated == 0).then(|| benches.remove(index));
        drop(benches);
        drop(gone);
    }

    fn stand_up(self: &Arc<Self>, number: u64, close: bool) {
        let mut benches = self.benches();
        let Some(index) = benches.iter().position(|bench| bench.number == number) else { return };
        let bench = &mut benches[index];
        bench.seated -= 1;
        bench.closed |= close || bench.used >= self.reuse.total;
        let mut gone = None;
        if bench.seated == 0 {
            match Arc::clone(&self.spares).try_acquire_owned() {
                Ok(spare) if !bench.closed => {
                    *lock(&bench.place) = PermitKind::Waiting { _spare: spare };
                    bench.since = Instant::now();
                    // A seat may be given up while the runtime ends, and its benches end with it.
                    if let Ok(runtime) = tokio::runtime::Handle::try_current()
                        && !self.tidied.swap(true, Relaxed)
                    {
                        runtime.spawn(Self::tidy(Arc::downgrade(self)));
                    }
                }
                _ => gone = Some(benches.remove(index)),
            }
        }
        drop(benches);
        drop(gone);
        self.free.notify_one();
    }

    /// Gives up those on which nobody has sat for long, until there is none or the plugin has gone.
    async fn tidy(benches: Weak<Self>) {
        loop {
            tokio::time::sleep(IDLE / 2).await;
            let Some(this) = benches.upgrade() else { return };
            let stale = |bench: &mut SharedInstance| bench.seated == 0 && bench.since.elapsed() > IDLE;
            let mut all = this.benches();
            let gone: Vec<_> = all.extract_if(.., stale).collect();
            let none = all.iter().all(|bench| bench.seated > 0);
            if none {
                this.tidied.store(false, Relaxed);
            }
            drop(all);
            drop(gone);
            if none {
                return;
            }
        }
    }

    fn benches(&self) -> MutexGuard<'_, Vec<SharedInstance>> {
        lock(&self.benches)
    }
}

impl SharedInstance {
    fn is_open(&self, reuse: Reuse) -> bool {
        !self.closed && self.seated < reuse.concurrent && self.used < reuse.total
    }
}

/// A panic while one of these locks was held leaves valid data behind.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
