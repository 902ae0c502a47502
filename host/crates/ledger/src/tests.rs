use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use coinslot_x402::{Flow, Network, SettlementResponse, UnixTime};

use super::*;
use crate::reports::{ClaimOrder, Filter, LedgerReader, PaymentRow};
use crate::step::{Next, Position};

fn of(payer: &str, nonce: &str) -> PaymentId {
    PaymentId::new(Network::eip155(84532), "0xasset".to_owned(), payer.to_owned(), nonce.to_owned())
}

fn claim(nonce: &str, request: u8) -> Claim {
    Claim {
        id: of("0xpayer", nonce),
        payment: Fingerprint([1; 32]),
        request: Fingerprint([request; 32]),
        endpoint: "GET /a".to_owned(),
        plugin: "a".to_owned(),
        generation: 1,
        amount: "10000".to_owned(),
        pay_to: "0xseller".to_owned(),
        testnet: true,
        flow: Flow::Authorization,
        identifier: None,
        valid_before: UnixTime(2_000),
        at: UnixTime(1_000),
    }
}

fn settlement() -> SettlementResponse {
    SettlementResponse {
        success: true,
        error_reason: None,
        error_message: None,
        payer: Some("0xpayer".to_owned()),
        transaction: "0xhash".to_owned(),
        network: "eip155:84532".to_owned(),
        amount: None,
        extensions: None,
        extra: None,
    }
}

fn answer() -> StoredAnswer {
    StoredAnswer {
        status: 200,
        headers: vec![("content-type".to_owned(), b"text/plain".to_vec()), ("x-odd".to_owned(), vec![0xff])],
        body: Bytes::from_static(b"hello"),
    }
}

fn ledger() -> (tempfile::TempDir, Arc<SqliteLedger>) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let ledger = SqliteLedger::open(&dir.path().join("ledger.db")).expect("a new ledger");
    (dir, Arc::new(ledger))
}

/// Every row of the ledger in this directory, the oldest claim first.
fn rows(dir: &tempfile::TempDir) -> Vec<PaymentRow> {
    let reader = LedgerReader::open(&dir.path().join("ledger.db")).expect("a ledger");
    let filter = Filter { order: ClaimOrder::OldestFirst, ..Filter::default() };
    let mut selection = reader.select(&filter).expect("a selection");
    selection.rows().expect("rows").collect::<Result<_, _>>().expect("readable rows")
}

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
            Claimed::Won => won += 1,
            Claimed::InFlight => {}
            other => panic!("unexpected {other:?}"),
        }
    }
    assert_eq!(won, 1);
}

#[tokio::test]
async fn a_payment_cannot_be_moved_to_another_request() {
    let (_dir, ledger) = ledger();
    assert_eq!(ledger.claim(claim("n", 1)).await, Ok(Claimed::Won));
    assert_eq!(ledger.claim(claim("n", 2)).await, Ok(Claimed::OtherRequest));
    let forged = Claim { payment: Fingerprint([9; 32]), ..claim("n", 1) };
    assert_eq!(ledger.claim(forged).await, Ok(Claimed::OtherRequest));
}

#[tokio::test]
async fn a_released_payment_may_try_again() {
    let (_dir, ledger) = ledger();
    assert_eq!(ledger.claim(claim("n", 1)).await, Ok(Claimed::Won));
    assert_eq!(ledger.advance(&claim("n", 1).id, Step::Released, UnixTime(1_000)).await, Ok(()));
    assert_eq!(ledger.claim(claim("n", 2)).await, Ok(Claimed::Won));
}

/// Nothing is kept for long.
const KEPT: Retention = Retention { answers: Duration::from_secs(10), payments: Duration::from_secs(5_000) };

const BY_REQUEST: SettledBy =
    SettledBy::Request { alone: true, verify: Duration::ZERO, run: Some(Duration::ZERO), settle: Duration::ZERO };

const OF_A_BATCH: SettledBy =
    SettledBy::Request { alone: false, verify: Duration::ZERO, run: None, settle: Duration::ZERO };

/// Claims, runs and sends.
async fn sent(ledger: &SqliteLedger, nonce: &str) -> PaymentId {
    let id = claim(nonce, 1).id;
    assert_eq!(ledger.claim(claim(nonce, 1)).await, Ok(Claimed::Won));
    assert_eq!(ledger.advance(&id, Step::Executing, UnixTime(1_000)).await, Ok(()));
    assert_eq!(
        ledger.advance(&id, Step::Settling { request: "{}".to_owned(), answer: answer() }, UnixTime(1_001)).await,
        Ok(())
    );
    id
}

