//! Instances that answer several requests at once, where the operator allows it for a plugin.
//!
//! An instance is a bench, and a request takes a seat on it. The bench lives in a task of its own ([`worker`]), and
//! is gone when nobody sits on it any more and nobody may sit down: its seats are used up, one who sat there
//! left early (a guest's task cannot be stopped alone), or its guest failed. A seat is held by the future that
//! waits for the answer, so whoever drops that gives it up.
//!
//! A place among the plugin's instances, and among all, is the bench's: it takes one when the first sits down, and
//! gives it back when the last has left.

mod worker;

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use http::Request;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, SetOnce, mpsc, oneshot};
use wasmtime_wasi_http::WasiBody;

use super::body::Read;
use super::egress::Trail;
use super::invoke::{Answer, Slots};
use super::reuse::{IDLE, Reuse};
use super::watch::Watch;
use super::{Fault, Inner, Receipt};

/// The benches of one build of a plugin.
pub(super) struct Benches {
    reuse: Reuse,
    /// Shared by all plugins: a bench on which nobody sits takes a slot of the pool.
    spares: Arc<Semaphore>,
    /// The one that was made last is the last.
    benches: Mutex<Vec<Bench>>,
    number: AtomicU64,
    /// Somebody stood up.
    free: Notify,
    /// Whether a task gives up those on which nobody has sat for long.
    tidied: AtomicBool,
}

/// One instance, as those see it who look for a seat.
struct Bench {
    number: u64,
    way: Way,
    seated: u32,
    /// All that ever sat there.
    used: u32,
    /// Nobody else may sit down.
    closed: bool,
    /// Since when nobody sits there.
    since: Instant,
    place: Place,
    fate: Arc<Fate>,
}

/// What the pool has given for an instance. The worker keeps it until its store is gone.
type Place = Arc<Mutex<Held>>;

enum Held {
    Working { _slots: Slots },
    Waiting { _spare: OwnedSemaphorePermit },
}

/// The way to a worker. When the last one is dropped, so is the instance.
#[derive(Clone)]
struct Way {
    orders: mpsc::UnboundedSender<Job>,
    _held: mpsc::Sender<()>,
}

/// What those on one bench have in common.
struct Fate {
    watch: Arc<Watch>,
    /// Why the guest ended. Those who had not begun are told before; the store goes after.
    fault: SetOnce<Fault>,
    /// Whether somebody answers for that.
    blamed: AtomicBool,
    /// It holds more than it should, and is given up.
    worn: AtomicBool,
}

/// A request that waits for its turn to begin.
struct Job {
    order: Box<Order>,
    end: oneshot::Sender<End>,
}

/// A request, and what its guest is told and may do.
pub(super) struct Order {
    pub(super) request: Request<WasiBody>,
    pub(super) receipt: Option<Receipt>,
    pub(super) trail: Trail,
    pub(super) watch: Arc<Watch>,
    pub(super) answer: oneshot::Sender<Answer>,
    pub(super) read: Arc<Read>,
}

/// How a request ended, if not by a fault.
enum End {
    Well,
    /// The instance failed before the guest heard of it.
    NotBegun(Box<Order>),
}

/// A seat, or leave to make a bench.
pub(super) enum Found<T> {
    Seat(T),
    Place(Slots),
}

/// Held while a request is in an instance.
pub(super) struct Seat {
    benches: Arc<Benches>,
    number: u64,
    way: Way,
    fate: Arc<Fate>,
    /// Whether the request ended as it should.
    well: bool,
    read: Option<Arc<Read>>,
}

impl Benches {
    /// None unless an instance answers several requests at once.
    pub(super) fn new(reuse: Reuse, spares: Arc<Semaphore>) -> Arc<Self> {
        Arc::new(Self {
            reuse,
            spares,
            benches: Mutex::default(),
            number: AtomicU64::new(0),
            free: Notify::new(),
            tidied: AtomicBool::new(false),
        })
    }

    /// A seat beside others, or else a place for a bench, waiting for at most so long.
    pub(super) async fn find(self: &Arc<Self>, plugin: &Inner, wait: Duration) -> Result<Found<Seat>, Fault> {
        self.look(plugin, wait, |patient| self.beside_others(patient)).await
    }

    /// Whether there is either, now or in a moment. Takes none.
    pub(super) async fn have_room(&self, plugin: &Inner, wait: Duration) -> Result<(), Fault> {
        self.look(plugin, wait, |_| self.benches().iter().any(|bench| bench.is_open(self.reuse)).then_some(()))
            .await
            .map(drop)
    }

