-- Which job was the last to send an email about a password to a user, and when: another one has to wait.
ALTER TABLE verified_emails ADD COLUMN email_at INTEGER;
ALTER TABLE verified_emails ADD COLUMN email_job INTEGER;

-- Pushes that somebody has set out to send: each once, whatever becomes of it.
CREATE TABLE pushes (
    id TEXT PRIMARY KEY,
    sent_at INTEGER NOT NULL
) STRICT;

CREATE INDEX pushes_by_time ON pushes (sent_at);

CREATE INDEX pushed_notifications ON notifications (user_id, pushed_at) WHERE pushed_at IS NOT NULL;

-- Emails of the last hour that ask an address, known by its hash, whether it is somebody's.
CREATE TABLE verification_emails (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL,
    address_hash TEXT NOT NULL,
    sent_at INTEGER NOT NULL
) STRICT;

CREATE INDEX verification_emails_by_address ON verification_emails (address_hash, sent_at);
CREATE INDEX verification_emails_by_time ON verification_emails (sent_at);
CREATE INDEX verification_emails_by_user ON verification_emails (user_id);

-- Whoever counts them has the row of the address.
CREATE TABLE asked_addresses (
    hash TEXT PRIMARY KEY,
    asked_at INTEGER NOT NULL
) STRICT;

CREATE INDEX asked_addresses_by_time ON asked_addresses (asked_at);

-- What somebody caused goes with their account.
CREATE INDEX notifications_by_actor ON notifications (actor_id);
