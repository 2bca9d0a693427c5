-- Lets definitions say which of them is newer, which names their task had before, and that there is
-- no such task any more; and remembers when the last node stopped listing a task.
--
-- Inputs: a file of version 4. Result: the same with the columns below; definitions that exist mean
-- what they meant. Atomic because it runs inside the one immediate transaction that also sets
-- user_version.

-- Of two definitions the one with the higher number is newer; of equal ones the one with the higher
-- `first`.
ALTER TABLE definition ADD COLUMN number INTEGER NOT NULL DEFAULT 0;
CREATE INDEX definition_by_number ON definition (ns, task, number, first);
-- What else it says, as JSON: on_change, aliases, ended. Null: nothing.
ALTER TABLE definition ADD COLUMN more TEXT;
-- When a node that listed the task last stopped to. Null: none did.
ALTER TABLE task ADD COLUMN listed_until INTEGER;
