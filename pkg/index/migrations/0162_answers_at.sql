-- What changed of the answers to senders lately, for the pages that are open.
CREATE INDEX answers_at ON answers (at);
