-- The tables of keystile for SQLite.
--
-- An existing table `api_keys` of an application is adopted if it has the columns of the
-- CREATE TABLE below: more columns are added, and its keys are valid from then on. Add
-- `client_email`, `expires_at` and `metadata` first if they are missing. Any program that
-- runs SQL files can run this one, once and in a transaction.

CREATE TABLE IF NOT EXISTS keystile_migrations (
    version INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    applied_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
);

-- keystile writes instants as text in UTC, such as 2026-09-21T14:13:20.000Z. It also reads
-- those of other code: with a space instead of the T, without a fraction, with another
-- offset, and without an offset as UTC.
CREATE TABLE IF NOT EXISTS api_keys (
    -- Never used twice, so that a list continues where it stopped.
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
    -- True if `status` is active, for code that knows only this column.
    is_active BOOLEAN DEFAULT TRUE,
    rate_limit INTEGER DEFAULT 1000,
    metadata JSONB DEFAULT '{}'
);

-- Fails before any change if a column of an adopted table is missing.
SELECT key_hash, key_prefix, client_name, client_email, permissions, created_at,
    last_used_at, expires_at, is_active, rate_limit, metadata
FROM api_keys LIMIT 0;

-- The usage of each lineage of keys. Each key has a lineage, and each lineage has a row here.
CREATE TABLE api_key_usage (
    lineage TEXT PRIMARY KEY NOT NULL,
    -- The limiter's state: 64 bits, as a signed number.
    rate_state INTEGER NOT NULL DEFAULT 0,
    -- NULL: uses are not counted.
    remaining_uses INTEGER CHECK (remaining_uses >= 0)
);

-- The events of keys. Rows are only added, never changed.
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
-- The pepper's version if key_hash is HMAC-SHA-256; NULL if it is SHA-256.
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

-- Adoption. The id of a key is the digit 1 and the row's number in 15 digits.
INSERT INTO api_key_usage (lineage)
SELECT '1' || printf('%015d', rowid) FROM api_keys;

-- If is_active was not true, the application refused the key as revoked and had no way to
-- restore it, so it becomes revoked and not suspended. If is_active is not true, false or
-- NULL, the migration fails and is rolled back. A limit of NULL becomes the column's
-- default: adoption gives no key more rights.
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
