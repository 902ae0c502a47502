//! Checks the attempts to deliver messages: they are kept beside payments, over a restart, and not for ever.

use super::*;
use crate::reports::{AttemptFilter, LedgerReader};

fn attempt(webhook: &str, payment: &str, at: u64) -> WebhookAttempt {
    WebhookAttempt {
        webhook: webhook.to_owned(),
        at: UnixTime(at),
        message: format!("evt_{payment}"),
        kind: "payment.paid".to_owned(),
        event: Some(at),
        payment_id: Some(payment.to_owned()),
        status: Some(500),
        error: Some("it answered 500".to_owned()),
    }
}

fn alert(webhook: &str, at: u64) -> WebhookAttempt {
    let (kind, message) = ("alert.raised".to_owned(), "evt_alert".to_owned());
    WebhookAttempt {
        kind,
        message,
        event: None,
        payment_id: None,
        status: None,
        error: None,
        ..attempt(webhook, "", at)
    }
}

fn listed(dir: &tempfile::TempDir, filter: AttemptFilter) -> Vec<WebhookAttempt> {
    let reader = LedgerReader::open(&dir.path().join("ledger.db")).expect("a ledger");
    let filter = if filter.limit == 0 { AttemptFilter { limit: 50_000, ..filter } } else { filter };
    reader.webhook_attempts(&filter).expect("attempts").into_iter().map(|kept| kept.attempt).collect()
}

fn of(webhook: &str) -> AttemptFilter {
    AttemptFilter { webhook: Some(webhook.to_owned()), ..AttemptFilter::default() }
}

#[tokio::test]
async fn attempts_are_found_again_after_a_restart_by_webhook_and_by_payment() {
    let (dir, ledger) = ledger();
    let (one, two, three) = (attempt("a", "one", 1), attempt("b", "one", 2), alert("a", 3));
    ledger.keep_attempts("webhook a", 7, vec![one.clone()]).await.expect("kept");
    ledger.keep_attempts("webhook b", 8, vec![two.clone()]).await.expect("kept");
    ledger.keep_attempts("webhook a", 9, vec![three.clone()]).await.expect("kept");
    drop(ledger);
    let ledger = reopened(&dir.path().join("ledger.db")).await;
    assert_eq!((ledger.place("webhook a").await, ledger.place("webhook b").await), (Ok(Some(9)), Ok(Some(8))));
    let all = AttemptFilter::default;
    assert_eq!(listed(&dir, all()), [three.clone(), two.clone(), one.clone()]);
    assert_eq!(listed(&dir, of("a")), [three.clone(), one.clone()]);
    let payment = Some("one".to_owned());
    assert_eq!(listed(&dir, AttemptFilter { payment_id: payment.clone(), ..all() }), [two.clone(), one.clone()]);
    assert_eq!(listed(&dir, AttemptFilter { payment_id: payment, ..of("a") }), std::slice::from_ref(&one));
    assert_eq!(listed(&dir, AttemptFilter { limit: 1, ..all() }), [three]);
    assert_eq!(listed(&dir, AttemptFilter { before: Some(3), limit: 1, ..all() }), [two]);
    assert_eq!(listed(&dir, AttemptFilter { before: Some(3), ..of("a") }), [one]);
}

/// A receiver that failed for days would have filled the disk.
#[tokio::test]
async fn of_each_webhook_the_newest_ten_thousand_are_kept_and_none_longer_than_payments() {
    let (dir, ledger) = ledger();
    ledger.keep_attempts("webhook b", 1, vec![attempt("b", "old", 1)]).await.expect("kept");
    for part in 0..11 {
        let attempts = (0..1_000).map(|at| attempt("a", "one", 1_000 + part * 1_000 + at)).collect();
        ledger.keep_attempts("webhook a", 1, attempts).await.expect("kept");
    }
    let kept = listed(&dir, of("a"));
    assert_eq!((kept.len(), kept[0].at.0, kept[9_999].at.0), (10_000, 11_999, 2_000));
    assert_eq!(listed(&dir, of("b")).len(), 1, "another webhook has ten thousand of its own");
    let retention = Retention { answers: Duration::ZERO, payments: Duration::from_secs(5_000), answer_bytes: u64::MAX };
    ledger.prune(UnixTime(10_000), retention).await.expect("pruned");
    let kept = listed(&dir, AttemptFilter::default());
    assert_eq!((kept.len(), kept.last().map(|oldest| oldest.at.0)), (7_000, Some(5_000)));
    ledger.prune(UnixTime(10_000 + 3_600), retention).await.expect("pruned");
    ledger.keep_attempts("webhook b", 2, vec![attempt("b", "new", 12_000)]).await.expect("kept");
    assert_eq!(listed(&dir, of("b")).len(), 1);
}

/// A hundred attempts whose clock was ahead stood before all others, and nothing behind them was ever deleted.
#[tokio::test]
async fn attempts_of_a_clock_that_was_ahead_keep_no_others() {
    let (dir, ledger) = ledger();
    let ahead = (0..150).map(|at| attempt("a", "ahead", 1_000_000 + at));
    let old = (0..150).map(|at| attempt("a", "old", 1_000 + at));
    ledger.keep_attempts("webhook a", 1, ahead.chain(old).collect()).await.expect("kept");
    let retention = Retention { answers: Duration::ZERO, payments: Duration::from_secs(5_000), answer_bytes: u64::MAX };
    ledger.prune(UnixTime(10_000), retention).await.expect("pruned");
    let kept = listed(&dir, of("a"));
    assert!(kept.len() == 150 && kept.iter().all(|one| one.at.0 >= 1_000_000), "{}", kept.len());
}

#[tokio::test]
async fn a_long_text_of_a_receiver_is_cut() {
    let (dir, ledger) = ledger();
    let long = WebhookAttempt { error: Some(format!("a\u{1b}\n{}", "x".repeat(100_000))), ..attempt("a", "one", 1) };
    ledger.keep_attempts("webhook a", 1, vec![long]).await.expect("kept");
    let error = listed(&dir, of("a"))[0].error.clone().expect("an error");
    assert!(error.len() < 1_000 && !error.contains(['\n', '\u{1b}']), "{error}");
}

#[tokio::test]
async fn events_are_counted_by_their_kinds() {
    let (dir, ledger) = ledger();
    owed(&ledger, "owed").await;
    unknown(&ledger, "unknown").await;
    let counted = |after| {
        let reader = LedgerReader::open(&dir.path().join("ledger.db")).expect("a ledger");
        reader.events_after(after).expect("counts").into_iter().collect::<Vec<_>>()
    };
    assert_eq!(counted(0), [(EventKind::Paid, 1), (EventKind::Owed, 1), (EventKind::Unknown, 1)]);
    assert_eq!((counted(2), counted(3)), (vec![(EventKind::Unknown, 1)], vec![]));
}
