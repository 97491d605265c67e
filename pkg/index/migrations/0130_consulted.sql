-- When somebody who works the queue last looked into each mailbox.
CREATE TABLE consulted (
    mailbox       {{text}} PRIMARY KEY,
    at            BIGINT NOT NULL
);
