-- What users are to know of, and how they are told. Times are milliseconds since 1970, truths 0 or 1.

CREATE TABLE notifications (
    -- A UUID of version 7: in the order in which they were made.
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    -- The place in a room's log that it is about; of an invitation, its time.
    room_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    actor_id TEXT NOT NULL,
    title TEXT NOT NULL,
    body TEXT NOT NULL,
    -- A JSON object.
    data TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    read_at INTEGER,
    -- When somebody set out to push it, or to mail it: nobody does so again.
    pushed_at INTEGER,
    mailed_at INTEGER,
    UNIQUE (user_id, kind, room_id, seq)
) STRICT;

CREATE INDEX notifications_by_user ON notifications (user_id, id);
CREATE INDEX unread_notifications ON notifications (user_id, room_id, seq) WHERE read_at IS NULL;
CREATE INDEX notifications_by_place ON notifications (room_id, seq);
CREATE INDEX notifications_by_time ON notifications (created_at);

CREATE TABLE notification_preferences (
    user_id TEXT PRIMARY KEY,
    mail INTEGER NOT NULL,
    push INTEGER NOT NULL,
    -- Minutes after midnight, in the zone.
    quiet_from INTEGER,
    quiet_to INTEGER,
    time_zone TEXT,
    language TEXT
) STRICT;

CREATE TABLE room_preferences (
    room_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    notify TEXT NOT NULL,
    PRIMARY KEY (room_id, user_id)
) STRICT;

CREATE TABLE devices (
    user_id TEXT NOT NULL,
    id TEXT NOT NULL,
    -- `web` or `fcm`.
    kind TEXT NOT NULL,
    -- SHA-256 of the address or token: a device is one user's, the last one's that signed in there.
    address_hash BLOB NOT NULL UNIQUE,
    -- The address of a push service, or a registration token.
    address TEXT NOT NULL,
    -- The keys of Web Push.
    p256dh BLOB,
    auth BLOB,
    session_id TEXT,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, id)
) STRICT;

-- How far a log was read, and by whom.
CREATE TABLE log_cursors (
    name TEXT PRIMARY KEY,
    position TEXT,
    holder TEXT,
    leased_until INTEGER NOT NULL
) STRICT;

-- How far each room's log was read, where the logs have no order among each other.
CREATE TABLE room_cursors (
    room_id TEXT PRIMARY KEY,
    seq INTEGER NOT NULL
) STRICT;

-- Addresses that their users have shown to be theirs, in lower case.
CREATE TABLE verified_emails (
    user_id TEXT PRIMARY KEY,
    email TEXT NOT NULL,
    verified_at INTEGER NOT NULL
) STRICT;

CREATE INDEX verified_emails_by_email ON verified_emails (email);
