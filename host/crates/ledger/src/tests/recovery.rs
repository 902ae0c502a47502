//! Settlements whose end is unknown, and refusals that are watched.

use super::*;

/// The nonces that are due at this time.
async fn due(ledger: &SqliteLedger, at: u64) -> Vec<String> {
    let due = ledger.take_due(UnixTime(at), 100).await.expect("what is due");
    due.into_iter().map(|pending| pending.hold.id.nonce().to_owned()).collect()
}

#[tokio::test]
async fn an_unknown_settlement_is_looked_at_at_growing_intervals() {
    let (_dir, ledger) = ledger();
    let hold = sent(&ledger, "n").await;
    assert_eq!(due(&ledger, 1_001).await, [""; 0], "in the hands of its request");
    let step = |reported| Step::Unknown { transaction: Some("0xTX".to_owned()), reason: None, reported };
    take(&ledger, &hold, step(Some(Reported::UsedBefore)), 1_002).await;
    take(&ledger, &hold, step(None), 1_002).await;
    let mut looks = Vec::new();
    for at in 1_002..1_100 {
        for pending in ledger.take_due(UnixTime(at), 9).await.expect("what is due") {
            let expected = Pending {
                hold: hold.clone(),
                request: "{}".to_owned(),
                transaction: Some("0xtx".to_owned()),
                reported: Some(Reported::UsedBefore),
                valid_before: UnixTime(2_000),
                flow: Flow::Authorization,
                answer_kept: true,
                state: PaymentState::Unknown,
                looks: u32::try_from(looks.len()).expect("few"),
                reason: None,
            };
            assert_eq!(pending, expected);
            looks.push(at);
        }
    }
    assert_eq!(looks, [1_003, 1_004, 1_006, 1_010, 1_018, 1_034, 1_064, 1_094]);
}

