-- The queue. desk and tray are the mailbox and the folder in whose queue a message stands:
-- where it was taken from, until a person passes it to another service. cause says why it waits for a person, see
-- greffe.Cause; sender_key and doctype are what the queue is filtered by.
ALTER TABLE messages ADD COLUMN desk {{text}} NOT NULL DEFAULT '';
ALTER TABLE messages ADD COLUMN tray {{text}} NOT NULL DEFAULT '';
ALTER TABLE messages ADD COLUMN cause {{text}} NOT NULL DEFAULT '';
ALTER TABLE messages ADD COLUMN doctype {{text}} NOT NULL DEFAULT '';
ALTER TABLE messages ADD COLUMN sender_key {{text}} NOT NULL DEFAULT '';
ALTER TABLE messages ADD COLUMN assignee {{text}} NOT NULL DEFAULT '';
ALTER TABLE messages ADD COLUMN later_at BIGINT NOT NULL DEFAULT 0;
UPDATE messages SET desk = mailbox, tray = folder;

DROP INDEX IF EXISTS messages_mailbox;
DROP INDEX IF EXISTS messages_folder;
CREATE INDEX messages_desk ON messages (desk, state, received_at, id);
CREATE INDEX messages_tray ON messages (desk, tray, state, received_at, id);
CREATE INDEX messages_doctype ON messages (doctype, received_at, id);
CREATE INDEX messages_sender ON messages (sender_key, received_at, id);
-- What waits for a person is little of all there is: it is counted row by row.
CREATE INDEX messages_waiting ON messages (desk, tray, cause, later_at, assignee, state)
    WHERE state IN ('à traiter', 'refusé par le DI', 'incident');
CREATE INDEX messages_waiting_sender ON messages (sender_key, desk, tray, sender)
    WHERE state IN ('à traiter', 'refusé par le DI', 'incident');

-- Names of the types of document, as their authors write them.
CREATE TABLE doctypes (
    code          {{text}} PRIMARY KEY,
    label         {{text}} NOT NULL
);

-- What people decided about messages as a whole.
CREATE TABLE triages (
    id            {{text}} PRIMARY KEY,
    message_id    {{text}} NOT NULL REFERENCES messages (id),
    at            BIGINT NOT NULL,
    triage_json   {{text}} NOT NULL
);
CREATE INDEX triages_message ON triages (message_id, at);

-- Who has a message open to decide about it, until when.
CREATE TABLE takings (
    message_id    {{text}} PRIMARY KEY,
    login         {{text}} NOT NULL,
    name          {{text}} NOT NULL,
    until         BIGINT NOT NULL
);

-- Decisions that were published, each about one revision of a document or message: of
-- two people who decide at once one is told that the other was first.
CREATE TABLE asked (
    item          {{text}} PRIMARY KEY,
    revision      BIGINT NOT NULL,
    at            BIGINT NOT NULL,
    login         {{text}} NOT NULL
);

-- What a person keeps: saved views of the queue, keys of the keyboard.
CREATE TABLE kept (
    login         {{text}} NOT NULL,
    kind          {{text}} NOT NULL,
    name          {{text}} NOT NULL,
    value         {{text}} NOT NULL,
    PRIMARY KEY (login, kind, name)
);

-- Messages that a person chose to decide about at once, as they stood then.
CREATE TABLE selections (
    id            {{text}} PRIMARY KEY,
    login         {{text}} NOT NULL,
    at            BIGINT NOT NULL,
    selection_json {{text}} NOT NULL
);
CREATE INDEX selections_at ON selections (at);
