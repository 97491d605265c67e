-- Who logs in: second factor, OpenID Connect, professionals. What a person may see is
-- written down from now on: who had no list saw every mailbox, and keeps doing so.
ALTER TABLE users ADD COLUMN rpps {{text}} NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN renew BIGINT NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN totp {{text}} NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN totp_step BIGINT NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN recovery_json {{text}} NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN issuer {{text}} NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN subject {{text}} NOT NULL DEFAULT '';
CREATE UNIQUE INDEX users_subject ON users (issuer, subject) WHERE subject <> '';
UPDATE users SET mailboxes_json = '["*"]' WHERE role IN ('secretary', 'auditor') AND mailboxes_json IN ('', 'null', '[]');
