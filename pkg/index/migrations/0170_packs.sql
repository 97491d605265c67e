-- Proof packs that auditors asked for. The bytes are on the bus, covered by cover_key, which
-- is only here and goes with the pack. What was asked, built, taken and removed is in the
-- journal, without the reason, which a person wrote; the rows last some months.
CREATE TABLE packs (
    id            {{text}} PRIMARY KEY,
    requester     {{text}} NOT NULL,
    asked_from    {{text}} NOT NULL,
    reason        {{text}} NOT NULL,
    kind          {{text}} NOT NULL,
    messages      BIGINT NOT NULL,
    documents     BIGINT NOT NULL,
    state         {{text}} NOT NULL,
    asked_at      BIGINT NOT NULL,
    decided_by    {{text}} NOT NULL,
    decided_at    BIGINT NOT NULL,
    noted         BIGINT NOT NULL,
    tries         BIGINT NOT NULL,
    done          BIGINT NOT NULL,
    problem       {{text}} NOT NULL,
    verdict       {{text}} NOT NULL,
    size          BIGINT NOT NULL,
    sha256        {{text}} NOT NULL,
    cover_key     {{text}} NOT NULL,
    stored        BIGINT NOT NULL,
    built_at      BIGINT NOT NULL,
    expires_at    BIGINT NOT NULL,
    taken_at      BIGINT NOT NULL,
    ended_at      BIGINT NOT NULL
);
CREATE INDEX packs_requester ON packs (requester, asked_at);
CREATE INDEX packs_state ON packs (state, asked_at);
CREATE INDEX packs_stored ON packs (stored, ended_at);
-- What each is about; document_id is empty where the whole message is.
CREATE TABLE pack_items (
    pack_id       {{text}} NOT NULL,
    message_id    {{text}} NOT NULL,
    document_id   {{text}} NOT NULL,
    PRIMARY KEY (pack_id, message_id, document_id)
);
