-- Rises with whatever ends all sessions of a user at once; a session of an earlier version isn't good.
ALTER TABLE users ADD COLUMN sign_in_version INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN sign_in_version INTEGER NOT NULL DEFAULT 0;

-- An address is what somebody says: until it is proved to be theirs, it must not be kept from others, nor told. The
-- column can't be dropped while it is unique.
UPDATE users SET email_key = NULL WHERE email_key IS NOT NULL;
