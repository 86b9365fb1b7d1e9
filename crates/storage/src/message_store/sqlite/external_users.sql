-- Of a user who signs in with tokens of another application: when the token was issued whose claims were taken over last, and
-- from when on tokens are good.
ALTER TABLE users ADD COLUMN external_claims_at INTEGER;
ALTER TABLE users ADD COLUMN external_valid_from INTEGER;