/// Settled before the guest runs: executing, and paid.
async fn paid_first(ledger: &SqliteLedger, nonce: &str) -> PaymentId {
    let upfront = Claim { flow: Flow::Upfront, ..claim(nonce, 1) };
    let id = upfront.id.clone();
    assert_eq!(ledger.claim(upfront).await, Ok(Claimed::Won));
    assert_eq!(ledger.advance(&id, Step::SettlingUpfront { request: "{}".to_owned() }, UnixTime(1_001)).await, Ok(()));
    let by = SettledBy::Request { alone: true, verify: Duration::ZERO, run: None, settle: Duration::ZERO };
    let settlement = SettlementResponse { transaction: format!("0x{nonce}"), ..settlement() };
    assert_eq!(ledger.advance(&id, Step::Settled { settlement, by }, UnixTime(1_002)).await, Ok(()));
    id
}

#[tokio::test]
async fn a_settled_payment_gives_its_answer_back() {
    let (_dir, ledger) = ledger();
    let id = sent(&ledger, "n").await;
    assert_eq!(ledger.claim(claim("n", 1)).await, Ok(Claimed::Settling { transaction: None }));
    assert_eq!(
        ledger.advance(&id, Step::Settled { settlement: settlement(), by: BY_REQUEST }, UnixTime(1_002)).await,
        Ok(())
    );
    let expected = Claimed::Settled { settlement: settlement(), answer: Some(answer()) };
    assert_eq!(ledger.claim(claim("n", 1)).await, Ok(expected.clone()));
    assert_eq!(ledger.advance(&id, Step::Delivered { keep: true }, UnixTime(1_003)).await, Ok(()));
    assert_eq!(ledger.claim(claim("n", 1)).await, Ok(expected));
    assert_eq!(ledger.prune(UnixTime(1_500), KEPT).await, Ok(1));
    let forgotten = Claimed::Settled { settlement: settlement(), answer: None };
    assert_eq!(ledger.claim(claim("n", 1)).await, Ok(forgotten));
}

#[tokio::test]
async fn an_answer_that_is_too_large_to_keep_waits_for_its_delivery() {
    let (_dir, ledger) = ledger();
    let id = sent(&ledger, "n").await;
    assert_eq!(
        ledger.advance(&id, Step::Settled { settlement: settlement(), by: BY_REQUEST }, UnixTime(1_002)).await,
        Ok(())
    );
    assert_eq!(ledger.advance(&id, Step::Delivered { keep: false }, UnixTime(1_003)).await, Ok(()));
    let gone = Claimed::Settled { settlement: settlement(), answer: None };
    assert_eq!(ledger.claim(claim("n", 1)).await, Ok(gone));
}

