-- What happened on each day of UTC, such as `2026-01-31`.

CREATE TABLE daily_rollups (
    day TEXT PRIMARY KEY,
    -- Counted as the rooms' logs are read.
    messages INTEGER NOT NULL,
    -- Counted when the day is over; nothing until then.
    active_users INTEGER
) STRICT;

-- Who was active, for as long as a day may still be counted.
CREATE TABLE active_users (
    day TEXT NOT NULL,
    user_id TEXT NOT NULL,
    PRIMARY KEY (day, user_id)
) STRICT;
