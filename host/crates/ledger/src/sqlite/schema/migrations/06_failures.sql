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
