-- Makes the first version of the file.
--
-- Inputs: none. Result: every table and index below, empty. Atomic because it runs inside the
-- one immediate transaction that also sets user_version, so of many processes that open a new file
-- at once one makes it and the others find it made.
--
-- Instants are milliseconds. Columns that end in `_ms` are steady store time (see README.md), which
-- never steps while the machine is up; columns that end in `_at` are wall time.

-- One row a namespace: its counters only rise, and the row is never deleted.
CREATE TABLE namespace (
    id       INTEGER PRIMARY KEY,
    name     TEXT    NOT NULL UNIQUE,
    epoch    TEXT    NOT NULL,             -- drawn when the namespace was made
    sequence INTEGER NOT NULL DEFAULT 0,   -- grows with every claim call
    feed     INTEGER NOT NULL DEFAULT 0,   -- grows with every change that the events show
    fence    INTEGER NOT NULL DEFAULT 0,   -- grows with every grant and every claim
    hints    INTEGER NOT NULL DEFAULT 0    -- grows when run listeners should look again
) STRICT;

-- How far the wall clock was from the steady clock when this boot first met the file.
CREATE TABLE boot (
    clock     TEXT    PRIMARY KEY,         -- boot id and time namespace
    offset_ms INTEGER NOT NULL
) WITHOUT ROWID, STRICT;

-- Leases: at most one row a key.
CREATE TABLE lease (
    ns         INTEGER NOT NULL,
    key        BLOB    NOT NULL,
    token      BLOB    NOT NULL,
    holder     BLOB    NOT NULL,
    label      TEXT    NOT NULL,
    host       TEXT    NOT NULL,
    pid        INTEGER NOT NULL,
    fence      INTEGER NOT NULL,
    ttl_ms     INTEGER NOT NULL,
    since_ms   INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    PRIMARY KEY (ns, key)
) WITHOUT ROWID, STRICT;

-- Waiters, in the order of their places.
CREATE TABLE waiter (
    ns       INTEGER NOT NULL,
    key      BLOB    NOT NULL,
    place    INTEGER NOT NULL,
    token    BLOB    NOT NULL,
    holder   BLOB    NOT NULL,
    label    TEXT    NOT NULL,
    host     TEXT    NOT NULL,
    pid      INTEGER NOT NULL,
    ttl_ms   INTEGER NOT NULL,
    since_ms INTEGER NOT NULL,
    until_ms INTEGER NOT NULL,             -- the place lapses then, unless the waiter asks again
    PRIMARY KEY (ns, key, place)
) WITHOUT ROWID, STRICT;
CREATE UNIQUE INDEX waiter_by_token ON waiter (ns, key, token);

-- Nodes that beat lately.
CREATE TABLE node (
    ns             INTEGER NOT NULL,
    holder         BLOB    NOT NULL,
    label          TEXT    NOT NULL,
    host           TEXT    NOT NULL,
    pid            INTEGER NOT NULL,
    joined         INTEGER NOT NULL,       -- from the feed counter: the order of joining
    joined_at      INTEGER NOT NULL,
    seen_at        INTEGER NOT NULL,
    expires_at     INTEGER NOT NULL,       -- for people
    expires_ms     INTEGER NOT NULL,       -- what decides
    clock_ahead_ms INTEGER,
    capacity       INTEGER NOT NULL,
    version        TEXT    NOT NULL,
    ended          INTEGER NOT NULL DEFAULT 0,  -- 1 once somebody saw its end, 2 if it left
    PRIMARY KEY (ns, holder)
) WITHOUT ROWID, STRICT;
CREATE INDEX node_by_end ON node (ns, expires_ms);

-- Every definition of a task, in the order of first registration.
CREATE TABLE definition (
    ns          INTEGER NOT NULL,
    task        TEXT    NOT NULL,
    first       INTEGER NOT NULL,          -- from the feed counter
    generation  TEXT    NOT NULL,
    schedule    TEXT    NOT NULL,
    zone        TEXT    NOT NULL,
    concurrency INTEGER NOT NULL,
    details     TEXT    NOT NULL,
    PRIMARY KEY (ns, task, first)
) WITHOUT ROWID, STRICT;
CREATE UNIQUE INDEX definition_by_generation ON definition (ns, task, generation);

-- When a task was first registered by anybody. Kept for ever: one row a task name.
CREATE TABLE task (
    ns            INTEGER NOT NULL,
    name          TEXT    NOT NULL,
    first_seen_at INTEGER NOT NULL,
    PRIMARY KEY (ns, name)
) WITHOUT ROWID, STRICT;

