//! Checks the story of one payment: the time of each step, who presented it again, and the search by the id of a request.

use super::*;
use crate::reports::{FailureFilter, PaymentStory, StepTimes};

fn reader(dir: &tempfile::TempDir) -> LedgerReader {
    LedgerReader::open(&dir.path().join("ledger.db")).expect("a ledger")
}

fn story(dir: &tempfile::TempDir, nonce: &str) -> PaymentStory {
    reader(dir).story(&claim(nonce, 1).id.short()).expect("a story")
}

/// The nonces of the payments that a request claimed or presented again.
fn of_request(dir: &tempfile::TempDir, request: &str) -> Vec<String> {
    let reader = reader(dir);
    let filter = Filter { request_id: Some(request.to_owned()), ..Filter::default() };
    let mut selection = reader.select(&filter).expect("a selection");
    selection.rows().expect("rows").map(|row| row.expect("a row").nonce).collect()
}

/// A claim and a repetition by requests of these ids.
fn claimed_by(nonce: &str, request: &str) -> Claim {
    Claim { request_id: Some(request.to_owned()), ..claim(nonce, 1) }
}

fn again(nonce: &str, request: &str) -> Presented {
    claimed_by(nonce, request).presented()
}

#[tokio::test]
async fn every_step_of_a_payment_keeps_its_time_and_the_money_its_block() {
    let (dir, ledger) = ledger();
    let hold = sent(&ledger, "n").await;
    take(&ledger, &hold, settled(BY_REQUEST), 1_007).await;
    ledger.delivered(&hold.id, true, UnixTime(1_009)).await;
    let at = |time| Some(UnixTime(time));
    let sealed = StepTimes { run: at(1_000), sent: at(1_001), paid: at(1_007), answered: None, block: Some(7) };
    assert_eq!(story(&dir, "n").times, sealed);

    let hold = paid_first(&ledger, "upfront").await;
    take(&ledger, &hold, Step::Owed { reason: "trap".to_owned(), client_left: false }, 1_003).await;
    let Ok(Some(Claimed::Owed { hold, .. })) = ledger.reclaim(again("upfront", "second"), UnixTime(1_004)).await else {
        panic!("it is owed")
    };
    take(&ledger, &hold, answered(), 1_006).await;
    let upfront = story(&dir, "upfront");
    let times = StepTimes { run: at(1_002), sent: at(1_001), paid: at(1_002), answered: at(1_006), block: None };
    assert_eq!(upfront.times, times, "the first run keeps its time");
    let [repetition] = &upfront.repetitions[..] else { panic!("one: {upfront:?}") };
    assert_eq!((repetition.outcome, repetition.at.0), (RepetitionOutcome::Run, 1_004));
    let owed = upfront.events.iter().find(|event| event.kind == EventKind::Owed).expect("an event");
    assert_eq!(repetition.after_event, owed.number, "it stands behind the debt that it ended");
}

#[tokio::test]
async fn a_payment_is_found_by_the_request_that_claimed_it_and_by_each_that_fetched_it() {
    let (dir, ledger) = ledger();
    let hold = sent_by(&ledger, claimed_by("n", "first")).await;
    take(&ledger, &hold, settled(BY_REQUEST), 1_007).await;
    sent_by(&ledger, claimed_by("other", "another")).await;
    for number in 0..105 {
        let fetched = ledger.reclaim(again("n", &format!("fetch-{number}")), UnixTime(1_010)).await;
        assert!(matches!(fetched, Ok(Some(Claimed::Settled { answer: Some(_), .. }))), "{fetched:?}");
    }
    // What is noted is written with the next step that waits.
    ledger.probe(UnixTime(1_011)).await.expect("a write");
    for request in ["first", "fetch-0", "fetch-99"] {
        assert_eq!(of_request(&dir, request), ["n"], "{request}");
    }
    assert_eq!((of_request(&dir, "another"), of_request(&dir, "nobody")), (vec!["other".to_owned()], vec![]));
    assert_eq!((of_request(&dir, "fetch-100").len(), story(&dir, "n").repetitions.len()), (0, 100), "it is bounded");
    let kept = Retention { answers: Duration::ZERO, payments: Duration::ZERO, answer_bytes: 0 };
    ledger.prune(UnixTime(9_000), kept).await.expect("pruned");
    assert_eq!(count(&dir, "repetition"), 0, "they go with their payment");
}

