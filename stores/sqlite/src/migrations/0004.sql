-- Lets a backfill say how many of its runs may be in hand at a time.
--
-- Inputs: a file of version 3. Result: the same with the column below; backfills that exist run one
-- at a time. Atomic because it runs inside the one immediate transaction that also sets user_version.

ALTER TABLE backfill ADD COLUMN parallel INTEGER NOT NULL DEFAULT 1;
