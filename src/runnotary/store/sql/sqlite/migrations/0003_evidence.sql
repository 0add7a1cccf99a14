-- The tree over `log`, and what was signed of it.

CREATE TABLE tiles (
    level INTEGER NOT NULL CHECK (level >= 1),
    number INTEGER NOT NULL CHECK (number >= 0),
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (level, number)
) WITHOUT ROWID, STRICT;

CREATE TABLE checkpoints (
    size INTEGER PRIMARY KEY CHECK (size >= 1),
    note TEXT NOT NULL
) STRICT;

-- Which ended run took which content in, and which made it. The rows of older runs follow from their events.

CREATE TABLE uses (
    blob BLOB NOT NULL CHECK (length(blob) = 32),
    run BLOB NOT NULL CHECK (length(run) = 16),
    made INTEGER NOT NULL CHECK (made = 0 OR made = 1),
    PRIMARY KEY (blob, run)
) WITHOUT ROWID, STRICT;
