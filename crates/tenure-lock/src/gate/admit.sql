-- Inputs: $1 name, $2 fence, $3 owner. One row changed: the write is admitted; none: it is refused.
-- Run it first in the transaction of the write, and roll that back when it is refused. The row stays
-- locked until the transaction ends, so nobody can overtake between the check and the write.
INSERT INTO tenure_gate AS gate (name, fence, owner) VALUES ($1, $2, $3)
ON CONFLICT (name) DO UPDATE SET fence = excluded.fence, owner = excluded.owner
WHERE gate.fence < excluded.fence
   OR (gate.fence = excluded.fence AND gate.owner = excluded.owner)
