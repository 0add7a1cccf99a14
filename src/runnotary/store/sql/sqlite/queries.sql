-- The statements of the store that are SQLite's own, by name; see ../queries.sql.

-- name: begin
BEGIN IMMEDIATE;

-- name: begin_read
BEGIN;

-- === appending =========================================================================================

-- name: append_event
INSERT INTO events (stream, seq, envelope, body) VALUES (?, ?, ?, ?);

-- name: append_log
INSERT INTO log (pos, stream, from_seq, seq, head) VALUES (?, ?, ?, ?, ?);

-- name: head
SELECT log.seq, log.head, events.envelope, events.body IS NULL
FROM log JOIN events ON events.stream = log.stream AND events.seq = log.seq
WHERE log.stream = ?
ORDER BY log.seq DESC LIMIT 1;

-- name: append_tile
INSERT INTO tiles (level, number, hash) VALUES (?, ?, ?);

-- name: put_checkpoint
INSERT OR REPLACE INTO checkpoints (size, note) VALUES (?, ?);

-- name: put_blob
INSERT INTO blobs (digest, data) VALUES (?, ?) ON CONFLICT (digest) DO NOTHING;

-- Rows are replaced whole: whatever an update left out could differ from the events unseen.
-- name: put_run
INSERT OR REPLACE INTO runs (
    id, namespace, flow, flow_id, definition, kind, status, reason, trigger, created_by, owner, label, tags,
    labels, monitors, managers, parent, root, created_at, started_at, ended_at, cancel_requested_at, progress,
    error, counts, seq, archived_at, held
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- The same for a row that stands in every index where it stood: of three indexes none is written. It finds no
-- row if one of the columns that an index holds has changed, and then `put_run` is due.
-- name: update_run
UPDATE runs SET
    namespace = ?, flow_id = ?, definition = ?, kind = ?, reason = ?, trigger = ?, created_by = ?, owner = ?,
    label = ?, tags = ?, labels = ?, monitors = ?, managers = ?, parent = ?, root = ?, created_at = ?,
    started_at = ?, cancel_requested_at = ?, progress = ?, error = ?, counts = ?, seq = ?,
    archived_at = ?, held = ?
WHERE id = ? AND flow = ? AND status = ? AND ended_at IS ?;

-- name: put_task
INSERT OR REPLACE INTO tasks (
    run, key, step, visit, status, reason, executor, attempts, exit_code, signal, started_at, ended_at,
    progress, error
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: put_flow
INSERT OR REPLACE INTO flows (namespace, name, id, definition, version, title, description, versions, changed_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?);

-- Never replaced: a key stands for one run until that run is purged.
-- name: put_key
INSERT INTO keys (principal, key, run, body) VALUES (?, ?, ?, ?);

-- A run that ends has its rows written once; a commit that is tried again finds them there.
-- name: put_use
INSERT INTO uses (blob, run, made) VALUES (?, ?, ?) ON CONFLICT (blob, run) DO NOTHING;

-- === purging: together with the tombstone, in its commit, and nowhere else ==============================

-- name: erase_body
UPDATE events SET body = NULL WHERE stream = ? AND seq = ?;

-- name: erase_use
DELETE FROM uses WHERE blob = ? AND run = ?;

-- Only of blobs that nothing in the record names any more.
-- name: drop_blob
DELETE FROM blobs WHERE digest = ?;

-- === reading ===========================================================================================

-- name: read_stream
SELECT seq, envelope, body FROM events WHERE stream = ? AND seq > ? ORDER BY seq LIMIT ?;

-- name: open_runs
SELECT id FROM runs INDEXED BY runs_open WHERE ended_at IS NULL ORDER BY id;

-- name: run
SELECT * FROM runs WHERE id = ?;

-- name: runs
SELECT * FROM runs;

-- The runs that took a content in, or made it, newest or oldest first: conditions and order follow.
-- name: runs_with
SELECT runs.* FROM uses CROSS JOIN runs ON runs.id = uses.run;

-- One step of the index for each: a ledger may be long.
-- name: ledgers
WITH RECURSIVE each_one (stream) AS (
    SELECT min(stream) FROM log WHERE stream >= x'03' AND stream < x'04'
    UNION ALL
    SELECT (SELECT min(stream) FROM log WHERE stream > each_one.stream AND stream < x'04')
    FROM each_one WHERE stream IS NOT NULL
)
SELECT stream FROM each_one WHERE stream IS NOT NULL;

-- Tombstones in a ledger: events of the type 37.
-- name: tombstones
SELECT seq, envelope, body FROM events
WHERE stream = ? AND seq > ? AND substr(envelope, 25, 2) = x'0025' ORDER BY seq;

-- name: feed
SELECT pos, stream, from_seq, seq FROM log WHERE pos > ? ORDER BY pos LIMIT ?;

-- name: walk_forwards
SELECT pos, stream, from_seq, seq FROM log WHERE pos >= ? ORDER BY pos LIMIT ?;

-- name: walk_backwards
SELECT pos, stream, from_seq, seq FROM log WHERE pos <= ? ORDER BY pos DESC LIMIT ?;

-- name: walk_stream_forwards
SELECT pos, stream, from_seq, seq FROM log WHERE stream = ? AND pos >= ? ORDER BY seq LIMIT ?;

-- name: walk_stream_backwards
SELECT pos, stream, from_seq, seq FROM log WHERE stream = ? AND pos <= ? ORDER BY seq DESC LIMIT ?;

-- What a home says about itself and its keys: events of the types 38 and 39.
-- name: noted
SELECT seq, envelope, body FROM events
WHERE stream = ? AND (substr(envelope, 25, 2) = x'0026' OR substr(envelope, 25, 2) = x'0027') ORDER BY seq;

-- name: head_at
SELECT head FROM log WHERE stream = ? AND seq = ?;

-- name: events_after
SELECT stream, seq, envelope, body FROM events WHERE (stream, seq) > (?, ?) ORDER BY stream, seq LIMIT ?;

-- === verifying: cursors in the order of the keys, so that they can be walked side by side ================

-- name: all_log
SELECT stream, from_seq, seq, head, pos FROM log ORDER BY stream, seq;

-- name: all_runs
SELECT * FROM runs ORDER BY id;

-- name: first_of_runs
SELECT e.stream, e.seq, e.envelope, e.body FROM log l JOIN events e ON e.stream = l.stream AND e.seq = 1
WHERE l.from_seq = 1 AND l.stream >= x'01' AND l.stream < x'02' ORDER BY l.pos;

-- name: log_end
SELECT seq, head, pos FROM log WHERE stream = ? ORDER BY seq DESC LIMIT 1;

-- name: ledger_events
SELECT stream, seq, envelope, body FROM events WHERE stream >= x'03' AND stream < x'04' ORDER BY stream, seq;

-- name: stream_log
SELECT stream, from_seq, seq, head, pos FROM log WHERE stream = ? ORDER BY seq;

-- name: positions
SELECT count(*), coalesce(min(pos), 1), coalesce(max(pos), 0) FROM log NOT INDEXED;

-- name: schema
SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY type, name;
