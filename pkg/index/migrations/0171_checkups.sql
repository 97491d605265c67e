-- Verifications of one message that a person asked for, and their reports. What came out is
-- in the journal; the rows last a month.
CREATE TABLE checkups (
    id            {{text}} PRIMARY KEY,
    message_id    {{text}} NOT NULL,
    requester     {{text}} NOT NULL,
    asked_from    {{text}} NOT NULL,
    asked_at      BIGINT NOT NULL,
    done_at       BIGINT NOT NULL,
    problem       {{text}} NOT NULL,
    report_json   {{text}} NOT NULL
);
CREATE INDEX checkups_message ON checkups (message_id, asked_at);
CREATE INDEX checkups_done ON checkups (done_at, asked_at);
