//! Tests the ledger through its trait: claims, steps, leases, recovery, pruning and upgrades of the file.

mod backup;
mod changes;
mod claims;
mod disk;
mod events;
mod free_uses;
mod funnel;
mod holders;
mod leases;
mod passes;
mod prune;
mod recovery;
mod refunds;
mod steps;
mod story;
mod upgrade;
mod webhook_attempts;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use coinslot_x402::{Flow, Network, SettlementResponse, UnixTime};

use super::*;
use crate::reports::{ClaimOrder, Filter, FreeUseFilter, LedgerReader, PaymentRow};
use crate::step::{Next, Position};

fn of(payer: &str, nonce: &str) -> PaymentId {
    PaymentId::new(Network::eip155(84532), "0xasset".to_owned(), payer.to_owned(), nonce.to_owned())
}

/// A client that echoed the secret of its challenge.
const HOLDER: Holder = Holder { secret: Some(Fingerprint([5; 32])), client: Some(Fingerprint([7; 32])) };

/// A client of version 1, which has no field for a secret.
const OLD_CLIENT: Holder = Holder { secret: None, client: Some(Fingerprint([7; 32])) };

fn claim(nonce: &str, request: u8) -> Claim {
    Claim {
        id: of("0xpayer", nonce),
        payment: Fingerprint([1; 32]),
        request: Fingerprint([request; 32]),
        holder: HOLDER,
        endpoint: "GET /a".to_owned(),
        plugin: "a".to_owned(),
        generation: 1,
        amount: "10000".to_owned(),
        pay_to: "0xseller".to_owned(),
        testnet: true,
        flow: Flow::Authorization,
        pass: None,
        identifier: None,
        request_id: Some("request-1".to_owned()),
        valid_before: UnixTime(2_000),
        at: UnixTime(1_000),
    }
}

/// The choice of the claims of these tests that are due at a late time.
fn due(failed_before: u64) -> RefundsDue {
    RefundsDue {
        network: Network::eip155(84532),
        received_by: vec![("0xAsset".to_owned(), "0xSeller".to_owned())],
        owed_before: UnixTime(9_000),
        failed_before: UnixTime(failed_before),
        limit: 9,
    }
}

/// A claim with the identifier `order-1`.
fn named(nonce: &str, request: u8) -> Claim {
    Claim { identifier: Some("order-1".to_owned()), ..claim(nonce, request) }
}

fn presented(nonce: &str) -> Presented {
    claim(nonce, 1).presented()
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

/// The place of `answer()`, bought by the claim of this number.
fn kept(row: i64) -> Option<KeptAnswer> {
    let answer = answer();
    Some(KeptAnswer { row, bytes: crate::sqlite::encode_head(&answer).len() + answer.body.len() })
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

/// The file of the ledger in this directory, past the ledger.
fn file(dir: &tempfile::TempDir) -> rusqlite::Connection {
    rusqlite::Connection::open(dir.path().join("ledger.db")).expect("the ledger")
}

fn count(dir: &tempfile::TempDir, table: &str) -> i64 {
    let query = format!("SELECT count(*) FROM {table}");
    file(dir).query_row(&query, [], |row| row.get(0)).expect("a count")
}

/// Every row of the ledger in this directory, the oldest claim first.
fn rows(dir: &tempfile::TempDir) -> Vec<PaymentRow> {
    let reader = LedgerReader::open(&dir.path().join("ledger.db")).expect("a ledger");
    let filter = Filter { order: ClaimOrder::OldestFirst, ..Filter::default() };
    let mut selection = reader.select(&filter).expect("a selection");
    selection.rows().expect("rows").collect::<Result<_, _>>().expect("readable rows")
}

fn states(dir: &tempfile::TempDir) -> Vec<PaymentState> {
    rows(dir).into_iter().map(|row| row.state).collect()
}

/// The writer thread of the dropped ledger closes the file a moment later.
async fn reopened(path: &Path) -> SqliteLedger {
    for _ in 0..500 {
        if let Ok(ledger) = SqliteLedger::open(path) {
            return ledger;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the ledger stays locked");
}

const BY_REQUEST: SettledBy =
    SettledBy::Request { alone: true, verify: Duration::ZERO, run: Some(Duration::ZERO), settle: Duration::ZERO };

const OF_A_BATCH: SettledBy =
    SettledBy::Request { alone: false, verify: Duration::ZERO, run: None, settle: Duration::ZERO };

const BY_RECOVERY: SettledBy = SettledBy::Recovery { alone: true };

fn settling() -> Step {
    Step::Settling { request: "{}".to_owned(), answer: answer() }
}

fn settled(by: SettledBy) -> Step {
    Step::Settled { settlement: settlement(), by, block: Some(7) }
}

/// The settlement by a transaction of the payment's own.
fn settled_by(transaction: &str, by: SettledBy) -> Step {
    let settlement = SettlementResponse { transaction: transaction.to_owned(), ..settlement() };
    Step::Settled { settlement, by, block: None }
}

fn refused(watch: bool) -> Step {
    Step::Refused { reason: "late".to_owned(), transaction: None, watch }
}

fn answered() -> Step {
    Step::Answered { kept: Retained::Answer(answer()), run: Duration::ZERO }
}

/// Claims, which must be won.
async fn won(ledger: &SqliteLedger, claim: Claim) -> Hold {
    match ledger.claim(claim).await {
        Ok(Claimed::Won(hold)) => hold,
        other => panic!("not won: {other:?}"),
    }
}

/// Takes a step, which must be allowed.
async fn take(ledger: &SqliteLedger, hold: &Hold, step: Step, at: u64) {
    let name = step.name();
    assert_eq!(ledger.advance(hold, step, UnixTime(at)).await, Ok(()), "{name}");
}

fn is_out_of_order<T: std::fmt::Debug>(end: &Result<T, LedgerError>) -> bool {
    matches!(end, Err(LedgerError::OutOfOrder { .. }))
}

/// Claims, runs and sends.
async fn sent(ledger: &SqliteLedger, nonce: &str) -> Hold {
    sent_by(ledger, claim(nonce, 1)).await
}

async fn sent_by(ledger: &SqliteLedger, claim: Claim) -> Hold {
    let hold = won(ledger, claim).await;
    take(ledger, &hold, Step::Executing, 1_000).await;
    take(ledger, &hold, settling(), 1_001).await;
    hold
}

/// Claims, runs, sends, and gets no answer.
async fn unknown(ledger: &SqliteLedger, nonce: &str) -> Hold {
    let hold = sent(ledger, nonce).await;
    take(ledger, &hold, Step::Unknown { transaction: None, reason: None, reported: None }, 1_002).await;
    hold
}

/// Settled before the guest runs: executing, and paid.
async fn paid_first(ledger: &SqliteLedger, nonce: &str) -> Hold {
    let hold = won(ledger, Claim { flow: Flow::Upfront, ..claim(nonce, 1) }).await;
    take(ledger, &hold, Step::SettlingUpfront { request: "{}".to_owned() }, 1_001).await;
    take(ledger, &hold, settled_by(&format!("0x{nonce}"), BY_REQUEST), 1_002).await;
    hold
}

/// Settled before the guest ran, and not answered.
async fn owed(ledger: &SqliteLedger, nonce: &str) -> Hold {
    let hold = paid_first(ledger, nonce).await;
    take(ledger, &hold, Step::Owed { reason: "trap".to_owned(), client_left: false }, 1_003).await;
    hold
}
