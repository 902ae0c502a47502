//! Tests of the budget that the instances of one plugin share.

use std::time::Duration;

use super::super::{InstanceLimit, InstancePermits, LimitTerms, PermitPool, Room};
use super::*;
use crate::fault::Fault;

const MIB: usize = 1 << 20;

/// A plugin with 64 MiB for all instances, of which each begins with 4 MiB and may have 32.
fn limit(pool: &Arc<PermitPool>, sells: Sells) -> InstanceLimit {
    let limits = Limits { memory: 32 * MIB, plugin_memory: 64 * MIB, ..Limits::default() };
    let memory = MemoryTerms::new(&limits, 4 * MIB, MIB);
    InstanceLimit::new(pool, LimitTerms { plugin: "plugin".into(), most: 99, weight: 1, sells, memory })
}

fn fill(limit: &InstanceLimit, demand: Demand) -> Vec<InstancePermits> {
    std::iter::from_fn(|| limit.try_acquire(demand)).collect()
}

#[test]
fn as_many_instances_begin_as_have_memory_and_unpaid_ones_leave_a_quarter() {
    let pool = PermitPool::new(99);
    let sales = [(Sells::Nothing, 16, 0, 0), (Sells::Declared, 12, 0, 4), (Sells::Quoted, 10, 2, 4)];
    for (sells, free, quotes, paid) in sales {
        let limit = limit(&pool, sells);
        let held = [Demand::Free, Demand::Quote, Demand::Paid].map(|demand| fill(&limit, demand));
        assert_eq!(held.each_ref().map(Vec::len), [free, quotes, paid], "{sells:?}");
        assert_eq!((limit.memory_in_use(), limit.room(Demand::Paid)), (64 * MIB, Room::Taken));
        drop(held);
        assert_eq!((limit.memory_in_use(), limit.room(Demand::Free)), (0, Room::Free));
    }
}

#[test]
fn growth_is_refused_at_the_budget_and_comes_back_with_the_instance() {
    let pool = PermitPool::new(99);
    let limit = limit(&pool, Sells::Declared);
    let grown = limit.try_acquire(Demand::Free).expect("room");
    assert!(grown.memory().resize(32 * MIB) && grown.memory().resize(30 * MIB));
    let other = limit.try_acquire(Demand::Free).expect("room");
    assert!(!other.memory().resize(19 * MIB), "18 MiB are left to unpaid work");
    assert_eq!(other.memory().bytes(), 4 * MIB, "a refusal takes nothing");
    assert!(other.memory().resize(18 * MIB) && limit.try_acquire(Demand::Free).is_none());
    let paid = limit.try_acquire(Demand::Paid).expect("a quarter is kept");
    assert!(paid.memory().resize(16 * MIB) && !paid.memory().resize(16 * MIB + 1));
    assert!(other.memory().resize(1), "an instance counts with what it began with");
    assert_eq!(limit.memory_in_use(), 50 * MIB);
    let clone = grown.clone();
    drop(grown);
    assert_eq!(limit.memory_in_use(), 50 * MIB, "work that outlives the guest still holds it");
    drop((clone, other));
    assert_eq!(limit.memory_in_use(), 16 * MIB);
    drop(paid);
    assert_eq!(limit.memory_in_use(), 0);
}

#[tokio::test]
async fn a_request_without_memory_waits_and_gets_what_another_gives_back() {
    let pool = PermitPool::new(99);
    let limit = limit(&pool, Sells::Declared);
    let large = limit.try_acquire(Demand::Paid).expect("room");
    let small = limit.try_acquire(Demand::Paid).expect("room");
    assert!(large.memory().resize(32 * MIB) && small.memory().resize(29 * MIB));
    let refused = limit.acquire(Demand::Paid, Duration::from_millis(1)).await;
    assert_eq!(refused.map(drop), Err(Fault::Busy));
    let waits = tokio::spawn({
        let limit = limit.clone();
        async move { limit.next(Demand::Paid).await }
    });
    tokio::task::yield_now().await;
    assert!(!waits.is_finished());
    assert!(small.memory().resize(28 * MIB), "less is enough");
    assert!(waits.await.expect("no panic").is_some());
    drop((large, small));
    assert_eq!(limit.memory_in_use(), 0, "what the request had is given back with it");
}

#[test]
fn another_plugin_has_a_budget_of_its_own_and_another_build_has_not() {
    let pool = PermitPool::new(99);
    let first = limit(&pool, Sells::Declared);
    let held = fill(&first, Demand::Paid);
    let next_build = limit(&pool, Sells::Declared);
    assert!(next_build.try_acquire(Demand::Paid).is_none());
    let neighbour = InstanceLimit::new(&pool, LimitTerms { plugin: "neighbour".into(), ..first.0.terms.clone() });
    assert_eq!(fill(&neighbour, Demand::Paid).len(), 16);
    drop(held);
    assert_eq!(fill(&next_build, Demand::Paid).len(), 16);
}

#[test]
fn idle_instances_have_a_part_and_leave_that_of_paid_work() {
    let pool = PermitPool::new(99);
    let limit = limit(&pool, Sells::Declared);
    let mut idle: Vec<Arc<InstanceMemory>> = Vec::new();
    for permits in fill(&limit, Demand::Paid) {
        let memory = Arc::clone(permits.memory());
        drop(permits);
        if memory.try_set_idle() {
            idle.push(memory);
        }
    }
    assert_eq!((idle.len(), limit.memory_in_use()), (4, 16 * MIB), "a quarter");
    let unpaid = fill(&limit, Demand::Free);
    assert_eq!((unpaid.len(), fill(&limit, Demand::Paid).len()), (8, 4), "idle ones count as unpaid");
    drop(unpaid);
    // An idle instance takes the place of a new one.
    let mut permits = limit.try_acquire(Demand::Paid).expect("room");
    permits.adopt(&idle[0]);
    assert_eq!(limit.memory_in_use(), 16 * MIB);
    assert!(permits.memory().resize(20 * MIB));
    assert!(!permits.memory().try_set_idle(), "it is too large now");
    drop((permits, idle));
    assert_eq!(limit.memory_in_use(), 0);
}

#[test]
fn one_instance_alone_can_have_the_whole_memory_of_one() {
    let limits = Limits { memory: 32 * MIB, plugin_memory: 8 * MIB, ..Limits::default() };
    for plugin_memory in [8 * MIB, 32 * MIB, 35 * MIB, 40 * MIB, 512 * MIB] {
        let pool = PermitPool::new(99);
        let memory = MemoryTerms::new(&Limits { plugin_memory, ..limits.clone() }, 4 * MIB, MIB);
        let terms = LimitTerms { plugin: "plugin".into(), most: 99, weight: 1, sells: Sells::Quoted, memory };
        let limit = InstanceLimit::new(&pool, terms);
        let idle: Vec<_> = fill(&limit, Demand::Paid).iter().map(|permits| Arc::clone(permits.memory())).collect();
        let idle: Vec<_> = idle.into_iter().filter(|memory| memory.try_set_idle()).collect();
        let alone = limit.try_acquire(Demand::Free).expect("room");
        assert!(alone.memory().resize(32 * MIB), "{plugin_memory}, beside {} idle", idle.len());
    }
}
