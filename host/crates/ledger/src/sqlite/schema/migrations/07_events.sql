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