/// Recovery read the whole backlog up to twenty times a second, on the thread that writes every claim.
#[tokio::test]
async fn only_so_many_are_taken_as_asked_for_and_the_longest_due_first() {
    let (_dir, ledger) = ledger();
    for (nonce, at) in [("b", 1_020), ("a", 1_010), ("c", 1_030)] {
        let hold = sent(&ledger, nonce).await;
        take(&ledger, &hold, Step::Unknown { transaction: None, reason: None, reported: None }, at).await;
    }
    let take = async |at| {
        let due = ledger.take_due(UnixTime(at), 2).await.expect("what is due");
        due.into_iter().map(|pending| pending.hold.id.nonce().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(take(1_015).await, ["a"]);
    assert_eq!(take(1_040).await, ["a", "b"]);
    assert_eq!(take(1_040).await, ["c"], "those that were taken are not due at once");
}

/// Each repetition had the facilitator asked at once: a client that repeats without a pause had it asked in a loop.
#[tokio::test]
async fn a_repetition_hurries_recovery_to_a_look_every_four_seconds() {
    let (_dir, ledger) = ledger();
    unknown(&ledger, "n").await;
    for at in [1_003, 1_004, 1_006, 1_010] {
        assert_eq!(due(&ledger, at).await, ["n"]);
    }
    assert_eq!(due(&ledger, 1_012).await, [""; 0]);
    let taken_up = ledger.reclaim(presented("n"), UnixTime(1_012)).await;
    assert_eq!(taken_up, Ok(Some(Claimed::Settling { transaction: None })));
    assert_eq!(due(&ledger, 1_015).await, [""; 0]);
    assert_eq!(due(&ledger, 1_016).await, ["n"], "before its time, which was 1018");
    let mut looks = Vec::new();
    for at in 1_016..1_040 {
        for _ in 0..3 {
            assert!(matches!(ledger.reclaim(presented("n"), UnixTime(at)).await, Ok(Some(Claimed::Settling { .. }))));
            looks.extend(due(&ledger, at).await.into_iter().map(|_| at));
        }
    }
    assert_eq!(looks, [1_020, 1_024, 1_028, 1_032, 1_036]);
    let stranger = Presented { holder: OLD_CLIENT, ..presented("n") };
    for at in 1_041..1_050 {
        assert_eq!(ledger.reclaim(stranger.clone(), UnixTime(at)).await, Ok(Some(Claimed::Foreign)));
    }
    assert_eq!(due(&ledger, 1_042).await, ["n"], "as the client itself has asked for");
    assert_eq!(due(&ledger, 1_050).await, [""; 0], "a stranger hurries nothing");
}

#[tokio::test]
async fn a_settlement_whose_end_is_known_is_no_longer_looked_at() {
    let (dir, ledger) = ledger();
    let (settled_row, refused_row) = (unknown(&ledger, "settled").await, unknown(&ledger, "refused").await);
    assert_eq!(count(&dir, "outgoing"), 2);
    take(&ledger, &settled_row, settled(BY_RECOVERY), 1_003).await;
    take(&ledger, &refused_row, refused(false), 1_003).await;
    assert_eq!(due(&ledger, 900_000).await, [""; 0]);
    assert_eq!(count(&dir, "outgoing"), 0, "their requests are never sent again");
}

#[tokio::test]
async fn what_a_facilitator_said_of_an_unknown_settlement_is_remembered() {
    let (dir, ledger) = ledger();
    let hold = unknown(&ledger, "n").await;
    let said = |transaction: Option<&str>, reason: Option<&str>| Step::Unknown {
        transaction: transaction.map(ToOwned::to_owned),
        reason: reason.map(ToOwned::to_owned),
        reported: None,
    };
    take(&ledger, &hold, said(Some("0xtx"), Some("used")), 1_003).await;
    take(&ledger, &hold, said(None, None), 1_003).await;
    let taken = ledger.take_due(UnixTime(1_003), 9).await.expect("what is due");
    let [pending] = &taken[..] else { panic!("one: {taken:?}") };
    assert_eq!((pending.transaction.as_deref(), pending.reason.as_deref()), (Some("0xtx"), Some("used")));
    let row = rows(&dir).remove(0);
    assert_eq!((row.state, row.reason.as_deref()), (PaymentState::Unknown, Some("used")));
    take(&ledger, &hold, settled(BY_RECOVERY), 1_004).await;
    assert_eq!(rows(&dir).remove(0).reason, None);
}

/// A payment whose end nobody could tell was asked about for ever.
#[tokio::test]
async fn an_undecidable_settlement_is_looked_at_again_only_after_the_ledger_is_opened_anew() {
    let (dir, ledger) = ledger();
    let hold = unknown(&ledger, "n").await;
    take(&ledger, &hold, Step::Undecidable { reason: Some("late".to_owned()) }, 3_000).await;
    assert_eq!(ledger.claim(claim("n", 1)).await, Ok(Claimed::Settling { transaction: None }));
    assert_eq!(due(&ledger, 900_000).await, [""; 0], "a repetition changes nothing");
    let still_open = ledger.open_settlements().await.expect("a list");
    assert_eq!(still_open, [(hold.id.clone(), "10000".to_owned())]);
    drop(ledger);
    let ledger = reopened(&dir.path().join("ledger.db")).await;
    let taken = ledger.take_due(UnixTime(900_000), 9).await.expect("what is due");
    assert_eq!(taken.iter().map(|pending| pending.reason.as_deref()).collect::<Vec<_>>(), [Some("late")]);
    take(&ledger, &hold, settled(BY_RECOVERY), 900_001).await;
    assert_eq!(states(&dir), [PaymentState::Settled]);
}

/// A clock that was set back by an hour kept the payment of an hour before from being looked at for an hour.
#[tokio::test]
async fn every_unknown_settlement_is_due_after_the_ledger_is_opened_whatever_the_clock_says_now() {
    let (dir, ledger) = ledger();
    let hold = unknown(&ledger, "n").await;
    assert_eq!(due(&ledger, 900_000).await, ["n"]);
    drop(ledger);
    let ledger = reopened(&dir.path().join("ledger.db")).await;
    assert_eq!(due(&ledger, 3_000).await, [hold.id.nonce()]);
}

/// The same without a restart: recovery looked at nothing until the clock was where it had been.
#[tokio::test]
async fn looks_that_were_set_before_the_clock_went_back_are_not_waited_for() {
    let (dir, ledger) = ledger();
    unknown(&ledger, "unknown").await;
    let hold = sent(&ledger, "watched").await;
    take(&ledger, &hold, refused(true), 1_003).await;
    assert_eq!(due(&ledger, 900_000).await, ["unknown", "watched"]);
    assert_eq!(due(&ledger, 1_500).await, ["unknown"]);
    assert_eq!(due(&ledger, 1_501).await, [""; 0], "by the pauses of the present clock");
    assert_eq!(due(&ledger, 2_119).await, ["unknown"]);
    assert_eq!(due(&ledger, 2_120).await, ["watched"], "its authorisation expires at 2,000");
    assert_eq!(due(&ledger, 900_000).await.len(), 2);
    drop(ledger);
    let ledger = reopened(&dir.path().join("ledger.db")).await;
    assert_eq!(due(&ledger, 3_000).await.len(), 2, "nor after a restart");
}

#[tokio::test]
async fn only_open_settlements_of_answers_that_are_made_are_exposed() {
    let (_dir, ledger) = ledger();
    unknown(&ledger, "a").await;
    let ended = unknown(&ledger, "b").await;
    take(&ledger, &ended, refused(false), 1_003).await;
    sent(&ledger, "settling").await;
    let upfront = won(&ledger, Claim { flow: Flow::Upfront, ..claim("c", 1) }).await;
    take(&ledger, &upfront, Step::SettlingUpfront { request: "{}".to_owned() }, 1_001).await;
    take(&ledger, &upfront, Step::Unknown { transaction: None, reason: None, reported: None }, 1_001).await;
    let exposed = ledger.open_settlements().await.expect("a list");
    assert_eq!(exposed.iter().map(|(id, _)| id.nonce()).collect::<Vec<_>>(), ["a", "settling"]);
}

#[tokio::test]
async fn recovery_of_an_upfront_payment_leaves_its_answer_owed() {
    let (_dir, ledger) = ledger();
    let upfront = Claim { flow: Flow::Upfront, ..claim("n", 1) };
    let hold = won(&ledger, upfront.clone()).await;
    take(&ledger, &hold, Step::SettlingUpfront { request: "{}".to_owned() }, 1).await;
    take(&ledger, &hold, Step::Unknown { transaction: Some("0xtx".to_owned()), reason: None, reported: None }, 1).await;
    take(&ledger, &hold, settled(BY_RECOVERY), 2).await;
    let claimed = ledger.claim(upfront).await;
    assert!(matches!(&claimed, Ok(Claimed::Owed { settlement: by, .. }) if *by == settlement()), "{claimed:?}");
}

/// A facilitator's refusal was believed for good, although the authorisation was still valid: the transfer that landed
/// two seconds later was never noticed.
#[tokio::test]
async fn a_refusal_that_is_watched_is_looked_at_again_after_its_authorisation_has_expired() {
    let (dir, ledger) = ledger();
    let hold = sent(&ledger, "n").await;
    take(&ledger, &hold, refused(true), 1_003).await;
    assert_eq!(ledger.claim(claim("n", 1)).await, Ok(Claimed::Refused { reason: "late".to_owned() }));
    assert_eq!(count(&dir, "answer"), 0);
    assert_eq!(due(&ledger, 2_119).await, [""; 0], "blocks may lag behind the clock");
    let taken = ledger.take_due(UnixTime(2_120), 9).await.expect("what is due");
    let [pending] = &taken[..] else { panic!("one: {taken:?}") };
    assert_eq!((pending.state, pending.answer_kept, pending.looks), (PaymentState::Refused, false, 0));
    let by_the_request = ledger.advance(&hold, settled(BY_REQUEST), UnixTime(2_121)).await;
    assert!(is_out_of_order(&by_the_request), "only recovery asks the chain: {by_the_request:?}");
    take(&ledger, &pending.hold, settled(BY_RECOVERY), 2_121).await;
    let row = rows(&dir).remove(0);
    assert_eq!(row.reason.as_deref(), Some("settled after it was refused"));
    assert_eq!(due(&ledger, 900_000).await, [""; 0]);
    let Ok(Claimed::Owed { hold, .. }) = ledger.claim(claim("n", 1)).await else { panic!("owed") };
    take(&ledger, &hold, answered(), 2_200).await;
    assert_eq!(states(&dir), [PaymentState::Settled]);
}

#[tokio::test]
async fn a_watched_refusal_that_proves_right_is_dismissed() {
    let (dir, ledger) = ledger();
    let hold = unknown(&ledger, "n").await;
    take(&ledger, &hold, refused(true), 1_003).await;
    assert_eq!(due(&ledger, 2_120).await, ["n"]);
    assert_eq!(due(&ledger, 2_120).await, [""; 0]);
    assert_eq!(due(&ledger, 2_121).await, ["n"], "until somebody knows");
    take(&ledger, &hold, Step::Dismissed, 2_121).await;
    assert_eq!((count(&dir, "outgoing"), states(&dir)), (0, vec![PaymentState::Refused]));
    assert_eq!(due(&ledger, 900_000).await, [""; 0]);
    for step in [Step::Dismissed, settled(BY_RECOVERY)] {
        assert!(is_out_of_order(&ledger.advance(&hold, step, UnixTime(2_122)).await));
    }
}

#[tokio::test]
async fn a_refusal_far_in_the_future_is_watched_without_an_overflow() {
    let (_dir, ledger) = ledger();
    let hold = sent_by(&ledger, Claim { valid_before: UnixTime(u64::MAX), ..claim("n", 1) }).await;
    take(&ledger, &hold, refused(true), 1_003).await;
    assert_eq!(due(&ledger, 900_000).await, [""; 0]);
}

#[tokio::test]
async fn two_payments_are_not_settled_by_one_transaction_of_a_facilitator_that_settles_one_at_a_time() {
    let (_dir, ledger) = ledger();
    let one = sent(&ledger, "one").await;
    take(&ledger, &one, settled_by("0xAb", BY_REQUEST), 1_002).await;
    let other = sent(&ledger, "other").await;
    for by in [BY_REQUEST, BY_RECOVERY] {
        for spelling in ["0xaB", "0xab", "0XAB"] {
            let taken = ledger.advance(&other, settled_by(spelling, by), UnixTime(1_002)).await;
            assert!(matches!(taken, Err(LedgerError::Transaction { .. })), "{spelling}: {taken:?}");
        }
    }
    take(&ledger, &other, Step::Unknown { transaction: None, reason: None, reported: None }, 1_003).await;
    take(&ledger, &other, settled_by("0xab", SettledBy::Recovery { alone: false }), 1_004).await;
    let third = sent(&ledger, "third").await;
    take(&ledger, &third, settled_by("0xab", OF_A_BATCH), 1_004).await;
}

#[tokio::test]
async fn names_of_transactions_that_are_no_hex_keep_their_letters() {
    let (dir, ledger) = ledger();
    for (nonce, transaction) in [("one", "5VERv8"), ("other", "5verV8")] {
        let hold = sent(&ledger, nonce).await;
        take(&ledger, &hold, settled_by(transaction, BY_REQUEST), 1_002).await;
    }
    let transactions: Vec<_> = rows(&dir).into_iter().filter_map(|row| row.transaction).collect();
    assert_eq!(transactions, ["5VERv8", "5verV8"]);
}

/// Recovery read the ledger every second although it had nothing to look at.
#[tokio::test]
async fn the_ledger_says_when_something_is_due_next() {
    let (_dir, ledger) = ledger();
    assert_eq!(ledger.next_due().await, Ok(None));
    let hold = sent(&ledger, "n").await;
    let lease = ledger.next_due().await.expect("what is due").expect("the end of its lease");
    assert_eq!(ledger.expire(lease).await, Ok(1));
    let unknown = ledger.next_due().await.expect("what is due").expect("an unknown settlement");
    assert_eq!(ledger.take_due(UnixTime(unknown.0 - 1), 9).await, Ok(Vec::new()));
    assert_eq!(ledger.take_due(unknown, 9).await.map(|due| due.len()), Ok(1));
    assert_eq!(ledger.next_due().await, Ok(Some(unknown.plus(1))));
    take(&ledger, &hold, Step::Refused { reason: "late".to_owned(), transaction: None, watch: false }, 1_100).await;
    assert_eq!(ledger.next_due().await, Ok(None));
}
