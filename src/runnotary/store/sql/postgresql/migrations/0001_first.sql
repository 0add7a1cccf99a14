-- The first schema.

CREATE TABLE release (
    version bigint NOT NULL
);

CREATE TABLE events (
    stream bytea NOT NULL CHECK (length(stream) BETWEEN 2 AND 65),
    seq bigint NOT NULL CHECK (seq >= 1),
    envelope bytea NOT NULL CHECK (length(envelope) = 60),
    body bytea CHECK (length(body) BETWEEN 18 AND 65552),
    PRIMARY KEY (stream, seq)
);

-- One row per commit and stream: the Merkle leaves, in order. The leaf index is pos - 1.
CREATE TABLE log (
    pos bigint NOT NULL PRIMARY KEY CHECK (pos >= 1),
    stream bytea NOT NULL,
    from_seq bigint NOT NULL CHECK (from_seq >= 1),
    seq bigint NOT NULL CHECK (seq >= from_seq),
    head bytea NOT NULL CHECK (length(head) = 32)
);

CREATE UNIQUE INDEX log_stream ON log (stream, seq);

-- Entries of the log that have no position yet: servers commit at the same time, and the order in which numbers are
-- drawn is not that in which commits become visible. The integrator moves them into `log`.
CREATE TABLE pending (
    id bigint NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream bytea NOT NULL,
    from_seq bigint NOT NULL CHECK (from_seq >= 1),
    seq bigint NOT NULL CHECK (seq >= from_seq),
    head bytea NOT NULL CHECK (length(head) = 32)
);

CREATE TABLE tiles (
    level bigint NOT NULL CHECK (level >= 1),
    number bigint NOT NULL CHECK (number >= 0),
    hash bytea NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (level, number)
);

CREATE TABLE checkpoints (
    size bigint NOT NULL PRIMARY KEY CHECK (size >= 1),
    note text COLLATE "C" NOT NULL
);

-- A server from its registration until it leaves or is given up. The number is its fencing token: never used again,
-- and a commit of a server whose row is gone is refused.
CREATE TABLE servers (
    number bigint NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE "C" NOT NULL,
    host text COLLATE "C" NOT NULL,
    until timestamptz NOT NULL
);

-- Which server gives positions: one row.
CREATE TABLE integrator (
    one boolean NOT NULL DEFAULT true PRIMARY KEY CHECK (one),
    server bigint
);
INSERT INTO integrator (server) VALUES (NULL);

CREATE TABLE runs (
    id bytea NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    namespace text COLLATE "C" NOT NULL,
    flow text COLLATE "C" NOT NULL,
    flow_id text COLLATE "C" NOT NULL,
    definition text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    status text COLLATE "C" NOT NULL,
    reason text COLLATE "C" NOT NULL,
    trigger text COLLATE "C" NOT NULL,
    created_by text COLLATE "C" NOT NULL,
    owner text COLLATE "C" NOT NULL,
    label text COLLATE "C" NOT NULL,
    tags text COLLATE "C" NOT NULL,
    labels text COLLATE "C" NOT NULL,
    monitors text COLLATE "C" NOT NULL,
    managers text COLLATE "C" NOT NULL,
    parent bytea CHECK (length(parent) = 16),
    root bytea NOT NULL CHECK (length(root) = 16),
    created_at bigint NOT NULL,
    started_at bigint,
    ended_at bigint,
    cancel_requested_at bigint,
    progress text COLLATE "C" NOT NULL,
    error text COLLATE "C" NOT NULL,
    counts text COLLATE "C" NOT NULL,
    seq bigint NOT NULL CHECK (seq >= 1),
    archived_at bigint,
    held text COLLATE "C" NOT NULL DEFAULT '',
    -- The server that works on the run; whichever wrote the row first, until somebody takes it over.
    server bigint DEFAULT nullif(current_setting('runnotary.server', true), '')::bigint,
    CHECK (CASE WHEN ended_at IS NULL
        THEN status IN ('pending', 'running', 'waiting')
        ELSE status IN ('success', 'failed', 'cancelled', 'skipped') END)
);

CREATE INDEX runs_status ON runs (status, id);
CREATE INDEX runs_flow ON runs (flow, id);
CREATE INDEX runs_open ON runs (id) WHERE ended_at IS NULL;

CREATE TABLE tasks (
    run bytea NOT NULL CHECK (length(run) = 16),
    key text COLLATE "C" NOT NULL,
    step text COLLATE "C" NOT NULL,
    visit bigint CHECK (visit >= 0),
    status text COLLATE "C" NOT NULL,
    reason text COLLATE "C" NOT NULL,
    executor text COLLATE "C" NOT NULL,
    attempts bigint NOT NULL CHECK (attempts >= 0),
    exit_code bigint,
    signal bigint,
    started_at bigint,
    ended_at bigint,
    progress bigint,
    error text COLLATE "C" NOT NULL,
    PRIMARY KEY (run, key),
    CHECK (CASE WHEN ended_at IS NULL
        THEN status IN ('pending', 'running', 'waiting')
        ELSE status IN ('success', 'failed', 'cancelled', 'skipped') END)
);