#[tokio::test]
async fn pruned_payments_stay_in_the_totals() {
    let (dir, ledger) = ledger();
    for nonce in ["a", "b", "c"] {
        let id = paid_first(&ledger, nonce).await;
        assert_eq!(
            ledger
                .advance(&id, Step::Answered { kept: Retained::Answer(answer()), run: Duration::ZERO }, UnixTime(1_003))
                .await,
            Ok(())
        );
    }
    let open = sent(&ledger, "open").await;
    assert_eq!(ledger.advance(&open, Step::Unknown { transaction: None }, UnixTime(1_004)).await, Ok(()));
    assert_eq!(ledger.prune(UnixTime(9_000), KEPT).await, Ok(6), "three answers and three rows");
    let file = rusqlite::Connection::open(dir.path().join("ledger.db")).expect("the ledger");
    let total: (i64, String) = file
        .query_row("SELECT payments, amount FROM total", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .expect("one line");
    assert_eq!(total, (3, "30000".to_owned()));
    assert_eq!(rows(&dir).len(), 1, "what is unknown stays");
}

#[tokio::test]
async fn steps_out_of_order_are_refused() {
    let (_dir, ledger) = ledger();
    let id = claim("n", 1).id;
    let early = ledger.advance(&id, Step::Settled { settlement: settlement(), by: BY_REQUEST }, UnixTime(1)).await;
    assert!(matches!(early, Err(LedgerError::OutOfOrder { step: "settled", .. })), "{early:?}");
    assert_eq!(ledger.claim(claim("n", 1)).await, Ok(Claimed::Won));
    let unread = ledger.advance(&id, Step::Settling { request: "{}".to_owned(), answer: answer() }, UnixTime(1)).await;
    assert!(matches!(unread, Err(LedgerError::OutOfOrder { step: "settling", .. })), "{unread:?}");
    assert_eq!(ledger.advance(&id, Step::Executing, UnixTime(1)).await, Ok(()));
    assert_eq!(
        ledger.advance(&id, Step::Settling { request: "{}".to_owned(), answer: answer() }, UnixTime(1)).await,
        Ok(())
    );
    let late = ledger.advance(&id, Step::Released, UnixTime(1_000)).await;
    assert!(matches!(late, Err(LedgerError::OutOfOrder { step: "released", .. })), "{late:?}");
}

/// Every step, with some data.
fn steps() -> Vec<Step> {
    let request = "{}".to_owned();
    vec![
        Step::Released,
        Step::Executing,
        Step::Settling { request: request.clone(), answer: answer() },
        Step::SettlingUpfront { request },
        Step::Unknown { transaction: None },
        Step::Settled { settlement: settlement(), by: OF_A_BATCH },
        Step::Settled { settlement: settlement(), by: SettledBy::Recovery },
        Step::Answered { kept: Retained::Answer(answer()), run: Duration::ZERO },
        Step::Owed { reason: "trap".to_owned() },
        Step::Refused { reason: "late".to_owned(), transaction: None },
        Step::Delivered { keep: true },
    ]
}

#[tokio::test]
async fn the_store_allows_exactly_the_steps_of_the_diagram() {
    let (dir, ledger) = ledger();
    let mut cases = Vec::new();
    for state in PaymentState::ALL {
        for flow in [Flow::Authorization, Flow::Upfront] {
            for paid in [false, true] {
                cases.extend(steps().into_iter().map(|step| (step, Position { state, flow, paid })));
            }
        }
    }
    let of_case = |at: usize| Claim { id: of("0xpayer", &at.to_string()), ..claim("n", 1) };
    let mut claims = tokio::task::JoinSet::new();
    for at in 0..cases.len() {
        let ledger = Arc::clone(&ledger);
        claims.spawn(async move { ledger.claim(of_case(at)).await });
    }
    assert!(claims.join_all().await.into_iter().all(|claimed| claimed == Ok(Claimed::Won)));
    let mut file = rusqlite::Connection::open(dir.path().join("ledger.db")).expect("the ledger");
    let changes = file.transaction().expect("a transaction");
    for (at, (_, Position { state, flow, paid })) in cases.iter().enumerate() {
        changes
            .execute(
                "UPDATE progress SET state = ?2, flow = ?3, paid = ?4
                 WHERE id = (SELECT id FROM claim WHERE nonce = ?1)",
                rusqlite::params![at.to_string(), state.as_str(), flow.as_str(), paid],
            )
            .expect("a state");
    }
    changes.commit().expect("committed");

    let mut taken = tokio::task::JoinSet::new();
    for (at, (step, _)) in cases.clone().into_iter().enumerate() {
        let ledger = Arc::clone(&ledger);
        taken.spawn(async move { (at, ledger.advance(&of_case(at).id, step, UnixTime(1_001)).await) });
    }
    let taken: std::collections::HashMap<usize, _> = taken.join_all().await.into_iter().collect();
    let states: std::collections::HashMap<String, PaymentState> =
        rows(&dir).into_iter().map(|row| (row.nonce, row.state)).collect();
    for (at, (step, from)) in cases.iter().enumerate() {
        let (after, allowed) = match step.next(*from) {
            Some(Next::State(after)) => (Some(after), true),
            Some(Next::Deleted) => (None, true),
            None => (Some(from.state), matches!(step, Step::Delivered { .. })),
        };
        assert_eq!(states.get(&at.to_string()).copied(), after, "{step:?} from {from:?}");
        assert_eq!(taken[&at].is_ok(), allowed, "{step:?} from {from:?}: {:?}", taken[&at]);
    }
}

#[tokio::test]
async fn two_payments_are_not_settled_by_one_transaction_of_a_facilitator_that_settles_one_at_a_time() {
    let (_dir, ledger) = ledger();
    let (one, other) = (sent(&ledger, "one").await, sent(&ledger, "other").await);
    assert_eq!(
        ledger.advance(&one, Step::Settled { settlement: settlement(), by: BY_REQUEST }, UnixTime(1_002)).await,
        Ok(())
    );
    let taken =
        ledger.advance(&other, Step::Settled { settlement: settlement(), by: BY_REQUEST }, UnixTime(1_002)).await;
    assert!(matches!(taken, Err(LedgerError::Transaction { .. })), "{taken:?}");
    assert_eq!(ledger.advance(&other, Step::Unknown { transaction: None }, UnixTime(1_003)).await, Ok(()));
    assert_eq!(
        ledger.advance(&other, Step::Settled { settlement: settlement(), by: OF_A_BATCH }, UnixTime(1_002)).await,
        Ok(())
    );
}

#[tokio::test]
async fn an_owed_answer_is_claimed_by_one_request_at_a_time() {
    let (_dir, ledger) = ledger();
    let id = paid_first(&ledger, "n").await;
    assert_eq!(ledger.claim(claim("n", 1)).await, Ok(Claimed::InFlight));
    assert_eq!(ledger.advance(&id, Step::Owed { reason: "trap".to_owned() }, UnixTime(1_003)).await, Ok(()));
    assert_eq!(ledger.claim(claim("n", 2)).await, Ok(Claimed::OtherRequest), "for its own request only");
    let mut taken = 0;
    for claimed in claim_at_once(&ledger, 16).await {
        match claimed {
            Claimed::Owed { settlement } => taken += usize::from(settlement.transaction == "0xn"),
            other => assert_eq!(other, Claimed::InFlight),
        }
    }
    assert_eq!(taken, 1);
    let released = ledger.advance(&id, Step::Released, UnixTime(1_000)).await;
    assert!(matches!(released, Err(LedgerError::OutOfOrder { .. })), "money is not forgotten: {released:?}");
}

#[tokio::test]
async fn an_identifier_names_one_purchase_of_a_payer() {
    let (dir, ledger) = ledger();
    let named = |nonce: &str, request| Claim { identifier: Some("order-1".to_owned()), ..claim(nonce, request) };
    assert_eq!(ledger.claim(named("a", 1)).await, Ok(Claimed::Won));
    assert_eq!(ledger.claim(named("b", 1)).await, Ok(Claimed::InFlight));
    assert_eq!(ledger.claim(named("b", 2)).await, Ok(Claimed::OtherRequest));
    let of_another = Claim { id: of("0xother", "c"), ..named("c", 1) };
    assert_eq!(ledger.claim(of_another).await, Ok(Claimed::Won), "payers do not share names");
    let id = claim("a", 1).id;
    assert_eq!(ledger.advance(&id, Step::Executing, UnixTime(1)).await, Ok(()));
    assert_eq!(
        ledger.advance(&id, Step::Settling { request: "{}".to_owned(), answer: answer() }, UnixTime(1)).await,
        Ok(())
    );
    assert_eq!(
        ledger.advance(&id, Step::Settled { settlement: settlement(), by: BY_REQUEST }, UnixTime(2)).await,
        Ok(())
    );
    let expected = Claimed::Settled { settlement: settlement(), answer: Some(answer()) };
    assert_eq!(ledger.claim(named("b", 1)).await, Ok(expected), "the second payment is not taken");
    assert_eq!(rows(&dir).len(), 2);
}

#[tokio::test]
async fn a_refused_purchase_gives_its_identifier_back() {
    let (_dir, ledger) = ledger();
    let named = |nonce: &str| Claim { identifier: Some("order-1".to_owned()), ..claim(nonce, 1) };
    let id = claim("a", 1).id;
    assert_eq!(ledger.claim(named("a")).await, Ok(Claimed::Won));
    assert_eq!(ledger.advance(&id, Step::Executing, UnixTime(1)).await, Ok(()));
    assert_eq!(
        ledger.advance(&id, Step::Settling { request: "{}".to_owned(), answer: answer() }, UnixTime(1)).await,
        Ok(())
    );
    assert_eq!(
        ledger.advance(&id, Step::Refused { reason: "late".to_owned(), transaction: None }, UnixTime(1)).await,
        Ok(())
    );
    assert_eq!(ledger.claim(named("b")).await, Ok(Claimed::Won));
    assert_eq!(ledger.failed_settlements(UnixTime(0)).await, Ok(vec![("0xpayer".to_owned(), 1)]));
}

#[tokio::test]
async fn opening_a_ledger_recovers_the_rows_of_an_ended_process() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("ledger.db");
    {
        let ledger = SqliteLedger::open(&path).expect("a new ledger");
        assert_eq!(ledger.claim(claim("reserved", 1)).await, Ok(Claimed::Won));
        assert_eq!(ledger.claim(claim("executing", 1)).await, Ok(Claimed::Won));
        assert_eq!(ledger.advance(&claim("executing", 1).id, Step::Executing, UnixTime(1)).await, Ok(()));
        sent(&ledger, "settling").await;
        paid_first(&ledger, "paid").await;
    }
    let ledger = reopened(&path).await;
    assert_eq!(ledger.claim(claim("reserved", 2)).await, Ok(Claimed::Won), "nothing ran and nothing was sent");
    let refused = Claimed::Refused { reason: "interrupted".to_owned() };
    assert_eq!(ledger.claim(claim("executing", 1)).await, Ok(refused), "it may have run: never again");
    let pending = Pending {
        id: claim("settling", 1).id,
        request: "{}".to_owned(),
        valid_before: UnixTime(2_000),
        flow: Flow::Authorization,
        answer_kept: true,
    };
    assert_eq!(ledger.pending(UnixTime(0), 9).await, Ok(vec![pending]));
    assert_eq!(ledger.claim(claim("settling", 1)).await, Ok(Claimed::Settling { transaction: None }));
    let owed = ledger.claim(claim("paid", 1)).await;
    assert!(matches!(owed, Ok(Claimed::Owed { .. })), "paid for, and not answered: {owed:?}");
}

