-- The tables of keystile for PostgreSQL 13 and later.
--
-- An existing table `api_keys` of an application is adopted if it has the columns of the
-- CREATE TABLE below: more columns are added, and its keys are valid from then on. Add
-- `client_email`, `expires_at` and `metadata` first if they are missing. Any program that
-- runs SQL files can run this one, once and in a transaction. It uses the schema in which
-- tables are created, which is the first of `search_path`.

CREATE TABLE IF NOT EXISTS keystile_migrations (
    version INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    applied_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT date_trunc('milliseconds', now())
);

-- keystile writes instants with millisecond precision. Of instants that other code writes,
-- fractions of a millisecond are ignored; an infinite instant is an error, and never "no end".
CREATE TABLE IF NOT EXISTS api_keys (
    id SERIAL PRIMARY KEY,
    -- SHA-256 or HMAC-SHA-256 of the key's text, in lower-case hex.
    key_hash VARCHAR(64) NOT NULL UNIQUE,
    -- Prefix, environment and the first 4 characters of the id.
    key_prefix VARCHAR(40) NOT NULL,
    client_name VARCHAR(255) NOT NULL,
    client_email VARCHAR(255),
    permissions JSONB NOT NULL DEFAULT '[]',
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    last_used_at TIMESTAMP WITH TIME ZONE,
    expires_at TIMESTAMP WITH TIME ZONE,
    -- True if `status` is active, for code that knows only this column.
    is_active BOOLEAN DEFAULT TRUE,
    rate_limit INTEGER DEFAULT 1000,
    metadata JSONB DEFAULT '{}'
);

-- Fails before any change if a column of an adopted table is missing or has another type:
-- for example, a timestamp without a time zone is ambiguous.
DO $$
DECLARE
    wrong TEXT;
BEGIN
    SELECT string_agg(expected.name || ' (expected ' || expected.types[1] || ')', ', ')
    INTO wrong
    FROM (VALUES
        ('id', ARRAY['integer', 'bigint']),
        ('key_hash', ARRAY['character varying', 'text', 'character']),
        ('key_prefix', ARRAY['character varying', 'text']),
        ('client_name', ARRAY['character varying', 'text']),
        ('client_email', ARRAY['character varying', 'text']),
        ('permissions', ARRAY['jsonb']),
        ('created_at', ARRAY['timestamp with time zone']),
        ('last_used_at', ARRAY['timestamp with time zone']),
        ('expires_at', ARRAY['timestamp with time zone']),
        ('is_active', ARRAY['boolean']),
        ('rate_limit', ARRAY['integer', 'bigint']),
        ('metadata', ARRAY['jsonb'])
    ) AS expected (name, types)
    WHERE NOT EXISTS (
        SELECT 1 FROM pg_attribute a
        WHERE a.attrelid = 'api_keys'::regclass AND a.attname = expected.name
            AND a.attnum > 0 AND NOT a.attisdropped
            AND format_type(a.atttypid, NULL) = ANY (expected.types)
    );
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'the table api_keys cannot be adopted, these columns are missing or of another type: %', wrong;
    END IF;
    -- An application's column may be too short for the prefixes of keystile's keys.
    IF EXISTS (
        SELECT 1 FROM pg_attribute
        WHERE attrelid = 'api_keys'::regclass AND attname = 'key_prefix'
            AND atttypmod BETWEEN 0 AND 43
    ) THEN
        ALTER TABLE api_keys ALTER COLUMN key_prefix TYPE VARCHAR(40);
    END IF;
END
$$;

-- The usage of each lineage of keys. Each key has a lineage, and each lineage has a row here.
CREATE TABLE api_key_usage (
    lineage TEXT COLLATE "C" PRIMARY KEY,
    -- The limiter's state: 64 bits, as a signed number.
    rate_state BIGINT NOT NULL DEFAULT 0,
    -- NULL: uses are not counted.
    remaining_uses BIGINT CHECK (remaining_uses >= 0)
    -- Each request may update a row: with free space in the page, no index has to change.
) WITH (fillfactor = 70);

