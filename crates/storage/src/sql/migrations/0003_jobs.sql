-- Work that is done later. Each row is written in the transaction of the change that it follows from.
CREATE TABLE jobs (
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    payload TEXT NOT NULL,
    enqueued_at INTEGER NOT NULL,
    -- When it may be taken. While somebody has it, when they no longer do.
    due_at INTEGER NOT NULL,
    -- Runs that have begun.
    attempts INTEGER NOT NULL,
    -- Who has it.
    claim TEXT,
    PRIMARY KEY (kind, id)
) STRICT;

CREATE INDEX jobs_by_kind ON jobs (kind, due_at);
CREATE INDEX jobs_by_time ON jobs (due_at);

-- What failed for good, until an administrator replays or drops it.
CREATE TABLE dead_jobs (
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    payload TEXT NOT NULL,
    enqueued_at INTEGER NOT NULL,
    died_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    error TEXT NOT NULL,
    PRIMARY KEY (kind, id)
) STRICT;

CREATE INDEX dead_jobs_by_time ON dead_jobs (died_at);
