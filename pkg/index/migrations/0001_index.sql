-- The tables of the index. One text for PostgreSQL and SQLite: {{text}} is TEXT
-- with byte order on both, so that ranges and pages mean the same. Times are
-- milliseconds since 1970 UTC, 0 for none; *_json columns hold the facts whole.

CREATE TABLE messages (
    id            {{text}} PRIMARY KEY,
    mailbox       {{text}} NOT NULL,
    folder        {{text}} NOT NULL,
    uidvalidity   BIGINT NOT NULL,
    uid           BIGINT NOT NULL,
    internal_date BIGINT NOT NULL,
    received_at   BIGINT NOT NULL,
    archived_at   BIGINT NOT NULL,
    state         {{text}} NOT NULL,
    verdict       {{text}} NOT NULL,
    kind          {{text}} NOT NULL,
    size          BIGINT NOT NULL,
    subject       {{text}} NOT NULL,
    sender        {{text}} NOT NULL,
    header_id     {{text}} NOT NULL
);
CREATE INDEX messages_received ON messages (received_at, id);
CREATE INDEX messages_state ON messages (state, received_at, id);
CREATE INDEX messages_mailbox ON messages (mailbox, state, received_at, id);

-- Apart from messages, so that the queue never reads past these long values.
CREATE TABLE message_facts (
    message_id    {{text}} PRIMARY KEY REFERENCES messages (id),
    received_json {{text}} NOT NULL,
    raw_json      {{text}} NOT NULL,
    parsed_json   {{text}} NOT NULL,
    manifest_json {{text}} NOT NULL,
    objects_json  {{text}} NOT NULL
);

-- Words of the queue's text filter, normalised.
CREATE TABLE message_words (
    word          {{text}} NOT NULL,
    message_id    {{text}} NOT NULL REFERENCES messages (id),
    PRIMARY KEY (word, message_id)
);
CREATE INDEX message_words_message ON message_words (message_id, word);

CREATE TABLE documents (
    id            {{text}} PRIMARY KEY,
    message_id    {{text}} NOT NULL REFERENCES messages (id),
    number        BIGINT NOT NULL,
    mailbox       {{text}} NOT NULL,
    received_at   BIGINT NOT NULL,
    archived_at   BIGINT NOT NULL,
    decided_at    BIGINT NOT NULL,
    identity      {{text}} NOT NULL,
    lineage       {{text}} NOT NULL,
    unique_id     {{text}} NOT NULL,
    ins           {{text}} NOT NULL,
    birth_date    {{text}} NOT NULL,
    state         {{text}} NOT NULL,
    reason        {{text}} NOT NULL,
    duplicate_of  {{text}} NOT NULL,
    outcome_json  {{text}} NOT NULL,
    facts_json    {{text}} NOT NULL,
    object_json   {{text}} NOT NULL,
    body_json     {{text}} NOT NULL,
    UNIQUE (message_id, number)
);
CREATE INDEX documents_received ON documents (received_at, id);
CREATE INDEX documents_mailbox ON documents (mailbox, received_at, id);
CREATE INDEX documents_lineage ON documents (lineage);
CREATE INDEX documents_unique_id ON documents (unique_id);
CREATE INDEX documents_ins ON documents (ins);
CREATE INDEX documents_birth ON documents (birth_date, received_at, id);

-- Names a document can be found by: one row for each family name of its
-- patient, with all given names between blanks (" maelle anne "), normalised.
-- The columns of a search are repeated here, so that it reads no long rows.
CREATE TABLE document_names (
    document_id   {{text}} NOT NULL REFERENCES documents (id),
    family        {{text}} NOT NULL,
    givens        {{text}} NOT NULL,
    birth_date    {{text}} NOT NULL,
    mailbox       {{text}} NOT NULL,
    received_at   BIGINT NOT NULL,
    PRIMARY KEY (document_id, family)
);
CREATE INDEX document_names_family ON document_names (family, received_at, document_id, givens);
CREATE INDEX document_names_birth ON document_names (birth_date, family);

-- The first occurrence of each identity: the one that is delivered.
CREATE TABLE claims (
    identity      {{text}} PRIMARY KEY,
    document_id   {{text}} NOT NULL
);

CREATE TABLE outcomes (
    document_id   {{text}} NOT NULL REFERENCES documents (id),
    number        BIGINT NOT NULL,
    outcome_json  {{text}} NOT NULL,
    PRIMARY KEY (document_id, number)
);

CREATE TABLE decisions (
    id            {{text}} PRIMARY KEY,
    document_id   {{text}} NOT NULL REFERENCES documents (id),
    at            BIGINT NOT NULL,
    decision_json {{text}} NOT NULL
);
CREATE INDEX decisions_document ON decisions (document_id, at);

-- How many messages and documents are in each state, kept with each change:
-- counting a million rows for each page would be slow.
CREATE TABLE tallies (
    kind          {{text}} NOT NULL,
    mailbox       {{text}} NOT NULL,
    state         {{text}} NOT NULL,
    n             BIGINT NOT NULL,
    PRIMARY KEY (kind, mailbox, state)
);

CREATE TABLE journal (
    seq           BIGINT PRIMARY KEY,
    at            BIGINT NOT NULL,
    actor         {{text}} NOT NULL,
    action        {{text}} NOT NULL,
    subject       {{text}} NOT NULL,
    origin        {{text}} NOT NULL,
    result        {{text}} NOT NULL,
    detail        {{text}} NOT NULL,
    prev          {{text}} NOT NULL,
    hash          {{text}} NOT NULL
);
CREATE INDEX journal_subject ON journal (subject, seq);

CREATE TABLE users (
    login         {{text}} PRIMARY KEY,
    name          {{text}} NOT NULL,
    role          {{text}} NOT NULL,
    mailboxes_json {{text}} NOT NULL,
    hash          {{text}} NOT NULL,
    disabled      BIGINT NOT NULL
);

CREATE TABLE sessions (
    token         {{text}} PRIMARY KEY,
    data          {{text}} NOT NULL,
    expires_at    BIGINT NOT NULL
);
CREATE INDEX sessions_expires ON sessions (expires_at);

-- Small facts about the index itself, for example the version of the
-- normalisation that the search columns were written with.
CREATE TABLE settings (
    name          {{text}} PRIMARY KEY,
    value         {{text}} NOT NULL
);
