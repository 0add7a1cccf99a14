-- The statements of the store that are PostgreSQL's own, by name; see ../queries.sql. What is written for many rows
-- takes a column each as an array.
--
-- An entry that has no position yet (`pending`) stands behind all that have one: at 2^62 and its number.

-- name: begin
BEGIN;

-- name: begin_read
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;

-- === appending =========================================================================================

-- name: append_event
INSERT INTO events (
    stream, seq, envelope, body
) SELECT * FROM unnest(
    ?::bytea[], ?::bigint[], ?::bytea[], ?::bytea[]
);

-- name: append_log
INSERT INTO log (
    pos, stream, from_seq, seq, head
) SELECT * FROM unnest(
    ?::bigint[], ?::bytea[], ?::bigint[], ?::bigint[], ?::bytea[]
);

-- name: head
WITH wanted AS (SELECT ?::bytea AS stream)
SELECT entry.seq, entry.head, events.envelope, events.body IS NULL, entry.waits
FROM wanted CROSS JOIN LATERAL (
    (SELECT stream, seq, head, false AS waits FROM log WHERE stream = wanted.stream ORDER BY seq DESC LIMIT 1)
    UNION ALL SELECT stream, seq, head, true FROM pending WHERE stream = wanted.stream
) AS entry JOIN events ON events.stream = entry.stream AND events.seq = entry.seq
ORDER BY entry.seq DESC LIMIT 1;

-- name: append_tile
INSERT INTO tiles (
    level, number, hash
) SELECT * FROM unnest(
    ?::bigint[], ?::bigint[], ?::bytea[]
);

-- name: put_checkpoint
INSERT INTO checkpoints (size, note) VALUES (?, ?) ON CONFLICT (size) DO UPDATE SET note = excluded.note;

-- name: put_blob
INSERT INTO blobs (
    digest, data
) SELECT * FROM unnest(
    ?::bytea[], ?::bytea[]
)
ON CONFLICT (digest) DO NOTHING;

-- name: put_run
INSERT INTO runs (
    id, namespace, flow, flow_id, definition, kind, status, reason, trigger, created_by, owner, label, tags,
    labels, monitors, managers, parent, root, created_at, started_at, ended_at, cancel_requested_at,
    progress, error, counts, seq, archived_at, held
) SELECT * FROM unnest(
    ?::bytea[], ?::text[], ?::text[], ?::text[], ?::text[], ?::text[], ?::text[], ?::text[], ?::text[],
    ?::text[], ?::text[], ?::text[], ?::text[], ?::text[], ?::text[], ?::text[], ?::bytea[], ?::bytea[],
    ?::bigint[], ?::bigint[], ?::bigint[], ?::bigint[], ?::text[], ?::text[], ?::text[], ?::bigint[],
    ?::bigint[], ?::text[]
)
ON CONFLICT (id) DO UPDATE SET
    namespace = excluded.namespace, flow = excluded.flow, flow_id = excluded.flow_id,
    definition = excluded.definition, kind = excluded.kind, status = excluded.status,
    reason = excluded.reason, trigger = excluded.trigger, created_by = excluded.created_by,
    owner = excluded.owner, label = excluded.label, tags = excluded.tags, labels = excluded.labels,
    monitors = excluded.monitors, managers = excluded.managers, parent = excluded.parent,
    root = excluded.root, created_at = excluded.created_at, started_at = excluded.started_at,
    ended_at = excluded.ended_at, cancel_requested_at = excluded.cancel_requested_at,
    progress = excluded.progress, error = excluded.error, counts = excluded.counts, seq = excluded.seq,
    archived_at = excluded.archived_at, held = excluded.held;

-- name: put_task
INSERT INTO tasks (
    run, key, step, visit, status, reason, executor, attempts, exit_code, signal, started_at, ended_at,
    progress, error
) SELECT * FROM unnest(
    ?::bytea[], ?::text[], ?::text[], ?::bigint[], ?::text[], ?::text[], ?::text[], ?::bigint[], ?::bigint[],
    ?::bigint[], ?::bigint[], ?::bigint[], ?::bigint[], ?::text[]
)
ON CONFLICT (run, key) DO UPDATE SET
    step = excluded.step, visit = excluded.visit, status = excluded.status, reason = excluded.reason,
    executor = excluded.executor, attempts = excluded.attempts, exit_code = excluded.exit_code,
    signal = excluded.signal, started_at = excluded.started_at, ended_at = excluded.ended_at,
    progress = excluded.progress, error = excluded.error;

