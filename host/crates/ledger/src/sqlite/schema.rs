//! The ledger file's layout and its migrations.

use rusqlite::Connection;

use crate::LedgerError;

/// `PRAGMA application_id` of a Coinslot ledger: "cslt".
pub(crate) const APPLICATION_ID: i64 = 0x6373_6c74;

/// Pages that are kept in memory, in KiB: those of the indexes, which are met in no order, for some hundred thousand
/// payments.
const CACHE_KIB: i64 = 32 * 1024;

/// After so many pages of the log, 16 MiB, they are written into the file itself. A page that changes often is in the
/// log often, and goes into the file once.
const CHECKPOINT_PAGES: i64 = 4_096;

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
", "
CREATE TABLE claim (                         -- who claimed what: written once
    id           INTEGER PRIMARY KEY,        -- in the order of the claims
    key          BLOB NOT NULL,              -- SHA-256 of network, asset, payer, nonce
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
    valid_before INTEGER NOT NULL,           -- Unix seconds
    created_at   INTEGER NOT NULL
) STRICT;
CREATE TABLE progress (                      -- how far each came: narrow, because every step changes it
    id           INTEGER PRIMARY KEY,        -- of the claim
    flow         TEXT NOT NULL CHECK (flow IN ('authorization', 'upfront')),
    state        TEXT NOT NULL CHECK (state IN
        ('reserved', 'executing', 'settling', 'unknown', 'settled', 'delivered', 'owed', 'refused')),
    sent         INTEGER NOT NULL,           -- 1: its settlement was sent
    paid         INTEGER NOT NULL,           -- 1: the money moved
    reason       TEXT,
    verify_us    INTEGER,                    -- how long each part took, in microseconds
    run_us       INTEGER,
    settle_us    INTEGER,
    updated_at   INTEGER NOT NULL
) STRICT;
CREATE TABLE outgoing (                      -- what was sent for settlement, until its end is known
    id           INTEGER PRIMARY KEY,        -- of the claim
    request      TEXT NOT NULL               -- JSON of the facilitator request
) STRICT;
CREATE TABLE settlement (                    -- the transactions
    id           INTEGER PRIMARY KEY,        -- of the claim
    tx           TEXT NOT NULL,
    response     TEXT                        -- JSON of the SettlementResponse: the money moved
) STRICT;
CREATE TABLE kept (                          -- paid answers that may be fetched again
    id           INTEGER PRIMARY KEY,        -- of the claim that bought it
    head         TEXT NOT NULL,              -- JSON: status and header fields
    body         BLOB NOT NULL,
    kept_at      INTEGER NOT NULL
) STRICT;
INSERT INTO claim (key, payment_id, network, asset, payer, nonce, amount, pay_to, testnet, endpoint, plugin, generation,
    payment, request, identifier, valid_before, created_at)
    SELECT key, payment_id, network, asset, payer, nonce, amount, pay_to, testnet, endpoint, plugin, generation,
        payment, request, identifier, valid_before, created_at FROM payment ORDER BY created_at, updated_at;
CREATE UNIQUE INDEX claim_by_key ON claim (key);
INSERT INTO progress SELECT claim.id, flow, state, settle IS NOT NULL, settlement IS NOT NULL, reason, verify_us, run_us,
    settle_us, updated_at FROM payment JOIN claim USING (key);
INSERT INTO outgoing SELECT claim.id, settle FROM payment JOIN claim USING (key)
    WHERE settle IS NOT NULL AND state IN ('settling', 'unknown');
INSERT INTO settlement SELECT claim.id, coalesce(tx, ''), settlement FROM payment JOIN claim USING (key)
    WHERE tx IS NOT NULL OR settlement IS NOT NULL;
INSERT INTO kept SELECT claim.id, head, body, kept_at FROM answer JOIN claim USING (key);
DROP TABLE payment;
DROP TABLE answer;
ALTER TABLE kept RENAME TO answer;
CREATE INDEX claim_by_time ON claim (created_at);
CREATE UNIQUE INDEX claim_identifier ON claim (payer, identifier) WHERE identifier IS NOT NULL;
CREATE INDEX progress_refused ON progress (updated_at) WHERE state = 'refused';
CREATE INDEX settlement_by_tx ON settlement (tx);
CREATE INDEX answer_by_age ON answer (kept_at);
CREATE VIEW payment AS SELECT claim.id, key, payment_id, network, asset, payer, nonce, amount, pay_to, testnet, endpoint,
    plugin, generation, payment, claim.request, identifier, flow, state, outgoing.request AS settle, response AS settlement,
    reason, nullif(tx, '') AS tx, valid_before, verify_us, run_us, settle_us, created_at, updated_at
    FROM claim JOIN progress USING (id) LEFT JOIN settlement USING (id) LEFT JOIN outgoing USING (id);
"];

/// The version that this program reads and writes.
pub(crate) fn current_version() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

/// Opens the file's schema, creating or upgrading it.
pub(crate) fn prepare(connection: &mut Connection) -> Result<(), LedgerError> {
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
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
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
pub(crate) mod tests {
    use super::*;
    use crate::PaymentId;
    use coinslot_x402::Network;

    /// A file as the first version wrote it, with one settled payment.
    pub(crate) fn first_version(path: &std::path::Path) {
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

    /// A file as the second version wrote it: one payment of each state that is worth a question.
    pub(crate) fn second_version(path: &std::path::Path) {
        let connection = Connection::open(path).expect("a file");
        connection.execute_batch(&MIGRATIONS[..2].concat()).expect("the second layout");
        connection.pragma_update(None, "application_id", APPLICATION_ID).expect("a mark");
        connection.pragma_update(None, "user_version", 2).expect("a version");
        let states = ["delivered", "settling", "refused", "owed", "reserved"];
        for (at, state) in (1_000_i64..).zip(states) {
            let id =
                PaymentId::new(Network::eip155(84532), "0xasset".to_owned(), "0xpayer".to_owned(), state.to_owned());
            let sent = state != "reserved";
            let paid = matches!(state, "delivered" | "owed").then_some(SETTLEMENT);
            connection
                .execute(
                    "INSERT INTO payment (key, payment_id, network, asset, payer, nonce, amount, pay_to, testnet, endpoint,
                        plugin, generation, payment, request, identifier, flow, state, settle, settlement, tx, valid_before,
                        created_at, updated_at)
                     VALUES (?1, ?2, 'eip155:84532', '0xasset', '0xpayer', ?3, '10000', '0xseller', 1, 'GET /a', 'a', 1,
                        ?4, ?4, ?5, 'authorization', ?3, ?6, ?7, ?8, 2000, ?9, ?9)",
                    rusqlite::params![
                        id.digest(),
                        id.short(),
                        state,
                        [1_u8; 32],
                        (state == "delivered").then_some("order-1"),
                        sent.then_some("{}"),
                        paid,
                        paid.map(|_| format!("0x{state}")),
                        at,
                    ],
                )
                .expect("a row");
            if matches!(state, "delivered" | "settling") {
                connection
                    .execute(
                        "INSERT INTO answer
                         VALUES (?1, json_object('headers', json_array(), 'status',
                             200), x'68656c6c6f', ?2)",
                        rusqlite::params![id.digest(), at],
                    )
                    .expect("its answer");
            }
        }
    }

    const SETTLEMENT: &str =
        r#"{"success":true,"transaction":"0xdelivered","network":"eip155:84532","payer":"0xpayer"}"#;
}
