//! A ledger's file for tests, with rows that a test writes itself.

use std::path::PathBuf;

use alloy_primitives::B256;
use rusqlite::{Connection, params};

use crate::sqlite::schema;

pub const ASSET: &str = "0x036cbd53842c5426634e7929541ec2318f3dcf7e";
pub const PAYER: &str = "0x00000000000000000000000000000000000000a1";
pub const SELLER: &str = "0x00000000000000000000000000000000005E11E5";

/// A ledger's file with what a test writes into it.
#[derive(Debug)]
pub struct LedgerFile {
    /// Where it is.
    pub path: PathBuf,
    connection: Connection,
    _dir: tempfile::TempDir,
}

/// What a test says of a payment; the rest is the same for all.
#[derive(Clone, Debug)]
pub struct LedgerRow<'e> {
    pub id: u8,
    pub state: &'e str,
    pub network: &'e str,
    pub asset: &'e str,
    pub payer: &'e str,
    pub nonce: String,
    pub amount: &'e str,
    pub endpoint: &'e str,
    pub testnet: bool,
    pub transaction: Option<String>,
    pub reason: Option<&'e str>,
    pub at: u64,
}

pub fn entry(id: u8, state: &str) -> LedgerRow<'_> {
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
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("ledger.db");
        let mut connection = Connection::open(&path).expect("a file");
        schema::prepare(&mut connection).expect("a ledger");
        Self { path, connection, _dir: dir }
    }

    pub fn add(&self, entry: &LedgerRow<'_>) {
        let settlement = entry.transaction.is_some().then_some("{}");
        self.connection
            .execute(
                "INSERT INTO claim (key, payment_id, network, asset, payer, nonce, amount, pay_to, testnet, endpoint,
                    plugin, generation, payment, request, valid_before, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 'a', 1, x'01', x'02', ?11, ?11)",
                params![
                    [entry.id].as_slice(),
                    alloy_primitives::hex::encode([entry.id; 16]),
                    entry.network,
                    entry.asset,
                    entry.payer,
                    entry.nonce,
                    entry.amount,
                    SELLER,
                    entry.testnet,
                    entry.endpoint,
                    i64::try_from(entry.at).expect("a time"),
                ],
            )
            .expect("a claim");
        let row = self.connection.last_insert_rowid();
        self.connection
            .execute(
                "INSERT INTO progress (id, flow, state, sent, paid, reason, run_us, updated_at)
                 VALUES (?1, 'authorization', ?2, 0, ?3, ?4, 7, ?5)",
                params![row, entry.state, settlement.is_some(), entry.reason, i64::try_from(entry.at).expect("a time")],
            )
            .expect("its progress");
        if let Some(transaction) = &entry.transaction {
            self.connection
                .execute("INSERT INTO settlement VALUES (?1, ?2, ?3)", params![row, transaction, settlement])
                .expect("its transaction");
        }
    }

    pub fn run(&self, sql: &str) {
        self.connection.execute_batch(sql).expect("good SQL");
    }
}
