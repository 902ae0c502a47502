//! Tests claims: one of them wins, and a repetition gets its outcome.

use super::*;
use crate::reports::FailureFilter;

/// The ends of so many claims of one payment that are made at the same time.
async fn claim_at_once(ledger: &Arc<SqliteLedger>, count: usize) -> Vec<Claimed> {
    let mut attempts = tokio::task::JoinSet::new();
    for _ in 0..count {
        let ledger = Arc::clone(ledger);
        attempts.spawn(async move { ledger.claim(claim("n", 1)).await.expect("a working ledger") });
    }
    attempts.join_all().await
}

#[tokio::test]
async fn a_claim_is_won_once() {
    let (_dir, ledger) = ledger();
    let mut won = 0;
    for claimed in claim_at_once(&ledger, 64).await {
        match claimed {
            Claimed::Won(_) => won += 1,
            Claimed::InFlight => {}
            other => panic!("unexpected {other:?}"),
        }
    }
    assert_eq!(won, 1);
}

#[tokio::test]
async fn a_payment_cannot_be_moved_to_another_request() {
    let (_dir, ledger) = ledger();
    won(&ledger, claim("n", 1)).await;
    assert_eq!(ledger.claim(claim("n", 2)).await, Ok(Claimed::OtherRequest));
    let forged = Claim { payment: Fingerprint([9; 32]), ..claim("n", 1) };
    assert_eq!(ledger.claim(forged).await, Ok(Claimed::OtherRequest));
}

#[tokio::test]
async fn a_released_payment_may_try_again() {
    let (_dir, ledger) = ledger();
    let hold = won(&ledger, claim("n", 1)).await;
    take(&ledger, &hold, Step::Released, 1_000).await;
    won(&ledger, claim("n", 2)).await;
}

/// The log had the name of the payment, and the ledger did not know it.
#[tokio::test]
async fn a_payment_that_is_given_back_for_a_failure_leaves_a_line_and_may_try_again() {
    let (dir, ledger) = ledger();
    let failed = |reason: &str| Step::Failed { reason: reason.to_owned() };
    for (at, reason) in [(1_000, "it trapped"), (1_001, "it took too long")] {
        let hold = won(&ledger, claim("n", 1)).await;
        take(&ledger, &hold, failed(reason), at).await;
    }
    let hold = won(&ledger, claim("other", 1)).await;
    take(&ledger, &hold, Step::Released, 1_002).await;
    assert_eq!(count(&dir, "claim"), 0);
    let reader = LedgerReader::open(&dir.path().join("ledger.db")).expect("a ledger");
    let failures: Vec<_> =
        reader.failures_before(u64::MAX, FailureFilter::default(), 10).collect::<Result<_, _>>().expect("failures");
    let told: Vec<_> = failures.iter().map(|one| (one.at.0, one.reason.as_str(), one.payment_id.clone())).collect();
    let id = claim("n", 1).id.short();
    assert_eq!(told, [(1_001, "it took too long", id.clone()), (1_000, "it trapped", id)]);
    // Anybody can make a plugin fail: only the newest lines are kept.
    file(&dir).execute("UPDATE failure SET id = id + 20000 WHERE reason = 'it took too long'", []).expect("moved");
    let hold = won(&ledger, claim("n", 1)).await;
    take(&ledger, &hold, failed("again"), 1_003).await;
    assert_eq!(count(&dir, "failure"), 2, "the first one is forgotten");
}

#[tokio::test]
async fn a_settled_payment_gives_its_answer_back() {
    let (_dir, ledger) = ledger();
    let hold = sent(&ledger, "n").await;
    assert_eq!(ledger.claim(claim("n", 1)).await, Ok(Claimed::Settling { transaction: None }));
    take(&ledger, &hold, settled(BY_REQUEST), 1_002).await;
    let expected = Claimed::Settled { settlement: settlement(), answer: kept(1) };
    assert_eq!(ledger.claim(claim("n", 1)).await, Ok(expected.clone()));
    take(&ledger, &hold, Step::Delivered { keep: true }, 1_003).await;
    assert_eq!(ledger.claim(claim("n", 1)).await, Ok(expected.clone()));
    assert_eq!(ledger.reclaim(presented("n"), UnixTime(900_000)).await, Ok(Some(expected)));
}

