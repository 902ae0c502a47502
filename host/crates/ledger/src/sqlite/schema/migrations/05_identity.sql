CREATE TABLE identity (one INTEGER PRIMARY KEY CHECK (one = 1), id BLOB NOT NULL) STRICT;
INSERT INTO identity SELECT 1, randomblob(16);  -- of this ledger, in the transactions of its host
ALTER TABLE progress ADD COLUMN reported TEXT;  -- what the facilitator said of an unknown one
