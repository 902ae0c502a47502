//! Checks the funnel from the price to the payment: what is counted, in which commit, and for which day.

use std::collections::BTreeMap;

use super::*;

fn told(requests: u64) -> RequestCount {
    RequestCount {
        testnet: true,
        plugin: "a".to_owned(),
        endpoint: "GET /a".to_owned(),
        outcome: "challenged",
        code: String::new(),
        requests,
    }
}

fn refused(code: &str) -> RequestCount {
    RequestCount { outcome: "refused", code: code.to_owned(), ..told(1) }
}

/// The numbers since a time, by subject, outcome and code.
fn funnel(dir: &tempfile::TempDir, since: Option<u64>) -> BTreeMap<String, u64> {
    let reader = LedgerReader::open(&dir.path().join("ledger.db")).expect("a ledger");
    let totals = reader.funnel(since.map(UnixTime)).expect("totals").into_iter();
    let named = totals.map(|total| (format!("{} {} {}", total.subject, total.outcome, total.code), total));
    named.map(|(name, total)| (name.trim_end().to_owned(), total.number)).collect()
}

fn expected(numbers: &[(&str, u64)]) -> BTreeMap<String, u64> {
    numbers.iter().map(|(name, number)| ((*name).to_owned(), *number)).collect()
}

#[tokio::test]
async fn requests_are_added_to_their_day_and_whole_days_are_summed_up() {
    let (dir, ledger) = ledger();
    let (first, second) = (UnixTime(5 * DAY), UnixTime(7 * DAY - 1));
    ledger.count_requests(vec![told(3), refused("busy")], first).await.expect("written");
    ledger.count_requests(vec![told(4), refused("busy"), refused("bad_path")], second).await.expect("written");
    let all = expected(&[("request challenged", 7), ("request refused bad_path", 1), ("request refused busy", 2)]);
    assert_eq!(funnel(&dir, None), all);
    assert_eq!(funnel(&dir, Some(5 * DAY)), all);
    let late = expected(&[("request challenged", 4), ("request refused bad_path", 1), ("request refused busy", 1)]);
    assert_eq!(funnel(&dir, Some(5 * DAY + 1)), late, "a day that has begun before does not count");
    assert_eq!(funnel(&dir, Some(7 * DAY)), BTreeMap::new());
    let reader = LedgerReader::open(&dir.path().join("ledger.db")).expect("a ledger");
    assert_eq!(reader.funnel_begins(), Ok(Some(5)));
    drop(ledger);
    drop(reopened(&dir.path().join("ledger.db")).await);
    assert_eq!(funnel(&dir, None), all, "over a restart");
}

#[tokio::test]
async fn a_payment_is_counted_once_when_it_is_claimed_and_at_each_of_its_ends() {
    let (dir, ledger) = ledger();
    let hold = sent(&ledger, "paid").await;
    assert_eq!(ledger.claim(claim("paid", 1)).await, Ok(Claimed::Settling { transaction: None }), "no second claim");
    take(&ledger, &hold, settled(BY_REQUEST), 1_002).await;
    ledger.delivered(&hold.id, true, UnixTime(1_003)).await;
    let open = unknown(&ledger, "unknown").await;
    take(&ledger, &open, settled_by("0xlate", BY_RECOVERY), 2 * DAY).await;
    // A payment that is given back may be claimed again, and is the same payment.
    for _ in 0..2 {
        let failed = won(&ledger, claim("failed", 1)).await;
        take(&ledger, &failed, Step::Failed { reason: "it trapped".to_owned() }, 1_001).await;
    }
    owed(&ledger, "owed").await;
    let numbers = [
        ("payment claimed", 4),
        ("payment failed", 1),
        ("payment owed", 1),
        ("payment paid", 3),
        ("payment unknown", 1),
    ];
    assert_eq!(funnel(&dir, None), expected(&numbers));
    assert_eq!(funnel(&dir, Some(DAY)), expected(&[("payment paid", 1)]), "on the day on which it was known");
    let kept = Retention { answers: Duration::ZERO, payments: Duration::ZERO, answer_bytes: 0 };
    ledger.prune(UnixTime(9 * DAY), kept).await.expect("pruned");
    assert_eq!(funnel(&dir, None), expected(&numbers), "what is pruned stays counted");
}

#[tokio::test]
async fn money_of_test_networks_and_real_money_are_counted_apart() {
    let (dir, ledger) = ledger();
    won(&ledger, claim("test", 1)).await;
    won(&ledger, Claim { testnet: false, ..claim("real", 1) }).await;
    ledger
        .count_requests(vec![told(2), RequestCount { testnet: false, ..told(1) }], UnixTime(1_000))
        .await
        .expect("it");
    let reader = LedgerReader::open(&dir.path().join("ledger.db")).expect("a ledger");
    let numbers: Vec<_> = reader.funnel(None).expect("totals").iter().map(|one| (one.testnet, one.number)).collect();
    assert_eq!(numbers, [(false, 1), (false, 1), (true, 1), (true, 2)]);
}

/// A wallet without money that repeated one signature was a hundred claimed payments, and a payment that was owed after
/// each failed refund was owed as often.
#[tokio::test]
async fn a_payment_counts_once_at_each_state_however_often_it_comes_to_it() {
    let (dir, ledger) = ledger();
    for at in 0..100 {
        let hold = won(&ledger, Claim { at: UnixTime(1_000 + at), ..claim("poor", 1) }).await;
        ledger.advance(&hold, Step::Released, UnixTime(1_000 + at)).await.expect("released");
    }
    // A claim whose lease ends is given back, too.
    won(&ledger, claim("left", 1)).await;
    ledger.expire(UnixTime(9_000)).await.expect("expired");
    won(&ledger, claim("left", 1)).await;
    owed(&ledger, "owed").await;
    for at in 0..3 {
        let Ok(Claimed::Owed { hold, .. }) = ledger.claim(claim("owed", 1)).await else { panic!("it is owed") };
        let step = Step::Owed { reason: "it trapped again".to_owned(), client_left: false };
        ledger.advance(&hold, step, UnixTime(9_000 + at)).await.expect("owed again");
    }
    let numbers = [("payment claimed", 3), ("payment owed", 1), ("payment paid", 1)];
    assert_eq!(funnel(&dir, None), expected(&numbers));
}

#[tokio::test]
async fn old_days_are_forgotten_a_year_after_their_payments() {
    let (dir, ledger) = ledger();
    for day in 1..=250 {
        ledger.count_requests(vec![told(1)], UnixTime(day * DAY)).await.expect("written");
    }
    let kept = Retention { answers: Duration::ZERO, payments: Duration::from_secs(35 * DAY), answer_bytes: 0 };
    ledger.prune(UnixTime(400 * DAY), kept).await.expect("pruned");
    assert_eq!(funnel(&dir, None), expected(&[("request challenged", 250)]), "the first day is day 1");
    drop(ledger);
    let ledger = reopened(&dir.path().join("ledger.db")).await;
    ledger.prune(UnixTime(600 * DAY), kept).await.expect("pruned");
    assert_eq!(funnel(&dir, None), expected(&[("request challenged", 51)]), "200 to 250");
}
