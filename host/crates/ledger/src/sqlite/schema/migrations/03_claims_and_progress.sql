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
