-- What a delivery status notification is about is found by the Message-ID of our mail;
-- what a person has to look after, and the copies of a document, without reading all.
CREATE INDEX answers_mail ON answers (mail_id);
CREATE INDEX answers_open ON answers (message_id) WHERE state IN ('asked', 'failed');
CREATE INDEX documents_copies ON documents (duplicate_of) WHERE duplicate_of <> '';
