-- An operator may pay a debt by hand: of such a refund the host has no nonce, so the column may be NULL. SQLite cannot
-- take NOT NULL from a column, so the table is rebuilt.
DROP VIEW payment;
DROP TRIGGER refund_fixed;
DROP TRIGGER refund_fee_kept;
CREATE TABLE moved_refund (                  -- attempts to pay an owed answer back
    id           INTEGER PRIMARY KEY,        -- grows in the order of the attempts
    claim        INTEGER NOT NULL,           -- id of the claim
    network      TEXT NOT NULL,              -- CAIP-2
    asset        TEXT NOT NULL,
    amount       TEXT NOT NULL,              -- atomic units
    sender       TEXT NOT NULL,              -- the account that pays, in lower case
    nonce        INTEGER,                    -- of the wallet, and of each transaction of the attempt; NULL: paid by hand
    ordered_by   TEXT NOT NULL CHECK (ordered_by IN ('operator', 'policy')),
    state        TEXT NOT NULL CHECK (state IN ('sent', 'paid', 'failed')),
    tx           TEXT,                       -- the transaction that ended it
    fee          TEXT,                       -- of that transaction, in wei; NULL: paid by hand, or nothing was in a block
    reason       TEXT,
    begun_at     INTEGER NOT NULL,           -- Unix seconds
    ended_at     INTEGER,
    CHECK (nonce IS NOT NULL OR state = 'paid' AND tx IS NOT NULL)
) STRICT;
INSERT INTO moved_refund SELECT id, claim, network, asset, amount, sender, nonce, ordered_by, state, tx, fee, reason, begun_at,
    ended_at FROM refund;
DROP TABLE refund;
ALTER TABLE moved_refund RENAME TO refund;
CREATE UNIQUE INDEX refund_once ON refund (claim) WHERE state <> 'failed'; -- a payment is paid back once
CREATE UNIQUE INDEX refund_nonce ON refund (network, sender, nonce);
CREATE UNIQUE INDEX refund_open ON refund (network, sender) WHERE state = 'sent'; -- one at a time
CREATE INDEX refund_by_claim ON refund (claim);
CREATE INDEX refund_by_time ON refund (begun_at);
CREATE INDEX refund_by_tx ON refund (tx) WHERE tx IS NOT NULL;
CREATE INDEX refund_tx_by_hash ON refund_tx (hash);
CREATE TRIGGER refund_fixed BEFORE UPDATE ON refund
    WHEN old.state <> 'sent' OR new.claim <> old.claim OR new.network <> old.network OR new.asset <> old.asset
        OR new.amount <> old.amount OR new.sender <> old.sender OR new.nonce IS NOT old.nonce BEGIN
    SELECT raise(ABORT, 'a refund keeps its terms and its nonce, and ends once');
END;
CREATE TRIGGER refund_fee_kept AFTER UPDATE OF fee ON refund WHEN new.fee IS NOT NULL AND old.fee IS NULL BEGIN
    INSERT INTO refund_fee (day, network, fee) VALUES (coalesce(new.ended_at, new.begun_at) / 86400, new.network, new.fee);
END;
CREATE VIEW payment AS SELECT claim.id, key, payment_id, claim.network, claim.asset, payer, claim.nonce, claim.amount, pay_to,
    testnet, endpoint, plugin, generation, payment, claim.request, identifier, flow, progress.state,
    outgoing.request AS settle, response AS settlement, progress.reason, nullif(settlement.tx, '') AS tx, valid_before,
    verify_us, run_us, settle_us, created_at, updated_at, request_id, refund.tx AS refund_tx
    FROM claim JOIN progress USING (id) LEFT JOIN settlement USING (id) LEFT JOIN outgoing USING (id)
        LEFT JOIN refund ON progress.state = 'refunded' AND refund.claim = claim.id AND refund.state = 'paid';
CREATE INDEX refund_fee_by_day ON refund_fee (day, network);

-- The funnel counts each payment once at each state, however often it comes to the state. A payment that is given back
-- has no row, so its id is kept: of the newest hundred thousand.
ALTER TABLE progress ADD COLUMN counted INTEGER NOT NULL DEFAULT 0; -- bits: 1 owed, 2 unknown, 4 refused, 8 refunded
UPDATE progress SET counted = CASE state WHEN 'unknown' THEN 2 WHEN 'refused' THEN 4 WHEN 'refunded' THEN 9 ELSE 1 END
    WHERE state IN ('unknown', 'refused', 'refunded', 'refunding', 'owed');
CREATE TABLE given_back (                    -- payments that were claimed and given back
    id           INTEGER PRIMARY KEY,        -- grows in the order in which they were given back first
    payment_id   TEXT NOT NULL UNIQUE,
    failed       INTEGER NOT NULL            -- 1: its plugin has failed
) STRICT;
CREATE TRIGGER claim_given_back BEFORE DELETE ON claim
    WHEN EXISTS (SELECT 1 FROM progress WHERE id = old.id AND paid = 0 AND state <> 'refused') BEGIN
    INSERT INTO given_back (payment_id, failed) VALUES (old.payment_id, 0) ON CONFLICT (payment_id) DO NOTHING;
END;
CREATE TRIGGER given_back_kept AFTER INSERT ON given_back BEGIN
    DELETE FROM given_back WHERE id <= new.id - 100000;
END;
DROP TRIGGER claim_counted;
CREATE TRIGGER claim_counted AFTER INSERT ON claim
    WHEN NOT EXISTS (SELECT 1 FROM given_back WHERE payment_id = new.payment_id) BEGIN
    INSERT INTO funnel_total (day, testnet, plugin, endpoint, subject, outcome, code, number)
        VALUES (new.created_at / 86400, new.testnet, new.plugin, new.endpoint, 'payment', 'claimed', '', 1)
        ON CONFLICT DO UPDATE SET number = number + 1;
END;
DROP TRIGGER event_counted;
CREATE TRIGGER event_counted AFTER INSERT ON event
    WHEN CASE new.kind WHEN 'paid' THEN 1
        WHEN 'failed' THEN NOT EXISTS (SELECT 1 FROM given_back WHERE payment_id = new.payment_id AND failed = 1)
        ELSE NOT EXISTS (SELECT 1 FROM progress WHERE id = new.claim AND counted
            & CASE new.kind WHEN 'owed' THEN 1 WHEN 'unknown' THEN 2 WHEN 'refused' THEN 4 ELSE 8 END <> 0) END BEGIN
    INSERT INTO funnel_total (day, testnet, plugin, endpoint, subject, outcome, code, number)
        VALUES (new.at / 86400, new.testnet, new.plugin, new.endpoint, 'payment', new.kind, '', 1)
        ON CONFLICT DO UPDATE SET number = number + 1;
    UPDATE progress SET counted = counted
        | CASE new.kind WHEN 'owed' THEN 1 WHEN 'unknown' THEN 2 WHEN 'refused' THEN 4 ELSE 8 END
        WHERE id = new.claim AND new.kind <> 'paid';
    INSERT INTO given_back (payment_id, failed) SELECT new.payment_id, 1 WHERE new.kind = 'failed'
        ON CONFLICT (payment_id) DO UPDATE SET failed = 1;
END;

CREATE INDEX repetition_by_request ON repetition (request_id) WHERE request_id IS NOT NULL;
CREATE INDEX webhook_attempt_by_time ON webhook_attempt (at);
