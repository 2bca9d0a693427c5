-- Makes the record of a run.
-- Inputs: ?1 namespace, ?2-?6 identity, ?7-?17 state and attempt, ?18-?23 instants, ?24-?25 why,
-- ?26-?27 its place in the events, ?28-?29 its task's limit, ?30 what it was asked with.
-- Result: one row; a second record of one identity is refused by run_by_key, inside the same
-- transaction that looked for the first, so a claim is decided once.
INSERT INTO run (
    ns, task, tick_at, idx, kind, request,
    state, attempt, fence, token, holder, label, host, pid, generation, overlap, max_attempts,
    created_at, claimed_at, started_at, ended_at, due_at, keep_until,
    blocker, reason, changed, changed_at, max_runs, max_indices, asked
) VALUES (
    ?1, ?2, ?3, ?4, ?5, ?6,
    ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17,
    ?18, ?19, ?20, ?21, ?22, ?23,
    ?24, ?25, ?26, ?27, ?28, ?29, ?30
)
