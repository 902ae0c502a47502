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

#[tokio::test]
async fn upgrading_a_ledger_of_the_tenth_version_keeps_rows_events_and_changes() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("ledger.db");
    sqlite::schema::tests::tenth_version(&path);
    let text = |sql: &str| -> Vec<String> {
        let file = file(&dir);
        let mut statement = file.prepare(sql).expect("good SQL");
        let rows = statement.query_map([], |row| row.get(0)).expect("rows");
        rows.collect::<Result<_, _>>().expect("text")
    };
    let everything = [
        "SELECT concat_ws(' ', id, flow, state, sent, paid, reason, updated_at, attempt, named, looks, reported)
            FROM progress WHERE id >= 4 ORDER BY id",
        "SELECT concat_ws(' ', id, kind, claim, payment_id, amount, reason, at) FROM event ORDER BY id",
        "SELECT concat_ws(' ', id, at, who, kind, subject) FROM change",
    ];
    let before = everything.map(text);
    assert_eq!(before.each_ref().map(Vec::len), [5, 1, 1]);
    drop(SqliteLedger::open(&path).expect("an upgraded ledger"));
    let after = everything.map(text);
    let looked = |rows: &[String]| rows.iter().filter(|row| !row.contains(" unknown ")).cloned().collect::<Vec<_>>();
    assert_eq!(looked(&after[0]), looked(&before[0]));
    assert_eq!((&after[1][..1], &after[2]), (&before[1][..], &before[2]));
    let ledger = SqliteLedger::open(&path).expect("and opened again");
    let due = ledger.refunds_due(due(9_000)).await;
    assert_eq!(due, Ok(Vec::new()), "nobody knows whether its client has a part");
    let left: i64 = file(&dir)
        .query_row("SELECT client_left FROM progress WHERE state = 'owed'", [], |row| row.get(0))
        .expect("an owed row");
    assert_eq!(left, 1);
    let event = ledger.last_event().await.expect("read");
    drop(ledger);
    // The triggers are there again, and know the new states.
    file(&dir).execute_batch("UPDATE progress SET state = 'refunded' WHERE state = 'owed'").expect("a known state");
    let ledger = SqliteLedger::open(&path).expect("once more");
    let events = ledger.events(event, 9).await.expect("read");
    assert_eq!(events.into_iter().map(|event| event.kind).collect::<Vec<_>>(), [EventKind::Refunded]);
}