#[tokio::test]
async fn an_answer_that_is_too_large_to_keep_waits_for_its_delivery() {
    let (dir, ledger) = ledger();
    let (of_the_request, of_a_repetition) = (sent(&ledger, "n").await, sent(&ledger, "m").await);
    take(&ledger, &of_the_request, settled_by("0x1", BY_REQUEST), 1_002).await;
    take(&ledger, &of_the_request, Step::Delivered { keep: false }, 1_003).await;
    take(&ledger, &of_a_repetition, settled_by("0x2", BY_REQUEST), 1_002).await;
    ledger.delivered(&of_a_repetition.id, false, UnixTime(1_003)).await;
    for nonce in ["n", "m"] {
        let claimed = ledger.claim(claim(nonce, 1)).await;
        assert!(matches!(claimed, Ok(Claimed::Settled { answer: None, .. })), "{claimed:?}");
    }
    assert_eq!(states(&dir), [PaymentState::Delivered; 2]);
}

#[tokio::test]
async fn an_owed_answer_is_claimed_by_one_request_at_a_time() {
    let (_dir, ledger) = ledger();
    let hold = paid_first(&ledger, "n").await;
    assert_eq!(ledger.claim(claim("n", 1)).await, Ok(Claimed::InFlight));
    take(&ledger, &hold, Step::Owed { reason: "trap".to_owned(), client_left: false }, 1_003).await;
    assert_eq!(ledger.claim(claim("n", 2)).await, Ok(Claimed::OtherRequest), "for its own request only");
    let mut holds = Vec::new();
    for claimed in claim_at_once(&ledger, 16).await {
        match claimed {
            Claimed::Owed { hold, settlement } if settlement.transaction == "0xn" => holds.push(hold),
            other => assert_eq!(other, Claimed::InFlight),
        }
    }
    let [hold] = &holds[..] else { panic!("one: {holds:?}") };
    let released = ledger.advance(hold, Step::Released, UnixTime(1_000)).await;
    assert!(is_out_of_order(&released), "money is not forgotten: {released:?}");
}

/// The outcome for a namesake of the payment with this nonce.
fn by(nonce: &str, claimed: Claimed) -> Result<Option<Namesake>, LedgerError> {
    Ok(Some(Namesake { id: claim(nonce, 1).id, claimed }))
}

#[tokio::test]
async fn an_identifier_names_one_purchase_of_a_payer() {
    let (dir, ledger) = ledger();
    let hold = won(&ledger, named("a", 1)).await;
    assert_eq!(ledger.claim(named("b", 1)).await, Ok(Claimed::Namesake));
    assert_eq!(ledger.namesake(named("b", 1)).await, by("a", Claimed::InFlight));
    assert_eq!(ledger.namesake(named("b", 2)).await, by("a", Claimed::OtherRequest));
    won(&ledger, Claim { id: of("0xother", "c"), ..named("c", 1) }).await;
    take(&ledger, &hold, settling(), 1_001).await;
    take(&ledger, &hold, settled(BY_REQUEST), 1_002).await;
    let expected = Claimed::Settled { settlement: settlement(), answer: kept(1) };
    assert_eq!(ledger.namesake(named("b", 1)).await, by("a", expected), "the second payment is not taken");
    assert_eq!(rows(&dir).len(), 2);
}

/// A stranger who guessed the identifier of a payer's purchase, and put any 65 bytes in place of a signature, was given
/// the payer's answer: with contract wallets no signature can be judged before the chain is asked.
#[tokio::test]
async fn nothing_is_disclosed_about_a_purchase_to_a_payment_whose_signer_is_not_proven() {
    let (dir, ledger) = ledger();
    let hold = sent_by(&ledger, named("a", 1)).await;
    take(&ledger, &hold, settled(BY_REQUEST), 1_002).await;
    for request in [1, 2] {
        assert_eq!(ledger.claim(named("forged", request)).await, Ok(Claimed::Namesake), "for any request");
    }
    assert_eq!(states(&dir), [PaymentState::Settled], "and nothing is claimed");
}

