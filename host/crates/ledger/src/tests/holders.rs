//! Tests who may fetch what a payment bought. A signature is public once it is settled: see `holder`.

use super::*;

/// The payer's answer went to every reader of the chain, who rebuilt the payment from the transaction's calldata, and
/// "another request" told apart which request a named wallet had paid for.
#[tokio::test]
async fn a_payment_that_is_rebuilt_from_the_chain_learns_nothing_whatever_it_asks_for() {
    let (_dir, ledger) = ledger();
    let settled_row = sent(&ledger, "settled").await;
    take(&ledger, &settled_row, settled_by("0x1", BY_REQUEST), 1_002).await;
    let delivered = sent(&ledger, "delivered").await;
    take(&ledger, &delivered, settled_by("0x2", BY_REQUEST), 1_002).await;
    take(&ledger, &delivered, Step::Delivered { keep: true }, 1_003).await;
    owed(&ledger, "owed").await;
    unknown(&ledger, "unknown").await;
    let refused_row = sent(&ledger, "refused").await;
    take(&ledger, &refused_row, refused(false), 1_002).await;
    won(&ledger, claim("reserved", 1)).await;
    for nonce in ["settled", "delivered", "owed", "unknown", "refused", "reserved"] {
        for secret in [None, Some(Fingerprint([6; 32]))] {
            let holder = Holder { secret, client: HOLDER.client };
            for request in [1, 2] {
                let stranger = Claim { holder, ..claim(nonce, request) };
                assert_eq!(ledger.claim(stranger.clone()).await, Ok(Claimed::Foreign), "{nonce}");
                let taken_up = ledger.reclaim(stranger.presented(), UnixTime(1_004)).await;
                assert_eq!(taken_up, Ok(Some(Claimed::Foreign)), "{nonce}");
                let found = ledger.find(&stranger.id, stranger.payment, &holder, UnixTime(1_004)).await;
                assert_eq!(found, Ok(Found::Foreign), "{nonce}");
            }
        }
    }
    let own = ledger.claim(claim("owed", 1)).await;
    assert!(matches!(own, Ok(Claimed::Owed { .. })), "the stranger has not taken it up: {own:?}");
}

#[tokio::test]
async fn a_secret_fetches_from_any_address_for_as_long_as_the_answer_is_kept() {
    let (_dir, ledger) = ledger();
    let hold = sent(&ledger, "n").await;
    take(&ledger, &hold, settled(BY_REQUEST), 1_002).await;
    take(&ledger, &hold, Step::Delivered { keep: true }, 1_003).await;
    let moved = Holder { client: Some(Fingerprint([8; 32])), ..HOLDER };
    let fetched = ledger.reclaim(Presented { holder: moved, ..presented("n") }, UnixTime(80_000)).await;
    assert_eq!(fetched, Ok(Some(Claimed::Settled { settlement: settlement(), answer: kept(1) })));
    assert_eq!(
        ledger.find(&hold.id, Fingerprint([1; 32]), &moved, UnixTime(80_000)).await,
        Ok(Found::Known { funded: true })
    );
}

#[tokio::test]
async fn without_a_secret_the_same_client_fetches_until_two_minutes_after_the_delivery() {
    let (_dir, ledger) = ledger();
    let old = Claim { holder: OLD_CLIENT, ..claim("n", 1) };
    let hold = sent_by(&ledger, old.clone()).await;
    take(&ledger, &hold, settled(BY_REQUEST), 1_002).await;
    let bought = Claimed::Settled { settlement: settlement(), answer: kept(1) };
    let fetch = async |at| ledger.reclaim(old.presented(), UnixTime(at)).await;
    assert_eq!(fetch(50_000).await, Ok(Some(bought.clone())), "not delivered yet");
    ledger.delivered(&hold.id, true, UnixTime(60_000)).await;
    assert_eq!(fetch(60_120).await, Ok(Some(bought)));
    ledger.delivered(&hold.id, true, UnixTime(60_120)).await;
    assert_eq!(fetch(60_121).await, Ok(Some(Claimed::Foreign)), "a second delivery gives no more time");
    let other = Claim { holder: Holder { client: Some(Fingerprint([8; 32])), ..OLD_CLIENT }, ..old.clone() };
    assert_eq!(ledger.reclaim(other.presented(), UnixTime(60_001)).await, Ok(Some(Claimed::Foreign)));
    let forged = Presented { payment: Fingerprint([9; 32]), ..old.presented() };
    assert_eq!(ledger.reclaim(forged, UnixTime(60_001)).await, Ok(Some(Claimed::Foreign)), "another signature");
}

#[tokio::test]
async fn a_payment_without_a_row_is_found_to_have_none() {
    let (_dir, ledger) = ledger();
    let id = claim("n", 1).id;
    assert_eq!(ledger.find(&id, Fingerprint([1; 32]), &HOLDER, UnixTime(1)).await, Ok(Found::Nothing));
    assert_eq!(ledger.reclaim(presented("n"), UnixTime(1)).await, Ok(None));
    let hold = won(&ledger, claim("n", 1)).await;
    assert_eq!(ledger.find(&id, Fingerprint([1; 32]), &HOLDER, UnixTime(1)).await, Ok(Found::Known { funded: false }));
    take(&ledger, &hold, Step::Released, 1_000).await;
    assert_eq!(ledger.find(&id, Fingerprint([1; 32]), &HOLDER, UnixTime(1)).await, Ok(Found::Nothing));
}

#[tokio::test]
async fn finding_a_payment_does_not_wait_for_writes() {
    let (dir, ledger) = ledger();
    let hold = won(&ledger, claim("n", 1)).await;
    let other = file(&dir);
    other.execute_batch("BEGIN IMMEDIATE").expect("the lock of all writes");
    let found = ledger.find(&hold.id, Fingerprint([1; 32]), &HOLDER, UnixTime(1)).await;
    assert_eq!(found, Ok(Found::Known { funded: false }));
    other.execute_batch("ROLLBACK").expect("no lock");
}

/// Keys without money took the part of the budget that is kept for payers: a claim costs them nothing.
#[tokio::test]
async fn a_payment_is_funded_while_its_settlement_is_under_way_and_once_it_has_moved_money() {
    let (_dir, ledger) = ledger();
    let find = async |nonce: &str| ledger.find(&claim(nonce, 1).id, Fingerprint([1; 32]), &HOLDER, UnixTime(1)).await;
    let hold = won(&ledger, claim("n", 1)).await;
    take(&ledger, &hold, Step::Executing, 1_001).await;
    assert_eq!(find("n").await, Ok(Found::Known { funded: false }));
    let hold = sent(&ledger, "sent").await;
    assert_eq!(find("sent").await, Ok(Found::Known { funded: true }));
    let refused = Step::Refused { reason: "transaction_failed".to_owned(), transaction: None, watch: false };
    take(&ledger, &hold, refused, 1_002).await;
    assert_eq!(find("sent").await, Ok(Found::Known { funded: false }));
}
