//! A ledger's file for tests, with rows that a test writes itself, past the rules of a ledger.

use std::path::PathBuf;

use alloy_primitives::B256;
use rusqlite::{Connection, params};

use crate::sqlite::schema;

pub const ASSET: &str = "0x036cbd53842c5426634e7929541ec2318f3dcf7e";
pub const PAYER: &str = "0x00000000000000000000000000000000000000a1";
pub const SELLER: &str = "0x00000000000000000000000000000000005E11E5";

/// A ledger's file in a temporary directory, which is deleted with it.
#[derive(Debug)]
pub struct LedgerFile {
    pub path: PathBuf,
    connection: Connection,
    _dir: tempfile::TempDir,
}

/// The columns of a payment that tests differ in.
#[derive(Clone, Debug)]
pub struct LedgerRow<'r> {
    pub id: u8,
    pub state: &'r str,
    pub network: &'r str,
    pub asset: &'r str,
    pub payer: &'r str,
    pub nonce: String,
    pub amount: &'r str,
    pub endpoint: &'r str,
    pub testnet: bool,
    pub transaction: Option<String>,
    pub reason: Option<&'r str>,
    pub at: u64,
}

/// A payment in this state, with a settlement if the state implies one. `id` becomes its key, nonce and transaction.
pub fn row(id: u8, state: &str) -> LedgerRow<'_> {
    let received = matches!(state, "settled" | "delivered" | "owed");
    LedgerRow {
        id,
        state,
        network: "eip155:8453",
        asset: ASSET,
        payer: PAYER,
        nonce: B256::repeat_byte(id).to_string(),
        amount: "10000",
        endpoint: "GET /a",
        testnet: false,
        transaction: received.then(|| B256::repeat_byte(id).to_string()),
        reason: None,
        at: 1_000,
    }
}

impl LedgerFile {
    /// Creates an empty ledger.
    pub fn create() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("ledger.db");
        let mut connection = Connection::open(&path).expect("a file");
        schema::prepare(&mut connection).expect("a ledger");
        Self { path, connection, _dir: dir }
    }

    /// Inserts a payment.
    pub fn add(&self, payment: &LedgerRow<'_>) {
        let settlement = payment.transaction.is_some().then_some("{}");
        self.connection
            .execute(
                "INSERT INTO claim (key, payment_id, network, asset, payer, nonce, amount, pay_to, testnet, endpoint,
                    plugin, generation, payment, request, valid_before, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 'a', 1, x'01', x'02', ?11, ?11)",
                params![
                    [payment.id; 32].as_slice(),
                    alloy_primitives::hex::encode([payment.id; 16]),
                    payment.network,
                    payment.asset,
                    payment.payer,
                    payment.nonce,
                    payment.amount,
                    SELLER,
                    payment.testnet,
                    payment.endpoint,
                    i64::try_from(payment.at).expect("a time"),
                ],
            )
            .expect("a claim");
        let row = self.connection.last_insert_rowid();
        self.connection
            .execute(
                "INSERT INTO progress (id, flow, state, sent, paid, reason, run_us, updated_at, lease_until, next_look)
                 VALUES (?1, 'authorization', ?2, 0, ?3, ?4, 7, ?5,
                    CASE WHEN ?2 IN ('reserved', 'executing', 'settling') THEN ?5 END,
                    CASE WHEN ?2 = 'unknown' THEN ?5 END)",
                params![
                    row,
                    payment.state,
                    settlement.is_some(),
                    payment.reason,
                    i64::try_from(payment.at).expect("a time")
                ],
            )
            .expect("its progress");
        if let Some(transaction) = &payment.transaction {
            self.connection
                .execute(
                    "INSERT INTO settlement (id, tx, response) VALUES (?1, ?2, ?3)",
                    params![row, transaction, settlement],
                )
                .expect("its transaction");
        }
    }

    /// Runs any statements.
    pub fn run(&self, sql: &str) {
        self.connection.execute_batch(sql).expect("good SQL");
    }
}
