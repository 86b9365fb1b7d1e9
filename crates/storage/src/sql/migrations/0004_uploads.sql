-- What people upload. Times are milliseconds since 1970, truths 0 or 1.

CREATE TABLE uploads (
    id TEXT PRIMARY KEY,
    owner_id TEXT NOT NULL,
    -- `image` or `file`.
    kind TEXT NOT NULL,
    file_name TEXT NOT NULL,
    content_type TEXT NOT NULL,
    size INTEGER NOT NULL,
    -- `awaited`, `processing`, `ready`, `failed` or `removed`.
    status TEXT NOT NULL,
    -- Of one that failed.
    reason TEXT,
    -- Of one that is ready: its objects, a JSON object.
    media TEXT,
    created_at INTEGER NOT NULL,
    -- The message that it is attached to, by what its sender calls it until its place is known.
    room_id TEXT,
    client_id TEXT,
    attached_at INTEGER,
    private INTEGER NOT NULL,
    message_seq INTEGER,
    -- Whether the message shows what became of it.
    announced INTEGER NOT NULL,
    -- When somebody has to look whether all is as it should be.
    check_at INTEGER NOT NULL
) STRICT;

CREATE INDEX uploads_by_owner ON uploads (owner_id, created_at);
CREATE INDEX uploads_to_check ON uploads (check_at);