-- name: put_flow
INSERT INTO flows (
    namespace, name, id, definition, version, title, description, versions, changed_at
) SELECT * FROM unnest(
    ?::text[], ?::text[], ?::text[], ?::text[], ?::text[], ?::text[], ?::text[], ?::bigint[], ?::bigint[]
)
ON CONFLICT (namespace, name) DO UPDATE SET
    id = excluded.id, definition = excluded.definition, version = excluded.version, title = excluded.title,
    description = excluded.description, versions = excluded.versions, changed_at = excluded.changed_at;

-- name: put_key
INSERT INTO keys (
    principal, key, run, body
) SELECT * FROM unnest(
    ?::text[], ?::text[], ?::bytea[], ?::bytea[]
);

-- name: put_use
INSERT INTO uses (
    blob, run, made
) SELECT * FROM unnest(
    ?::bytea[], ?::bytea[], ?::bigint[]
)
ON CONFLICT (blob, run) DO NOTHING;

-- === purging: together with the tombstone, in its commit, and nowhere else ==============================

-- name: erase_body
UPDATE events SET body = NULL FROM unnest(?::bytea[], ?::bigint[]) AS gone (stream, seq)
WHERE events.stream = gone.stream AND events.seq = gone.seq;

-- name: erase_use
DELETE FROM uses USING unnest(?::bytea[], ?::bytea[]) AS gone (blob, run)
WHERE uses.blob = gone.blob AND uses.run = gone.run;

-- name: drop_blob
DELETE FROM blobs USING unnest(?::bytea[]) AS gone (digest) WHERE blobs.digest = gone.digest;

-- === reading ===========================================================================================

-- name: read_stream
SELECT seq, envelope, body FROM events WHERE stream = ? AND seq > ? ORDER BY seq LIMIT nullif(?::bigint, -1);

-- name: open_runs
SELECT id FROM runs WHERE ended_at IS NULL ORDER BY id;

-- name: run
SELECT
    id, namespace, flow, flow_id, definition, kind, status, reason, trigger, created_by, owner, label, tags,
    labels, monitors, managers, parent, root, created_at, started_at, ended_at, cancel_requested_at,
    progress, error, counts, seq, archived_at, held
FROM runs WHERE id = ?;

-- name: runs
SELECT
    id, namespace, flow, flow_id, definition, kind, status, reason, trigger, created_by, owner, label, tags,
    labels, monitors, managers, parent, root, created_at, started_at, ended_at, cancel_requested_at,
    progress, error, counts, seq, archived_at, held
FROM runs;

-- name: runs_with
SELECT
    runs.id, runs.namespace, runs.flow, runs.flow_id, runs.definition, runs.kind, runs.status, runs.reason,
    runs.trigger, runs.created_by, runs.owner, runs.label, runs.tags, runs.labels, runs.monitors,
    runs.managers, runs.parent, runs.root, runs.created_at, runs.started_at, runs.ended_at,
    runs.cancel_requested_at, runs.progress, runs.error, runs.counts, runs.seq, runs.archived_at, runs.held
FROM uses JOIN runs ON runs.id = uses.run;

-- name: ledgers
WITH RECURSIVE each_one (stream) AS (
    (SELECT stream FROM events WHERE stream >= '\x03' AND stream < '\x04' ORDER BY stream LIMIT 1)
    UNION ALL
    SELECT (
        SELECT events.stream FROM events WHERE events.stream > each_one.stream AND events.stream < '\x04'
        ORDER BY events.stream LIMIT 1
    ) FROM each_one WHERE each_one.stream IS NOT NULL
)
SELECT stream FROM each_one WHERE stream IS NOT NULL;

-- name: tombstones
SELECT seq, envelope, body FROM events
WHERE stream = ? AND seq > ? AND substr(envelope, 25, 2) = '\x0025' ORDER BY seq;

-- name: feed
SELECT pos, stream, from_seq, seq FROM log WHERE pos > ? ORDER BY pos LIMIT nullif(?::bigint, -1);

-- name: walk_forwards
SELECT pos, stream, from_seq, seq FROM log WHERE pos >= ? ORDER BY pos LIMIT nullif(?::bigint, -1);

-- name: walk_backwards
SELECT pos, stream, from_seq, seq FROM log WHERE pos <= ? ORDER BY pos DESC LIMIT nullif(?::bigint, -1);

