CREATE TABLE funnel_total (                  -- the way from the price to the payment, by day
    day          INTEGER NOT NULL,           -- days since 1970, in UTC
    testnet      INTEGER NOT NULL,           -- 1: the money is worth nothing
    plugin       TEXT NOT NULL,
    endpoint     TEXT NOT NULL,
    subject      TEXT NOT NULL CHECK (subject IN ('request', 'payment')),
    outcome      TEXT NOT NULL,              -- of a request, or the state that a payment came to; 'claimed' at first
    code         TEXT NOT NULL,              -- the error that a request was answered with; empty: none
    number       INTEGER NOT NULL,
    PRIMARY KEY (day, testnet, plugin, endpoint, subject, outcome, code)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER claim_counted AFTER INSERT ON claim BEGIN
    INSERT INTO funnel_total (day, testnet, plugin, endpoint, subject, outcome, code, number)
        VALUES (new.created_at / 86400, new.testnet, new.plugin, new.endpoint, 'payment', 'claimed', '', 1)
        ON CONFLICT DO UPDATE SET number = number + 1;
END;
CREATE TRIGGER event_counted AFTER INSERT ON event BEGIN
    INSERT INTO funnel_total (day, testnet, plugin, endpoint, subject, outcome, code, number)
        VALUES (new.at / 86400, new.testnet, new.plugin, new.endpoint, 'payment', new.kind, '', 1)
        ON CONFLICT DO UPDATE SET number = number + 1;
END;
CREATE TABLE refund_fee (                    -- the gas of refunds that ended; stays when their rows are pruned
    id           INTEGER PRIMARY KEY,
    day          INTEGER NOT NULL,           -- of the end, in days since 1970
    network      TEXT NOT NULL,              -- CAIP-2
    fee          TEXT NOT NULL               -- in wei
) STRICT;
INSERT INTO refund_fee (day, network, fee)
    SELECT coalesce(ended_at, begun_at) / 86400, network, fee FROM refund WHERE fee IS NOT NULL ORDER BY id;
CREATE TRIGGER refund_fee_kept AFTER UPDATE OF fee ON refund WHEN new.fee IS NOT NULL AND old.fee IS NULL BEGIN
    INSERT INTO refund_fee (day, network, fee) VALUES (coalesce(new.ended_at, new.begun_at) / 86400, new.network, new.fee);
END;
