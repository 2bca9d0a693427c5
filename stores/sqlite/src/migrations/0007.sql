-- Keeps what a run was asked with in a column of its own, which its end leaves alone.
--
-- Inputs: a file of version 6. Result: the same with the column below. Runs whose reason still is
-- who asked for them have it there; of others the end has taken its place. Atomic because it runs
-- inside the one immediate transaction that also sets user_version.

ALTER TABLE run ADD COLUMN asked TEXT;
UPDATE run SET asked = reason, reason = NULL
    WHERE kind <> 0 AND (reason LIKE 'asked for by %' OR reason LIKE 'backfill % by %'
        OR reason LIKE 'due at once: %' OR reason LIKE 'due % after the end of %');