#[tokio::test]
async fn recovery_of_an_upfront_payment_leaves_its_answer_owed() {
    let (_dir, ledger) = ledger();
    let upfront = Claim { flow: Flow::Upfront, ..claim("n", 1) };
    assert_eq!(ledger.claim(upfront.clone()).await, Ok(Claimed::Won));
    assert_eq!(
        ledger.advance(&upfront.id, Step::SettlingUpfront { request: "{}".to_owned() }, UnixTime(1)).await,
        Ok(())
    );
    assert_eq!(
        ledger.advance(&upfront.id, Step::Unknown { transaction: Some("0xtx".to_owned()) }, UnixTime(1)).await,
        Ok(())
    );
    assert_eq!(
        ledger
            .advance(&upfront.id, Step::Settled { settlement: settlement(), by: SettledBy::Recovery }, UnixTime(2))
            .await,
        Ok(())
    );
    assert_eq!(ledger.claim(upfront).await, Ok(Claimed::Owed { settlement: settlement() }));
}

#[tokio::test]
async fn a_ledger_of_the_first_version_is_brought_up_to_date() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("ledger.db");
    sqlite::schema::tests::first_version(&path);
    let ledger = SqliteLedger::open(&path).expect("an upgraded ledger");
    drop(ledger);
    let states: Vec<_> = rows(&dir).into_iter().map(|row| (row.state.as_str(), row.flow)).collect();
    assert_eq!(states, [("settled", "authorization".to_owned())]);
}

