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
