-- Lets nodes notice that the file was replaced by an older copy.
--
-- Inputs: a file of version 1. Result: the same with the columns below. Atomic because it runs
-- inside the one immediate transaction that also sets user_version.

-- How often nodes said that the file had forgotten something, and who said so last.
ALTER TABLE namespace ADD COLUMN losses INTEGER NOT NULL DEFAULT 0;
ALTER TABLE namespace ADD COLUMN loss_told_by BLOB;
-- The sequence of the node's last beat, claim or registration.
ALTER TABLE node ADD COLUMN own INTEGER NOT NULL DEFAULT 0;
