//! Files of earlier schema versions.

use super::*;

#[tokio::test]
async fn a_ledger_of_the_first_version_is_brought_up_to_date() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("ledger.db");
    sqlite::schema::tests::first_version(&path);
    let identity = SqliteLedger::identity_at(&path).expect("an upgraded ledger");
    let ledger = SqliteLedger::open(&path).expect("which is not open any more");
    assert_eq!(ledger.identity(), identity);
    drop(ledger);
    let again = reopened(&path).await;
    assert_eq!(again.identity(), identity, "made once");
    assert!(SqliteLedger::identity_at(&path).is_err(), "it is open");
    let (_dir, other) = super::ledger();
    assert_ne!(other.identity(), identity);
    drop(again);
    let states: Vec<_> = rows(&dir).into_iter().map(|row| (row.state.as_str(), row.flow)).collect();
    assert_eq!(states, [("settled", "authorization".to_owned())]);
}

/// Rows from before version 4 know neither the secret nor the client of their payment, and signatures are public: their
/// answers are fetched by nobody. Recovery goes on with them, and their debts stay in the reports.
#[tokio::test]
async fn upgrading_a_ledger_of_the_second_version_keeps_its_payments() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("ledger.db");
    sqlite::schema::tests::second_version(&path);
    let ledger = SqliteLedger::open(&path).expect("an upgraded ledger");
    let states: Vec<_> = rows(&dir).iter().map(|row| (row.state.as_str(), row.created_at.0)).collect();
    assert_eq!(states, [("delivered", 1_000), ("unknown", 1_001), ("refused", 1_002), ("owed", 1_003)]);
    let pending = ledger.take_due(UnixTime(0), 9).await.expect("what is unknown");
    let [one] = &pending[..] else { panic!("one: {pending:?}") };
    assert_eq!((one.hold.id.nonce(), one.request.as_str(), one.answer_kept), ("settling", "{}", true));
    take(&ledger, &one.hold, settled(BY_RECOVERY), 1_004).await;
    assert_eq!(ledger.failed_settlements(UnixTime(0)).await, Ok(vec![("0xpayer".to_owned(), UnixTime(1_002))]));
    let kept = StoredAnswer { headers: Vec::new(), ..answer() };
    let bought = SettlementResponse { transaction: "0xDelivered".to_owned(), ..settlement() };
    assert_eq!(ledger.claim(named("another", 1)).await, Ok(Claimed::Namesake), "a purchase keeps its name");
    let namesake = ledger.namesake(named("another", 1)).await;
    let Ok(Some(Namesake { id, claimed: Claimed::Settled { settlement, answer: Some(found) } })) = namesake else {
        panic!("its answer, for its payer: {namesake:?}")
    };
    assert_eq!(id, claim("delivered", 1).id);
    assert_eq!((settlement, ledger.answer(found).await), (bought, Ok(Some(kept))));
    for nonce in ["delivered", "settling", "owed", "refused"] {
        for holder in [HOLDER, OLD_CLIENT] {
            assert_eq!(ledger.claim(Claim { holder, ..claim(nonce, 1) }).await, Ok(Claimed::Foreign), "{nonce}");
        }
    }
    won(&ledger, claim("reserved", 2)).await;
    let other = sent(&ledger, "new").await;
    let taken = ledger.advance(&other, settled_by("0xdelivered", BY_REQUEST), UnixTime(1_002)).await;
    assert!(matches!(taken, Err(LedgerError::Transaction { .. })), "{taken:?}");
}

#[tokio::test]
async fn upgrading_a_ledger_of_the_third_version_ends_what_was_at_work() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("ledger.db");
    sqlite::schema::tests::third_version(&path);
    let ledger = SqliteLedger::open(&path).expect("an upgraded ledger");
    let after: Vec<_> = rows(&dir).into_iter().map(|row| (row.nonce, row.state)).collect();
    let expected = [
        ("executing", PaymentState::Refused),
        ("settling", PaymentState::Unknown),
        ("unknown", PaymentState::Unknown),
        ("settled", PaymentState::Settled),
        ("delivered", PaymentState::Delivered),
        ("owed", PaymentState::Owed),
        ("refused", PaymentState::Refused),
    ];
    assert_eq!(after, expected.map(|(nonce, state)| (nonce.to_owned(), state)));
    let due = ledger.take_due(UnixTime(0), 9).await.expect("what is due");
    assert_eq!(due.into_iter().map(|due| due.hold.id.nonce().to_owned()).collect::<Vec<_>>(), ["settling", "unknown"]);
    let taken = ledger.advance(&sent(&ledger, "new").await, settled_by("0xab5", BY_REQUEST), UnixTime(1_002)).await;
    assert!(matches!(taken, Err(LedgerError::Transaction { .. })), "{taken:?}");
    let bytes: i64 = file(&dir).query_row("SELECT bytes FROM kept_bytes", [], |row| row.get(0)).expect("a size");
    let new = i64::try_from(answer().bytes()).expect("small");
    assert!(bytes > 4 * 4 + new, "the old answers count: {bytes}");
    let kept = Retention { answers: Duration::ZERO, payments: Duration::from_secs(90_000), answer_bytes: 0 };
    ledger.prune(UnixTime(3_000), kept).await.expect("pruned");
    let names = "claim WHERE identifier IS NOT NULL";
    assert_eq!(count(&dir, names), 3, "unknown and owed purchases keep their names, the others' are free");
}
