-- What was seen in the mailboxes: one row for each message that a server listed, or
-- that was taken. What has no message_id was seen and is not in the archive. A server
-- that gives a UID again gives it with another internal_date (0: not known).
CREATE TABLE listed (
    mailbox       {{text}} NOT NULL,
    folder        {{text}} NOT NULL,
    uidvalidity   BIGINT NOT NULL,
    uid           BIGINT NOT NULL,
    internal_date BIGINT NOT NULL,
    day_at        BIGINT NOT NULL,
    by_server     BIGINT NOT NULL,
    message_id    {{text}} NOT NULL,
    PRIMARY KEY (mailbox, folder, uidvalidity, uid, internal_date)
);
CREATE INDEX listed_day ON listed (mailbox, day_at);

INSERT INTO listed (mailbox, folder, uidvalidity, uid, internal_date, day_at, by_server, message_id)
    SELECT mailbox, folder, uidvalidity, uid, internal_date,
        CASE WHEN internal_date = 0 THEN received_at ELSE internal_date END, 0, MIN(id)
    FROM messages GROUP BY mailbox, folder, uidvalidity, uid, internal_date,
        CASE WHEN internal_date = 0 THEN received_at ELSE internal_date END
    ON CONFLICT (mailbox, folder, uidvalidity, uid, internal_date) DO NOTHING;

-- When each folder was compared with its server, first and last.
CREATE TABLE compared (
    mailbox       {{text}} NOT NULL,
    folder        {{text}} NOT NULL,
    first_at      BIGINT NOT NULL,
    last_at       BIGINT NOT NULL,
    PRIMARY KEY (mailbox, folder)
);

-- The hours (of 1970, UTC) of which something changed since they were stated.
CREATE TABLE unstated (
    mailbox       {{text}} NOT NULL,
    hour          BIGINT NOT NULL,
    changed_at    BIGINT NOT NULL,
    PRIMARY KEY (mailbox, hour)
);

-- The last statement about each mailbox and day; all of them are in the journal.
CREATE TABLE statements (
    mailbox       {{text}} NOT NULL,
    day           {{text}} NOT NULL,
    at            BIGINT NOT NULL,
    complete      BIGINT NOT NULL,
    missing       BIGINT NOT NULL,
    statement_json {{text}} NOT NULL,
    PRIMARY KEY (mailbox, day)
);
CREATE INDEX statements_day ON statements (day, mailbox);
CREATE INDEX statements_missing ON statements (day, mailbox) WHERE missing > 0 OR complete = 0;
