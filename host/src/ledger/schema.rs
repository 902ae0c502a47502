//! The ledger file's layout and its migrations.

use rusqlite::Connection;

use super::LedgerError;

/// `PRAGMA application_id` of a Coinslot ledger: "cslt".
pub(super) const APPLICATION_ID: i64 = 0x6373_6c74;

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
", "
CREATE TABLE moved (
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
    identifier   TEXT,                       -- the client's own name for it (extension payment-identifier)
    flow         TEXT NOT NULL CHECK (flow IN ('authorization', 'upfront')),
    state        TEXT NOT NULL CHECK (state IN
        ('reserved', 'executing', 'settling', 'unknown', 'settled', 'delivered', 'owed', 'refused')),
    settle       TEXT,                       -- JSON of the facilitator request, from settling on
    settlement   TEXT,                       -- JSON of the SettlementResponse: the money moved
    reason       TEXT,
    tx           TEXT,
    valid_before INTEGER NOT NULL,           -- Unix seconds
    verify_us    INTEGER,                    -- how long each part took, in microseconds
    run_us       INTEGER,
    settle_us    INTEGER,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE answer (
    key      BLOB PRIMARY KEY NOT NULL,      -- of the payment that bought it
    head     TEXT NOT NULL,                  -- JSON: status and header fields
    body     BLOB NOT NULL,
    kept_at  INTEGER NOT NULL
) STRICT;
CREATE TABLE total (                         -- what pruned rows earned
    day      INTEGER NOT NULL,               -- days since 1970
    network  TEXT NOT NULL,
    asset    TEXT NOT NULL,
    pay_to   TEXT NOT NULL,
    plugin   TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    testnet  INTEGER NOT NULL,
    payments INTEGER NOT NULL,
    amount   TEXT NOT NULL,                  -- atomic units
    PRIMARY KEY (day, network, asset, pay_to, plugin, endpoint)
) STRICT, WITHOUT ROWID;
CREATE TABLE heartbeat (one INTEGER PRIMARY KEY CHECK (one = 1), at INTEGER NOT NULL) STRICT;
INSERT INTO answer SELECT key, answer_head, coalesce(answer_body, x''), updated_at FROM payment WHERE answer_head IS NOT NULL;
INSERT INTO moved SELECT key, payment_id, network, asset, payer, nonce, amount, pay_to, testnet, endpoint, plugin, generation,
    payment, request, NULL, 'authorization', state, settle, settlement, reason, tx, valid_before, NULL, NULL, NULL,
    created_at, updated_at FROM payment;
DROP TABLE payment;
ALTER TABLE moved RENAME TO payment;
CREATE INDEX payment_by_time ON payment (created_at);
CREATE INDEX payment_by_id ON payment (payment_id);
CREATE INDEX payment_by_tx ON payment (tx) WHERE tx IS NOT NULL;
CREATE INDEX payment_open ON payment (updated_at) WHERE state IN ('settling', 'unknown');
CREATE INDEX payment_owed ON payment (updated_at) WHERE state = 'owed';
CREATE INDEX payment_closed ON payment (updated_at) WHERE state IN ('settled', 'delivered', 'refused');
CREATE UNIQUE INDEX payment_identifier ON payment (payer, identifier) WHERE identifier IS NOT NULL;
CREATE INDEX answer_by_age ON answer (kept_at);
"];

/// The version that this program reads and writes.
pub(super) fn current_version() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

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
    transaction.pragma_update(None, "user_version", current_version())?;
    transaction.commit()?;
    Ok(())
}

impl From<rusqlite::Error> for LedgerError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Unavailable(error.to_string())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A file as the first version wrote it, with one settled payment.
    pub(in crate::ledger) fn first_version(path: &std::path::Path) {
        let connection = Connection::open(path).expect("a file");
        connection.execute_batch(MIGRATIONS[0]).expect("the first layout");
        connection.pragma_update(None, "application_id", APPLICATION_ID).expect("a mark");
        connection.pragma_update(None, "user_version", 1).expect("a version");
        connection
            .execute(
                "INSERT INTO payment (key, payment_id, network, asset, payer, nonce, amount, pay_to, testnet, endpoint,
                    plugin, generation, payment, request, state, settlement, tx, answer_head, answer_body, valid_before,
                    created_at, updated_at)
                 VALUES (x'01', 'id', 'eip155:84532', '0xa', '0xp', '0xn', '10000', '0xs', 1, 'GET /a', 'a', 1, x'02',
                    x'03', 'settled', '{}', '0xt', '{}', x'', 2, 1, 1)",
                [],
            )
            .expect("a row");
    }
}
