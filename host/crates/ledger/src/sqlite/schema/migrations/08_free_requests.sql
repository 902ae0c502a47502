CREATE TABLE api_key (                       -- keys of the operator's own customers
    id           INTEGER PRIMARY KEY,
    name         TEXT NOT NULL,
    shown        TEXT NOT NULL,              -- the beginning of the key, which is no secret
    hash         BLOB NOT NULL,              -- SHA-256 of the key
    plugin       TEXT,                       -- NULL: every plugin
    route        TEXT,                       -- NULL: every route
    requests     INTEGER,                    -- the quota of a window; NULL: none
    every        INTEGER,                    -- seconds of a window; NULL: it never ends
    served       INTEGER NOT NULL DEFAULT 0,
    created_at   INTEGER NOT NULL,           -- Unix seconds
    last_used_at INTEGER,
    expires_at   INTEGER,
    revoked_at   INTEGER
) STRICT;
CREATE UNIQUE INDEX api_key_by_hash ON api_key (hash);
CREATE TABLE free_counter (                  -- free requests in the windows that are open
    key           BLOB NOT NULL,             -- SHA-256 of the allowance and of who is counted, or of the key
    is_per_client INTEGER NOT NULL,
    used          INTEGER NOT NULL,
    returned      INTEGER NOT NULL,          -- given back because the plugin failed
    requests      INTEGER NOT NULL,          -- the most of a window
    window_begin  INTEGER NOT NULL,          -- Unix seconds
    window_end    INTEGER NOT NULL           -- the greatest number: never
) STRICT;
CREATE UNIQUE INDEX free_counter_by_key ON free_counter (key);
CREATE INDEX free_counter_by_end ON free_counter (window_end);
CREATE TABLE free_counters (                 -- the number of counters of clients
    one          INTEGER PRIMARY KEY CHECK (one = 1),
    rows         INTEGER NOT NULL
) STRICT;
INSERT INTO free_counters VALUES (1, 0);
CREATE TRIGGER free_counter_made AFTER INSERT ON free_counter WHEN new.is_per_client = 1 BEGIN
    UPDATE free_counters SET rows = rows + 1;
END;
CREATE TRIGGER free_counter_gone AFTER DELETE ON free_counter WHEN old.is_per_client = 1 BEGIN
    UPDATE free_counters SET rows = rows - 1;
END;
CREATE TABLE free_nonce (                    -- nonces of sign-in-with-x that were used
    nonce        BLOB PRIMARY KEY NOT NULL,
    expires_at   INTEGER NOT NULL            -- Unix seconds
) STRICT, WITHOUT ROWID;
CREATE INDEX free_nonce_by_end ON free_nonce (expires_at);
CREATE TABLE free_use (                      -- requests that were served free of charge; the newest hundred thousand
    id           INTEGER PRIMARY KEY AUTOINCREMENT, -- grows in their order, and is never used again
    kind         TEXT NOT NULL,              -- payer, address, everyone or key
    who          TEXT NOT NULL,              -- the account, the network of the client, or the name of the key
    key_id       INTEGER,                    -- id of the key
    plugin       TEXT NOT NULL,
    endpoint     TEXT NOT NULL,
    counter      BLOB,                       -- key of its counter
    total        BLOB,                       -- key of the counter of all clients
    outcome      TEXT NOT NULL,              -- running, served, failed, not_run, hung_up or interrupted
    at           INTEGER NOT NULL,           -- Unix seconds
    ended_at     INTEGER
) STRICT;
CREATE INDEX free_use_running ON free_use (id) WHERE outcome = 'running';
CREATE INDEX free_use_by_time ON free_use (at);
CREATE TRIGGER free_use_kept AFTER INSERT ON free_use BEGIN
    DELETE FROM free_use WHERE id <= new.id - 100000 AND outcome <> 'running';
END;
CREATE TABLE free_total (                    -- the number of all of them, by day
    day          INTEGER NOT NULL,           -- days since 1970, UTC
    kind         TEXT NOT NULL,
    plugin       TEXT NOT NULL,
    endpoint     TEXT NOT NULL,
    outcome      TEXT NOT NULL,
    uses         INTEGER NOT NULL,
    PRIMARY KEY (day, kind, plugin, endpoint, outcome)
) STRICT, WITHOUT ROWID;
