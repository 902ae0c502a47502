//! Tests the counts of free requests, and the keys of customers.

use super::*;

const DAY_LONG: Option<Duration> = Some(Duration::from_secs(DAY));

fn counter(id: u8, requests: u64, every: Option<Duration>) -> FreeCounter {
    FreeCounter { id: Fingerprint([id; 32]), quota: FreeQuota { requests, every }, is_per_client: true }
}

fn asks(counters: &[FreeCounter]) -> FreeClaim {
    FreeClaim {
        kind: FreeKind::Address,
        who: "203.0.113.1".to_owned(),
        plugin: "a".to_owned(),
        endpoint: "GET /a".to_owned(),
        request_id: Some("free-1".to_owned()),
        grant: FreeGrant::Counters { counters: counters.to_vec(), nonce: None },
    }
}

fn with_key(hash: Fingerprint) -> FreeClaim {
    FreeClaim { kind: FreeKind::Key, who: "acme".to_owned(), grant: FreeGrant::Key(hash), ..asks(&[]) }
}

fn new_key(name: &str, id: u8) -> NewApiKey {
    NewApiKey {
        name: name.to_owned(),
        shown: format!("coinslot_key_{id:02}"),
        hash: Fingerprint([id; 32]),
        plugin: None,
        route: None,
        quota: None,
        expires_at: None,
    }
}

async fn counted(ledger: &SqliteLedger, claim: &FreeClaim, at: u64) -> FreeCounted {
    ledger.count_free(claim.clone(), UnixTime(at)).await.expect("a writable ledger")
}

/// Counts a request, and returns its hold.
async fn hold(ledger: &SqliteLedger, claim: &FreeClaim, at: u64) -> FreeHold {
    match counted(ledger, claim, at).await {
        FreeCounted::Counted(hold, _) => hold,
        other => panic!("not counted: {other:?}"),
    }
}

/// The remainder at this time.
async fn left(ledger: &SqliteLedger, counter: FreeCounter, at: u64) -> u64 {
    ledger.free_left(vec![counter], UnixTime(at)).await.expect("a readable ledger")[0].left
}