-- name: walk_stream_forwards
SELECT pos, stream, from_seq, seq FROM log WHERE stream = ? AND pos >= ? ORDER BY seq LIMIT nullif(?::bigint, -1);

-- name: walk_stream_backwards
SELECT pos, stream, from_seq, seq FROM log WHERE stream = ? AND pos <= ? ORDER BY seq DESC LIMIT nullif(?::bigint, -1);

-- name: noted
SELECT seq, envelope, body FROM events
WHERE stream = ? AND (substr(envelope, 25, 2) = '\x0026' OR substr(envelope, 25, 2) = '\x0027') ORDER BY seq;

-- name: head_at
SELECT head FROM (
    SELECT stream, seq, head FROM log UNION ALL SELECT stream, seq, head FROM pending
) AS entry WHERE stream = ? AND seq = ?;

-- name: events_after
SELECT stream, seq, envelope, body FROM events WHERE (stream, seq) > (?, ?) ORDER BY stream, seq LIMIT nullif(?::bigint, -1);

-- === verifying: cursors in the order of the keys, so that they can be walked side by side ================

-- name: all_log
SELECT stream, from_seq, seq, head, pos FROM log
UNION ALL SELECT stream, from_seq, seq, head, 4611686018427387904 + id FROM pending ORDER BY stream, seq;

-- name: all_runs
SELECT
    id, namespace, flow, flow_id, definition, kind, status, reason, trigger, created_by, owner, label, tags,
    labels, monitors, managers, parent, root, created_at, started_at, ended_at, cancel_requested_at,
    progress, error, counts, seq, archived_at, held
FROM runs ORDER BY id;

-- name: first_of_runs
SELECT e.stream, e.seq, e.envelope, e.body FROM log l JOIN events e ON e.stream = l.stream AND e.seq = 1
WHERE l.from_seq = 1 AND l.stream >= '\x01' AND l.stream < '\x02' ORDER BY l.pos;

-- name: log_end
SELECT seq, head, pos FROM (
    SELECT stream, seq, head, pos FROM log
    UNION ALL SELECT stream, seq, head, 4611686018427387904 + id FROM pending
) AS entry WHERE stream = ? ORDER BY seq DESC LIMIT 1;

-- name: ledger_events
SELECT stream, seq, envelope, body FROM events WHERE stream >= '\x03' AND stream < '\x04' ORDER BY stream, seq;

-- name: stream_log
SELECT stream, from_seq, seq, head, pos FROM (
    SELECT stream, from_seq, seq, head, pos FROM log
    UNION ALL SELECT stream, from_seq, seq, head, 4611686018427387904 + id FROM pending
) AS entry WHERE stream = ? ORDER BY seq;

-- name: positions
SELECT count(*), coalesce(min(pos), 1), coalesce(max(pos), 0) FROM log;

-- name: schema
SELECT 'table', table_name, table_name, '' FROM information_schema.tables
WHERE table_schema = current_schema() ORDER BY 2;

-- === several servers ===================================================================================

-- name: append_pending
INSERT INTO pending (stream, from_seq, seq, head)
SELECT * FROM unnest(?::bytea[], ?::bigint[], ?::bigint[], ?::bytea[]);

-- Whatever is visible, in the order in which numbers were drawn: so entries of one stream stay in theirs. They
-- stay here until the commit that gives them positions is whole: they say where their streams end.
-- name: waiting_entries
SELECT id, stream, from_seq, seq, head FROM pending ORDER BY id LIMIT ?;

-- name: drop_pending
DELETE FROM pending WHERE id = ANY(?::bigint[]);

-- name: take_pending
WITH taken AS (
    DELETE FROM pending WHERE id IN (SELECT id FROM pending ORDER BY id LIMIT 4096) RETURNING *
)
SELECT stream, from_seq, seq, head FROM taken ORDER BY id;

-- Wait until a commit is over that began on a connection which was cut since.
-- name: outlast
SELECT number FROM servers WHERE number = ? FOR UPDATE;

-- Tell whether a commit took place whose answer got lost: with positions, or without.
-- name: placed
SELECT EXISTS (SELECT 1 FROM log WHERE pos = ? AND stream = ? AND seq = ? AND head = ?);

-- name: entered
SELECT EXISTS (
    SELECT 1 FROM (SELECT stream, seq, head FROM log UNION ALL SELECT stream, seq, head FROM pending) AS entry
    WHERE stream = ? AND seq = ? AND head = ?
);

