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
