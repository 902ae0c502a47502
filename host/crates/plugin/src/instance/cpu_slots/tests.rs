//! Tests the order in which guests get slots.

use tokio::task::JoinHandle;

use super::*;

fn at_once() -> bool {
    false
}

type Order = Arc<Mutex<Vec<&'static str>>>;

/// Waits in a task of its own, and tells its name when it has a slot, which it gives back.
async fn waits(slots: &CpuSlots, little: bool, name: &'static str, order: &Order) -> JoinHandle<()> {
    waits_as(slots, little, SlotUser::default(), name, order).await
}

async fn waits_as(slots: &CpuSlots, little: bool, user: SlotUser, name: &'static str, order: &Order) -> JoinHandle<()> {
    let (slots, order) = (slots.clone(), Arc::clone(order));
    let task = tokio::spawn(async move {
        let slot = slots.acquire(little, &user, at_once).await;
        order.lock().push(name);
        drop(slot);
    });
    tokio::task::yield_now().await;
    task
}

/// A request that waits several times stood behind all guests that compute each time.
#[tokio::test]
async fn a_guest_that_has_used_little_comes_before_those_that_have_used_much() {
    let (slots, order) = (CpuSlots::new(1), Arc::default());
    let held = slots.acquire(false, &SlotUser::default(), at_once).await;
    let mut tasks = Vec::new();
    for (little, name) in [(false, "much"), (false, "more"), (true, "little"), (true, "less")] {
        tasks.push(waits(&slots, little, name, &order).await);
    }
    drop(held);
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(*order.lock(), ["little", "less", "much", "more"]);
    assert_eq!(slots.0.lock().free, 1);
}

#[tokio::test]
async fn guests_that_have_used_much_have_one_slot_in_five_at_least() {
    let (slots, order) = (CpuSlots::new(1), Arc::default());
    let held = slots.acquire(true, &SlotUser::default(), at_once).await;
    let mut tasks = vec![waits(&slots, false, "much", &order).await];
    for _ in 0..6 {
        tasks.push(waits(&slots, true, "little", &order).await);
    }
    drop(held);
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(order.lock().iter().position(|name| *name == "much"), Some(4));
}

/// A client that did not read its stream kept the slot that its guest was about to give back, or to take.
#[tokio::test]
async fn a_guest_that_is_no_longer_polled_keeps_no_slot() {
    let slots = CpuSlots::new(1);
    let held = slots.acquire(false, &SlotUser::default(), at_once).await.lend();
    let read = SlotUser::default();
    let mut unpolled = Box::pin(slots.acquire(true, &read, at_once));
    assert!(polled_once(unpolled.as_mut()).await.is_none(), "it waits");
    let next = tokio::time::timeout(PICK_UP * 100, slots.acquire(false, &SlotUser::default(), at_once)).await;
    assert!(next.is_ok(), "lent twice, taken never, and handed on");
    drop((held, next));
    assert!(tokio::time::timeout(PICK_UP * 100, unpolled).await.is_ok(), "it queues again");
}

/// Free requests to a plugin that computes for long kept its paid ones waiting until their time was over.
#[tokio::test]
async fn a_paid_guest_takes_the_place_of_an_unpaid_one_of_its_plugin_and_of_no_other() {
    let (slots, order) = (CpuSlots::new(1), Arc::default());
    let held = slots.acquire(false, &SlotUser::default(), at_once).await;
    let mut tasks = Vec::new();
    for (name, plugin, is_paid) in
        [("other", 2, false), ("free", 1, false), ("other too", 2, false), ("free too", 1, false), ("paid", 1, true)]
    {
        let user = SlotUser { plugin, is_paid, ..SlotUser::default() };
        tasks.push(waits_as(&slots, false, user, name, &order).await);
    }
    drop(held);
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(*order.lock(), ["other", "paid", "free", "other too", "free too"]);
}

/// Each answer with an unread frame kept a slot for [`PICK_UP`], in which other guests waited.
#[tokio::test]
async fn a_guest_that_is_not_read_is_passed_over_and_queues_again() {
    let slots = CpuSlots::new(1);
    let held = slots.acquire(false, &SlotUser::default(), at_once).await;
    let (away, read) = (SlotUser::default(), SlotUser::default());
    let mut first = Box::pin(slots.acquire(true, &away, at_once));
    let mut second = Box::pin(slots.acquire(true, &read, at_once));
    assert!(polled_once(first.as_mut()).await.is_none() && polled_once(second.as_mut()).await.is_none());
    away.unread.store(true, Relaxed);
    drop(held);
    let slot = polled_once(second.as_mut()).await.unwrap();
    away.unread.store(false, Relaxed);
    assert!(polled_once(first.as_mut()).await.is_none());
    drop(slot);
    assert!(polled_once(first.as_mut()).await.is_some());
}

/// Polls a future once.
async fn polled_once<F: Future + Unpin>(mut future: F) -> Option<F::Output> {
    std::future::poll_fn(|context| {
        let polled = std::pin::Pin::new(&mut future).poll(context);
        std::task::Poll::Ready(match polled {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

#[tokio::test]
async fn a_guest_that_stops_waiting_loses_no_slot() {
    let slots = CpuSlots::new(2);
    let held = [
        slots.acquire(false, &SlotUser::default(), at_once).await,
        slots.acquire(false, &SlotUser::default(), at_once).await,
    ];
    let order = Arc::default();
    let gone = waits(&slots, true, "gone", &order).await;
    let stays = waits(&slots, false, "stays", &order).await;
    gone.abort();
    let _ = gone.await;
    drop(held);
    stays.await.unwrap();
    assert_eq!((slots.0.lock().free, &**order.lock()), (2, &["stays"][..]));
}
