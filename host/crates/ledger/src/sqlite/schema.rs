//! The layout of the ledger's file, and the migrations that lead to it.

use std::path::Path;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::LedgerError;

/// `PRAGMA application_id` of a Coinslot ledger: "cslt".
pub(crate) const APPLICATION_ID: i64 = 0x6373_6c74;

/// Memory for cached pages, in KiB. It holds the pages of the indexes for some hundred thousand payments: claims touch
/// them in random order.
const CACHE_KIB: i64 = 32 * 1024;

/// Pages in the write-ahead log, 16 MiB, after which SQLite copies them into the file itself. A page that changes often
/// is in the log many times and is copied once, so a long log saves writes.
const CHECKPOINT_PAGES: i64 = 4_096;

/// One migration for each schema version; `PRAGMA user_version` counts those that are done. The statements of a
/// released migration never change.
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
    identifier   TEXT,                       -- the client's name for the purchase (extension payment-identifier)
    flow         TEXT NOT NULL CHECK (flow IN ('authorization', 'upfront')),
    state        TEXT NOT NULL CHECK (state IN
        ('reserved', 'executing', 'settling', 'unknown', 'settled', 'delivered', 'owed', 'refused')),
    settle       TEXT,                       -- JSON of the facilitator request, from settling on
    settlement   TEXT,                       -- JSON of the SettlementResponse, once the money moved
    reason       TEXT,
    tx           TEXT,
    valid_before INTEGER NOT NULL,           -- Unix seconds
    verify_us    INTEGER,                    -- durations of the parts, in microseconds
    run_us       INTEGER,
    settle_us    INTEGER,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE answer (
    key      BLOB PRIMARY KEY NOT NULL,      -- key of the payment that bought it
    head     TEXT NOT NULL,                  -- JSON: status and header fields
    body     BLOB NOT NULL,
    kept_at  INTEGER NOT NULL
) STRICT;
CREATE TABLE total (                         -- the sums that pruned rows earned
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
CREATE TABLE claim (                         -- the claims: a row is written once
    id           INTEGER PRIMARY KEY,        -- grows in the order of the claims
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
    identifier   TEXT,                       -- the client's name for the purchase (extension payment-identifier)
    valid_before INTEGER NOT NULL,           -- Unix seconds
    created_at   INTEGER NOT NULL
) STRICT;
CREATE TABLE progress (                      -- the progress of each claim: narrow, because every step rewrites it
    id           INTEGER PRIMARY KEY,        -- id of the claim
    flow         TEXT NOT NULL CHECK (flow IN ('authorization', 'upfront')),
    state        TEXT NOT NULL CHECK (state IN
        ('reserved', 'executing', 'settling', 'unknown', 'settled', 'delivered', 'owed', 'refused')),
    sent         INTEGER NOT NULL,           -- 1: the settlement was sent
    paid         INTEGER NOT NULL,           -- 1: the money moved
    reason       TEXT,
    verify_us    INTEGER,                    -- durations of the parts, in microseconds
    run_us       INTEGER,
    settle_us    INTEGER,
    updated_at   INTEGER NOT NULL
) STRICT;
CREATE TABLE outgoing (                      -- requests sent for settlement, until their end is known
    id           INTEGER PRIMARY KEY,        -- id of the claim
    request      TEXT NOT NULL               -- JSON of the facilitator request
) STRICT;
CREATE TABLE settlement (                    -- the transaction of each payment
    id           INTEGER PRIMARY KEY,        -- id of the claim
    tx           TEXT NOT NULL,
    response     TEXT                        -- JSON of the SettlementResponse, once the money moved
) STRICT;
CREATE TABLE kept (                          -- paid answers that their payment may fetch again
    id           INTEGER PRIMARY KEY,        -- id of the claim that bought it
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
", "
ALTER TABLE claim ADD COLUMN secret BLOB;                           -- SHA-256 of the secret that the client echoed
ALTER TABLE claim ADD COLUMN client BLOB;                           -- SHA-256 of its address; NULL: an older row
ALTER TABLE progress ADD COLUMN attempt INTEGER NOT NULL DEFAULT 0; -- the attempt that holds the row
ALTER TABLE progress ADD COLUMN named INTEGER NOT NULL DEFAULT 0;   -- 1: the claim has an identifier
ALTER TABLE progress ADD COLUMN lease_until INTEGER;                -- Unix seconds; NULL: no attempt is at work
ALTER TABLE progress ADD COLUMN next_look INTEGER;                  -- Unix seconds; NULL: its end is known
ALTER TABLE progress ADD COLUMN looks INTEGER NOT NULL DEFAULT 0;
UPDATE progress SET named = 1 WHERE id IN (SELECT id FROM claim WHERE identifier IS NOT NULL);
UPDATE progress SET lease_until = 0 WHERE state IN ('reserved', 'executing', 'settling');
UPDATE progress SET next_look = 0 WHERE state = 'unknown';
UPDATE settlement SET tx = lower(tx) WHERE lower(substr(tx, 1, 2)) = '0x' AND tx <> lower(tx);
CREATE INDEX progress_lease ON progress (lease_until) WHERE lease_until IS NOT NULL;
CREATE INDEX progress_look ON progress (next_look) WHERE next_look IS NOT NULL;
CREATE INDEX progress_owed ON progress (updated_at) WHERE state = 'owed';
CREATE INDEX progress_named ON progress (updated_at) WHERE named = 1 AND state IN ('settled', 'delivered', 'refused');
CREATE TABLE kept_bytes (                    -- the size of all kept answers
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    bytes    INTEGER NOT NULL
) STRICT;
INSERT INTO kept_bytes SELECT 1, coalesce(sum(octet_length(head) + octet_length(body)), 0) FROM answer;
", "
CREATE TABLE identity (one INTEGER PRIMARY KEY CHECK (one = 1), id BLOB NOT NULL) STRICT;
INSERT INTO identity SELECT 1, randomblob(16);  -- of this ledger, in the transactions of its host
ALTER TABLE progress ADD COLUMN reported TEXT;  -- what the facilitator said of an unknown one
", "
CREATE TABLE failure (                       -- payments that were given back because their plugin failed
    id           INTEGER PRIMARY KEY,        -- grows in the order of the failures
    payment_id   TEXT NOT NULL,              -- as in headers and logs
    network      TEXT NOT NULL,              -- CAIP-2
    asset        TEXT NOT NULL,
    payer        TEXT NOT NULL,
    amount       TEXT NOT NULL,              -- atomic units
    testnet      INTEGER NOT NULL,
    endpoint     TEXT NOT NULL,
    plugin       TEXT NOT NULL,
    reason       TEXT NOT NULL,
    at           INTEGER NOT NULL            -- Unix seconds
) STRICT;
", "
CREATE TABLE event (                         -- what happened to payments; the newest hundred thousand
    id           INTEGER PRIMARY KEY,        -- grows in the order of the events
    kind         TEXT NOT NULL CHECK (kind IN ('paid', 'owed', 'unknown', 'refused', 'failed')),
    claim        INTEGER,                    -- id of the claim; NULL: the payment was given back
    payment_id   TEXT NOT NULL,              -- as in headers and logs
    network      TEXT NOT NULL,              -- CAIP-2
    asset        TEXT NOT NULL,
    payer        TEXT NOT NULL,
    pay_to       TEXT NOT NULL,
    amount       TEXT NOT NULL,              -- atomic units
    testnet      INTEGER NOT NULL,
    endpoint     TEXT NOT NULL,
    plugin       TEXT NOT NULL,
    reason       TEXT,
    at           INTEGER NOT NULL            -- Unix seconds
) STRICT;
CREATE TABLE event_reader (                  -- the last event that each reader is done with
    name         TEXT PRIMARY KEY NOT NULL,
    event        INTEGER NOT NULL            -- id of the event
) STRICT, WITHOUT ROWID;
CREATE TRIGGER progress_paid AFTER UPDATE OF paid ON progress WHEN new.paid = 1 AND old.paid = 0 BEGIN
    INSERT INTO event (kind, claim, payment_id, network, asset, payer, pay_to, amount, testnet, endpoint, plugin, at)
        SELECT 'paid', id, payment_id, network, asset, payer, pay_to, amount, testnet, endpoint, plugin, new.updated_at
        FROM claim WHERE id = new.id;
END;
CREATE TRIGGER progress_ended AFTER UPDATE OF state ON progress
    WHEN new.state IN ('owed', 'unknown', 'refused') AND new.state <> old.state BEGIN
    INSERT INTO event (kind, claim, payment_id, network, asset, payer, pay_to, amount, testnet, endpoint, plugin, reason, at)
        SELECT new.state, id, payment_id, network, asset, payer, pay_to, amount, testnet, endpoint, plugin, new.reason,
            new.updated_at FROM claim WHERE id = new.id;
END;
CREATE TRIGGER event_kept AFTER INSERT ON event BEGIN
    DELETE FROM event WHERE id <= new.id - 100000;
END;
", "
CREATE TABLE api_key (                       -- keys of the operator's own customers
    id           INTEGER PRIMARY KEY,
    name         TEXT NOT NULL,
    shown        TEXT NOT NULL,              -- the beginning of the key, which is no secret
    hash         BLOB NOT NULL,              -- SHA-256 of the key
    plugin       TEXT,                       -- NULL: every plugin
    route        TEXT,                       -- NULL: every route
    requests     INTEGER,                    -- the quota of a window; NULL: none
    every        INTEGER,                    -- seconds of a window; NULL: it never ends
    served       INTEGER NOT NULL DEFAULT 0,
    created_at   INTEGER NOT NULL,           -- Unix seconds
    last_used_at INTEGER,
    expires_at   INTEGER,
    revoked_at   INTEGER
) STRICT;
CREATE UNIQUE INDEX api_key_by_hash ON api_key (hash);
CREATE TABLE free_counter (                  -- free requests in the windows that are open
    key           BLOB NOT NULL,             -- SHA-256 of the allowance and of who is counted, or of the key
    is_per_client INTEGER NOT NULL,
    used          INTEGER NOT NULL,
    returned      INTEGER NOT NULL,          -- given back because the plugin failed
    requests      INTEGER NOT NULL,          -- the most of a window
    window_begin  INTEGER NOT NULL,          -- Unix seconds
    window_end    INTEGER NOT NULL           -- the greatest number: never
) STRICT;
CREATE UNIQUE INDEX free_counter_by_key ON free_counter (key);
CREATE INDEX free_counter_by_end ON free_counter (window_end);
CREATE TABLE free_counters (                 -- the number of counters of clients
    one          INTEGER PRIMARY KEY CHECK (one = 1),
    rows         INTEGER NOT NULL
) STRICT;
INSERT INTO free_counters VALUES (1, 0);
CREATE TRIGGER free_counter_made AFTER INSERT ON free_counter WHEN new.is_per_client = 1 BEGIN
    UPDATE free_counters SET rows = rows + 1;
END;
CREATE TRIGGER free_counter_gone AFTER DELETE ON free_counter WHEN old.is_per_client = 1 BEGIN
    UPDATE free_counters SET rows = rows - 1;
END;
CREATE TABLE free_nonce (                    -- nonces of sign-in-with-x that were used
    nonce        BLOB PRIMARY KEY NOT NULL,
    expires_at   INTEGER NOT NULL            -- Unix seconds
) STRICT, WITHOUT ROWID;
CREATE INDEX free_nonce_by_end ON free_nonce (expires_at);
CREATE TABLE free_use (                      -- requests that were served free of charge; the newest hundred thousand
    id           INTEGER PRIMARY KEY AUTOINCREMENT, -- grows in their order, and is never used again
    kind         TEXT NOT NULL,              -- payer, address, everyone or key
    who          TEXT NOT NULL,              -- the account, the network of the client, or the name of the key
    key_id       INTEGER,                    -- id of the key
    plugin       TEXT NOT NULL,
    endpoint     TEXT NOT NULL,
    counter      BLOB,                       -- key of its counter
    total        BLOB,                       -- key of the counter of all clients
    outcome      TEXT NOT NULL,              -- running, served, failed, not_run, hung_up or interrupted
    at           INTEGER NOT NULL,           -- Unix seconds
    ended_at     INTEGER
) STRICT;
CREATE INDEX free_use_running ON free_use (id) WHERE outcome = 'running';
CREATE INDEX free_use_by_time ON free_use (at);
CREATE TRIGGER free_use_kept AFTER INSERT ON free_use BEGIN
    DELETE FROM free_use WHERE id <= new.id - 100000 AND outcome <> 'running';
END;
CREATE TABLE free_total (                    -- the number of all of them, by day
    day          INTEGER NOT NULL,           -- days since 1970, UTC
    kind         TEXT NOT NULL,
    plugin       TEXT NOT NULL,
    endpoint     TEXT NOT NULL,
    outcome      TEXT NOT NULL,
    uses         INTEGER NOT NULL,
    PRIMARY KEY (day, kind, plugin, endpoint, outcome)
) STRICT, WITHOUT ROWID;
", "
CREATE TABLE change (                        -- the audit log; the newest hundred thousand
    id           INTEGER PRIMARY KEY AUTOINCREMENT, -- grows in the order of the changes
    at           INTEGER NOT NULL,           -- Unix seconds
    who          TEXT NOT NULL,
    kind         TEXT NOT NULL,
    subject      TEXT NOT NULL,              -- the plugin, file, route, setting or payment
    before       TEXT,
    after        TEXT
) STRICT;
CREATE TRIGGER change_fixed BEFORE UPDATE ON change BEGIN
    SELECT raise(ABORT, 'a line of the audit log is never changed');
END;
CREATE TRIGGER change_kept AFTER INSERT ON change BEGIN
    DELETE FROM change WHERE id <= new.id - 100000;
END;
", "
ALTER TABLE claim ADD COLUMN request_id TEXT;   -- of the HTTP request that made the claim; NULL: an older row
ALTER TABLE event ADD COLUMN request_id TEXT;
DROP TRIGGER progress_paid;
DROP TRIGGER progress_ended;
CREATE TRIGGER progress_paid AFTER UPDATE OF paid ON progress WHEN new.paid = 1 AND old.paid = 0 BEGIN
    INSERT INTO event (kind, claim, payment_id, network, asset, payer, pay_to, amount, testnet, endpoint, plugin, request_id, at)
        SELECT 'paid', id, payment_id, network, asset, payer, pay_to, amount, testnet, endpoint, plugin, request_id, new.updated_at
        FROM claim WHERE id = new.id;
END;
CREATE TRIGGER progress_ended AFTER UPDATE OF state ON progress
    WHEN new.state IN ('owed', 'unknown', 'refused') AND new.state <> old.state BEGIN
    INSERT INTO event (kind, claim, payment_id, network, asset, payer, pay_to, amount, testnet, endpoint, plugin, request_id, reason, at)
        SELECT new.state, id, payment_id, network, asset, payer, pay_to, amount, testnet, endpoint, plugin, request_id, new.reason,
            new.updated_at FROM claim WHERE id = new.id;
END;
DROP VIEW payment;
CREATE VIEW payment AS SELECT claim.id, key, payment_id, network, asset, payer, nonce, amount, pay_to, testnet, endpoint,
    plugin, generation, payment, claim.request, identifier, flow, state, outgoing.request AS settle, response AS settlement,
    reason, nullif(tx, '') AS tx, valid_before, verify_us, run_us, settle_us, created_at, updated_at, request_id
    FROM claim JOIN progress USING (id) LEFT JOIN settlement USING (id) LEFT JOIN outgoing USING (id);
"];

/// The schema version that this program reads and writes.
pub(crate) fn current_version() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

/// True if there is a ledger of this schema version.
pub(super) fn is_current(path: &Path) -> bool {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let Ok(connection) = Connection::open_with_flags(path, flags) else { return false };
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap_or_default();
    pragma("application_id") == APPLICATION_ID && pragma("user_version") == current_version()
}

/// Creates the schema in an empty file or upgrades an older one, in one transaction, and sets the connection up for
/// durable commits. Refuses other programs' databases and newer schemas.
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
    // FULL: a commit is on disk when it returns. WAL with NORMAL would lose the last commits in a power cut.
    connection.pragma_update(None, "synchronous", "FULL")?;
    // Milliseconds to wait for another tool that writes to the file.
    connection.pragma_update(None, "busy_timeout", 5_000)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    let transaction = connection.transaction()?;
    for migration in &MIGRATIONS[done..] {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", current_version())?;
    transaction.commit()?;
    Ok(())
}

impl From<rusqlite::Error> for LedgerError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(
                ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::DatabaseCorrupt
                | ErrorCode::NotADatabase
                | ErrorCode::CannotOpen
                | ErrorCode::ReadOnly,
            ) => Self::Disk(error.to_string()),
            _ => Self::Unavailable(error.to_string()),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
