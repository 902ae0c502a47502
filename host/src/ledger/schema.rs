//! The ledger file's layout and its migrations.

use rusqlite::Connection;

use super::LedgerError;

/// `PRAGMA application_id` of a Coinslot ledger: "cslt".
const APPLICATION_ID: i64 = 0x6373_6c74;

/// One step per schema version; `PRAGMA user_version` counts the steps done. A released step never changes.
const MIGRATIONS: &[&str] = &["
CREATE TABLE payment (
    key          BLOB PRIMARY KEY NOT NULL,  -- SHA-256 of network, asset, payer, nonce
    payment_id   TEXT NOT NULL,              -- as in headers and logs
    network      TEXT NOT NULL,              -- CAIP-2
    asset        TEXT NOT NULL,
    payer        TEXT NOT NULL,
    nonce        TEXT NOT NULL,
    amount       TEXT NOT NULL,              -- atomic units
    pay_to       TEXT NOT NULL,
    testnet      INTEGER NOT NULL,           -- 1: never revenue
    endpoint     TEXT NOT NULL,
    plugin       TEXT NOT NULL,
    generation   INTEGER NOT NULL,
    payment      BLOB NOT NULL,              -- SHA-256 of the signed payment
    request      BLOB NOT NULL,              -- SHA-256 of the request
    state        TEXT NOT NULL CHECK (state IN ('reserved', 'settling', 'settled', 'refused')),
    settle       TEXT,                       -- JSON of the facilitator request
    settlement   TEXT,                       -- JSON of the SettlementResponse
    reason       TEXT,
    tx           TEXT,
    answer_head  TEXT,                       -- JSON: status and header fields
    answer_body  BLOB,
    valid_before INTEGER NOT NULL,           -- Unix seconds
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX payment_by_time ON payment (created_at);
CREATE INDEX payment_settling ON payment (updated_at) WHERE state = 'settling';
CREATE INDEX payment_refused ON payment (valid_before) WHERE state = 'refused';
CREATE INDEX payment_answer ON payment (updated_at) WHERE state = 'settled' AND answer_head IS NOT NULL;
"];

/// Opens the file's schema, creating or upgrading it.
pub(super) fn prepare(connection: &mut Connection) -> Result<(), LedgerError> {
    let application: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application != APPLICATION_ID && (application != 0 || tables != 0) {
        return Err(LedgerError::Schema("the ledger file is another program's database: name another file".to_owned()));
    }
    let done = usize::try_from(version).unwrap_or(usize::MAX);
    if done > MIGRATIONS.len() {
        return Err(LedgerError::Schema(format!(
            "the ledger file has schema version {version}, this Coinslot knows up to {}: run the newer Coinslot that wrote it",
            MIGRATIONS.len()
        )));
    }
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "busy_timeout", 5_000)?;
    let transaction = connection.transaction()?;
    for step in &MIGRATIONS[done..] {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX))?;
    transaction.commit()?;
    Ok(())
}

impl From<rusqlite::Error> for LedgerError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Unavailable(error.to_string())
    }
}