-- name: be_held
SELECT be_held(?);

-- name: be_there
SELECT be_there(?, ?);

-- name: be_last
SELECT be_last(?, ?);

-- name: be_alone
SELECT be_alone(?);

-- name: be_integrator
SELECT be_integrator(?);

-- name: tell
SELECT pg_notify(?, ?);

-- name: register
INSERT INTO servers (name, host, until)
VALUES (?, ?, clock_timestamp() + ?::double precision * interval '1 second') RETURNING number;

-- name: work_as
SELECT set_config('runnotary.server', ?, false);

-- name: renew
UPDATE servers SET until = clock_timestamp() + ?::double precision * interval '1 second' WHERE number = ?;

-- name: leave
DELETE FROM servers WHERE number = ?;

-- name: servers
SELECT number, name, host, until < clock_timestamp() FROM servers ORDER BY number;

-- Not those that had no chance to say that they live: the database was away itself.
-- name: expired
SELECT number, name, host FROM servers
WHERE until < clock_timestamp()
    AND pg_postmaster_start_time() + ?::double precision * interval '1 second' < clock_timestamp()
ORDER BY number;

-- name: give_up
DELETE FROM servers WHERE number = ? AND until < clock_timestamp() RETURNING name, host;

-- Its process is known to be dead.
-- name: bury
DELETE FROM servers WHERE number = ? RETURNING name, host;

-- Open runs on which no server works.
-- name: left_runs
SELECT id FROM runs
WHERE ended_at IS NULL AND (server IS NULL OR NOT EXISTS (SELECT 1 FROM servers WHERE number = runs.server))
ORDER BY id LIMIT nullif(?::bigint, -1);

-- Also one that is the taker's already: the answer to the first time may have got lost.
-- name: take_run
UPDATE runs SET server = ?
WHERE id = ? AND ended_at IS NULL
    AND (server IS NULL OR server = ? OR NOT EXISTS (SELECT 1 FROM servers WHERE number = runs.server));

-- Only to a server that lives: nobody else would ever look at the run again.
-- name: hand_over
UPDATE runs SET server = servers.number FROM servers
WHERE servers.name = ? AND servers.until >= clock_timestamp()
    AND runs.id = ? AND runs.ended_at IS NULL AND runs.server = ?;

-- name: own_runs
SELECT id FROM runs WHERE ended_at IS NULL AND server = ? ORDER BY id;

-- name: is_ours
SELECT 1 FROM runs WHERE id = ? AND server = ?;

-- name: integrator
SELECT integrator.server, servers.until >= clock_timestamp()
FROM integrator LEFT JOIN servers ON servers.number = integrator.server;

-- Only if nobody is, or nobody any more, or if it is the one that asks.
-- name: integrate
UPDATE integrator SET server = ?
WHERE server IS NULL OR server = ? OR NOT EXISTS (
    SELECT 1 FROM servers WHERE number = integrator.server AND until >= clock_timestamp()
);

-- name: size
SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class
WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r';

-- name: integrate_now
UPDATE integrator SET server = ?;

-- === the schema ========================================================================================

-- Several servers may begin at once: one makes the schema.
-- name: begin_schema
SELECT pg_advisory_xact_lock(hashtext('runnotary'), hashtext(current_schema()));

-- name: release
SELECT version FROM release;

-- name: set_release
INSERT INTO release (version) VALUES (?);

-- name: structure
SELECT 'column', table_name || '.' || column_name,
    concat_ws(' ', data_type, is_nullable, collation_name, column_default)
FROM information_schema.columns WHERE table_schema = current_schema()
UNION ALL
SELECT 'constraint', concat_ws(' ', conrelid::regclass, contype), pg_get_constraintdef(pg_constraint.oid)
FROM pg_constraint WHERE connamespace = current_schema()::regnamespace
UNION ALL
SELECT 'index', indexname, regexp_replace(indexdef, ' ON [^ ]+\.', ' ON ')
FROM pg_indexes WHERE schemaname = current_schema()
UNION ALL
SELECT 'function', proname, prosrc FROM pg_proc WHERE pronamespace = current_schema()::regnamespace
UNION ALL
SELECT 'trigger', tgname, pg_get_triggerdef(pg_trigger.oid)
FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid
WHERE relnamespace = current_schema()::regnamespace AND NOT tgisinternal
UNION ALL
SELECT 'rule', tablename || '.' || rulename, definition FROM pg_rules WHERE schemaname = current_schema();
