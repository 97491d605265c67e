-- Auditors who ask to read, and the second auditor's word. They last a day: what was asked
-- and answered is in the journal, without the reason, which a person wrote.
CREATE TABLE approvals (
    id            {{text}} PRIMARY KEY,
    requester     {{text}} NOT NULL,
    message_id    {{text}} NOT NULL,
    ins           {{text}} NOT NULL,
    reason        {{text}} NOT NULL,
    asked_at      BIGINT NOT NULL,
    decided_by    {{text}} NOT NULL,
    decided_at    BIGINT NOT NULL,
    granted       BIGINT NOT NULL,
    expires_at    BIGINT NOT NULL
);
CREATE INDEX approvals_requester ON approvals (requester, expires_at);
CREATE INDEX approvals_asked ON approvals (asked_at);
