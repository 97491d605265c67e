-- Tokens of scripts: what a bearer of the secret may do until a day. Of the secret only the
-- digest is kept. A token that was revoked or has ended stays: it says what the journal
-- calls it.
CREATE TABLE tokens (
    id            {{text}} PRIMARY KEY,
    name          {{text}} NOT NULL,
    role          {{text}} NOT NULL,
    places_json   {{text}} NOT NULL,
    digest        {{text}} NOT NULL UNIQUE,
    created_at    BIGINT NOT NULL,
    created_by    {{text}} NOT NULL,
    expires_at    BIGINT NOT NULL,
    revoked_at    BIGINT NOT NULL DEFAULT 0,
    revoked_by    {{text}} NOT NULL DEFAULT '',
    used_at       BIGINT NOT NULL DEFAULT 0,
    used_from     {{text}} NOT NULL DEFAULT ''
);
