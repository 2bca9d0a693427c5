-- Keeps what a node says that it can run, by which others tell whose turn a run is.
--
-- Inputs: a file of version 7. Result: the same with the column below; nodes that are alive say
-- nothing until their next beat. Atomic because it runs inside the one immediate transaction that
-- also sets user_version.

ALTER TABLE node ADD COLUMN abilities BLOB NOT NULL DEFAULT x'';
