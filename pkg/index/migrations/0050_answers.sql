-- What was answered to senders, one row for each answer that is due once: the key
-- names sender and Message-ID, so that two copies of a mail have one answer.
CREATE TABLE answers (
    key           {{text}} PRIMARY KEY,
    message_id    {{text}} NOT NULL REFERENCES messages (id),
    kind          {{text}} NOT NULL,
    state         {{text}} NOT NULL,
    code          {{text}} NOT NULL,
    recipient     {{text}} NOT NULL,
    mail_id       {{text}} NOT NULL,
    reason        {{text}} NOT NULL,
    begun_at      BIGINT NOT NULL,
    at            BIGINT NOT NULL
);
CREATE INDEX answers_message ON answers (message_id);
CREATE INDEX answers_recipient ON answers (recipient, at);