    async fn look<T>(
        &self,
        plugin: &Inner,
        wait: Duration,
        seat: impl Fn(bool) -> Option<T>,
    ) -> Result<Found<T>, Fault> {
        if let Some(seat) = seat(false) {
            return Ok(Found::Seat(seat));
        }
        if let Some(slots) = plugin.free_place() {
            return Ok(Found::Place(slots));
        }
        let found = async {
            let mut place = pin!(plugin.next_place());
            loop {
                let mut free = pin!(self.free.notified());
                free.as_mut().enable();
                if let Some(seat) = seat(true) {
                    return Some(Found::Seat(seat));
                }
                tokio::select! {
                    biased;
                    slots = &mut place => return slots.map(Found::Place),
                    () = free => {}
                }
            }
        };
        tokio::time::timeout(wait, found).await.ok().flatten().ok_or(Fault::Busy)
    }

    /// Where somebody sits already. One whose guest computes for long is left to those who are there, unless there
    /// is no other.
    fn beside_others(self: &Arc<Self>, patient: bool) -> Option<Seat> {
        let mut benches = self.benches();
        let open = |bench: &&mut Bench| bench.seated > 0 && bench.is_open(self.reuse);
        let bench = benches.iter_mut().rev().filter(open).find(|bench| patient || !bench.fate.watch.is_busy())?;
        Some(self.sit(bench))
    }

    /// The first seat of a bench that nobody uses, or of a new one.
    fn alone(self: &Arc<Self>, plugin: &Inner, slots: Slots) -> Seat {
        let mut benches = self.benches();
        if let Some(bench) = benches.iter_mut().rev().find(|bench| bench.seated == 0 && bench.is_open(self.reuse)) {
            *lock(&bench.place) = Held::Working { _slots: slots };
            return self.sit(bench);
        }
        let number = self.number.fetch_add(1, Relaxed);
        let place = Arc::new(Mutex::new(Held::Working { _slots: slots }));
        let (way, fate) = worker::start(plugin, self, number, Arc::clone(&place));
        let mut bench = Bench { number, way, seated: 0, used: 0, closed: false, since: Instant::now(), place, fate };
        let seat = self.sit(&mut bench);
        benches.push(bench);
        seat
    }

    fn sit(self: &Arc<Self>, bench: &mut Bench) -> Seat {
        bench.seated += 1;
        bench.used += 1;
        let (number, way, fate) = (bench.number, bench.way.clone(), Arc::clone(&bench.fate));
        Seat { benches: Arc::clone(self), number, way, fate, well: false, read: None }
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
                    *lock(&bench.place) = Held::Waiting { _spare: spare };
                    bench.since = Instant::now();
                    if !self.tidied.swap(true, Relaxed) {
                        tokio::spawn(Self::tidy(Arc::downgrade(self)));
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
            let stale = |bench: &mut Bench| bench.seated == 0 && bench.since.elapsed() > IDLE;
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

    fn benches(&self) -> MutexGuard<'_, Vec<Bench>> {
        lock(&self.benches)
    }

    /// Has a request answered. Ready when its guest has answered it and come to rest, or failed.
    ///
    /// Of those who fail together one is not told so by `excused`.
    pub(super) async fn answer(
        self: Arc<Self>,
        plugin: Arc<Inner>,
        mut found: Found<Seat>,
        mut order: Box<Order>,
        excused: Arc<AtomicBool>,
    ) -> Result<(), Fault> {
        loop {
            let mut seat = match found {
                Found::Seat(seat) => seat,
                Found::Place(slots) => self.alone(&plugin, slots),
            };
            seat.read = Some(Arc::clone(&order.read));
            let (end, ended) = oneshot::channel();
            match seat.way.orders.send(Job { order, end }) {
                Err(mpsc::error::SendError(job)) => order = job.order,
                Ok(()) => {
                    let fault = seat.fate.fault.wait();
                    let end = tokio::select! {
                        biased;
                        end = ended => end.ok(),
                        _ = fault => None,
                    };
                    match end {
                        Some(End::Well) => {
                            seat.well = true;
                            return Ok(());
                        }
                        Some(End::NotBegun(back)) => order = back,
                        None => {
                            let fault = seat.fate.fault.wait().await.clone();
                            excused.store(seat.fate.blamed.swap(true, Relaxed), Relaxed);
                            return Err(fault);
                        }
                    }
                }
            }
            // Its guest failed between the two: another one answers.
            seat.read = None;
            drop(seat);
            found = self.find(&plugin, plugin.runtime.wait).await?;
        }
    }
}

impl Bench {
    fn is_open(&self, reuse: Reuse) -> bool {
        !self.closed && self.seated < reuse.concurrent && self.used < reuse.total
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        // Whoever has read everything asks for no end. Whoever has not said what for the seat is leaves nothing behind.
        let left_early = !self.well && self.read.as_ref().is_some_and(|read| !read.is_over());
        self.benches.stand_up(self.number, left_early || self.fate.worn.load(Relaxed));
    }
}

/// A panic while one of these locks was held leaves valid data behind.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
