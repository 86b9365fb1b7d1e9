-- The upload of somebody's avatar, which everybody may see: 1.
ALTER TABLE uploads ADD COLUMN avatar INTEGER NOT NULL DEFAULT 0;
