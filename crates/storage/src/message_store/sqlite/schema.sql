-- What people may see has an id, a text that is never reused. Rows refer to one another by `no`,
-- which never leaves the store: it makes the keys of the hot tables small.
-- Times are milliseconds since the Unix epoch.

CREATE TABLE users (
    no INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    username TEXT NOT NULL,
    -- The lower-case forms, by which names and addresses are unique and users are found.
    -- NULL once deleted, so that name and address are free again.
    username_key TEXT UNIQUE,
    display_name TEXT NOT NULL,
    display_name_key TEXT,
    email TEXT,
    email_key TEXT UNIQUE,
    avatar_url TEXT,
    role TEXT NOT NULL CHECK (role IN ('user', 'staff', 'admin')),
    guest INTEGER NOT NULL,
    password_hash TEXT,
    created_at INTEGER NOT NULL,
    deleted_at INTEGER
) STRICT;

CREATE INDEX users_by_display_name ON users (display_name_key) WHERE display_name_key IS NOT NULL;
CREATE INDEX guests ON users (created_at) WHERE guest = 1 AND deleted_at IS NULL;

-- One sign-in of one device. Only hashes of refresh tokens are kept.
CREATE TABLE sessions (
    id TEXT PRIMARY KEY,
    user INTEGER NOT NULL REFERENCES users,
    device TEXT NOT NULL,
    address TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    last_seen_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    refresh_hash BLOB NOT NULL,
    previous_hash BLOB,
    rotated_at INTEGER,
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX sessions_by_user ON sessions (user);
CREATE INDEX revoked_sessions ON sessions (revoked_at) WHERE revoked_at IS NOT NULL;

CREATE TABLE blocks (
    user INTEGER NOT NULL REFERENCES users,
    blocked INTEGER NOT NULL REFERENCES users,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (user, blocked)
) STRICT, WITHOUT ROWID;

CREATE INDEX blocks_by_blocked ON blocks (blocked);

CREATE TABLE rooms (
    no INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL CHECK (kind IN ('public', 'private', 'direct')),
    name TEXT NOT NULL,
    -- The lower-case form, by which public rooms are found; NULL for the others.
    name_key TEXT,
    created_at INTEGER NOT NULL,
    epoch TEXT NOT NULL,
    member_count INTEGER NOT NULL,
    -- The two users of a direct room, the smaller number first.
    direct_low INTEGER REFERENCES users,
    direct_high INTEGER REFERENCES users,
    -- Set when the room was deleted and its log is being removed, which takes many transactions.
    deleted_at INTEGER,
    UNIQUE (direct_low, direct_high)
) STRICT;

CREATE INDEX public_rooms ON rooms (kind) WHERE kind = 'public';
CREATE INDEX public_rooms_by_name ON rooms (name_key) WHERE name_key IS NOT NULL;
CREATE INDEX deleted_rooms ON rooms (deleted_at) WHERE deleted_at IS NOT NULL;

CREATE TABLE members (
    room INTEGER NOT NULL REFERENCES rooms,
    user INTEGER NOT NULL REFERENCES users,
    role TEXT NOT NULL CHECK (role IN ('member', 'moderator', 'owner')),
    read_seq INTEGER NOT NULL,
    joined_at INTEGER NOT NULL,
    PRIMARY KEY (room, user)
) STRICT, WITHOUT ROWID;

CREATE INDEX members_by_user ON members (user, room);

-- A room's log is `messages` and `changes` together: each `seq` of a room is in exactly one of the
-- two. `entry` is room << 32 | seq, one integer that is the key of the table, the order of the log
-- and the rowid of the search index. The head of a room is its largest entry, so there is no
-- counter to keep in step. No foreign keys: an append has just read the room and the user.
CREATE TABLE messages (
    entry INTEGER PRIMARY KEY,
    room INTEGER GENERATED ALWAYS AS (entry >> 32) VIRTUAL,
    sender INTEGER NOT NULL,
    at INTEGER NOT NULL,
    edited_at INTEGER,
    deleted_at INTEGER,
    -- The `seq` of the change that deleted it.
    deleted_seq INTEGER,
    reply_to INTEGER,
    id TEXT NOT NULL,
    client_id TEXT,
    -- A JSON list of user ids.
    mentions TEXT,
    body TEXT NOT NULL
) STRICT;

CREATE UNIQUE INDEX messages_by_client_id ON messages (room, sender, client_id)
    WHERE client_id IS NOT NULL;

-- An edit doesn't keep its text: the message has it, and a deletion must leave none behind.
CREATE TABLE changes (
    entry INTEGER PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('edited', 'deleted', 'reacted', 'unreacted')),
    of_seq INTEGER NOT NULL,
    actor INTEGER NOT NULL,
    at INTEGER NOT NULL,
    emoji TEXT
) STRICT;

CREATE VIEW room_heads (room, head_seq) AS
SELECT
    no,
    max(
        ifnull((SELECT max(entry) FROM messages WHERE entry > no << 32 AND entry < (no + 1) << 32), 0),
        ifnull((SELECT max(entry) FROM changes WHERE entry > no << 32 AND entry < (no + 1) << 32), 0)
    ) & 0xffffffff
FROM rooms;

-- `entry` is that of the message; `seq` the change that last put the emoji or took it back.
CREATE TABLE reactions (
    entry INTEGER NOT NULL,
    user INTEGER NOT NULL,
    emoji TEXT NOT NULL,
    present INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (entry, user, emoji)
) STRICT, WITHOUT ROWID;

-- Keeps the cost of showing a message independent of how many people reacted to it.
CREATE TABLE reaction_counts (
    entry INTEGER NOT NULL,
    emoji TEXT NOT NULL,
    count INTEGER NOT NULL,
    first_seq INTEGER NOT NULL,
    PRIMARY KEY (entry, emoji)
) STRICT, WITHOUT ROWID;

-- rowid is `entry`: the messages of one room are one range of rowids.
CREATE VIRTUAL TABLE messages_index USING fts5 (
    body, content = '', contentless_delete = 1, tokenize = 'unicode61 remove_diacritics 2'
);
-- rowid is `no`.
CREATE VIRTUAL TABLE users_index USING fts5 (
    username, display_name, content = '', contentless_delete = 1,
    tokenize = 'trigram remove_diacritics 1'
);
CREATE VIRTUAL TABLE rooms_index USING fts5 (
    name, content = '', contentless_delete = 1, tokenize = 'trigram remove_diacritics 1'
);
