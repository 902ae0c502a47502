//! Tests of the rules by which plugins share the permits.

use super::*;

fn limit(pool: &Arc<PermitPool>, plugin: &str, most: usize) -> InstanceLimit {
    InstanceLimit::new(pool, &plugin.into(), most, 1, true)
}

/// Takes permits until none is free for this limit.
fn fill(limit: &InstanceLimit, demand: Demand) -> Vec<InstancePermits> {
    std::iter::from_fn(|| limit.try_acquire(demand)).collect()
}

/// Waits in a task of its own until it is queued.
async fn queued(limit: &InstanceLimit, demand: Demand) -> tokio::task::JoinHandle<Option<InstancePermits>> {
    let limit = limit.clone();
    let waits = tokio::spawn(async move { limit.next(demand).await });
    tokio::task::yield_now().await;
    assert!(!waits.is_finished());
    waits
}

#[test]
fn unpaid_work_leaves_a_quarter_to_paid_work() {
    let pool = PermitPool::new(64);
    let shop = limit(&pool, "shop", 16);
    let unpaid = fill(&shop, Demand::Unpaid);
    assert_eq!(unpaid.len(), 12);
    assert_eq!(fill(&shop, Demand::Paid).len(), 4, "the rest of its own instances");
    let others: Vec<_> = ["a", "b", "c", "d"].map(|name| limit(&pool, name, 16)).into();
    let all_unpaid: Vec<_> = others.iter().flat_map(|limit| fill(limit, Demand::Unpaid)).collect();
    assert_eq!(all_unpaid.len() + unpaid.len(), 48, "three quarters of all");
    assert!(!fill(&shop, Demand::Paid).is_empty());
}

#[test]
fn a_plugin_that_sells_nothing_has_all_of_its_instances() {
    let pool = PermitPool::new(64);
    let free = InstanceLimit::new(&pool, &"free".into(), 16, 1, false);
    assert_eq!(fill(&free, Demand::Unpaid).len(), 16);
}

#[test]
fn four_plugins_cannot_hold_every_permit() {
    let pool = PermitPool::new(256);
    let limits: Vec<_> = ["a", "b", "c", "d", "e", "f", "g", "h"].map(|name| limit(&pool, name, 64)).into();
    let held: Vec<Vec<_>> = limits[..4].iter().map(|limit| fill(limit, Demand::Paid)).collect();
    assert_eq!(held.iter().map(Vec::len).collect::<Vec<_>>(), [64, 64, 64, 32]);
    assert_eq!(fill(&limits[4], Demand::Paid).len(), 32, "its share");
    drop(held);
    drop(limits);
    assert_eq!(pool.free(), 256);
}

#[test]
fn one_plugin_alone_may_hold_every_permit() {
    let pool = PermitPool::new(8);
    assert_eq!(fill(&limit(&pool, "only", 8), Demand::Paid).len(), 8);
}

#[test]
fn a_heavy_instance_takes_several_permits() {
    let pool = PermitPool::new(8);
    let heavy = InstanceLimit::new(&pool, &"heavy".into(), 8, 3, false);
    let held = fill(&heavy, Demand::Unpaid);
    assert_eq!((held.len(), pool.free()), (2, 2));
    drop(held);
    let heaviest = InstanceLimit::new(&pool, &"heavy".into(), 8, 100, false);
    assert_eq!(fill(&heaviest, Demand::Unpaid).len(), 1, "alone");
}

#[tokio::test]
async fn a_free_permit_goes_to_paid_work_first_and_then_to_who_holds_the_fewest() {
    let pool = PermitPool::new(8);
    let (many, few) = (limit(&pool, "many", 8), limit(&pool, "few", 8));
    let mut of_many = fill(&many, Demand::Paid);
    let of_few = fill(&few, Demand::Paid);
    assert_eq!((of_many.len(), of_few.len(), pool.free()), (6, 2, 0));
    let unpaid = queued(&few, Demand::Unpaid).await;
    let paid_of_many = queued(&many, Demand::Paid).await;
    let paid_of_few = queued(&few, Demand::Paid).await;
    of_many.pop();
    let first = paid_of_few.await.expect("no panic");
    assert!(first.is_some() && !paid_of_many.is_finished() && !unpaid.is_finished());
    of_many.drain(..2);
    drop(first);
    assert!(paid_of_many.await.expect("no panic").is_some() && unpaid.await.expect("no panic").is_some());
}

