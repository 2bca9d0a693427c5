-- Every task that was ever registered, by name.
-- Inputs: ?1 namespace, ?2 steady store time.
-- Result: its definition (the current one; if no live node lists any, the newest), when it was first
-- seen, how many live nodes can run it, when one last stopped to, its latest scheduled tick, and its
-- pause.
-- Atomic because it is one statement: it reads one snapshot of the file.
SELECT
    t.name, d.generation, d.schedule, d.zone, d.concurrency, d.details,
    d.number, d.more, t.first_seen_at,
    (SELECT count(*) FROM node_task AS l
        JOIN node AS n ON n.ns = l.ns AND n.holder = l.holder
        WHERE l.ns = ?1 AND l.task = t.name AND n.expires_ms > ?2),
    nullif(max(coalesce(t.listed_until, 0), coalesce((
        SELECT max(n.expires_at) FROM node_task AS l
        JOIN node AS n ON n.ns = l.ns AND n.holder = l.holder
        WHERE l.ns = ?1 AND l.task = t.name), 0)), 0),
    (SELECT r.tick_at FROM run AS r
        WHERE r.ns = ?1 AND r.task = t.name AND r.kind = 0 ORDER BY r.tick_at DESC LIMIT 1),
    p.by, p.why, p.until_at
FROM task AS t
JOIN definition AS d ON d.ns = ?1 AND d.task = t.name AND d.first = coalesce(
    (SELECT e.first FROM definition AS e
        WHERE e.ns = ?1 AND e.task = t.name AND EXISTS (
            SELECT 1 FROM node_task AS l
            JOIN node AS n ON n.ns = l.ns AND n.holder = l.holder
            WHERE l.ns = ?1 AND l.task = t.name AND l.generation = e.generation
              AND n.expires_ms > ?2)
        ORDER BY e.number DESC, e.first DESC LIMIT 1),
    (SELECT e.first FROM definition AS e WHERE e.ns = ?1 AND e.task = t.name
        ORDER BY e.number DESC, e.first DESC LIMIT 1))
LEFT JOIN pause AS p ON p.ns = ?1 AND p.task = t.name
WHERE t.ns = ?1
ORDER BY t.name
