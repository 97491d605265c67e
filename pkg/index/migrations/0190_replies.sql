-- A reply whose documents were all received before waits for a person to read it.
INSERT INTO tallies (kind, mailbox, state, n) SELECT 'message', desk, 'à traiter', COUNT(*) FROM messages WHERE kind = 'reply' AND state = 'doublon' GROUP BY desk
	ON CONFLICT (kind, mailbox, state) DO UPDATE SET n = tallies.n + excluded.n;
INSERT INTO tallies (kind, mailbox, state, n) SELECT 'message', desk, 'doublon', -COUNT(*) FROM messages WHERE kind = 'reply' AND state = 'doublon' GROUP BY desk
	ON CONFLICT (kind, mailbox, state) DO UPDATE SET n = tallies.n + excluded.n;
UPDATE messages SET state = 'à traiter', cause = 'reply' WHERE kind = 'reply' AND state = 'doublon';
