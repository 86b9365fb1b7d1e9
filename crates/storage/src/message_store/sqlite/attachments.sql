-- What is attached to messages, and what became of it afterwards, which is an entry of the log. The kinds of entries are
-- checked by the table, so it is made anew.
ALTER TABLE messages ADD COLUMN attachments TEXT;

DROP VIEW room_heads;

CREATE TABLE changes_with_attachments (
    entry INTEGER PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('edited', 'deleted', 'reacted', 'unreacted', 'processed')),
    of_seq INTEGER NOT NULL,
    actor INTEGER NOT NULL,
    at INTEGER NOT NULL,
    emoji TEXT,
    attachment TEXT
) STRICT;

INSERT INTO changes_with_attachments (entry, kind, of_seq, actor, at, emoji)
SELECT entry, kind, of_seq, actor, at, emoji FROM changes ORDER BY entry;

DROP TABLE changes;

ALTER TABLE changes_with_attachments RENAME TO changes;

CREATE VIEW room_heads (room, head_seq) AS
SELECT
    no,
    max(
        ifnull((SELECT max(entry) FROM messages WHERE entry > no << 32 AND entry < (no + 1) << 32), 0),
        ifnull((SELECT max(entry) FROM changes WHERE entry > no << 32 AND entry < (no + 1) << 32), 0)
    ) & 0xffffffff
FROM rooms;
