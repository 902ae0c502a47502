-- What a settled payment bought beside its answer: further requests to its endpoint.
ALTER TABLE claim ADD COLUMN pass_seconds INTEGER;   -- the pass that the payment buys; NULL: none
ALTER TABLE claim ADD COLUMN pass_requests INTEGER;
ALTER TABLE claim ADD COLUMN pass_token BLOB;        -- SHA-256 of the token in a browser's cookie
CREATE TABLE pass (                          -- passes, from the settlement of their payments on
    claim        INTEGER PRIMARY KEY,        -- id of the claim that bought it
    network      TEXT NOT NULL,              -- CAIP-2
    payer        TEXT NOT NULL,
    plugin       TEXT NOT NULL,
    endpoint     TEXT NOT NULL,
    token        BLOB NOT NULL,              -- SHA-256 of the token in a browser's cookie
    requests     INTEGER NOT NULL,           -- the most
    used         INTEGER NOT NULL DEFAULT 0,
    returned     INTEGER NOT NULL DEFAULT 0, -- given back because the plugin failed
    begins_at    INTEGER NOT NULL,           -- Unix seconds
    ends_at      INTEGER NOT NULL
) STRICT;
CREATE INDEX pass_left ON pass (payer, endpoint, ends_at) WHERE used < requests;
CREATE INDEX pass_by_payer ON pass (payer, endpoint, ends_at);
CREATE INDEX pass_by_token ON pass (token);
ALTER TABLE free_use ADD COLUMN claim INTEGER;       -- of the pass that was used: the claim that bought it
CREATE INDEX free_use_by_claim ON free_use (claim, id) WHERE claim IS NOT NULL;
