//! Tests of the rules by which plugins and clients share the permits.

use std::net::{IpAddr, Ipv4Addr};

use tokio::task::JoinHandle;

use super::*;

mod reload;

fn limit(pool: &Arc<PermitPool>, plugin: &str, most: usize) -> InstanceLimit {
    limit_of(pool, plugin, most, 1, Sells::Declared)
}

/// A bound for instances whose memory is not bounded.
fn limit_of(pool: &Arc<PermitPool>, plugin: &str, most: usize, weight: usize, sells: Sells) -> InstanceLimit {
    let memory = MemoryTerms::unbounded();
    InstanceLimit::new(pool, LimitTerms { plugin: plugin.into(), most, weight, sells, memory })
}

/// Takes permits until none is free for this limit.
fn fill(limit: &InstanceLimit, request: impl Into<PermitRequest>) -> Vec<InstancePermits> {
    let request = request.into();
    std::iter::from_fn(|| limit.try_acquire(request)).collect()
}

/// A request of the client of this number.
fn of_client(demand: Demand, number: u8) -> PermitRequest {
    PermitRequest { demand, client: Some(IpAddr::V4(Ipv4Addr::new(10, 0, 0, number))) }
}

/// Waits in a task of its own until it is queued.
async fn queued(limit: &InstanceLimit, request: impl Into<PermitRequest>) -> JoinHandle<Option<InstancePermits>> {
    let (limit, request) = (limit.clone(), request.into());
    let waits = tokio::spawn(async move { limit.next(request).await });
    tokio::task::yield_now().await;
    assert!(!waits.is_finished());
    waits
}

#[test]
fn unpaid_work_leaves_a_quarter_to_paid_work() {
    let pool = PermitPool::new(64);
    let shop = limit(&pool, "shop", 16);
    let unpaid = fill(&shop, Demand::Free);
    assert_eq!(unpaid.len(), 12);
    assert_eq!(fill(&shop, Demand::Paid).len(), 4, "the rest of its own instances");
    let others: Vec<_> = ["a", "b", "c", "d"].map(|name| limit(&pool, name, 16)).into();
    let all_unpaid: Vec<_> = others.iter().flat_map(|limit| fill(limit, Demand::Free)).collect();
    assert!(all_unpaid.len() + unpaid.len() <= 48, "three quarters of all");
    assert!(!fill(&shop, Demand::Paid).is_empty());
}

/// Requests to a free route whose bodies are sent slowly held all permits of a plugin for which nobody had paid, and no
/// quote found one: the plugin sold nothing meanwhile.
#[test]
fn free_routes_leave_permits_to_quotes_and_one_public_client_half_of_theirs_to_others() {
    let pool = PermitPool::new(256);
    let shop = limit_of(&pool, "shop", 64, 1, Sells::Quoted);
    let public = |number: u8| PermitRequest { demand: Demand::Free, client: Some(IpAddr::from([9, 9, 9, number])) };
    let [one, two] = [1, 2].map(|number| fill(&shop, public(number)));
    assert_eq!((one.len(), two.len()), (20, 20), "48 for unpaid work, of which 8 are for quotes");
    assert_eq!(fill(&shop, public(3)).len(), 0);
    let quotes = fill(&shop, Demand::Quote);
    assert_eq!((quotes.len(), fill(&shop, Demand::Paid).len()), (8, 16));
    drop((one, two));
    // A client without a public address may be a proxy.
    assert_eq!(fill(&shop, of_client(Demand::Free, 1)).len(), 40);
    assert_eq!(fill(&limit_of(&pool, "one", 1, 1, Sells::Quoted), public(1)).len(), 1);
}

/// What a client waits for that has its part keeps no other one waiting.
#[tokio::test]
async fn a_request_of_a_client_that_has_its_part_waits_behind_nobody_else() {
    let pool = PermitPool::new(64);
    let shop = limit_of(&pool, "shop", 16, 1, Sells::Declared);
    let public = |number: u8| PermitRequest { demand: Demand::Free, client: Some(IpAddr::from([9, 9, 9, number])) };
    let mut held = fill(&shop, public(1));
    assert_eq!(held.len(), 6);
    let waits = queued(&shop, public(1)).await;
    assert!(shop.try_acquire(public(2)).is_some());
    held.pop();
    waits.await.expect("no panic").expect("its own permit is free again");
}