#[tokio::test]
async fn of_many_requests_for_the_last_free_ones_only_so_many_are_counted() {
    let (_dir, ledger) = ledger();
    let claim = asks(&[counter(1, 3, DAY_LONG)]);
    let asked = (0..50).map(|_| {
        let (ledger, claim) = (Arc::clone(&ledger), claim.clone());
        tokio::spawn(async move { counted(&ledger, &claim, 1_000).await })
    });
    let mut won = 0;
    for asked in asked.collect::<Vec<_>>() {
        match asked.await.expect("no panic") {
            FreeCounted::Counted(_, Some(left)) => {
                won += 1;
                assert_eq!(left.resets_at, Some(UnixTime(1_000 + DAY)));
            }
            FreeCounted::Exhausted(FreeLeft { left: 0, .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(won, 3);
}

#[tokio::test]
async fn a_window_begins_with_its_first_request_and_another_follows_it() {
    let (_dir, ledger) = ledger();
    let one = counter(1, 1, DAY_LONG);
    hold(&ledger, &asks(&[one]), 1_000).await;
    assert!(matches!(counted(&ledger, &asks(&[one]), 999 + DAY).await, FreeCounted::Exhausted(_)));
    hold(&ledger, &asks(&[one]), 1_000 + DAY).await;
    // A trial never comes again.
    let trial = counter(2, 1, None);
    hold(&ledger, &asks(&[trial]), 1_000).await;
    let much_later = counted(&ledger, &asks(&[trial]), 1_000 + 10_000 * DAY).await;
    assert!(matches!(much_later, FreeCounted::Exhausted(FreeLeft { resets_at: None, .. })), "{much_later:?}");
}

/// The clock of the window's first request was a year ahead: its client would have had nothing free for a year.
#[tokio::test]
async fn a_clock_that_goes_back_neither_frees_nor_locks_a_window_for_long() {
    let (_dir, ledger) = ledger();
    let one = counter(1, 2, DAY_LONG);
    hold(&ledger, &asks(&[one]), 1_000 + 365 * DAY).await;
    hold(&ledger, &asks(&[one]), 1_000).await;
    assert_eq!(left(&ledger, one, 1_000).await, 0, "what was used counts on");
    assert_eq!(left(&ledger, one, 1_000 + DAY).await, 2, "a window after the clock was set right");
}

/// A window that is used up is written to no more, so that each look found it begin at the time of the look: it was
/// locked for as long as the clock had been ahead.
#[tokio::test]
async fn a_window_that_is_used_up_while_the_clock_is_ahead_ends_one_length_after_the_clock_is_right() {
    let (_dir, ledger) = ledger();
    let one = counter(1, 1, DAY_LONG);
    hold(&ledger, &asks(&[one]), 1_000 + 365 * DAY).await;
    assert_eq!(left(&ledger, one, 1_000).await, 0, "what was used counts on");
    // The look has the window begin now; a write comes after it.
    hold(&ledger, &asks(&[counter(2, 1, DAY_LONG)]), 1_000).await;
    assert_eq!(left(&ledger, one, 999 + DAY).await, 0);
    assert_eq!(left(&ledger, one, 1_000 + DAY).await, 1);
    assert!(matches!(counted(&ledger, &asks(&[one]), 1_000 + DAY).await, FreeCounted::Counted(..)));
}

#[tokio::test]
async fn an_answer_that_was_served_and_breaks_off_is_given_back_once_and_is_no_served_one() {
    let (dir, ledger) = ledger();
    let one = counter(1, 2, DAY_LONG);
    let held = hold(&ledger, &asks(&[one]), 1_000).await;
    for end in [FreeEnd::Served, FreeEnd::Failed, FreeEnd::Failed, FreeEnd::Interrupted, FreeEnd::Served] {
        ledger.end_free(held, end, UnixTime(1_001)).await.expect("written");
    }
    assert_eq!(left(&ledger, one, 1_001).await, 2);
    let sums =
        "SELECT group_concat(outcome || ' ' || uses) FROM (SELECT * FROM free_total WHERE uses > 0 ORDER BY outcome)";
    let sums: String = file(&dir).query_row(sums, [], |row| row.get(0)).expect("sums");
    assert_eq!(sums, "failed 1");
    let interrupted = hold(&ledger, &asks(&[one]), 1_002).await;
    for end in [FreeEnd::Served, FreeEnd::Interrupted] {
        ledger.end_free(interrupted, end, UnixTime(1_003)).await.expect("written");
    }
    assert_eq!(left(&ledger, one, 1_003).await, 2, "a host that ends gives everything back");
}

/// Rows whose end could not be written stayed `running`, and were deleted by no bound.
#[tokio::test]
async fn a_request_without_an_end_is_given_back_after_a_day() {
    let (dir, ledger) = ledger();
    let trial = counter(1, 1, None);
    hold(&ledger, &asks(&[trial]), 1_000).await;
    let kept = Retention { answers: Duration::MAX, payments: Duration::MAX, answer_bytes: u64::MAX };
    ledger.prune(UnixTime(1_000 + DAY), kept).await.expect("pruned");
    assert_eq!(left(&ledger, trial, 1_000 + DAY).await, 0, "it may be at work");
    drop(ledger);
    // Opened anew, a ledger gives everything back: the time passes while it is open.
    let ledger = SqliteLedger::open(&dir.path().join("ledger.db")).expect("a ledger");
    hold(&ledger, &asks(&[trial]), 1_000).await;
    ledger.prune(UnixTime(1_001 + DAY), kept).await.expect("pruned");
    assert_eq!(left(&ledger, trial, 1_001 + DAY).await, 1);
}

/// Each look found the window one length away from its end, so that a client whose last request was used in a longer one
/// had nothing free ever again.
#[tokio::test]
async fn a_used_up_window_that_the_operator_makes_shorter_ends() {
    let (_dir, ledger) = ledger();
    let for_ever = counter(1, 1, None);
    hold(&ledger, &asks(&[for_ever]), 1_000).await;
    let daily = counter(1, 1, DAY_LONG);
    assert_eq!(left(&ledger, daily, 1_000 + DAY / 2).await, 0);
    assert_eq!(left(&ledger, daily, 1_000 + DAY).await, 1);
    assert!(matches!(counted(&ledger, &asks(&[daily]), 1_000 + DAY).await, FreeCounted::Counted(..)));
}

#[tokio::test]
async fn a_request_that_is_not_served_is_given_back_and_failures_not_without_end() {
    let (_dir, ledger) = ledger();
    let (one, all) = (counter(1, 2, DAY_LONG), FreeCounter { is_per_client: false, ..counter(9, 100, DAY_LONG) });
    for _ in 0..10 {
        let held = hold(&ledger, &asks(&[one, all]), 1_000).await;
        ledger.end_free(held, FreeEnd::NotRun, UnixTime(1_001)).await.expect("written");
    }
    assert_eq!((left(&ledger, one, 1_001).await, left(&ledger, all, 1_001).await), (2, 100));
    let mut failed = 0;
    while let FreeCounted::Counted(held, _) = counted(&ledger, &asks(&[one, all]), 1_000).await {
        ledger.end_free(held, FreeEnd::Failed, UnixTime(1_001)).await.expect("written");
        failed += 1;
    }
    assert_eq!(failed, 4, "two are given back, and two count");
    assert_eq!(left(&ledger, one, 1_000 + DAY).await, 2, "and the next window begins anew");
    // An end is written once.
    let held = hold(&ledger, &asks(&[one]), 1_000 + DAY).await;
    for end in [FreeEnd::Served, FreeEnd::NotRun] {
        ledger.end_free(held, end, UnixTime(1_001 + DAY)).await.expect("written");
    }
    assert_eq!(left(&ledger, one, 1_001 + DAY).await, 1);
}

#[tokio::test]
async fn every_count_of_a_request_must_have_one_left_and_a_refusal_counts_nowhere() {
    let (_dir, ledger) = ledger();
    let all = FreeCounter { is_per_client: false, ..counter(9, 2, DAY_LONG) };
    for id in [1, 2] {
        hold(&ledger, &asks(&[counter(id, 5, DAY_LONG), all]), 1_000).await;
    }
    let third = counter(3, 5, DAY_LONG);
    assert!(matches!(counted(&ledger, &asks(&[third, all]), 1_000).await, FreeCounted::Exhausted(_)));
    assert_eq!(left(&ledger, third, 1_000).await, 5);
}

#[tokio::test]
async fn a_nonce_is_good_once_and_a_restart_does_not_change_that() {
    let (dir, ledger) = ledger();
    let nonce = |end| Some((b"nonce".to_vec(), UnixTime(end)));
    let proven = |end| FreeClaim {
        grant: FreeGrant::Counters { counters: vec![counter(1, 5, DAY_LONG)], nonce: nonce(end) },
        ..asks(&[])
    };
    let held = hold(&ledger, &proven(1_300), 1_000).await;
    ledger.end_free(held, FreeEnd::Served, UnixTime(1_001)).await.expect("written");
    assert_eq!(counted(&ledger, &proven(1_300), 1_000).await, FreeCounted::NonceUsed);
    assert_eq!(left(&ledger, counter(1, 5, DAY_LONG), 1_000).await, 4, "a replay counts nothing");
    drop(ledger);
    let ledger = reopened(&dir.path().join("ledger.db")).await;
    assert_eq!(counted(&ledger, &proven(1_300), 1_000).await, FreeCounted::NonceUsed);
    let kept = Retention { answers: Duration::MAX, payments: Duration::MAX, answer_bytes: u64::MAX };
    ledger.prune(UnixTime(1_301), kept).await.expect("pruned");
    assert_eq!(count(&dir, "free_nonce"), 1);
    ledger.prune(UnixTime(1_300 + 3_600), kept).await.expect("pruned");
    assert_eq!(count(&dir, "free_nonce"), 0, "no proof can name it any more");
}

#[tokio::test]
async fn what_has_no_end_is_given_back_when_the_file_is_opened_and_what_was_served_is_not() {
    let (dir, ledger) = ledger();
    let one = counter(1, 5, DAY_LONG);
    let served = hold(&ledger, &asks(&[one]), 1_000).await;
    ledger.end_free(served, FreeEnd::Served, UnixTime(1_000)).await.expect("written");
    hold(&ledger, &asks(&[one]), 1_000).await;
    drop(ledger);
    let ledger = reopened(&dir.path().join("ledger.db")).await;
    assert_eq!(left(&ledger, one, 1_000).await, 4);
    let reader = LedgerReader::open(&dir.path().join("ledger.db")).expect("a ledger");
    let uses = |filter: &FreeUseFilter| reader.free_uses(filter, 9).expect("rows");
    let outcomes: Vec<_> = uses(&FreeUseFilter::default()).into_iter().map(|row| (row.who, row.outcome)).collect();
    let of = |id: &str| FreeUseFilter { request_id: Some(id.to_owned()), ..FreeUseFilter::default() };
    assert_eq!((uses(&of("free-1")).len(), uses(&of("free-2")).len()), (2, 0), "found by the id of the request");
    let by = |who: &str| FreeUseFilter { who: Some(who.to_owned()), ..FreeUseFilter::default() };
    assert_eq!((uses(&by("203.0.113.1")).len(), uses(&by("203.0.113.2")).len()), (2, 0));
    let who = "203.0.113.1".to_owned();
    assert_eq!(outcomes, [(who.clone(), "interrupted".to_owned()), (who, "served".to_owned())]);
    let totals = reader.free_totals(None).expect("sums");
    assert_eq!(totals.iter().map(|total| (&*total.outcome, total.uses)).collect::<Vec<_>>(), [("served", 1)]);
    assert_eq!(reader.earned(crate::reports::GroupBy::Asset, None, None), Ok(Vec::new()), "it is no revenue");
}

#[tokio::test]
async fn a_flood_of_clients_fills_no_disk_and_ended_windows_make_room() {
    let (dir, ledger) = ledger();
    hold(&ledger, &asks(&[counter(1, 5, DAY_LONG)]), 1_000).await;
    file(&dir)
        .execute_batch(&format!(
            "BEGIN; INSERT INTO free_counter SELECT randomblob(32), 1, 1, 0, 5, 1000, {} FROM
                (WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n LIMIT 249999) SELECT n FROM n); COMMIT;",
            1_000 + DAY
        ))
        .expect("many counts");
    assert_eq!(counted(&ledger, &asks(&[counter(2, 5, DAY_LONG)]), 1_001).await, FreeCounted::Full);
    hold(&ledger, &asks(&[counter(1, 5, DAY_LONG)]), 1_001).await;
    hold(&ledger, &asks(&[counter(2, 5, DAY_LONG)]), 1_000 + DAY).await;
    // Pruning takes its time: most of them are deleted here.
    file(&dir)
        .execute_batch("DELETE FROM free_counter WHERE window_end <= 87400 AND rowid > 1000")
        .expect("few counts");
    let kept = Retention { answers: Duration::MAX, payments: Duration::MAX, answer_bytes: u64::MAX };
    ledger.prune(UnixTime(1_000 + DAY), kept).await.expect("pruned");
    assert_eq!(count(&dir, "free_counter"), 1);
    let rows: i64 = file(&dir).query_row("SELECT rows FROM free_counters", [], |row| row.get(0)).expect("a number");
    assert_eq!(rows, 1);
}

#[tokio::test]
async fn a_key_is_added_revoked_and_seen_by_a_running_ledger_at_once() {
    let (dir, ledger) = ledger();
    let keys = ApiKeys::open(&dir.path().join("ledger.db")).expect("beside the ledger");
    let hash = Fingerprint([3; 32]);
    assert_eq!(ledger.key(hash, UnixTime(1_000)).await, Ok(None));
    let key = NewApiKey { plugin: Some("a".to_owned()), ..new_key("acme", 3) };
    let added = keys.add(&key, UnixTime(1_000)).expect("written").expect("a new name");
    assert_eq!(ledger.key(hash, UnixTime(1_000)).await.map(|found| found.map(|found| found.key)), Ok(Some(added)));
    assert_eq!(keys.add(&new_key("acme", 4), UnixTime(1_000)), Ok(None), "the name is taken");
    let held = hold(&ledger, &with_key(hash), 1_001).await;
    ledger.end_free(held, FreeEnd::Served, UnixTime(1_002)).await.expect("written");
    let other = FreeClaim { plugin: "b".to_owned(), ..with_key(hash) };
    assert_eq!(counted(&ledger, &other, 1_001).await, FreeCounted::KeyGone, "it is for another plugin");
    let listed = keys.list(UnixTime(1_003)).expect("read");
    assert_eq!((listed.len(), listed[0].served, listed[0].last_used_at), (1, 1, Some(UnixTime(1_002))));
    assert_eq!(keys.revoke("acme", UnixTime(1_004)).expect("written").len(), 1);
    assert_eq!(counted(&ledger, &with_key(hash), 1_005).await, FreeCounted::KeyGone);
    assert!(keys.revoke("acme", UnixTime(1_006)).expect("written").is_empty(), "it is revoked already");
    assert!(keys.add(&new_key("acme", 4), UnixTime(1_006)).expect("written").is_some(), "the name is free again");
}

#[tokio::test]
async fn a_key_counts_until_it_expires_and_for_as_much_as_its_quota() {
    let (dir, ledger) = ledger();
    let keys = ApiKeys::open(&dir.path().join("ledger.db")).expect("beside the ledger");
    let quota = FreeQuota { requests: 1, every: DAY_LONG };
    let key = NewApiKey { quota: Some(quota), expires_at: Some(UnixTime(3_000 + DAY)), ..new_key("acme", 3) };
    keys.add(&key, UnixTime(1_000)).expect("written").expect("a new name");
    hold(&ledger, &with_key(key.hash), 2_000).await;
    let exhausted = FreeLeft { quota, left: 0, resets_at: Some(UnixTime(2_000 + DAY)) };
    assert_eq!(counted(&ledger, &with_key(key.hash), 2_001).await, FreeCounted::Exhausted(exhausted));
    let found = ledger.key(key.hash, UnixTime(2_001)).await.expect("read").expect("a key");
    assert_eq!(found.left, Some(exhausted));
    hold(&ledger, &with_key(key.hash), 2_000 + DAY).await;
    assert_eq!(counted(&ledger, &with_key(key.hash), 3_000 + DAY).await, FreeCounted::KeyGone);
}

#[test]
fn keys_are_kept_before_the_first_start_of_a_host() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("ledger.db");
    ApiKeys::open(&path).expect("a new ledger").add(&new_key("acme", 3), UnixTime(1_000)).expect("written");
    let _host = SqliteLedger::open(&path).expect("the host");
    assert_eq!(ApiKeys::open(&path).expect("beside it").list(UnixTime(1_000)).expect("read").len(), 1);
}
