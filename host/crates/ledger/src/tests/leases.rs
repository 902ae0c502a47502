//! Holds and leases: what work that is lost cannot do, and how its claims end.

use super::*;

#[tokio::test]
async fn a_step_of_another_attempt_changes_nothing() {
    let (dir, ledger) = ledger();
    let first = owed(&ledger, "n").await;
    let Ok(Claimed::Owed { hold: second, .. }) = ledger.claim(claim("n", 1)).await else { panic!("owed") };
    assert_ne!(first.attempt, second.attempt);
    for step in
        [answered(), Step::Owed { reason: "late".to_owned(), client_left: false }, Step::Delivered { keep: false }]
    {
        let late = ledger.advance(&first, step, UnixTime(1_010)).await;
        assert!(is_out_of_order(&late), "{late:?}");
    }
    assert_eq!(states(&dir), [PaymentState::Executing]);
    take(&ledger, &second, answered(), 1_011).await;

    let lost = won(&ledger, claim("m", 1)).await;
    assert_eq!(ledger.expire(UnixTime(1_030)).await, Ok(1));
    let again = won(&ledger, claim("m", 1)).await;
    assert_ne!(lost.attempt, again.attempt);
    for step in [Step::Released, Step::Executing, settling()] {
        let late = ledger.advance(&lost, step, UnixTime(1_031)).await;
        assert!(is_out_of_order(&late), "the claim is another's now: {late:?}");
    }
}

/// After a short time with a full disk, rows stayed reserved or executing until the next restart: the payer was told
/// "in flight" for ever, and, if the money had moved, was charged without an answer.
#[tokio::test]
async fn a_claim_whose_work_is_lost_ends_by_what_is_known_of_it() {
    let (dir, ledger) = ledger();
    won(&ledger, claim("reserved", 1)).await;
    let executing = won(&ledger, claim("executing", 1)).await;
    take(&ledger, &executing, Step::Executing, 1_000).await;
    paid_first(&ledger, "paid").await;
    sent(&ledger, "settling").await;
    let done = sent(&ledger, "done").await;
    take(&ledger, &done, settled_by("0xdone", BY_REQUEST), 1_002).await;
    assert_eq!(ledger.expire(UnixTime(1_029)).await, Ok(0), "work of half a minute is no lost work");
    assert_eq!(ledger.expire(UnixTime(1_032)).await, Ok(4));
    assert_eq!(states(&dir), [PaymentState::Refused, PaymentState::Owed, PaymentState::Unknown, PaymentState::Settled]);
    assert_eq!(ledger.expire(UnixTime(9_000)).await, Ok(0));
    won(&ledger, claim("reserved", 2)).await;
    let refused = Claimed::Refused { reason: "interrupted".to_owned() };
    assert_eq!(ledger.claim(claim("executing", 1)).await, Ok(refused), "it may have run: never again");
    assert!(matches!(ledger.claim(claim("paid", 1)).await, Ok(Claimed::Owed { .. })));
    let due = ledger.take_due(UnixTime(1_032), 9).await.expect("what is due");
    let [unknown] = &due[..] else { panic!("one: {due:?}") };
    assert_eq!(unknown.hold.id.nonce(), "settling");
}

/// A claim whose work was lost under a clock that was an hour ahead kept its payer waiting for that hour.
#[tokio::test]
async fn a_lease_that_was_set_before_the_clock_went_back_is_no_longer_than_others() {
    let (_dir, ledger) = ledger();
    won(&ledger, Claim { at: UnixTime(4_600), ..claim("lost", 1) }).await;
    let kept = won(&ledger, Claim { at: UnixTime(4_600), ..claim("kept", 1) }).await;
    assert_eq!(ledger.expire(UnixTime(1_000)).await, Ok(0));
    assert_eq!(ledger.renew(vec![kept], UnixTime(1_020)).await, Ok(()));
    assert_eq!(ledger.expire(UnixTime(1_030)).await, Ok(1));
    assert_eq!(ledger.next_due().await, Ok(Some(UnixTime(1_050))));
}

