-- Messages under a legal hold, and eliminations that were asked and confirmed. Both
-- are in the journal as well; the objects themselves are locked in the archive.
CREATE TABLE holds (
    message_id    {{text}} PRIMARY KEY,
    at            BIGINT NOT NULL,
    actor         {{text}} NOT NULL,
    reason        {{text}} NOT NULL
);

CREATE TABLE eliminations (
    id            {{text}} PRIMARY KEY,
    asked_at      BIGINT NOT NULL,
    asked_by      {{text}} NOT NULL,
    confirmed_at  BIGINT NOT NULL,
    confirmed_by  {{text}} NOT NULL,
    done_at       BIGINT NOT NULL,
    messages_json {{text}} NOT NULL,
    order_json    {{text}} NOT NULL,
    certificate_json {{text}} NOT NULL
);