-- The events of keys. Rows are only added, never changed; 0002_guards.sql numbers them.
CREATE SEQUENCE api_key_event_numbers AS BIGINT;
CREATE TABLE api_key_events (
    -- Events become visible in the order of their numbers.
    number BIGINT PRIMARY KEY,
    kind TEXT NOT NULL,
    key_id TEXT COLLATE "C" NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    reason TEXT,
    successor TEXT COLLATE "C"
);
ALTER SEQUENCE api_key_event_numbers OWNED BY api_key_events.number;

CREATE INDEX api_key_events_key_id ON api_key_events (key_id);
CREATE INDEX api_key_events_successor ON api_key_events (successor) WHERE successor IS NOT NULL;

ALTER TABLE api_keys
    ADD COLUMN key_id TEXT COLLATE "C",
    -- The pepper's version if key_hash is HMAC-SHA-256; NULL if it is SHA-256.
    ADD COLUMN digest_pepper BIGINT,
    ADD COLUMN owner TEXT,
    ADD COLUMN environment TEXT,
    -- Arrays of text. NULL: not restricted. An empty array: nothing is allowed.
    ADD COLUMN allowed_endpoints JSONB,
    ADD COLUMN allowed_networks JSONB,
    -- rate_limit requests in each window. Both NULL: no limit. rate_burst NULL: as rate_limit.
    ADD COLUMN rate_window_ms BIGINT,
    ADD COLUMN rate_burst BIGINT,
    -- A limit that is too large for rate_limit, which is then 2147483647; otherwise NULL.
    ADD COLUMN rate_limit_wide BIGINT CHECK (rate_limit_wide BETWEEN 2147483648 AND 4294967295),
    -- The metadata's original text in UTF-8: JSONB does not keep the order of names, spaces
    -- and every number. NULL if other code wrote the metadata. If the text is not JSON, or
    -- JSON that JSONB cannot store, metadata itself is NULL.
    ADD COLUMN metadata_text BYTEA,
    ADD COLUMN scope_type TEXT,
    ADD COLUMN lineage TEXT COLLATE "C" REFERENCES api_key_usage (lineage),
    ADD COLUMN status TEXT NOT NULL DEFAULT 'active'
        CHECK (status IN ('active', 'suspended', 'revoked')),
    ADD COLUMN revoked_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN revoke_reason TEXT,
    ADD COLUMN replaced_by TEXT COLLATE "C",
    ADD COLUMN overlap_until TIMESTAMP WITH TIME ZONE,
    ADD COLUMN ends_at_first_use TEXT COLLATE "C",
    ADD COLUMN version BIGINT NOT NULL DEFAULT 1 CHECK (version >= 1);

-- Adoption. The id of a key is the digit 1 and the row's number in 15 digits.
INSERT INTO api_key_usage (lineage)
SELECT '1' || lpad(id::text, 15, '0') FROM api_keys;

-- If is_active was not true, the application refused the key as revoked and had no way to
-- restore it, so it becomes revoked and not suspended. A limit of NULL becomes the column's
-- default: adoption gives no key more rights.
UPDATE api_keys SET
    key_id = '1' || lpad(id::text, 15, '0'),
    lineage = '1' || lpad(id::text, 15, '0'),
    created_at = coalesce(created_at, date_trunc('milliseconds', now())),
    is_active = coalesce(is_active, FALSE),
    status = CASE WHEN is_active THEN 'active' ELSE 'revoked' END,
    revoked_at = CASE WHEN is_active THEN NULL ELSE date_trunc('milliseconds', now()) END,
    revoke_reason = CASE WHEN is_active THEN NULL ELSE 'inactive when it was adopted' END,
    rate_limit = coalesce(rate_limit, 1000),
    rate_window_ms = 3600000;

INSERT INTO api_key_events (number, kind, key_id, at)
SELECT nextval('api_key_event_numbers'), 'imported', key_id, date_trunc('milliseconds', now())
FROM (SELECT key_id FROM api_keys ORDER BY id) AS adopted;

CREATE UNIQUE INDEX api_keys_key_id ON api_keys (key_id);
CREATE INDEX api_keys_lineage ON api_keys (lineage);
CREATE INDEX api_keys_owner ON api_keys (owner) WHERE owner IS NOT NULL;
CREATE INDEX IF NOT EXISTS idx_api_keys_client ON api_keys (client_name);

INSERT INTO keystile_migrations (version, name) VALUES (1, '0001_tables');
