-- SQLite cannot change a CHECK, so both tables that check states are rebuilt. Of old debts it is unknown whether the
-- client left, so client_left is 1.
DROP VIEW payment;
DROP TRIGGER progress_paid;
DROP TRIGGER progress_ended;
DROP TRIGGER event_kept;
CREATE TABLE moved_progress (                -- the progress of each claim: narrow, because every step rewrites it
    id           INTEGER PRIMARY KEY,        -- id of the claim
    flow         TEXT NOT NULL CHECK (flow IN ('authorization', 'upfront')),
    state        TEXT NOT NULL CHECK (state IN ('reserved', 'executing', 'settling', 'unknown', 'settled', 'delivered',
        'owed', 'refunding', 'refunded', 'refused')),
    sent         INTEGER NOT NULL,           -- 1: the settlement was sent
    paid         INTEGER NOT NULL,           -- 1: the money moved
    reason       TEXT,
    verify_us    INTEGER,                    -- durations of the parts, in microseconds
    run_us       INTEGER,
    settle_us    INTEGER,
    updated_at   INTEGER NOT NULL,
    attempt      INTEGER NOT NULL DEFAULT 0, -- the attempt that holds the row
    named        INTEGER NOT NULL DEFAULT 0, -- 1: the claim has an identifier
    lease_until  INTEGER,                    -- Unix seconds; NULL: no attempt is at work
    next_look    INTEGER,                    -- Unix seconds; NULL: its end is known
    looks        INTEGER NOT NULL DEFAULT 0,
    reported     TEXT,                       -- what the facilitator said of an unknown one
    client_left  INTEGER NOT NULL DEFAULT 0  -- 1: its client once hung up, or may have a part of the answer
) STRICT;
INSERT INTO moved_progress SELECT id, flow, state, sent, paid, reason, verify_us, run_us, settle_us, updated_at, attempt,
    named, lease_until, next_look, looks, reported, state IN ('owed', 'executing') FROM progress;
DROP TABLE progress;
ALTER TABLE moved_progress RENAME TO progress;
CREATE INDEX progress_refused ON progress (updated_at) WHERE state = 'refused';
CREATE INDEX progress_lease ON progress (lease_until) WHERE lease_until IS NOT NULL;
CREATE INDEX progress_look ON progress (next_look) WHERE next_look IS NOT NULL;
CREATE INDEX progress_owed ON progress (updated_at) WHERE state = 'owed';
CREATE INDEX progress_refunding ON progress (updated_at) WHERE state = 'refunding';
CREATE INDEX progress_named ON progress (updated_at)
    WHERE named = 1 AND state IN ('settled', 'delivered', 'refunded', 'refused');
CREATE TABLE moved_event (                   -- what happened to payments; the newest hundred thousand
    id           INTEGER PRIMARY KEY,        -- grows in the order of the events
    kind         TEXT NOT NULL CHECK (kind IN ('paid', 'owed', 'refunded', 'unknown', 'refused', 'failed')),
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
    at           INTEGER NOT NULL,           -- Unix seconds
    request_id   TEXT                        -- of the HTTP request that made the claim
) STRICT;
INSERT INTO moved_event SELECT id, kind, claim, payment_id, network, asset, payer, pay_to, amount, testnet, endpoint,
    plugin, reason, at, request_id FROM event;
