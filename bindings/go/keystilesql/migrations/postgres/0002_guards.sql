-- Guards that apply to every writer: keystile, an older program that knows only its own
-- columns, or a person at a prompt.
--
-- The functions run with the rights of the role that ran this file, so that a program with
-- rights only on api_keys still works. They name the schema of their table explicitly, so
-- that neither search_path nor a temporary table can redirect them.

-- Readers continue after the last event number that they have seen. They would miss a
-- number that was taken early and committed late, so only one transaction at a time writes
-- events, from its first number to its end. Write events last, so that the other
-- transactions do not wait for longer than necessary. The number in an inserted row is
-- ignored.
CREATE FUNCTION keystile_number_event() RETURNS TRIGGER
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- 1800697188 is "kstd" in ASCII; the second number is the schema, since one database may
    -- hold many.
    PERFORM pg_advisory_xact_lock(1800697188, hashtext(TG_TABLE_SCHEMA));
    -- A writer whose machine fails would block the others until the server detects it.
    IF current_setting('idle_in_transaction_session_timeout') = '0' THEN
        PERFORM set_config('idle_in_transaction_session_timeout', '10s', TRUE);
    END IF;
    NEW.number := nextval(format('%I.api_key_event_numbers', TG_TABLE_SCHEMA)::regclass);
    RETURN NEW;
END
$$;

CREATE TRIGGER api_key_events_number BEFORE INSERT ON api_key_events
FOR EACH ROW EXECUTE FUNCTION keystile_number_event();

-- A text as JSONB, or NULL if it is not valid JSON.
CREATE FUNCTION keystile_jsonb(json BYTEA) RETURNS JSONB
LANGUAGE plpgsql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN convert_from(json, 'UTF8')::jsonb;
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
    RETURN NULL;
END
$$;

-- A revoked key stays revoked, with its instant and reason; is_active is true only if the
-- status is active; and a version never decreases.
--
-- A change by other code, which does not change the version, increments it here, so that
-- a change by keystile on the record before it is refused as stale. Other code revokes by
-- is_active. A use is not a change: last_used_at is not among the columns.
CREATE FUNCTION keystile_guard_key() RETURNS TRIGGER
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.revoked_at := date_trunc('milliseconds', NEW.revoked_at);
    IF (OLD.status = 'revoked' AND (NEW.status IS DISTINCT FROM 'revoked'
            OR NEW.revoked_at IS DISTINCT FROM OLD.revoked_at
            OR NEW.revoke_reason IS DISTINCT FROM OLD.revoke_reason))
        OR (NEW.status <> 'active' AND NEW.is_active IS DISTINCT FROM FALSE)
    THEN
        RAISE EXCEPTION 'a revoked key must stay revoked, and is_active must be false unless status is active'
            USING ERRCODE = 'KS001';
    END IF;
    IF NEW.version < OLD.version THEN
        RAISE EXCEPTION 'version must not decrease' USING ERRCODE = 'KS002';
    END IF;
    -- Other code changes metadata and does not know metadata_text.
    IF NEW.metadata IS DISTINCT FROM OLD.metadata
        AND NEW.metadata_text IS NOT DISTINCT FROM OLD.metadata_text
    THEN
        NEW.metadata_text := NULL;
    END IF;
    -- A row without a key_id is being adopted.
    IF OLD.key_id IS NOT NULL AND NEW.version = OLD.version AND (
        NEW.key_hash, NEW.digest_pepper, NEW.key_prefix, NEW.client_name, NEW.client_email,
        NEW.owner, NEW.environment, NEW.permissions, NEW.allowed_endpoints,
        NEW.allowed_networks, NEW.rate_limit, NEW.rate_window_ms, NEW.rate_burst,
        NEW.rate_limit_wide, NEW.metadata, NEW.metadata_text, NEW.scope_type, NEW.created_at,
        NEW.expires_at, NEW.is_active, NEW.status, NEW.revoked_at, NEW.revoke_reason,
        NEW.key_id, NEW.lineage, NEW.replaced_by, NEW.overlap_until, NEW.ends_at_first_use
    ) IS DISTINCT FROM (
        OLD.key_hash, OLD.digest_pepper, OLD.key_prefix, OLD.client_name, OLD.client_email,
        OLD.owner, OLD.environment, OLD.permissions, OLD.allowed_endpoints,
        OLD.allowed_networks, OLD.rate_limit, OLD.rate_window_ms, OLD.rate_burst,
        OLD.rate_limit_wide, OLD.metadata, OLD.metadata_text, OLD.scope_type, OLD.created_at,
        OLD.expires_at, OLD.is_active, OLD.status, OLD.revoked_at, OLD.revoke_reason,
        OLD.key_id, OLD.lineage, OLD.replaced_by, OLD.overlap_until, OLD.ends_at_first_use
    ) THEN
        NEW.version := OLD.version + 1;
        IF NEW.status = 'active' AND NEW.is_active IS NOT TRUE THEN
            NEW.status := 'revoked';
            NEW.revoked_at := date_trunc('milliseconds', clock_timestamp());
            NEW.revoke_reason := 'is_active was cleared';
            NEW.is_active := FALSE;
        END IF;
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER api_keys_guard BEFORE UPDATE OF key_hash, digest_pepper, key_prefix,
    client_name, client_email, owner, environment, permissions, allowed_endpoints,
    allowed_networks, rate_limit, rate_window_ms, rate_burst, rate_limit_wide, metadata,
    metadata_text, scope_type, created_at, expires_at, is_active, status, revoked_at,
    revoke_reason, key_id, lineage, replaced_by, overlap_until, ends_at_first_use, version
