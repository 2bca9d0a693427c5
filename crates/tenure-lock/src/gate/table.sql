-- One row for each protected thing. PostgreSQL, SQLite.
CREATE TABLE IF NOT EXISTS tenure_gate (
    name  VARCHAR(512) PRIMARY KEY,
    fence BIGINT NOT NULL,
    owner BIGINT NOT NULL
)
