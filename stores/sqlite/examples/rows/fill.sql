-- Fills a file with the records of runs that ended long ago.
--
-- Inputs: ?1 how many, ?2 the instant of the newest, ?3 the namespace's number. Result: one row a
-- second back from ?2, of the tasks t0 to t99 in turn; of a hundred rows two tell of trouble. One
-- statement, so that it is one transaction.
WITH RECURSIVE counted (n) AS (
    SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < ?1
)
INSERT INTO run (
    ns, task, tick_at, idx, kind, request, state, attempt, fence, label, host, pid, generation,
    overlap, created_at, claimed_at, started_at, ended_at, keep_until, changed, changed_at
)
SELECT
    ?3, 't' || (n % 100), at, 1, 0, '', iif(n / 100 % 50 = 0, 'failed', 'succeeded'), 1, n,
    'a node', 'host', 1, 'g', 0, at, at, at, at + 20, at, n, at + 20
FROM (SELECT n, ?2 - (?1 - n) * 1000 AS at FROM counted)