#[tokio::test]
async fn renewed_work_keeps_its_claim() {
    let (dir, ledger) = ledger();
    let (kept, lost) = (won(&ledger, claim("kept", 1)).await, won(&ledger, claim("lost", 1)).await);
    let stale = Hold { attempt: Attempt(lost.attempt.0.wrapping_add(1)), ..lost };
    for at in [1_010, 1_020, 1_030, 1_040] {
        assert_eq!(ledger.renew(vec![kept.clone(), stale.clone()], UnixTime(at)).await, Ok(()));
    }
    assert_eq!(ledger.expire(UnixTime(1_050)).await, Ok(1));
    assert_eq!(rows(&dir).into_iter().map(|row| row.nonce).collect::<Vec<_>>(), ["kept"]);
    take(&ledger, &kept, settling(), 1_051).await;
}

#[tokio::test]
async fn each_step_begins_the_lease_anew() {
    let (dir, ledger) = ledger();
    let hold = won(&ledger, claim("n", 1)).await;
    take(&ledger, &hold, Step::Executing, 1_020).await;
    assert_eq!(ledger.expire(UnixTime(1_049)).await, Ok(0));
    take(&ledger, &hold, settling(), 1_049).await;
    assert_eq!(ledger.expire(UnixTime(1_078)).await, Ok(0));
    assert_eq!(states(&dir), [PaymentState::Settling]);
    assert_eq!(ledger.expire(UnixTime(1_079)).await, Ok(1));
    take(&ledger, &hold, settled(BY_REQUEST), 1_080).await;
    assert_eq!(states(&dir), [PaymentState::Settled], "news of the money are welcome from a late request, too");
}

#[tokio::test]
async fn opening_a_ledger_ends_the_leases_of_an_ended_process() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("ledger.db");
    {
        let ledger = SqliteLedger::open(&path).expect("a new ledger");
        won(&ledger, claim("reserved", 1)).await;
        let hold = won(&ledger, claim("executing", 1)).await;
        take(&ledger, &hold, Step::Executing, 1).await;
        sent(&ledger, "settling").await;
        paid_first(&ledger, "paid").await;
    }
    let ledger = reopened(&path).await;
    won(&ledger, claim("reserved", 2)).await;
    let refused = Claimed::Refused { reason: "interrupted".to_owned() };
    assert_eq!(ledger.claim(claim("executing", 1)).await, Ok(refused), "it may have run: never again");
    let due = ledger.take_due(UnixTime(1), 9).await.expect("what is due");
    let [one] = &due[..] else { panic!("one: {due:?}") };
    assert_eq!((one.hold.id.nonce(), one.answer_kept, one.state), ("settling", true, PaymentState::Unknown));
    assert_eq!(ledger.claim(claim("settling", 1)).await, Ok(Claimed::Settling { transaction: None }));
    let owed = ledger.claim(claim("paid", 1)).await;
    assert!(matches!(owed, Ok(Claimed::Owed { .. })), "paid for, and not answered: {owed:?}");
}

#[tokio::test]
async fn what_is_noted_is_written_in_order_before_the_next_step() {
    let (dir, ledger) = ledger();
    let hold = won(&ledger, claim("n", 1)).await;
    ledger.note(&hold, Step::Executing, UnixTime(1_001));
    take(&ledger, &hold, settling(), 1_002).await;
    ledger.note(&hold, settled(BY_REQUEST), UnixTime(1_003));
    ledger.note(&hold, Step::Delivered { keep: true }, UnixTime(1_004));
    ledger.note(&hold, Step::Released, UnixTime(1_005));
    assert_eq!(ledger.probe(UnixTime(1_006)).await, Ok(()));
    let written: Vec<_> = rows(&dir).into_iter().map(|row| (row.state, row.updated_at.0)).collect();
    assert_eq!(written, [(PaymentState::Delivered, 1_004)], "and a step that is refused changes nothing");
}

/// The step to executing waits for no disk. If it is lost, the one to settling must not fail.
#[tokio::test]
async fn settling_may_follow_the_claim() {
    let (dir, ledger) = ledger();
    let hold = won(&ledger, claim("n", 1)).await;
    take(&ledger, &hold, settling(), 1_002).await;
    assert_eq!(states(&dir), [PaymentState::Settling]);
}