-- Which node can run which task, in which definition.
CREATE TABLE node_task (
    ns         INTEGER NOT NULL,
    task       TEXT    NOT NULL,
    holder     BLOB    NOT NULL,
    generation TEXT    NOT NULL,
    PRIMARY KEY (ns, task, holder)
) WITHOUT ROWID, STRICT;
CREATE INDEX node_task_by_node ON node_task (ns, holder);

CREATE TABLE pause (
    ns       INTEGER NOT NULL,
    task     TEXT    NOT NULL,
    by       TEXT    NOT NULL,
    why      TEXT    NOT NULL,
    until_at INTEGER,
    PRIMARY KEY (ns, task)
) WITHOUT ROWID, STRICT;

CREATE TABLE backfill (
    ns           INTEGER NOT NULL,
    id           TEXT    NOT NULL,
    made         INTEGER NOT NULL,         -- from the feed counter: the order of creation
    task         TEXT    NOT NULL,
    from_at      INTEGER NOT NULL,
    to_at        INTEGER NOT NULL,
    cursor_at    INTEGER NOT NULL,
    only_missing INTEGER NOT NULL,
    per_minute   INTEGER NOT NULL,
    by           TEXT    NOT NULL,
    why          TEXT    NOT NULL,
    state        TEXT    NOT NULL,
    PRIMARY KEY (ns, id)
) WITHOUT ROWID, STRICT;

-- Runs: one row a run, made once, whoever claims it.
CREATE TABLE run (
    id           INTEGER PRIMARY KEY,
    ns           INTEGER NOT NULL,
    task         TEXT    NOT NULL,
    tick_at      INTEGER NOT NULL,
    idx          INTEGER NOT NULL,
    kind         INTEGER NOT NULL,         -- 0 scheduled, 1 manual, 2 backfill
    request      TEXT    NOT NULL,         -- empty for scheduled runs
    state        TEXT    NOT NULL,
    attempt      INTEGER NOT NULL,
    fence        INTEGER,
    token        BLOB,                     -- of the current attempt; null once it was taken away
    holder       BLOB,
    label        TEXT,
    host         TEXT,
    pid          INTEGER,
    generation   TEXT,
    overlap      INTEGER NOT NULL,         -- 1: runs beside its like
    max_attempts INTEGER,                  -- null: a crash loses the run
    created_at   INTEGER NOT NULL,
    claimed_at   INTEGER,
    started_at   INTEGER,
    ended_at     INTEGER,
    due_at       INTEGER,                  -- of waiting runs only
    keep_until   INTEGER NOT NULL,         -- never deleted before
    blocker      TEXT,                     -- of runs that overlap left out
    reason       TEXT,
    exit_code    INTEGER,
    changed      INTEGER NOT NULL,         -- its place in the events
    changed_at   INTEGER NOT NULL
) STRICT;
-- Identity, the history of one task, and its latest tick.
CREATE UNIQUE INDEX run_by_key ON run (ns, task, tick_at DESC, idx, kind, request);
-- The history of all tasks.
CREATE INDEX run_by_tick ON run (ns, tick_at DESC, task, idx, kind, request);
-- What is not a success, for people who look for trouble.
CREATE INDEX run_notable ON run (ns, tick_at DESC, task, idx, kind, request)
    WHERE state NOT IN ('succeeded', 'skipped');
CREATE INDEX run_in_hand ON run (ns, task, idx) WHERE state IN ('claimed', 'running');
CREATE INDEX run_of_node ON run (ns, holder) WHERE state IN ('claimed', 'running');
CREATE INDEX run_due ON run (ns, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX run_ended ON run (ns, ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX run_changed ON run (ns, changed);

-- What runs printed; apart, because it is large and seldom read.
CREATE TABLE run_output (
    run  INTEGER PRIMARY KEY,
    text TEXT NOT NULL
) STRICT;

-- Attempts that are over, of runs that went on to another.
CREATE TABLE run_attempt (
    run        INTEGER NOT NULL,
    attempt    INTEGER NOT NULL,
    state      TEXT    NOT NULL,
    holder     BLOB,
    label      TEXT,
    host       TEXT,
    pid        INTEGER,
    started_at INTEGER,
    ended_at   INTEGER NOT NULL,
    reason     TEXT,
    PRIMARY KEY (run, attempt)
) WITHOUT ROWID, STRICT;

CREATE TABLE note (
    ns     INTEGER NOT NULL,
    feed   INTEGER NOT NULL,
    at     INTEGER NOT NULL,
    kind   TEXT    NOT NULL,
    task   TEXT,
    node   BLOB,
    text   TEXT    NOT NULL,
    PRIMARY KEY (ns, feed)
) WITHOUT ROWID, STRICT;
