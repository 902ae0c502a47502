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
