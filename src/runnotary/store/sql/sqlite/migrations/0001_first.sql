-- The first schema.

CREATE TABLE events (
    stream BLOB NOT NULL CHECK (length(stream) BETWEEN 2 AND 65),
    seq INTEGER NOT NULL CHECK (seq >= 1),
    envelope BLOB NOT NULL CHECK (length(envelope) = 60),
    body BLOB CHECK (length(body) BETWEEN 18 AND 65552),
    PRIMARY KEY (stream, seq)
) WITHOUT ROWID, STRICT;

-- One row per commit and stream: the Merkle leaves, in order. The leaf index is pos - 1.
CREATE TABLE log (
    pos INTEGER PRIMARY KEY CHECK (pos >= 1),
    stream BLOB NOT NULL,
    from_seq INTEGER NOT NULL CHECK (from_seq >= 1),
    seq INTEGER NOT NULL CHECK (seq >= from_seq),
    head BLOB NOT NULL CHECK (length(head) = 32)
) STRICT;

CREATE UNIQUE INDEX log_stream ON log (stream, seq);

CREATE TABLE runs (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    namespace TEXT NOT NULL,
    flow TEXT NOT NULL,
    flow_id TEXT NOT NULL,
    definition TEXT NOT NULL,
    kind TEXT NOT NULL,
    status TEXT NOT NULL,
    reason TEXT NOT NULL,
    trigger TEXT NOT NULL,
    created_by TEXT NOT NULL,
    owner TEXT NOT NULL,
    label TEXT NOT NULL,
    tags TEXT NOT NULL,
    labels TEXT NOT NULL,
    monitors TEXT NOT NULL,
    managers TEXT NOT NULL,
    parent BLOB CHECK (length(parent) = 16),
    root BLOB NOT NULL CHECK (length(root) = 16),
    created_at INTEGER NOT NULL,
    started_at INTEGER,
    ended_at INTEGER,
    cancel_requested_at INTEGER,
    progress TEXT NOT NULL,
    error TEXT NOT NULL,
    counts TEXT NOT NULL,
    seq INTEGER NOT NULL CHECK (seq >= 1),
    CHECK (CASE WHEN ended_at IS NULL
        THEN status = 'pending' OR status = 'running' OR status = 'waiting'
        ELSE status = 'success' OR status = 'failed' OR status = 'cancelled' OR status = 'skipped' END)
) WITHOUT ROWID, STRICT;

-- Listings: the newest of one status, the newest of one flow.
CREATE INDEX runs_status ON runs (status, id);
CREATE INDEX runs_flow ON runs (flow, id);
-- What an engine takes up when it starts; as small as the number of runs that are not over.
CREATE INDEX runs_open ON runs (id) WHERE ended_at IS NULL;

CREATE TABLE tasks (
    run BLOB NOT NULL CHECK (length(run) = 16),
    key TEXT NOT NULL,
    step TEXT NOT NULL,
    visit INTEGER CHECK (visit >= 0),
    status TEXT NOT NULL,
    reason TEXT NOT NULL,
    executor TEXT NOT NULL,
    attempts INTEGER NOT NULL CHECK (attempts >= 0),
    exit_code INTEGER,
    signal INTEGER,
    started_at INTEGER,
    ended_at INTEGER,
    progress INTEGER,
    error TEXT NOT NULL,
    PRIMARY KEY (run, key),
    CHECK (CASE WHEN ended_at IS NULL
        THEN status = 'pending' OR status = 'running' OR status = 'waiting'
        ELSE status = 'success' OR status = 'failed' OR status = 'cancelled' OR status = 'skipped' END)
) WITHOUT ROWID, STRICT;

CREATE TABLE flows (
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    id TEXT NOT NULL,
    definition TEXT NOT NULL,
    version TEXT NOT NULL,
    title TEXT NOT NULL,
    description TEXT NOT NULL,
    versions INTEGER NOT NULL CHECK (versions >= 1),
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (namespace, name)
) WITHOUT ROWID, STRICT;

-- Small bytes under their own SHA-256; larger ones are files. A table with a rowid on purpose: digests are
-- random, and only the narrow index has to bear that (a third more runs per second than clustering on them).
CREATE TABLE blobs (
    digest BLOB NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    data BLOB NOT NULL
) STRICT;
