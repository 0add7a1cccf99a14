-- The record of one home. Everything here is evidence, or made from evidence and compared with it by `verify`.
--
-- 1. `events` and `log` are only ever appended to; a purge takes all events of one run, and its tombstone is an
--    event. `runs`, `tasks`, `flows`, `keys` and `uses` are projections: columns and their order are those of the structs
--    in core/rows.py, and their content follows from the events alone.
-- 2. Keys are time-ordered, so inserts stay at the end of each tree; a random key costs five times as much.
-- 3. What core/states.py says about states is said here again, so that no code can store what the law forbids.
--    Chains of OR, not IN: SQLite builds a table for every IN of more than two, once per row written, which
--    doubled the cost of a run.
-- 4. A change is a new file in migrations/ and the same change here; a test compares the two ways to arrive.

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

-- Hashes of perfect subtrees of the Merkle tree over `log`: of 256 leaves (level 1), of 65,536 (level 2), and so on.
CREATE TABLE tiles (
    level INTEGER NOT NULL CHECK (level >= 1),
    number INTEGER NOT NULL CHECK (number >= 0),
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (level, number)
) WITHOUT ROWID, STRICT;

-- Signed statements of the size and the root of that tree; of every 1,024 sizes the newest one stays.
CREATE TABLE checkpoints (
    size INTEGER PRIMARY KEY CHECK (size >= 1),
    note TEXT NOT NULL
) STRICT;

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
    archived_at INTEGER,
    held TEXT NOT NULL DEFAULT '',
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

-- Which run a client's own key stands for, and the SHA-256 of what it asked for: a repeated request is answered
-- with the run that the first one began.
CREATE TABLE keys (
    principal TEXT NOT NULL,
    key TEXT NOT NULL,
    run BLOB NOT NULL CHECK (length(run) = 16),
    body BLOB NOT NULL CHECK (length(body) = 32),
    PRIMARY KEY (principal, key)
) WITHOUT ROWID, STRICT;

-- Which content an ended run was given (`made` 0) or made (1), for the question where a file came from and went.
-- One narrow tree by content: a second one by run would double its bytes, and a run's own rows follow from its events.
CREATE TABLE uses (
    blob BLOB NOT NULL CHECK (length(blob) = 32),
    run BLOB NOT NULL CHECK (length(run) = 16),
    made INTEGER NOT NULL CHECK (made = 0 OR made = 1),
    PRIMARY KEY (blob, run)
) WITHOUT ROWID, STRICT;

-- Small bytes under their own SHA-256; larger ones are files. A table with a rowid on purpose: digests are
-- random, and only the narrow index has to bear that (a third more runs per second than clustering on them).
CREATE TABLE blobs (
    digest BLOB NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    data BLOB NOT NULL
) STRICT;
