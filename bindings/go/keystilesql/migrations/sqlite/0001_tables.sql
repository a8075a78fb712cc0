-- The tables of keystile for SQLite.
--
-- A table `api_keys` that an application has already, with the columns of the first
-- statement on it, is adopted: it gets further columns, and its keys verify from then on.
-- A table without `client_email`, `expires_at` or `metadata` must be given those first.
-- Any program that runs SQL files can run this one, once and in a transaction.

CREATE TABLE IF NOT EXISTS keystile_migrations (
    version INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    applied_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
);

-- Instants are text in UTC, as 2026-09-21T14:13:20.000Z. What other code writes beside us
-- is read too: with a space for the T, without a fraction, with another offset, and
-- without any offset as UTC.
CREATE TABLE IF NOT EXISTS api_keys (
    -- Never given out twice, so that a list goes on where it stopped.
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- SHA-256 or HMAC-SHA-256 of the key's text, in lower-case hex.
    key_hash VARCHAR(64) NOT NULL UNIQUE,
    key_prefix VARCHAR(10) NOT NULL,
    client_name VARCHAR(255) NOT NULL,
    client_email VARCHAR(255),
    permissions JSONB NOT NULL DEFAULT '[]',
    created_at TIMESTAMP WITH TIME ZONE DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    last_used_at TIMESTAMP WITH TIME ZONE,
    expires_at TIMESTAMP WITH TIME ZONE,
    -- True while `status` is active; for code that knows this column alone.
    is_active BOOLEAN DEFAULT TRUE,
    rate_limit INTEGER DEFAULT 1000,
    metadata JSONB DEFAULT '{}'
);

-- Fails here, before anything is changed, where a column of an adopted table is missing.
SELECT key_hash, key_prefix, client_name, client_email, permissions, created_at,
    last_used_at, expires_at, is_active, rate_limit, metadata
FROM api_keys LIMIT 0;

-- What a lineage of keys has spent. Each key has a lineage, and each lineage a row here.
CREATE TABLE api_key_usage (
    lineage TEXT PRIMARY KEY NOT NULL,
    -- The limiter's state, 64 bits read as a signed number.
    rate_state INTEGER NOT NULL DEFAULT 0,
    -- NULL: uses are not counted.
    remaining_uses INTEGER CHECK (remaining_uses >= 0)
);

-- What happened to keys. Rows are only ever added.
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
-- The pepper's version where key_hash is HMAC-SHA-256; NULL where it is SHA-256.
ALTER TABLE api_keys ADD COLUMN digest_pepper INTEGER;
ALTER TABLE api_keys ADD COLUMN owner TEXT;
ALTER TABLE api_keys ADD COLUMN environment TEXT;
-- JSON arrays of text. NULL: not restricted. An empty array: nothing is allowed.
ALTER TABLE api_keys ADD COLUMN allowed_endpoints TEXT;
ALTER TABLE api_keys ADD COLUMN allowed_networks TEXT;
-- rate_limit requests in each window. Both NULL: no limit. rate_burst NULL: as rate_limit.
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

-- Adoption. A key's id is 1 and its row's number in 15 digits.
INSERT INTO api_key_usage (lineage)
SELECT '1' || printf('%015d', rowid) FROM api_keys;

-- Where is_active was not true, the application refused the key as revoked, and nothing
-- there led back: so it is revoked, not suspended. An is_active that is neither true,
-- false nor NULL fails the migration, which is then undone as a whole. A limit that was
-- NULL said nothing, and becomes the column's default: no key gains by being adopted.
UPDATE api_keys SET
    key_id = '1' || printf('%015d', rowid),
    lineage = '1' || printf('%015d', rowid),
    created_at = coalesce(created_at, strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    is_active = coalesce(is_active, 0),
    status = CASE coalesce(is_active, 0) WHEN 1 THEN 'active' WHEN 0 THEN 'revoked' END,
    revoked_at = CASE WHEN coalesce(is_active, 0) = 0
        THEN strftime('%Y-%m-%dT%H:%M:%fZ', 'now') END,
    revoke_reason = CASE WHEN coalesce(is_active, 0) = 0
        THEN 'inactive when it was adopted' END,
    rate_limit = coalesce(rate_limit, 1000),
    rate_window_ms = 3600000;

INSERT INTO api_key_events (kind, key_id, at)
SELECT 'imported', key_id, strftime('%Y-%m-%dT%H:%M:%fZ', 'now') FROM api_keys ORDER BY rowid;

CREATE UNIQUE INDEX api_keys_key_id ON api_keys (key_id);
CREATE INDEX api_keys_lineage ON api_keys (lineage);
CREATE INDEX api_keys_owner ON api_keys (owner) WHERE owner IS NOT NULL;
CREATE INDEX IF NOT EXISTS idx_api_keys_client ON api_keys (client_name);

INSERT INTO keystile_migrations (version, name) VALUES (1, '0001_tables');
