ALTER TABLE claim ADD COLUMN secret BLOB;                           -- SHA-256 of the secret that the client echoed
ALTER TABLE claim ADD COLUMN client BLOB;                           -- SHA-256 of its address; NULL: an older row
ALTER TABLE progress ADD COLUMN attempt INTEGER NOT NULL DEFAULT 0; -- the attempt that holds the row
ALTER TABLE progress ADD COLUMN named INTEGER NOT NULL DEFAULT 0;   -- 1: the claim has an identifier
ALTER TABLE progress ADD COLUMN lease_until INTEGER;                -- Unix seconds; NULL: no attempt is at work
ALTER TABLE progress ADD COLUMN next_look INTEGER;                  -- Unix seconds; NULL: its end is known
ALTER TABLE progress ADD COLUMN looks INTEGER NOT NULL DEFAULT 0;
UPDATE progress SET named = 1 WHERE id IN (SELECT id FROM claim WHERE identifier IS NOT NULL);
UPDATE progress SET lease_until = 0 WHERE state IN ('reserved', 'executing', 'settling');
UPDATE progress SET next_look = 0 WHERE state = 'unknown';
UPDATE settlement SET tx = lower(tx) WHERE lower(substr(tx, 1, 2)) = '0x' AND tx <> lower(tx);
CREATE INDEX progress_lease ON progress (lease_until) WHERE lease_until IS NOT NULL;
CREATE INDEX progress_look ON progress (next_look) WHERE next_look IS NOT NULL;
CREATE INDEX progress_owed ON progress (updated_at) WHERE state = 'owed';
CREATE INDEX progress_named ON progress (updated_at) WHERE named = 1 AND state IN ('settled', 'delivered', 'refused');
CREATE TABLE kept_bytes (                    -- the size of all kept answers
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    bytes    INTEGER NOT NULL
) STRICT;
INSERT INTO kept_bytes SELECT 1, coalesce(sum(octet_length(head) + octet_length(body)), 0) FROM answer;
