-- Runs can be archived and held, and found by the key that a client gave them.

ALTER TABLE runs ADD COLUMN archived_at INTEGER;
ALTER TABLE runs ADD COLUMN held TEXT NOT NULL DEFAULT '';

CREATE TABLE keys (
    principal TEXT NOT NULL,
    key TEXT NOT NULL,
    run BLOB NOT NULL CHECK (length(run) = 16),
    body BLOB NOT NULL CHECK (length(body) = 32),
    PRIMARY KEY (principal, key)
) WITHOUT ROWID, STRICT;