ON api_keys FOR EACH ROW EXECUTE FUNCTION keystile_guard_key();

-- A key that other code inserts is adopted in the same way. Its id is random: a row's number
-- can occur again if the sequence is reset, and an id must not.
CREATE FUNCTION keystile_adopt_key() RETURNS TRIGGER
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    random TEXT := upper(gen_random_uuid()::text);
    -- The middle of a UUID is not entirely random.
    new_id TEXT := '1' || left(random, 8) || right(random, 7);
BEGIN
    EXECUTE format('INSERT INTO %I.api_key_usage (lineage) VALUES ($1)', TG_TABLE_SCHEMA)
    USING new_id;
    EXECUTE format('UPDATE %I.api_keys SET
            key_id = $1,
            lineage = $1,
            created_at = coalesce(created_at, $2),
            is_active = coalesce(is_active, FALSE),
            status = CASE WHEN is_active THEN ''active'' ELSE ''revoked'' END,
            revoked_at = CASE WHEN is_active THEN NULL ELSE $2 END,
            revoke_reason = CASE WHEN is_active THEN NULL
                ELSE ''inactive when it was adopted'' END,
            rate_limit = coalesce(rate_limit, 1000),
            rate_window_ms = 3600000
        WHERE id = $3', TG_TABLE_SCHEMA)
    USING new_id, date_trunc('milliseconds', clock_timestamp()), NEW.id;
    RETURN NULL;
END
$$;

CREATE TRIGGER api_keys_adopted AFTER INSERT ON api_keys
FOR EACH ROW WHEN (NEW.key_id IS NULL) EXECUTE FUNCTION keystile_adopt_key();

-- Writes the events of changes by other code, at the end of the transaction: see
-- keystile_number_event. keystile writes its events itself. A key whose row is deleted has
-- ended too, and processes that cache its record must be notified.
CREATE FUNCTION keystile_note_others() RETURNS TRIGGER
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    events TEXT := format('INSERT INTO %I.api_key_events (kind, key_id, at, reason) ',
        TG_TABLE_SCHEMA);
    instant TIMESTAMP WITH TIME ZONE := date_trunc('milliseconds', clock_timestamp());
BEGIN
    IF TG_OP = 'INSERT' THEN
        EXECUTE events || format('SELECT ''imported'', key_id, $1, NULL
            FROM %I.api_keys WHERE id = $2', TG_TABLE_SCHEMA)
        USING instant, NEW.id;
    ELSIF TG_OP = 'UPDATE' THEN
        EXECUTE events || 'VALUES (''revoked'', $1, $2, $3)'
        USING NEW.key_id, NEW.revoked_at, NEW.revoke_reason;
    ELSE
        EXECUTE events || 'VALUES (''revoked'', $1, $2, ''its row was deleted'')'
        USING OLD.key_id, instant;
    END IF;
    RETURN NULL;
END
$$;

CREATE CONSTRAINT TRIGGER api_keys_note_adopted AFTER INSERT ON api_keys
DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW WHEN (NEW.key_id IS NULL) EXECUTE FUNCTION keystile_note_others();

CREATE CONSTRAINT TRIGGER api_keys_note_revoked AFTER UPDATE ON api_keys
DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW WHEN (OLD.status <> 'revoked' AND NEW.status = 'revoked'
    AND NEW.revoke_reason = 'is_active was cleared')
EXECUTE FUNCTION keystile_note_others();

CREATE CONSTRAINT TRIGGER api_keys_note_deleted AFTER DELETE ON api_keys
DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW WHEN (OLD.status <> 'revoked' AND OLD.key_id IS NOT NULL)
EXECUTE FUNCTION keystile_note_others();

-- Notifies listeners of each change, with the id of the key. A use is not a change.
CREATE FUNCTION keystile_notify() RETURNS TRIGGER
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_notify('keystile_changes',
        coalesce(CASE WHEN TG_OP = 'DELETE' THEN OLD.key_id ELSE NEW.key_id END, ''));
    RETURN NULL;
END
$$;

CREATE TRIGGER api_keys_notify_insert_delete AFTER INSERT OR DELETE ON api_keys
FOR EACH ROW EXECUTE FUNCTION keystile_notify();

CREATE TRIGGER api_keys_notify_update AFTER UPDATE ON api_keys
FOR EACH ROW WHEN (NEW.version <> OLD.version) EXECUTE FUNCTION keystile_notify();

INSERT INTO keystile_migrations (version, name) VALUES (2, '0002_guards');
