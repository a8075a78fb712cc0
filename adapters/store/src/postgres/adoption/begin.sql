-- The first step of an adoption: everything that 0001_tables.sql creates, and no rows. No
-- statement reads or rewrites the rows, so that the table is locked only for a moment:
-- constraints are checked later, and so are the indexes built.

CREATE TABLE keystile_migrations (
    version INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    applied_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT date_trunc('milliseconds', now())
);

CREATE TABLE api_key_usage (
    lineage TEXT COLLATE "C" PRIMARY KEY,
    rate_state BIGINT NOT NULL DEFAULT 0,
    remaining_uses BIGINT CHECK (remaining_uses >= 0)
) WITH (fillfactor = 70);

CREATE SEQUENCE api_key_event_numbers AS BIGINT;
CREATE TABLE api_key_events (
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
    ADD COLUMN digest_pepper BIGINT,
    ADD COLUMN owner TEXT,
    ADD COLUMN environment TEXT,
    ADD COLUMN allowed_endpoints JSONB,
    ADD COLUMN allowed_networks JSONB,
    ADD COLUMN rate_window_ms BIGINT,
    ADD COLUMN rate_burst BIGINT,
    ADD COLUMN rate_limit_wide BIGINT,
    ADD COLUMN metadata_text BYTEA,
    ADD COLUMN scope_type TEXT,
    ADD COLUMN lineage TEXT COLLATE "C",
    ADD COLUMN status TEXT NOT NULL DEFAULT 'active',
    ADD COLUMN revoked_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN revoke_reason TEXT,
    ADD COLUMN replaced_by TEXT COLLATE "C",
    ADD COLUMN overlap_until TIMESTAMP WITH TIME ZONE,
    ADD COLUMN ends_at_first_use TEXT COLLATE "C",
    ADD COLUMN version BIGINT NOT NULL DEFAULT 1,
    ADD CONSTRAINT api_keys_rate_limit_wide_check
        CHECK (rate_limit_wide BETWEEN 2147483648 AND 4294967295) NOT VALID,
    ADD CONSTRAINT api_keys_status_check
        CHECK (status IN ('active', 'suspended', 'revoked')) NOT VALID,
    ADD CONSTRAINT api_keys_version_check CHECK (version >= 1) NOT VALID;

-- An application's column may be too short for the prefixes of keystile's keys.
DO $$
BEGIN
    IF EXISTS (
        SELECT 1 FROM pg_attribute
        WHERE attrelid = 'api_keys'::regclass AND attname = 'key_prefix'
            AND atttypmod BETWEEN 0 AND 43
    ) THEN
        ALTER TABLE api_keys ALTER COLUMN key_prefix TYPE VARCHAR(40);
    END IF;
END
$$;

INSERT INTO keystile_migrations (version, name) VALUES (1, '0001_tables');
