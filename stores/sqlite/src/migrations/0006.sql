-- Lets several hold a key at once: readers, and holders of permits.
--
-- Inputs: a file of version 5. Result: the same with the columns below; leases and waiters that exist
-- are exclusive. Atomic because it runs inside the one immediate transaction that also sets
-- user_version.
--
-- `sharing` is -1 for an exclusive lease, 0 for a reader's, and the number of permits for a permit. All
-- leases of one key say the same, and permits the number that is in force.

-- Leases: one row a holder. A key has one, unless they are shared.
CREATE TABLE lease_of_holder (
    ns         INTEGER NOT NULL,
    key        BLOB    NOT NULL,
    token      BLOB    NOT NULL,
    holder     BLOB    NOT NULL,
    label      TEXT    NOT NULL,
    host       TEXT    NOT NULL,
    pid        INTEGER NOT NULL,
    fence      INTEGER NOT NULL,
    ttl_ms     INTEGER NOT NULL,
    since_ms   INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    sharing    INTEGER NOT NULL,
    begun      INTEGER NOT NULL,           -- the fence of the grant that found the key free
    PRIMARY KEY (ns, key, token)
) WITHOUT ROWID, STRICT;
INSERT INTO lease_of_holder
    SELECT ns, key, token, holder, label, host, pid, fence, ttl_ms, since_ms, expires_ms, -1, fence
    FROM lease;
DROP TABLE lease;
ALTER TABLE lease_of_holder RENAME TO lease;

ALTER TABLE waiter ADD COLUMN sharing INTEGER NOT NULL DEFAULT -1;
