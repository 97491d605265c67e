-- The sealed journal: which runs of entries are in the archive, under which root, the
-- hashes of the tree over all entries, and the stamps of the authority. All of it is
-- rebuilt from the archive.

-- A row is written with done = 0 before anything of its range reaches the archive, so
-- that whoever goes on after a crash writes the same objects again.
CREATE TABLE seals (
    last            BIGINT PRIMARY KEY,
    first           BIGINT NOT NULL UNIQUE,
    at              BIGINT NOT NULL,
    hash            {{text}} NOT NULL,
    done            BIGINT NOT NULL,
    root            {{text}} NOT NULL,
    segment_json    {{text}} NOT NULL,
    facts_json      {{text}} NOT NULL,
    checkpoint_json {{text}} NOT NULL
);

-- Tile number of a level: 1 to 256 hashes of 32 bytes, in base64.
CREATE TABLE journal_tiles (
    level           BIGINT NOT NULL,
    number          BIGINT NOT NULL,
    width           BIGINT NOT NULL,
    data            {{text}} NOT NULL,
    PRIMARY KEY (level, number)
);

-- What entries are about when the journal may not hold it: JSON, byte by byte as its
-- digest in the entry says.
CREATE TABLE journal_facts (
    seq             BIGINT PRIMARY KEY,
    fact            {{text}} NOT NULL
);

-- last is that of the seal whose checkpoint was stamped, at the time of the token.
CREATE TABLE stamps (
    last            BIGINT PRIMARY KEY REFERENCES seals (last),
    at              BIGINT NOT NULL,
    stamp_json      {{text}} NOT NULL,
    token_json      {{text}} NOT NULL
);
CREATE INDEX stamps_at ON stamps (at);
