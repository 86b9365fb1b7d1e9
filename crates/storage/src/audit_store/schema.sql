-- The audit log, with the columns and indexes that it has in PostgreSQL. Times are milliseconds since 1970; ids are the 16
-- bytes of a UUID of version 7, so entries are added at the right end.
CREATE TABLE audit_entries (
    id BLOB PRIMARY KEY,
    at INTEGER NOT NULL,
    action TEXT NOT NULL,
    outcome INTEGER NOT NULL,
    actor_id TEXT,
    actor_kind INTEGER NOT NULL,
    session_id TEXT,
    address TEXT,
    target_kind TEXT,
    target_id TEXT,
    details TEXT,
    request_id TEXT,
    instance TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX audit_entries_at ON audit_entries (at, id);
CREATE INDEX audit_entries_action ON audit_entries (action, at, id);
CREATE INDEX audit_entries_actor ON audit_entries (actor_id, at, id) WHERE actor_id IS NOT NULL;
CREATE INDEX audit_entries_target ON audit_entries (target_kind, target_id, at, id) WHERE target_id IS NOT NULL;
CREATE INDEX audit_entries_address ON audit_entries (address, at, id) WHERE address IS NOT NULL;
CREATE INDEX audit_entries_outcome ON audit_entries (outcome, at, id) WHERE outcome <> 0;
