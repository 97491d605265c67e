-- A document that was passed to another service is found there by the name, too.
ALTER TABLE document_names ADD COLUMN desk {{text}} NOT NULL DEFAULT '';
UPDATE document_names SET desk = (SELECT m.desk FROM documents d JOIN messages m ON m.id = d.message_id WHERE d.id = document_names.document_id);
DROP INDEX document_names_family;
DROP INDEX document_names_birth;
DROP INDEX document_names_received;
CREATE INDEX document_names_family ON document_names (family, received_at, document_id, givens, mailbox, desk, birth_date);
CREATE INDEX document_names_birth ON document_names (birth_date, family, received_at, document_id, givens, mailbox, desk);
CREATE INDEX document_names_received ON document_names (received_at, document_id, family, givens, mailbox, desk, birth_date);
