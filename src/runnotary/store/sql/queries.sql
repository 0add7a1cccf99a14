-- The statements of the store that every database understands, by name; the others stand in a folder for each.
-- Parameters stand in the order of the columns.

-- name: commit
COMMIT;

-- name: rollback
ROLLBACK;

-- === appending =========================================================================================

-- name: last_pos
SELECT coalesce(max(pos), 0) FROM log;

-- name: thin_checkpoints
DELETE FROM checkpoints WHERE size > ? AND size < ?;

-- === purging: together with the tombstone, in its commit, and nowhere else ==============================

-- name: erase_events
DELETE FROM events WHERE stream = ?;

-- The envelopes stay: that something was recorded, when, and in which order.
-- name: erase_bodies
UPDATE events SET body = NULL WHERE stream = ?;

-- name: erase_run
DELETE FROM runs WHERE id = ?;

-- name: erase_tasks
DELETE FROM tasks WHERE run = ?;

-- name: erase_key
DELETE FROM keys WHERE principal = ? AND key = ?;

-- === reading ===========================================================================================

-- name: run_ids
SELECT id FROM runs;

-- name: count_runs
SELECT count(*) FROM runs;

-- name: tally_runs
SELECT definition, count(*) FROM runs;

-- name: key
SELECT * FROM keys WHERE principal = ? AND key = ?;

-- name: use
SELECT * FROM uses WHERE blob = ? AND run = ?;

-- name: leaves
SELECT stream, seq, head FROM log WHERE pos > ? AND pos <= ? ORDER BY pos;

-- name: tiles
SELECT hash FROM tiles WHERE level = ? AND number >= ? AND number < ? ORDER BY number;

-- name: count_tiles
SELECT count(*) FROM tiles WHERE level = ?;

-- name: tile_numbers
SELECT number FROM tiles WHERE level = ?;

-- name: checkpoint
SELECT note FROM checkpoints WHERE size = ?;

-- name: newest_checkpoint
SELECT size, note FROM checkpoints ORDER BY size DESC LIMIT 1;

-- Of size 0: the newest one.
-- name: checkpoint_of
SELECT note FROM checkpoints WHERE size = ? OR ? = 0 ORDER BY size DESC LIMIT 1;

-- name: tasks
SELECT * FROM tasks WHERE run = ? ORDER BY step, visit;

-- name: waiting
SELECT * FROM tasks WHERE status = 'waiting' AND run IN (:runs) AND (run, key) > (?, ?) ORDER BY run, key LIMIT ?;

-- name: flow
SELECT * FROM flows WHERE namespace = ? AND name = ?;

-- name: flows
SELECT * FROM flows WHERE namespace = ? ORDER BY name;

-- name: blob
SELECT data FROM blobs WHERE digest = ?;

-- name: blob_digests
SELECT digest FROM blobs ORDER BY digest;

-- name: blob_size
SELECT length(data) FROM blobs WHERE digest = ?;

-- === verifying: cursors in the order of the keys, so that they can be walked side by side ================

-- name: all_events
SELECT stream, seq, envelope, body FROM events ORDER BY stream, seq;

-- name: all_tasks
SELECT * FROM tasks ORDER BY run, key;

-- Stands by content; what is walked beside the runs is sorted first.
-- name: all_uses
SELECT run, blob, made FROM uses ORDER BY run, blob;

-- name: all_flows
SELECT * FROM flows ORDER BY namespace, name;

-- name: all_keys
SELECT * FROM keys ORDER BY principal, key;

-- name: all_leaves
SELECT stream, seq, head FROM log ORDER BY pos;

-- name: all_tiles
SELECT level, number, hash FROM tiles;

-- name: all_checkpoints
SELECT size, note FROM checkpoints ORDER BY size;

-- name: first_event
SELECT envelope, body FROM events WHERE stream = ? AND seq = 1;

-- name: all_blobs
SELECT digest, data FROM blobs;

-- name: stream_events
SELECT stream, seq, envelope, body FROM events WHERE stream = ? ORDER BY seq;

-- name: run_tasks
SELECT * FROM tasks WHERE run = ? ORDER BY key;

-- name: pos_of
SELECT pos FROM log WHERE stream = ? AND seq >= ? ORDER BY seq LIMIT 1;