/// The quarter that is kept for paid work was the one that plugins leave to those that have less, so unpaid work of four
/// plugins left none for that of a fifth.
#[test]
fn unpaid_work_of_some_plugins_leaves_room_for_that_of_another() {
    let pool = PermitPool::new(64);
    let limits: Vec<_> = ["a", "b", "c", "d", "e"].map(|name| limit(&pool, name, 64)).into();
    let (newcomer, crowd) = limits.split_last().expect("five");
    let held: Vec<_> = crowd.iter().map(|limit| fill(limit, Demand::Free)).collect();
    assert_eq!(held.iter().map(Vec::len).collect::<Vec<_>>(), [36, 8, 1, 1], "the first ones leave less and less");
    assert!(!fill(newcomer, Demand::Free).is_empty());
    assert_eq!(fill(&crowd[3], Demand::Paid).len(), 12, "paid work has its share of all");
}

#[test]
fn a_plugin_that_sells_nothing_has_all_of_its_instances() {
    let pool = PermitPool::new(64);
    let free = limit_of(&pool, "free", 16, 1, Sells::Nothing);
    assert_eq!(fill(&free, Demand::Free).len(), 16);
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
    let heavy = limit_of(&pool, "heavy", 8, 3, Sells::Nothing);
    let held = fill(&heavy, Demand::Free);
    assert_eq!((held.len(), pool.free()), (2, 2));
    drop(held);
    let heaviest = limit_of(&pool, "heavy", 8, 100, Sells::Nothing);
    assert_eq!(fill(&heaviest, Demand::Free).len(), 1, "alone");
}

#[tokio::test]
async fn a_free_permit_goes_to_paid_work_first_and_then_to_who_holds_the_fewest() {
    let pool = PermitPool::new(8);
    let (many, few) = (limit(&pool, "many", 8), limit(&pool, "few", 8));
    let mut of_many = fill(&many, Demand::Paid);
    let of_few = fill(&few, Demand::Paid);
    assert_eq!((of_many.len(), of_few.len(), pool.free()), (6, 2, 0));
    let unpaid = queued(&few, Demand::Free).await;
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
    let heavy = limit_of(&pool, "heavy", 4, 2, Sells::Nothing);
    let mut held = Vec::new();
    for name in ["one", "two"] {
        held.extend(fill(&limit_of(&pool, name, 4, 1, Sells::Nothing), Demand::Free));
    }
    assert_eq!((held.len(), pool.free()), (4, 0));
    (held, pool, heavy)
}

