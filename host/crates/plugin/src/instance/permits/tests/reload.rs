//! Tests of bounds that follow another one: of a new configuration, and of a new build.

use super::*;

fn under(limit: &InstanceLimit, most: usize) -> InstanceLimit {
    limit.under(most, Sells::Declared, MemoryTerms::unbounded())
}

/// A plugin had twice the instances of its bound after each reload that changed it, and after each new build.
#[test]
fn instances_that_began_before_a_reload_count_under_the_new_bound() {
    let pool = PermitPool::new(64);
    let before = limit(&pool, "shop", 8);
    let mut held = fill(&before, Demand::Paid);
    assert_eq!(held.len(), 8);
    let (more, less, build) = (under(&before, 10), under(&before, 4), limit(&pool, "shop", 8));
    assert_eq!((more.free(), less.free(), build.free()), (2, 0, 0));
    assert!(less.try_acquire(Demand::Paid).is_none() && build.try_acquire(Demand::Paid).is_none());
    assert_eq!(fill(&more, Demand::Paid).len(), 2);
    held.truncate(3);
    assert_eq!(fill(&less, Demand::Paid).len(), 1);
    // Unpaid work has three quarters of the bound, whatever it began under.
    drop(held);
    let unpaid = fill(&before, Demand::Free);
    assert_eq!((unpaid.len(), fill(&build, Demand::Free).len(), fill(&build, Demand::Paid).len()), (6, 0, 2));
    assert_eq!(fill(&limit(&pool, "other", 8), Demand::Paid).len(), 8, "a bound of another plugin");
}

#[tokio::test]
async fn a_request_under_a_new_bound_waits_for_an_instance_of_the_former_one() {
    let pool = PermitPool::new(64);
    let before = limit(&pool, "shop", 4);
    let mut held = fill(&before, Demand::Paid);
    let after = under(&before, 3);
    let waits = queued(&after, Demand::Paid).await;
    held.truncate(3);
    tokio::task::yield_now().await;
    assert!(!waits.is_finished(), "three run, which is all that the plugin may now");
    held.truncate(2);
    assert!(waits.await.expect("no panic").is_some());
}