#[tokio::test]
async fn upgrading_a_ledger_of_the_second_version_keeps_its_payments() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("ledger.db");
    sqlite::schema::tests::second_version(&path);
    let ledger = SqliteLedger::open(&path).expect("an upgraded ledger");
    let states: Vec<_> = rows(&dir).iter().map(|row| (row.state.as_str(), row.created_at.0)).collect();
    assert_eq!(states, [("delivered", 1_000), ("unknown", 1_001), ("refused", 1_002), ("owed", 1_003)]);
    let pending = ledger.pending(UnixTime(0), 9).await.expect("what is unknown");
    let [one] = &pending[..] else { panic!("one: {pending:?}") };
    assert_eq!((one.id.nonce(), one.request.as_str(), one.answer_kept), ("settling", "{}", true));
    assert_eq!(ledger.failed_settlements(UnixTime(0)).await, Ok(vec![("0xpayer".to_owned(), 1)]));
    let kept = StoredAnswer { headers: Vec::new(), ..answer() };
    let bought = SettlementResponse { transaction: "0xdelivered".to_owned(), ..settlement() };
    let again = Claim { identifier: Some("order-1".to_owned()), ..claim("another", 1) };
    let bought_before = Claimed::Settled { settlement: bought.clone(), answer: Some(kept) };
    assert_eq!(ledger.claim(again).await, Ok(bought_before.clone()), "a purchase keeps its name");
    assert_eq!(ledger.claim(claim("delivered", 1)).await, Ok(bought_before));
    assert_eq!(ledger.claim(claim("owed", 1)).await, Ok(Claimed::Owed { settlement: bought }));
    assert_eq!(ledger.claim(claim("reserved", 2)).await, Ok(Claimed::Won), "it was released");
    let other = sent(&ledger, "new").await;
    let taken = SettlementResponse { transaction: "0xdelivered".to_owned(), ..settlement() };
    let taken = ledger.advance(&other, Step::Settled { settlement: taken, by: BY_REQUEST }, UnixTime(1_002)).await;
    assert!(matches!(taken, Err(LedgerError::Transaction { .. })), "{taken:?}");
}

