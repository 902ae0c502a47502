-- The times of a payment's steps stand in its row, which each of these steps rewrites anyway. NULL: an older row, or a
-- step that was not taken.
ALTER TABLE progress ADD COLUMN run_at INTEGER;      -- Unix seconds: the guest began to run, the first time
ALTER TABLE progress ADD COLUMN sent_at INTEGER;     -- the settlement was sent
ALTER TABLE progress ADD COLUMN answered_at INTEGER; -- the guest had answered what was paid before
ALTER TABLE progress ADD COLUMN paid_at INTEGER;     -- the money had moved
ALTER TABLE settlement ADD COLUMN block INTEGER;     -- of the transaction, where a node has shown it
ALTER TABLE failure ADD COLUMN request_id TEXT;      -- of the HTTP request; NULL: an older row
ALTER TABLE failure ADD COLUMN claimed_at INTEGER;   -- Unix seconds
ALTER TABLE failure ADD COLUMN run_at INTEGER;
ALTER TABLE free_use ADD COLUMN request_id TEXT;
ALTER TABLE event ADD COLUMN after_work INTEGER;     -- of a refusal, 1: the guest had begun; NULL: of every other kind
UPDATE event SET after_work = (SELECT flow = 'authorization' AND (sent OR reason = 'interrupted') FROM progress
    WHERE progress.id = event.claim) WHERE kind = 'refused';
CREATE TABLE repetition (                    -- requests that presented a claimed payment again, and what they got
    id           INTEGER PRIMARY KEY,        -- grows in their order
    claim        INTEGER NOT NULL,           -- id of the claim
    request_id   TEXT,                       -- of the HTTP request
    outcome      TEXT NOT NULL CHECK (outcome IN ('run', 'answer')), -- the guest ran for what was owed; the kept answer
    event        INTEGER NOT NULL,           -- id of the last event before it: both may be of one second
    at           INTEGER NOT NULL            -- Unix seconds
) STRICT;
CREATE INDEX repetition_by_claim ON repetition (claim);
-- A claim is found by its request in the index of times, read from one end to the other: an index of requests alone would
-- cost each claim a page in a random place, and this one grows at its end.
DROP INDEX claim_by_time;
CREATE INDEX claim_by_time ON claim (created_at, id, request_id);
DROP TRIGGER progress_ended;
CREATE TRIGGER progress_ended AFTER UPDATE OF state ON progress
    WHEN new.state IN ('owed', 'refunded', 'unknown', 'refused') AND new.state <> old.state BEGIN
    INSERT INTO event (kind, claim, payment_id, network, asset, payer, pay_to, amount, testnet, endpoint, plugin, request_id, reason,
            after_work, at)
        SELECT new.state, id, payment_id, network, asset, payer, pay_to, amount, testnet, endpoint, plugin, request_id, new.reason,
            CASE new.state WHEN 'refused' THEN new.flow = 'authorization' AND (new.sent = 1 OR old.state = 'executing') END,
            new.updated_at FROM claim WHERE id = new.id;
END;
