-- What a search by name or matricule reads is in its index: on a million documents the
-- rows of the table are far apart, and looking up each took most of the time.
DROP INDEX documents_ins;
CREATE INDEX documents_ins ON documents (ins, received_at, id);
DROP INDEX document_names_family;
CREATE INDEX document_names_family ON document_names (family, received_at, document_id, givens, mailbox, birth_date);
DROP INDEX document_names_birth;
CREATE INDEX document_names_birth ON document_names (birth_date, family, received_at, document_id, givens, mailbox);
CREATE INDEX document_names_received ON document_names (received_at, document_id, family, givens, mailbox, birth_date);

-- Searches of the journal.
CREATE INDEX journal_actor ON journal (actor, seq);
CREATE INDEX journal_action ON journal (action, seq);
CREATE INDEX journal_at ON journal (at, seq);