#[tokio::test]
async fn a_payment_with_a_row_of_its_own_is_never_answered_as_a_namesake() {
    let (_dir, ledger) = ledger();
    let other = sent_by(&ledger, claim("own", 1)).await;
    take(&ledger, &other, settled_by("0xown", BY_REQUEST), 1_002).await;
    let hold = sent_by(&ledger, named("a", 1)).await;
    take(&ledger, &hold, settled_by("0xa", BY_REQUEST), 1_002).await;
    let claimed = ledger.claim(named("own", 1)).await;
    assert!(
        matches!(&claimed, Ok(Claimed::Settled { settlement, .. }) if settlement.transaction == "0xown"),
        "{claimed:?}"
    );
    assert_eq!(ledger.namesake(named("own", 1)).await, Ok(None));
}

#[tokio::test]
async fn an_owed_answer_is_not_given_to_a_namesake() {
    let (_dir, ledger) = ledger();
    let hold = won(&ledger, Claim { flow: Flow::Upfront, ..named("a", 1) }).await;
    take(&ledger, &hold, Step::SettlingUpfront { request: "{}".to_owned() }, 1_001).await;
    take(&ledger, &hold, settled(BY_REQUEST), 1_002).await;
    take(&ledger, &hold, Step::Owed { reason: "trap".to_owned(), client_left: false }, 1_003).await;
    let settling = Claimed::Settling { transaction: Some("0xhash".to_owned()) };
    assert_eq!(ledger.namesake(named("b", 1)).await, by("a", settling));
    let own = ledger.claim(named("a", 1)).await;
    assert!(matches!(own, Ok(Claimed::Owed { .. })), "{own:?}");
}

#[tokio::test]
async fn a_refused_purchase_gives_its_identifier_back() {
    let (_dir, ledger) = ledger();
    let hold = sent_by(&ledger, named("a", 1)).await;
    take(&ledger, &hold, refused(false), 1_002).await;
    assert_eq!(ledger.claim(named("b", 1)).await, Ok(Claimed::Namesake));
    assert_eq!(ledger.namesake(named("b", 1)).await, Ok(None));
    won(&ledger, named("b", 1)).await;
    assert_eq!(ledger.failed_settlements(UnixTime(0)).await, Ok(vec![("0xpayer".to_owned(), UnixTime(1_002))]));
}

#[tokio::test]
async fn the_payers_of_the_last_payments_that_moved_money_are_listed_once() {
    let (_dir, ledger) = ledger();
    for (payer, nonce, paid) in [("0xa", "1", true), ("0xb", "2", true), ("0xb", "3", true), ("0xc", "4", false)] {
        let hold = sent_by(&ledger, Claim { id: of(payer, nonce), ..claim(nonce, 1) }).await;
        if paid {
            take(&ledger, &hold, settled_by(&format!("0x{nonce}"), BY_REQUEST), 1_002).await;
        }
    }
    assert_eq!(ledger.recent_payers(2).await, Ok(vec!["0xb".to_owned()]));
    let mut all = ledger.recent_payers(100).await.expect("readable");
    all.sort();
    assert_eq!(all, ["0xa", "0xb"]);
}

/// Every repetition read its answer as soon as its claim was found, whatever room there was: a thousand at once held a
/// thousand answers.
#[tokio::test]
async fn the_size_of_a_kept_answer_is_known_before_it_is_read() {
    let (_dir, ledger) = ledger();
    let hold = sent(&ledger, "n").await;
    take(&ledger, &hold, settled(BY_REQUEST), 1_002).await;
    let Ok(Some(Claimed::Settled { answer: Some(found), .. })) = ledger.reclaim(presented("n"), UnixTime(1_003)).await
    else {
        panic!("a kept answer")
    };
    assert_eq!(Some(found), kept(1));
    assert_eq!(ledger.answer(found).await, Ok(Some(answer())));
    ledger.delivered(&hold.id, false, UnixTime(1_004)).await;
    assert_eq!(ledger.answer(found).await, Ok(None), "it is forgotten meanwhile");
}
