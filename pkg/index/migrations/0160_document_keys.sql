-- What documents are searched by, apart from the patient: one narrow row for each, so
-- that a search which no index answers alone reads little for each document that it
-- passes over. desk, tray and sender_key are those of the message, state is that of the
-- document. dated_at is the day of the document itself, at midnight UTC whatever its
-- zone; 0: it gives none.
CREATE TABLE document_keys (
    document_id   {{text}} PRIMARY KEY REFERENCES documents (id),
    received_at   BIGINT NOT NULL,
    archived_at   BIGINT NOT NULL,
    dated_at      BIGINT NOT NULL,
    mailbox       {{text}} NOT NULL,
    folder        {{text}} NOT NULL,
    desk          {{text}} NOT NULL,
    tray          {{text}} NOT NULL,
    state         {{text}} NOT NULL,
    doctype       {{text}} NOT NULL,
    format        {{text}} NOT NULL,
    sender_key    {{text}} NOT NULL
);
CREATE INDEX document_keys_received ON document_keys (received_at, document_id);
CREATE INDEX document_keys_archived ON document_keys (archived_at, document_id);
CREATE INDEX document_keys_dated ON document_keys (dated_at, document_id);
CREATE INDEX document_keys_mailbox ON document_keys (mailbox, received_at, document_id);
CREATE INDEX document_keys_desk ON document_keys (desk, received_at, document_id) WHERE desk <> mailbox;
CREATE INDEX document_keys_state ON document_keys (state, received_at, document_id);
CREATE INDEX document_keys_doctype ON document_keys (doctype, received_at, document_id);
CREATE INDEX document_keys_format ON document_keys (format, received_at, document_id);
CREATE INDEX document_keys_sender ON document_keys (sender_key, received_at, document_id);

-- Senders by the words of their names and addresses.
CREATE TABLE sender_words (
    word          {{text}} NOT NULL,
    sender_key    {{text}} NOT NULL,
    PRIMARY KEY (word, sender_key)
);
CREATE INDEX sender_words_sender ON sender_words (sender_key, word);

CREATE INDEX messages_header ON messages (header_id);

-- The messages that hold a word, newest first: they are written again when the index is
-- opened (normVersion).
DROP TABLE message_words;
CREATE TABLE message_words (
    word          {{text}} NOT NULL,
    received_at   BIGINT NOT NULL,
    message_id    {{text}} NOT NULL REFERENCES messages (id),
    PRIMARY KEY (word, received_at, message_id)
);
CREATE INDEX message_words_message ON message_words (message_id, word);
