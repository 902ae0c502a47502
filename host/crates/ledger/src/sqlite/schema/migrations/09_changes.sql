CREATE TABLE change (                        -- the audit log; the newest hundred thousand
    id           INTEGER PRIMARY KEY AUTOINCREMENT, -- grows in the order of the changes
    at           INTEGER NOT NULL,           -- Unix seconds
    who          TEXT NOT NULL,
    kind         TEXT NOT NULL,
    subject      TEXT NOT NULL,              -- the plugin, file, route, setting or payment
    before       TEXT,
    after        TEXT
) STRICT;
CREATE TRIGGER change_fixed BEFORE UPDATE ON change BEGIN
    SELECT raise(ABORT, 'a line of the audit log is never changed');
END;
CREATE TRIGGER change_kept AFTER INSERT ON change BEGIN
    DELETE FROM change WHERE id <= new.id - 100000;
END;