#[tokio::test]
async fn a_settlement_request_is_kept_until_its_end_is_known() {
    let (dir, ledger) = ledger();
    let file = rusqlite::Connection::open(dir.path().join("ledger.db")).expect("the ledger");
    let outgoing = || {
        let count = file.query_row("SELECT count(*) FROM outgoing", [], |row| row.get::<_, i64>(0));
        count.expect("a count")
    };
    let (paid, refused) = (sent(&ledger, "paid").await, sent(&ledger, "refused").await);
    assert_eq!(outgoing(), 2);
    assert_eq!(
        ledger.advance(&paid, Step::Settled { settlement: settlement(), by: BY_REQUEST }, UnixTime(1_002)).await,
        Ok(())
    );
    assert_eq!(outgoing(), 1);
    assert_eq!(ledger.advance(&refused, Step::Unknown { transaction: None }, UnixTime(1_002)).await, Ok(()));
    assert_eq!(outgoing(), 1);
    assert_eq!(
        ledger.advance(&refused, Step::Refused { reason: "late".to_owned(), transaction: None }, UnixTime(1_003)).await,
        Ok(())
    );
    assert_eq!(outgoing(), 0);
}

#[tokio::test]
async fn a_step_that_fails_half_way_takes_its_whole_commit_with_it() {
    let (dir, ledger) = ledger();
    let (one, other) = (sent(&ledger, "one").await, sent(&ledger, "other").await);
    let file = rusqlite::Connection::open(dir.path().join("ledger.db")).expect("the ledger");
    file.execute_batch(
        "CREATE TRIGGER full BEFORE DELETE ON outgoing WHEN old.id = 1 BEGIN SELECT raise(ABORT, 'full'); END",
    )
    .expect("a trigger");
    let failed =
        ledger.advance(&one, Step::Settled { settlement: settlement(), by: BY_REQUEST }, UnixTime(1_002)).await;
    assert!(matches!(failed, Err(LedgerError::Unavailable(_))), "{failed:?}");
    assert!(!ledger.writable());
    let states = || {
        let mut rows: Vec<_> = rows(&dir).into_iter().map(|row| (row.state, row.transaction)).collect();
        rows.sort();
        rows
    };
    let settling = (PaymentState::Settling, None);
    assert_eq!(states(), [settling.clone(), settling.clone()], "nothing of it is left");
    assert_eq!(
        ledger.advance(&other, Step::Settled { settlement: settlement(), by: BY_REQUEST }, UnixTime(1_002)).await,
        Ok(())
    );
    assert_eq!(states(), [settling, (PaymentState::Settled, Some("0xhash".to_owned()))]);
}

#[tokio::test]
async fn a_ledger_that_cannot_be_written_says_so_until_it_can() {
    let (dir, ledger) = ledger();
    let other = rusqlite::Connection::open(dir.path().join("ledger.db")).expect("the file");
    other.execute_batch("BEGIN IMMEDIATE").expect("its lock");
    let refused = ledger.claim(claim("n", 1)).await;
    assert!(matches!(refused, Err(LedgerError::Unavailable(_))), "{refused:?}");
    assert!(!ledger.writable());
    other.execute_batch("ROLLBACK").expect("no lock");
    assert_eq!(ledger.probe(UnixTime(1)).await, Ok(()));
    assert!(ledger.writable());
    assert_eq!(ledger.claim(claim("n", 1)).await, Ok(Claimed::Won));
}

/// The writer thread of the dropped ledger closes the file a moment later.
async fn reopened(path: &std::path::Path) -> SqliteLedger {
    for _ in 0..500 {
        if let Ok(ledger) = SqliteLedger::open(path) {
            return ledger;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the ledger stays locked");
}

#[tokio::test]
async fn another_programs_database_is_refused() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("other.db");
    let other = rusqlite::Connection::open(&path).expect("a database");
    other.execute_batch("CREATE TABLE t (a)").expect("a table");
    drop(other);
    assert!(matches!(SqliteLedger::open(&path), Err(LedgerError::Schema(_))));
}