/// Four permits, all of which two plugins hold, and a plugin whose instances take two.
fn full_and_a_heavy_one() -> (Vec<InstancePermits>, Arc<PermitPool>, InstanceLimit) {
    let pool = PermitPool::new(4);
    let heavy = InstanceLimit::new(&pool, &"heavy".into(), 4, 2, false);
    let mut held = Vec::new();
    for name in ["one", "two"] {
        held.extend(fill(&InstanceLimit::new(&pool, &name.into(), 4, 1, false), Demand::Unpaid));
    }
    assert_eq!((held.len(), pool.free()), (4, 0));
    (held, pool, heavy)
}

#[tokio::test]
async fn permits_that_become_free_gather_for_an_instance_of_several_whose_turn_it_is() {
    for demand in [Demand::Unpaid, Demand::Paid] {
        let (mut held, pool, heavy) = full_and_a_heavy_one();
        let [late, newcomer] = ["late", "newcomer"].map(|name| InstanceLimit::new(&pool, &name.into(), 4, 1, false));
        let first = queued(&heavy, demand).await;
        let behind = queued(&late, demand).await;
        held.pop();
        tokio::task::yield_now().await;
        assert!(!first.is_finished() && !behind.is_finished(), "one permit is kept");
        assert!(newcomer.try_acquire(demand).is_none() && newcomer.room(demand) != Room::Free, "from newcomers, too");
        held.pop();
        let first = first.await.expect("no panic").expect("two permits");
        assert!(!behind.is_finished());
        drop(first);
        assert!(behind.await.expect("no panic").is_some());
    }
}

#[tokio::test]
async fn permits_that_were_kept_go_to_paid_work_and_on_when_their_request_leaves() {
    let (mut held, pool, heavy) = full_and_a_heavy_one();
    let late = InstanceLimit::new(&pool, &"late".into(), 4, 1, false);
    let first = queued(&heavy, Demand::Unpaid).await;
    let behind = queued(&late, Demand::Unpaid).await;
    held.pop();
    let paid = late.try_acquire(Demand::Paid).expect("paid work comes first");
    drop(paid);
    tokio::task::yield_now().await;
    assert!(!behind.is_finished());
    first.abort();
    let _ = first.await;
    assert!(behind.await.expect("no panic").is_some(), "it is woken");
    drop(held);
    assert_eq!(pool.free(), 4);
}

#[tokio::test]
async fn unpaid_instances_of_several_permits_gather_what_unpaid_work_may_hold() {
    let pool = PermitPool::new(8);
    let shop = limit(&pool, "shop", 8);
    let heavy = InstanceLimit::new(&pool, &"heavy".into(), 8, 2, false);
    let mut held = fill(&shop, Demand::Unpaid);
    assert_eq!((held.len(), pool.free()), (6, 2), "a quarter is left to paid work");
    let waits = queued(&heavy, Demand::Unpaid).await;
    held.pop();
    tokio::task::yield_now().await;
    assert!(!waits.is_finished() && shop.try_acquire(Demand::Unpaid).is_none());
    held.pop();
    assert!(waits.await.expect("no panic").is_some());
}

#[tokio::test]
async fn a_request_that_stops_waiting_leaves_the_queue_and_its_permits() {
    let pool = PermitPool::new(1);
    let only = limit(&pool, "only", 1);
    let held = fill(&only, Demand::Paid);
    let gone = queued(&only, Demand::Paid).await;
    let patient = queued(&only, Demand::Paid).await;
    gone.abort();
    let _ = gone.await;
    drop(held);
    let granted = patient.await.expect("no panic");
    assert!(granted.is_some());
    assert_eq!(only.acquire(Demand::Paid, Duration::from_millis(1)).await.err(), Some(Fault::Busy));
    drop(granted);
    assert_eq!((pool.free(), only.free()), (1, 1));
    drop(only.acquire(Demand::Paid, Duration::from_secs(1)).await);
    assert_eq!(pool.free(), 1);
}
