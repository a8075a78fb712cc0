-- The first step of an adoption: everything that 0001_tables.sql creates, and no rows. The two
-- indexes are empty until the rows are adopted, and the triggers need them.

CREATE TABLE keystile_migrations (
    version INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    applied_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
);

CREATE TABLE api_key_usage (
    lineage TEXT PRIMARY KEY NOT NULL,
    rate_state INTEGER NOT NULL DEFAULT 0,
    remaining_uses INTEGER CHECK (remaining_uses >= 0)
);

CREATE TABLE api_key_events (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    key_id TEXT NOT NULL,
    at TEXT NOT NULL,
    reason TEXT,
    successor TEXT
);

CREATE INDEX api_key_events_key_id ON api_key_events (key_id);
CREATE INDEX api_key_events_successor ON api_key_events (successor) WHERE successor IS NOT NULL;

ALTER TABLE api_keys ADD COLUMN key_id TEXT;
ALTER TABLE api_keys ADD COLUMN digest_pepper INTEGER;
ALTER TABLE api_keys ADD COLUMN owner TEXT;
ALTER TABLE api_keys ADD COLUMN environment TEXT;
ALTER TABLE api_keys ADD COLUMN allowed_endpoints TEXT;
ALTER TABLE api_keys ADD COLUMN allowed_networks TEXT;
ALTER TABLE api_keys ADD COLUMN rate_window_ms INTEGER;
ALTER TABLE api_keys ADD COLUMN rate_burst INTEGER;
ALTER TABLE api_keys ADD COLUMN scope_type TEXT;
ALTER TABLE api_keys ADD COLUMN lineage TEXT REFERENCES api_key_usage (lineage);
ALTER TABLE api_keys ADD COLUMN status TEXT NOT NULL DEFAULT 'active'
    CHECK (status IN ('active', 'suspended', 'revoked'));
ALTER TABLE api_keys ADD COLUMN revoked_at TEXT;
ALTER TABLE api_keys ADD COLUMN revoke_reason TEXT;
ALTER TABLE api_keys ADD COLUMN replaced_by TEXT;
ALTER TABLE api_keys ADD COLUMN overlap_until TEXT;
ALTER TABLE api_keys ADD COLUMN ends_at_first_use TEXT;
ALTER TABLE api_keys ADD COLUMN version INTEGER NOT NULL DEFAULT 1 CHECK (version >= 1);

CREATE UNIQUE INDEX api_keys_key_id ON api_keys (key_id);
CREATE INDEX api_keys_lineage ON api_keys (lineage);

INSERT INTO keystile_migrations (version, name) VALUES (1, '0001_tables');
