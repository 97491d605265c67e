-- Decisions that scripts asked for, by the idempotency key that they gave: a repeat gets
-- the answer of the first. answer_json is empty until there is one.
CREATE TABLE keyed (
    login         {{text}} NOT NULL,
    name          {{text}} NOT NULL,
    request       {{text}} NOT NULL,
    at            BIGINT NOT NULL,
    answer_json   {{text}} NOT NULL DEFAULT '',
    PRIMARY KEY (login, name)
);
CREATE INDEX keyed_at ON keyed (at);
