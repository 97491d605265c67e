-- What became of a document at each DI that it goes to (di: its name; empty: the
-- document itself), and what a machine still has to do there: due_at is when, 0 for
-- never; the queue of a DI is what is due. attempt names what asked for a repetition,
-- tries counts how often it was put off.
CREATE TABLE deliveries (
    document_id   {{text}} NOT NULL REFERENCES documents (id),
    di            {{text}} NOT NULL,
    state         {{text}} NOT NULL,
    at            BIGINT NOT NULL,
    due_at        BIGINT NOT NULL,
    tries         BIGINT NOT NULL,
    attempt       {{text}} NOT NULL,
    outcome_json  {{text}} NOT NULL,
    PRIMARY KEY (document_id, di)
);
CREATE INDEX deliveries_due ON deliveries (di, due_at, document_id) WHERE due_at > 0;
CREATE INDEX deliveries_state ON deliveries (di, state, at);

-- The DIs that were ever configured, and what holds their queues: a person (paused), an
-- error that each further document would meet (stopped), silence (down).
CREATE TABLE dis (
    name          {{text}} PRIMARY KEY,
    configured    BIGINT NOT NULL,
    test          BIGINT NOT NULL,
    paused_at     BIGINT NOT NULL,
    paused_by     {{text}} NOT NULL,
    stopped_at    BIGINT NOT NULL,
    stopped_json  {{text}} NOT NULL,
    stopped_document {{text}} NOT NULL,
    down_at       BIGINT NOT NULL,
    down_text     {{text}} NOT NULL
);

-- Whom a person said that a document is about; empty: whom it says itself.
ALTER TABLE documents ADD COLUMN chosen_json {{text}} NOT NULL DEFAULT '';

-- The lineage whose next versions the decision is remembered for; empty: it is not.
ALTER TABLE decisions ADD COLUMN remembered {{text}} NOT NULL DEFAULT '';
CREATE INDEX decisions_remembered ON decisions (remembered, at) WHERE remembered <> '';