DROP TABLE event;
ALTER TABLE moved_event RENAME TO event;
CREATE TABLE refund (                        -- attempts to pay an owed answer back
    id           INTEGER PRIMARY KEY,        -- grows in the order of the attempts
    claim        INTEGER NOT NULL,           -- id of the claim
    network      TEXT NOT NULL,              -- CAIP-2
    asset        TEXT NOT NULL,
    amount       TEXT NOT NULL,              -- atomic units
    sender       TEXT NOT NULL,              -- the wallet that pays, in lower case
    nonce        INTEGER NOT NULL,           -- of the wallet, and of each transaction of the attempt
    ordered_by   TEXT NOT NULL CHECK (ordered_by IN ('operator', 'policy')),
    state        TEXT NOT NULL CHECK (state IN ('sent', 'paid', 'failed')),
    tx           TEXT,                       -- the transaction that ended it
    fee          TEXT,                       -- of that transaction, in wei
    reason       TEXT,
    begun_at     INTEGER NOT NULL,           -- Unix seconds
    ended_at     INTEGER
) STRICT;
CREATE UNIQUE INDEX refund_once ON refund (claim) WHERE state <> 'failed'; -- a payment is paid back once
CREATE UNIQUE INDEX refund_nonce ON refund (network, sender, nonce);
CREATE UNIQUE INDEX refund_open ON refund (network, sender) WHERE state = 'sent'; -- one at a time
CREATE INDEX refund_by_claim ON refund (claim);
CREATE INDEX refund_by_time ON refund (begun_at);
CREATE TABLE refund_tx (                     -- signed transactions: any of an attempt may get into a block, and only one
    id           INTEGER PRIMARY KEY,        -- grows in the order of the signatures
    refund       INTEGER NOT NULL,           -- id of the attempt
    hash         TEXT NOT NULL,
    raw          BLOB NOT NULL,              -- as it is sent
    signed_at    INTEGER NOT NULL            -- Unix seconds
) STRICT;
CREATE INDEX refund_tx_by_refund ON refund_tx (refund);
CREATE TRIGGER refund_fixed BEFORE UPDATE ON refund
    WHEN old.state <> 'sent' OR new.claim <> old.claim OR new.network <> old.network OR new.asset <> old.asset
        OR new.amount <> old.amount OR new.sender <> old.sender OR new.nonce <> old.nonce BEGIN
    SELECT raise(ABORT, 'a refund keeps its terms and its nonce, and ends once');
END;
CREATE TRIGGER refund_tx_fixed BEFORE UPDATE ON refund_tx BEGIN
    SELECT raise(ABORT, 'a signed transaction is never changed');
END;
CREATE TABLE refund_total (                  -- the sums that were paid back of pruned rows
    day          INTEGER NOT NULL,           -- days since 1970: the day of the total that counts the payment
    network      TEXT NOT NULL,
    asset        TEXT NOT NULL,
    pay_to       TEXT NOT NULL,
    plugin       TEXT NOT NULL,
    endpoint     TEXT NOT NULL,
    testnet      INTEGER NOT NULL,
    refunds      INTEGER NOT NULL,
    amount       TEXT NOT NULL,              -- atomic units
    PRIMARY KEY (day, network, asset, pay_to, plugin, endpoint)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER progress_paid AFTER UPDATE OF paid ON progress WHEN new.paid = 1 AND old.paid = 0 BEGIN
    INSERT INTO event (kind, claim, payment_id, network, asset, payer, pay_to, amount, testnet, endpoint, plugin, request_id, at)
        SELECT 'paid', id, payment_id, network, asset, payer, pay_to, amount, testnet, endpoint, plugin, request_id, new.updated_at
        FROM claim WHERE id = new.id;
END;
CREATE TRIGGER progress_ended AFTER UPDATE OF state ON progress
    WHEN new.state IN ('owed', 'refunded', 'unknown', 'refused') AND new.state <> old.state BEGIN
    INSERT INTO event (kind, claim, payment_id, network, asset, payer, pay_to, amount, testnet, endpoint, plugin, request_id, reason, at)
        SELECT new.state, id, payment_id, network, asset, payer, pay_to, amount, testnet, endpoint, plugin, request_id, new.reason,
            new.updated_at FROM claim WHERE id = new.id;
END;
CREATE TRIGGER event_kept AFTER INSERT ON event BEGIN
    DELETE FROM event WHERE id <= new.id - 100000;
END;
CREATE VIEW payment AS SELECT claim.id, key, payment_id, claim.network, claim.asset, payer, claim.nonce, claim.amount, pay_to,
    testnet, endpoint, plugin, generation, payment, claim.request, identifier, flow, progress.state,
    outgoing.request AS settle, response AS settlement, progress.reason, nullif(settlement.tx, '') AS tx, valid_before,
    verify_us, run_us, settle_us, created_at, updated_at, request_id, refund.tx AS refund_tx
    FROM claim JOIN progress USING (id) LEFT JOIN settlement USING (id) LEFT JOIN outgoing USING (id)
        LEFT JOIN refund ON progress.state = 'refunded' AND refund.claim = claim.id AND refund.state = 'paid';
