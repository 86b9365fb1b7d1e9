-- Which job was the last to send a letter about a password to a user, and when: another one has to wait.
ALTER TABLE verified_emails ADD COLUMN letter_at INTEGER;
ALTER TABLE verified_emails ADD COLUMN letter_job INTEGER;

-- Pushes that somebody has set out to send: each once, whatever becomes of it.
CREATE TABLE pushes (
    id TEXT PRIMARY KEY,
    sent_at INTEGER NOT NULL
) STRICT;

CREATE INDEX pushes_by_time ON pushes (sent_at);

CREATE INDEX pushed_notifications ON notifications (user_id, pushed_at) WHERE pushed_at IS NOT NULL;