#[tokio::test]
async fn a_payment_that_was_given_back_is_found_by_its_payer_and_by_its_request() {
    let (dir, ledger) = ledger();
    let hold = won(&ledger, claimed_by("n", "failed-1")).await;
    take(&ledger, &hold, Step::Executing, 1_001).await;
    take(&ledger, &hold, Step::Failed { reason: "it trapped".to_owned() }, 1_003).await;
    let reader = reader(&dir);
    let found = |filter: FailureFilter| -> Vec<_> {
        reader.failures_before(u64::MAX, filter, 9).collect::<Result<_, _>>().expect("failures")
    };
    let [failure] = &found(FailureFilter { payer: Some("0xPAYER".to_owned()), ..FailureFilter::default() })[..] else {
        panic!("one")
    };
    assert_eq!(failure.request_id.as_deref(), Some("failed-1"));
    assert_eq!((failure.claimed_at, failure.run_at), (Some(UnixTime(1_000)), Some(UnixTime(1_001))));
    let of = |request: &str| found(FailureFilter { request_id: Some(request.to_owned()), ..FailureFilter::default() });
    assert_eq!((of("failed-1").len(), of("failed-2").len()), (1, 0));
    assert!(found(FailureFilter { payer: Some("0xother".to_owned()), ..FailureFilter::default() }).is_empty());
    let told = story(&dir, "n");
    assert!(told.row.is_none() && !told.is_empty(), "{told:?}");
    assert_eq!((told.events.len(), told.failures.len()), (1, 1));
    assert_eq!(reader.past_payments_of("failed-1"), Ok(vec![hold.id.short()]), "also when its line is forgotten");
    assert!(story(&dir, "never").is_empty());
}

#[tokio::test]
async fn a_refusal_says_whether_the_guest_had_begun() {
    let (_dir, ledger) = ledger();
    let sealed = sent(&ledger, "sealed").await;
    take(&ledger, &sealed, refused(false), 1_002).await;
    let upfront = won(&ledger, claim("upfront", 1)).await;
    take(&ledger, &upfront, Step::SettlingUpfront { request: "{}".to_owned() }, 1_003).await;
    take(&ledger, &upfront, refused(false), 1_004).await;
    let interrupted = won(&ledger, claim("interrupted", 1)).await;
    take(&ledger, &interrupted, Step::Executing, 1_005).await;
    ledger.expire(UnixTime(1_005 + LEASE.as_secs() * 2)).await.expect("its lease is over");
    let events = ledger.events(0, 9).await.expect("events");
    let told: Vec<_> = events.iter().map(|event| (event.kind, event.after_work)).collect();
    let refused = |after_work| (EventKind::Refused, Some(after_work));
    assert_eq!(told, [refused(true), refused(false), refused(true)]);
}

/// Version 11 kept no times: its rows tell what they know, and the new index finds their requests.
#[tokio::test]
async fn rows_of_the_eleventh_version_have_a_story_and_are_found_by_their_requests() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("ledger.db");
    sqlite::schema::tests::eleventh_version(&path);
    let ledger = SqliteLedger::open(&path).expect("an upgraded ledger");
    assert_eq!(of_request(&dir, "request-of-delivered"), ["delivered"]);
    let id = rows(&dir).into_iter().find(|row| row.nonce == "delivered").expect("a row").payment_id;
    let told = reader(&dir).story(&id).expect("a story");
    assert_eq!((told.times, told.repetitions.len()), (StepTimes::default(), 0));
    let events = ledger.events(0, 99).await.expect("events");
    let refused: Vec<_> = events.iter().filter(|event| event.kind == EventKind::Refused).collect();
    assert!(!refused.is_empty() && refused.iter().all(|event| event.after_work == Some(true)), "{refused:?}");
    let failures: Vec<_> = reader(&dir)
        .failures_before(u64::MAX, FailureFilter::default(), 9)
        .collect::<Result<_, _>>()
        .expect("failures");
    assert_eq!(failures.iter().map(|one| (&*one.reason, one.request_id.clone())).collect::<Vec<_>>(), [("old", None)]);
}
