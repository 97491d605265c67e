-- A professional sees one folder of a mailbox.
CREATE INDEX messages_folder ON messages (mailbox, folder, state, received_at, id);