CREATE TABLE flows (
    namespace text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    definition text COLLATE "C" NOT NULL,
    version text COLLATE "C" NOT NULL,
    title text COLLATE "C" NOT NULL,
    description text COLLATE "C" NOT NULL,
    versions bigint NOT NULL CHECK (versions >= 1),
    changed_at bigint NOT NULL,
    PRIMARY KEY (namespace, name)
);

CREATE TABLE keys (
    principal text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    run bytea NOT NULL CHECK (length(run) = 16),
    body bytea NOT NULL CHECK (length(body) = 32),
    PRIMARY KEY (principal, key)
);

CREATE TABLE uses (
    blob bytea NOT NULL CHECK (length(blob) = 32),
    run bytea NOT NULL CHECK (length(run) = 16),
    made bigint NOT NULL CHECK (made = 0 OR made = 1),
    PRIMARY KEY (blob, run)
);

CREATE TABLE blobs (
    digest bytea NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    data bytea NOT NULL
);
-- Hashes and digests do not compress, and small evidence hardly: the attempt costs more than it saves.
ALTER TABLE blobs ALTER COLUMN data SET STORAGE EXTERNAL;
ALTER TABLE events ALTER COLUMN body SET STORAGE EXTERNAL;

-- What the filters on texts ask; see `sqlite.py` for what they mean.
CREATE FUNCTION folded(said text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$ SELECT replace(lower(upper(said COLLATE "und-x-icu") COLLATE "und-x-icu"), 'ς', 'σ') $$;

CREATE FUNCTION says(wanted text, said text) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$ SELECT strpos(folded(said), folded(wanted)) > 0 $$;

CREATE FUNCTION message_of(error text) RETURNS text LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS
$$ BEGIN
    RETURN error::json ->> 'message';
EXCEPTION WHEN OTHERS THEN  -- a text that PostgreSQL cannot hold, such as one with a zero byte
    RETURN error;
END $$;

CREATE FUNCTION tells(wanted text, label text, flow text, tags text, error text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$ SELECT says(wanted, label) OR says(wanted, flow)
    OR EXISTS (SELECT 1 FROM json_array_elements_text(tags::json) AS tag WHERE says(wanted, tag))
    OR (error <> '' AND says(wanted, message_of(error))) $$;

-- Stop a commit of a server that was given up while it was away; the lock keeps it from being given up meanwhile.
CREATE FUNCTION be_held(held bigint) RETURNS void LANGUAGE plpgsql AS
$$ BEGIN
    PERFORM 1 FROM servers WHERE number = held FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'server % was given up', held USING ERRCODE = 'RN001';
    END IF;
END $$;

-- Stop a commit that would give positions though another server does now.
CREATE FUNCTION be_integrator(held bigint) RETURNS void LANGUAGE plpgsql AS
$$ BEGIN
    PERFORM 1 FROM integrator WHERE server = held FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'server % is not the integrator any more', held USING ERRCODE = 'RN002';
    END IF;
END $$;

-- Stop a commit that would follow an event which another server takes away meanwhile; the lock makes that one wait.
CREATE FUNCTION be_there(followed bytea, at bigint) RETURNS void LANGUAGE plpgsql AS
$$ BEGIN
    PERFORM 1 FROM events WHERE stream = followed AND seq = at AND body IS NOT NULL FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the run was purged or erased' USING ERRCODE = 'RN003';
    END IF;
END $$;

-- Stop a purge or an erasure of a stream to which another server added something meanwhile; whoever is about to add
-- something waits for it.
CREATE FUNCTION be_last(ended bytea, at bigint) RETURNS void LANGUAGE plpgsql AS
$$ BEGIN
    PERFORM 1 FROM events WHERE stream = ended AND seq = at FOR UPDATE;
    IF NOT FOUND OR EXISTS (SELECT 1 FROM events WHERE stream = ended AND seq > at) THEN
        RAISE EXCEPTION 'the run has grown' USING ERRCODE = 'RN003';
    END IF;
END $$;

-- Stop a commit that takes blobs away while other servers may be about to name them.
CREATE FUNCTION be_alone(held bigint) RETURNS void LANGUAGE plpgsql AS
$$ BEGIN
    PERFORM 1 FROM servers WHERE number <> held;
    IF FOUND THEN
        RAISE EXCEPTION 'other servers are at work' USING ERRCODE = 'RN004';
    END IF;
END $$;
