-- Lets runs wait for their like, limits how many of a task are in hand, and keeps requests to stop.
--
-- Inputs: none. Result: what is added below; rows that exist mean what they meant. Atomic because it
-- runs inside the one immediate transaction that also sets user_version.

-- `overlap` says more from now on: 0 skip, 1 beside its like, 2 queue one, 3 cancel other, and from
-- 16 on queue all, with the number that may wait added to 16. `blocker` is the run in the way,
-- `limit N`, `full N`, or `newer` and the run that replaced it.
ALTER TABLE run ADD COLUMN max_runs INTEGER;       -- null: no limit
ALTER TABLE run ADD COLUMN max_indices INTEGER;    -- what the limit counts

-- The line of each task and index.
CREATE INDEX run_queued ON run (ns, task, idx, tick_at)
    WHERE state = 'waiting' AND kind = 0 AND attempt = 0;

-- Requests that a run in hand stop.
CREATE TABLE run_cancel (
    run INTEGER PRIMARY KEY,
    by  TEXT NOT NULL,
    why TEXT NOT NULL
) STRICT;

-- Requests by which a node took runs, so that a late copy takes no others.
CREATE TABLE node_take (
    ns     INTEGER NOT NULL,
    holder BLOB    NOT NULL,
    token  BLOB    NOT NULL,
    at     INTEGER NOT NULL,
    PRIMARY KEY (ns, holder, token)
) WITHOUT ROWID, STRICT;
