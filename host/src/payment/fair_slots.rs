//! Gives out a few slots for long work, fairly among clients.
//!
//! A client waits for its own work before it waits for the slots, so it has one place among those that wait, however many
//! requests it sends. Clients without a public address are not told apart: a proxy may stand for many.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use coinslot_base::client::is_of_one_client;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinError;

use super::client::prefix_of;

/// Slots, and the turn of each client that holds or waits for one.
#[derive(Debug)]
pub(super) struct FairSlots {
    slots: Arc<Semaphore>,
    turns: Mutex<HashMap<IpAddr, Arc<Semaphore>>>,
}

/// A slot, given back when it is dropped. The work that it stands for owns it: a client that hangs up stops its wait, and
/// not a thread that works already.
#[derive(Debug)]
pub(super) struct FairSlot {
    _slot: OwnedSemaphorePermit,
    _turn: Option<OwnTurn>,
}

impl FairSlot {
    /// Does the work on a thread, which holds the slot to the end of the work: a caller that goes away does not stop the
    /// thread, and its client would begin the next work beside it.
    pub(super) async fn work<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        let working = tokio::task::spawn_blocking(move || {
            let _slot = self;
            work()
        });
        working.await
    }
}

/// The turn of a client. The last one that holds or waits removes the entry.
#[derive(Debug)]
struct OwnTurn {
    slots: Arc<FairSlots>,
    client: IpAddr,
    permit: Option<OwnedSemaphorePermit>,
}

impl FairSlots {
    pub(super) fn new(slots: usize) -> Arc<Self> {
        Arc::new(Self { slots: Arc::new(Semaphore::new(slots)), turns: Mutex::default() })
    }

    /// Waits for a slot, at most this long.
    pub(super) async fn acquire(self: &Arc<Self>, client: IpAddr, wait: Duration) -> Option<FairSlot> {
        let acquired = async {
            let turn = if is_of_one_client(client) { Some(self.turn(prefix_of(client)).await?) } else { None };
            Some(FairSlot { _slot: Arc::clone(&self.slots).acquire_owned().await.ok()?, _turn: turn })
        };
        tokio::time::timeout(wait, acquired).await.ok().flatten()
    }

    async fn turn(self: &Arc<Self>, client: IpAddr) -> Option<OwnTurn> {
        let own = Arc::clone(self.turns.lock().entry(client).or_insert_with(|| Arc::new(Semaphore::new(1))));
        // Made before the wait: a wait that is given up removes the entry, too.
        let mut turn = OwnTurn { slots: Arc::clone(self), client, permit: None };
        turn.permit = Some(own.acquire_owned().await.ok()?);
        Some(turn)
    }
}

impl Drop for OwnTurn {
    fn drop(&mut self) {
        let mut turns = self.slots.turns.lock();
        // First, because a permit holds the semaphore of the entry.
        self.permit = None;
        if turns.get(&self.client).is_some_and(|own| Arc::strong_count(own) == 1) {
            turns.remove(&self.client);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use super::*;

    const LONG: Duration = Duration::from_secs(600);

    fn client(number: u8) -> IpAddr {
        IpAddr::from([9, 9, 9, number])
    }

    #[tokio::test]
    async fn a_client_that_asks_again_and_again_waits_behind_those_that_ask_once() {
        let slots = FairSlots::new(1);
        let first = slots.acquire(client(1), LONG).await.expect("free");
        let mut again: Vec<_> = (0..50).map(|_| Box::pin(slots.acquire(client(1), LONG))).collect();
        for one in &mut again {
            assert!(poll_once(one.as_mut()).is_pending());
        }
        let mut other = Box::pin(slots.acquire(client(2), LONG));
        assert!(poll_once(other.as_mut()).is_pending());
        drop(first);
        let Poll::Ready(Some(slot)) = poll_once(other.as_mut()) else { panic!("it is the next") };
        drop((slot, other, again));
        assert!(slots.turns.lock().is_empty(), "clients are forgotten");
        assert!(slots.acquire(client(3), Duration::ZERO).await.is_some());
    }

    #[tokio::test]
    async fn requests_without_a_public_address_are_not_held_apart() {
        let slots = FairSlots::new(2);
        let proxy = IpAddr::from([10, 0, 0, 1]);
        let both = (slots.acquire(proxy, LONG).await, slots.acquire(proxy, LONG).await);
        assert!(both.0.is_some() && both.1.is_some());
        assert!(slots.acquire(proxy, Duration::from_millis(1)).await.is_none());
    }

    /// A client that sent an expensive input and hung up, again and again, would have had a thread for each of them.
    #[tokio::test]
    async fn a_client_that_hangs_up_has_its_slot_until_its_work_is_done() {
        let slots = FairSlots::new(2);
        let (done, waits) = std::sync::mpsc::channel::<()>();
        let slot = slots.acquire(client(1), LONG).await.expect("free");
        let mut work = Box::pin(slot.work(move || waits.recv()));
        assert!(poll_once(work.as_mut()).is_pending());
        drop(work);
        assert!(slots.acquire(client(1), Duration::from_millis(50)).await.is_none(), "its turn is taken");
        let other = slots.acquire(client(2), Duration::ZERO).await;
        assert!(other.is_some(), "the other slot is free");
        assert!(slots.acquire(client(3), Duration::from_millis(50)).await.is_none(), "there is no third one");
        done.send(()).expect("the thread waits for it");
        assert!(slots.acquire(client(1), LONG).await.is_some());
    }

    fn poll_once<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
    }
}
