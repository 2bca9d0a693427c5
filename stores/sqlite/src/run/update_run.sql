-- Moves a run on.
-- Inputs: ?1 its row, ?2-?10 state and attempt, ?11-?14 instants, ?15-?16 how it ended,
-- ?17-?18 its new place in the events, ?19 what keeps it back.
-- Result: one row changed. Its identity, when it was made, with what it was asked and how
-- long it is kept never change.
-- Atomic with the reading that decided it: both happen inside one immediate transaction.
UPDATE run SET
    state = ?2, attempt = ?3, fence = ?4, token = ?5, holder = ?6, label = ?7, host = ?8, pid = ?9,
    generation = ?10, claimed_at = ?11, started_at = ?12, ended_at = ?13, due_at = ?14,
    reason = ?15, exit_code = ?16, changed = ?17, changed_at = ?18, blocker = ?19
WHERE id = ?1
