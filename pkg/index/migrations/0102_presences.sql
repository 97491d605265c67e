-- Who sits at a screen: when a session was last used and whether it is locked. Apart from
-- the session, which requests of one page made at once would write over. drafts_json is
-- what was typed and not sent when it was locked.
CREATE TABLE presences (
    id            {{text}} PRIMARY KEY,
    seen_at       BIGINT NOT NULL,
    locked_at     BIGINT NOT NULL,
    drafts_json   {{text}} NOT NULL,
    expires_at    BIGINT NOT NULL
);
CREATE INDEX presences_expires ON presences (expires_at);