#[tokio::test]
async fn permits_that_become_free_gather_for_an_instance_of_several_whose_turn_it_is() {
    for demand in [Demand::Free, Demand::Paid] {
        let (mut held, pool, heavy) = full_and_a_heavy_one();
        let [late, newcomer] = ["late", "newcomer"].map(|name| limit_of(&pool, name, 4, 1, Sells::Nothing));
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
    let late = limit_of(&pool, "late", 4, 1, Sells::Nothing);
    let first = queued(&heavy, Demand::Free).await;
    let behind = queued(&late, Demand::Free).await;
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
    let heavy = limit_of(&pool, "heavy", 8, 2, Sells::Nothing);
    let mut held = fill(&shop, Demand::Free);
    let _other = fill(&limit(&pool, "other", 8), Demand::Free);
    assert_eq!((held.len(), pool.free()), (5, 2), "a quarter is left to paid work");
    let waits = queued(&heavy, Demand::Free).await;
    held.pop();
    tokio::task::yield_now().await;
    assert!(!waits.is_finished() && shop.try_acquire(Demand::Free).is_none());
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

#[tokio::test]
async fn a_permit_goes_to_the_client_with_the_fewest_in_use_paid_or_not() {
    for demand in [Demand::Paid, Demand::Free] {
        let pool = PermitPool::new(4);
        let plugin = limit_of(&pool, "plugin", 4, 1, Sells::Nothing);
        let (many, few) = (of_client(demand, 1), of_client(demand, 2));
        let mut held: Vec<_> = std::iter::from_fn(|| plugin.try_acquire(many)).collect();
        let behind = [queued(&plugin, many).await, queued(&plugin, many).await];
        let first = queued(&plugin, few).await;
        held.pop();
        let first = first.await.expect("no panic");
        assert!(first.is_some() && behind.iter().all(|waits| !waits.is_finished()), "{demand:?}");
        // One client has two after this permit, and the other one has one.
        let second = queued(&plugin, few).await;
        held.pop();
        let second = second.await.expect("no panic");
        assert!(second.is_some() && behind.iter().all(|waits| !waits.is_finished()), "{demand:?}");
        // One client has one after this permit, and the other one has two.
        let third = queued(&plugin, few).await;
        held.pop();
        tokio::task::yield_now().await;
        assert!(behind[0].is_finished() && !third.is_finished(), "{demand:?}");
        drop((held, first, second));
        for waits in behind.into_iter().chain([third]) {
            assert!(waits.await.expect("no panic").is_some());
        }
        assert_eq!((pool.free(), pool.clients()), (4, 0), "clients are forgotten");
    }
}

#[tokio::test]
async fn paid_requests_of_a_busy_client_come_before_unpaid_ones_of_another() {
    let pool = PermitPool::new(2);
    let plugin = limit_of(&pool, "plugin", 2, 1, Sells::Nothing);
    let mut held = fill(&plugin, of_client(Demand::Paid, 1));
    let unpaid = queued(&plugin, of_client(Demand::Free, 2)).await;
    let paid = queued(&plugin, of_client(Demand::Paid, 1)).await;
    held.pop();
    let paid = paid.await.expect("no panic");
    assert!(paid.is_some() && !unpaid.is_finished());
    drop(paid);
    assert!(unpaid.await.expect("no panic").is_some());
}

#[tokio::test]
async fn no_permit_is_lost_however_requests_come_end_and_leave() {
    for seed in 1..40 {
        let pool = PermitPool::new(9);
        let limits = [("light", 6, 1, Sells::Quoted), ("heavy", 3, 2, Sells::Nothing), ("free", 9, 1, Sells::Nothing)]
            .map(|(name, most, weight, sells)| limit_of(&pool, name, most, weight, sells));
        let mut random = Random(seed);
        let (mut held, mut waiting) = (Vec::new(), Vec::new());
        for _ in 0..400 {
            let limit = &limits[random.below(limits.len())];
            let demand = [Demand::Paid, Demand::Quote, Demand::Free][random.below(3)];
            let number = u8::try_from(random.below(4)).expect("a small number");
            let request = PermitRequest {
                demand,
                client: Some(IpAddr::from([if seed % 2 == 0 { 9 } else { 10 }, 9, 9, number])),
            };
            match random.below(5) {
                0 => held.extend(limit.try_acquire(request)),
                1 | 2 if waiting.len() < 20 => {
                    let limit = limit.clone();
                    waiting.push(tokio::spawn(async move { limit.next(request).await }));
                }
                3 if !waiting.is_empty() => waiting.swap_remove(random.below(waiting.len())).abort(),
                _ if !held.is_empty() => drop(held.swap_remove(random.below(held.len()))),
                _ => {}
            }
            if random.below(3) == 0 {
                granted(&mut waiting, &mut held).await;
            }
            assert!(pool.free() <= 9);
        }
        // Whoever waits is served as permits come back, and nothing is left then.
        while !waiting.is_empty() {
            granted(&mut waiting, &mut held).await;
            assert!(!held.is_empty() || waiting.is_empty(), "a lost notification, seed {seed}");
            held.pop();
        }
        held.clear();
        tokio::task::yield_now().await;
        assert_eq!((pool.free(), pool.clients()), (9, 0), "seed {seed}");
    }
}

/// Moves the permits of the requests that have some to those that are held.
async fn granted(waiting: &mut Vec<JoinHandle<Option<InstancePermits>>>, held: &mut Vec<InstancePermits>) {
    for _ in 0..4 {
        tokio::task::yield_now().await;
    }
    for waits in std::mem::take(waiting) {
        if waits.is_finished() {
            held.extend(waits.await.expect("no panic"));
        } else {
            waiting.push(waits);
        }
    }
}

/// Numbers that look random (xorshift), the same for each seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).expect("31 bits") % bound
    }
}
