-- The audit log. One table, not one a month: an entry has to be there once by its id alone, which a partitioned table can't
-- promise, and nobody has to make the next month's. Ids are UUIDs of version 7, so entries are added at the right end of each
-- index that begins with a time, and the oldest are removed at its left. A BRIN index would be smaller, but can't give the
-- newest first.
CREATE TABLE audit_entries (
    id uuid PRIMARY KEY,
    at timestamptz NOT NULL,
    -- Compared byte by byte, so that a prefix is a range of the index.
    action text COLLATE "C" NOT NULL,
    outcome smallint NOT NULL,
    actor_id text COLLATE "C",
    actor_kind smallint NOT NULL,
    session_id text COLLATE "C",
    address text COLLATE "C",
    target_kind text COLLATE "C",
    target_id text COLLATE "C",
    details text COLLATE "C",
    request_id text COLLATE "C",
    instance text COLLATE "C" NOT NULL
);

CREATE INDEX audit_entries_at ON audit_entries (at, id);
CREATE INDEX audit_entries_action ON audit_entries (action, at, id);
CREATE INDEX audit_entries_actor ON audit_entries (actor_id, at, id) WHERE actor_id IS NOT NULL;
CREATE INDEX audit_entries_target ON audit_entries (target_kind, target_id, at, id) WHERE target_id IS NOT NULL;
CREATE INDEX audit_entries_address ON audit_entries (address, at, id) WHERE address IS NOT NULL;
-- What didn't succeed is rare, and what is looked for.
CREATE INDEX audit_entries_outcome ON audit_entries (outcome, at, id) WHERE outcome <> 0;
