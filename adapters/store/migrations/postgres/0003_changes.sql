-- Changes by other code: each of them increments the version of the record and leaves an
-- event, so that every process is notified of it.
--
-- keystile writes the event of a change before the change, with the version that the record
-- then has. A change without such an event is by other code. The triggers fire ALWAYS: also
-- for logical replication, and if session_replication_role is replica. What they do not see:
-- changes while they are disabled.

-- In the order in which writers lock them, so that a running one is waited for.
LOCK TABLE api_key_usage, api_keys, api_key_events IN ACCESS EXCLUSIVE MODE;

ALTER TABLE api_key_events
    ADD COLUMN version BIGINT,
    -- Who did it, and from which address or host. Other code is the user of its session.
    ADD COLUMN actor TEXT,
    ADD COLUMN origin TEXT,
    -- What was changed: an array of objects that have a "field".
    ADD COLUMN changes JSONB;

-- Events are listed and removed by their time.
CREATE INDEX api_key_events_at ON api_key_events (at, number);

ALTER TABLE api_keys
    -- The length of life that a key was given; NULL is from its beginning to its end.
    ADD COLUMN lifetime_ms BIGINT,
    -- The key that it is derived from, and that key's lineage.
    ADD COLUMN derived_from TEXT COLLATE "C",
    ADD COLUMN derived_lineage TEXT COLLATE "C",
    -- The key whose suspension suspended it.
    ADD COLUMN suspended_with TEXT COLLATE "C";
CREATE INDEX api_keys_derived ON api_keys (derived_lineage) WHERE derived_lineage IS NOT NULL;

-- The keys whose rows were deleted. If a row with such an id is inserted again, its versions
-- continue after the last one, and a revoked key stays revoked. place is the number of the row:
-- a list that ended with it continues there. owner is the last one: its events are still for
-- that owner.
CREATE TABLE api_key_deleted (
    key_id TEXT COLLATE "C" PRIMARY KEY,
    version BIGINT NOT NULL,
    revoked_at TIMESTAMP WITH TIME ZONE,
    revoke_reason TEXT,
    place BIGINT,
    owner TEXT COLLATE "C"
);
CREATE INDEX api_key_deleted_owner ON api_key_deleted (owner) WHERE owner IS NOT NULL;

-- The digests that a key had before its current one, and the last digests of revoked keys
-- whose rows were deleted.
CREATE TABLE api_key_former_digests (
    key_hash TEXT COLLATE "C" PRIMARY KEY,
    key_id TEXT COLLATE "C" NOT NULL
);
CREATE INDEX api_key_former_digests_key_id ON api_key_former_digests (key_id);

-- The digests in that table of keys that are revoked. A row that is inserted with one of them
-- is stored as revoked.
CREATE VIEW api_key_revoked_digests AS
SELECT former.key_hash,
    coalesce(deleted.revoked_at, k.revoked_at) AS revoked_at,
    coalesce(deleted.revoke_reason, k.revoke_reason) AS revoke_reason
FROM api_key_former_digests former
LEFT JOIN api_keys k ON k.key_id = former.key_id AND k.status = 'revoked'
LEFT JOIN api_key_deleted deleted ON deleted.key_id = former.key_id
WHERE coalesce(deleted.revoked_at, k.revoked_at) IS NOT NULL;

-- Events are numbered when their transaction commits. Until then they have a negative number,
-- which no reader sees, so that a transaction that stays open delays no event of another.
CREATE SEQUENCE api_key_event_places AS BIGINT;
ALTER SEQUENCE api_key_event_places OWNED BY api_key_events.number;

CREATE OR REPLACE FUNCTION keystile_number_event() RETURNS TRIGGER
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.number := -nextval(format('%I.api_key_event_places', TG_TABLE_SCHEMA)::regclass);
    RETURN NEW;
END
$$;

-- The functions below have dynamic SQL, which names the schema of the table also if that was
-- renamed. The server plans such a statement each time. For what is looked up for each row, that
-- takes longer than all else, so the functions that keystile's own inserts call have these lookups
-- twice: as static SQL too, whose plan a session keeps, with "@schema@" for the schema. The end of
-- this part writes its name there. is_here is false if it has another name by now. The name is not
-- in search_path instead, because whoever may create functions or operators in the schema could
-- then have them called here, with the rights of the owner. For the same reason the arguments of
-- functions in the schema have exactly the types that are declared.

-- Readers continue after the last event number that they have seen. They would miss a
-- number that was taken early and committed late, so only one transaction at a time numbers
-- events, and commits.
CREATE FUNCTION keystile_number_events() RETURNS TRIGGER
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    is_here CONSTANT BOOLEAN := TG_TABLE_SCHEMA = '@schema@';
    numbered BOOLEAN;
BEGIN
    PERFORM pg_notify('keystile_changes', NEW.key_id);
    IF is_here THEN
        numbered := NOT EXISTS (SELECT 1 FROM "@schema@".api_key_events WHERE number = NEW.number);
    ELSE
        EXECUTE format('SELECT NOT EXISTS (SELECT 1 FROM %I.api_key_events WHERE number = $1)',
            TG_TABLE_SCHEMA)
        INTO numbered USING NEW.number;
    END IF;
    -- The first event of the transaction numbers all of them. The others have lower numbers: what
    -- is above are only rows that transactions before this one have numbered, which are still in
    -- the index until the next VACUUM.
    IF numbered THEN
        RETURN NULL;
    END IF;
    -- 1800697188 is "kstd" in ASCII; the second number is the schema, since one database may
    -- hold many.
    PERFORM pg_advisory_xact_lock(1800697188, hashtext(TG_TABLE_SCHEMA));
    -- If the transaction set its constraints to IMMEDIATE, it goes on after this. If its
    -- machine then failed, it would block the others until the server detects it.
    IF current_setting('idle_in_transaction_session_timeout') = '0' THEN
        PERFORM set_config('idle_in_transaction_session_timeout', '10s', TRUE);
    END IF;
    EXECUTE format('UPDATE %1$I.api_key_events e SET number = numbered.number
        FROM (
            SELECT place, nextval($2) AS number
            FROM (
                SELECT number AS place FROM %1$I.api_key_events WHERE number <= $1
                ORDER BY number DESC
            ) AS places
        ) AS numbered
        WHERE e.number = numbered.place', TG_TABLE_SCHEMA)
    USING NEW.number, format('%I.api_key_event_numbers', TG_TABLE_SCHEMA)::regclass;
    RETURN NULL;
END
$$;

CREATE CONSTRAINT TRIGGER api_key_events_numbered AFTER INSERT ON api_key_events
DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION keystile_number_events();

-- Writes the event of a change, unless keystile has written it. The first 1,000 of a
-- transaction are about a key each. All others are one, whose key_id is '*': it invalidates
-- everything.
CREATE FUNCTION keystile_note(place TEXT, kind TEXT, key_id TEXT, version BIGINT,
    reason TEXT, changes JSONB) RETURNS VOID
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    noted BOOLEAN;
    unnumbered BIGINT;
    shared BOOLEAN;
BEGIN
    EXECUTE format('SELECT EXISTS (SELECT 1 FROM %I.api_key_events
        WHERE key_id = $1 AND version = $2)', place) INTO noted USING key_id, version;
    IF NOT noted THEN
        EXECUTE format('SELECT key_id = ''*'' AND reason IS NULL FROM %I.api_key_events
            WHERE number < 0 ORDER BY number LIMIT 1', place) INTO noted;
    END IF;
    IF noted THEN
        RETURN;
    END IF;
    EXECUTE format('SELECT count(*) FROM %I.api_key_events WHERE number < 0', place)
    INTO unnumbered;
    shared := unnumbered >= 1000;
    EXECUTE format('INSERT INTO %I.api_key_events
            (kind, key_id, at, version, reason, actor, origin, changes)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)', place)
    USING kind, CASE WHEN shared THEN '*' ELSE key_id END,
        date_trunc('milliseconds', clock_timestamp()), CASE WHEN NOT shared THEN version END,
        CASE WHEN NOT shared THEN reason END, session_user::text,
        coalesce(host(inet_client_addr()), 'local'), CASE WHEN NOT shared THEN changes END;
END
$$;
REVOKE ALL ON FUNCTION keystile_note FROM PUBLIC;

-- What an import remembers of keys that were revoked or removed elsewhere, and a row that another
-- transaction inserts with such a digest or id, would not see each other before both have
-- committed. So a transaction that inserts a row or changes a digest holds this lock shared, and
-- such an import holds it exclusively, from before its first statement. One lock and not one for
-- each digest, since the server's memory limits how many locks a transaction can have.
--
-- 1802728552 is "ksth" in ASCII; the second number is the schema.
--
-- While an import waits for a transaction, all that insert after it wait too. So it lets them pass
-- again and again. Each wait is twice as long as the one before, up to 3.2 s: an import gets the lock
-- also if transactions overlap, and the server finds a deadlock after 1 s. The waits end after
-- lock_timeout, otherwise statement_timeout, or after 10 s if neither is set.
CREATE FUNCTION keystile_hold_digests(place TEXT) RETURNS VOID
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    lock_timeout TEXT := current_setting('lock_timeout');
    deadline TIMESTAMP WITH TIME ZONE := clock_timestamp()
        + coalesce(nullif(lock_timeout::interval, '0'),
            nullif(current_setting('statement_timeout')::interval, '0'), '10s');
    wait_ms BIGINT := 100;
    left_ms BIGINT;
BEGIN
    IF place IS NULL THEN
        RAISE EXCEPTION 'the table api_keys must be found by the search_path'
            USING ERRCODE = 'undefined_table';
    END IF;
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        -- It would not see what others have committed before it got the lock.
        RAISE EXCEPTION 'an import needs the isolation level read committed'
            USING ERRCODE = 'feature_not_supported';
    END IF;
    -- If its machine fails while it holds the lock, the others are not kept waiting.
    IF current_setting('idle_in_transaction_session_timeout') = '0' THEN
        PERFORM set_config('idle_in_transaction_session_timeout', '10s', TRUE);
    END IF;
    LOOP
        left_ms := greatest(1, extract(epoch FROM deadline - clock_timestamp()) * 1000);
        BEGIN
            PERFORM set_config('lock_timeout', least(wait_ms, left_ms) || 'ms', TRUE);
            PERFORM pg_advisory_xact_lock(1802728552, hashtext(place));
            PERFORM set_config('lock_timeout', lock_timeout, TRUE);
            RETURN;
        EXCEPTION WHEN lock_not_available THEN
            IF wait_ms >= left_ms THEN
                RAISE;
            END IF;
            wait_ms := least(wait_ms * 2, 3200);
        END;
    END LOOP;
END
$$;

-- A revoked key stays revoked, with its instant and reason; is_active is true only if the
-- status is active; and a version never decreases.
--
-- A change by other code, which does not change the version, increments it here, so that
-- a change by keystile on the record before it is refused as stale. Other code revokes by
-- is_active too, and may omit the time and the reason. A use is not a change: last_used_at is
-- not among the columns.
CREATE OR REPLACE FUNCTION keystile_guard_key() RETURNS TRIGGER
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    ended BOOLEAN := FALSE;
BEGIN
    NEW.revoked_at := date_trunc('milliseconds', NEW.revoked_at);
    IF (OLD.status = 'revoked' AND (NEW.status IS DISTINCT FROM 'revoked'
            OR NEW.revoked_at IS DISTINCT FROM OLD.revoked_at
            OR NEW.revoke_reason IS DISTINCT FROM OLD.revoke_reason))
        OR (NEW.status <> 'active' AND NEW.is_active IS DISTINCT FROM FALSE)
        OR (OLD.key_id IS NOT NULL AND NEW.key_id IS NULL)
    THEN
        RAISE EXCEPTION 'a revoked key must stay revoked, and is_active must be false unless status is active'
            USING ERRCODE = 'KS001';
    END IF;
    IF NEW.key_hash IS DISTINCT FROM OLD.key_hash AND NEW.status <> 'revoked' THEN
        PERFORM pg_advisory_xact_lock_shared(1802728552, hashtext(TG_TABLE_SCHEMA));
        EXECUTE format('SELECT EXISTS (SELECT 1 FROM %I.api_key_revoked_digests
            WHERE key_hash = $1)', TG_TABLE_SCHEMA) INTO ended USING NEW.key_hash::text;
        IF ended THEN
            RAISE EXCEPTION 'a revoked key must stay revoked' USING ERRCODE = 'KS001';
        END IF;
    END IF;
    IF NEW.version < OLD.version THEN
        -- A publisher does not know what was changed here.
        IF current_setting('session_replication_role') <> 'replica' THEN
            RAISE EXCEPTION 'version must not decrease' USING ERRCODE = 'KS002';
        END IF;
        NEW.version := OLD.version;
    END IF;
    -- Other code changes metadata and does not know metadata_text.
    IF NEW.metadata IS DISTINCT FROM OLD.metadata
        AND NEW.metadata_text IS NOT DISTINCT FROM OLD.metadata_text
    THEN
        NEW.metadata_text := NULL;
    END IF;
    -- A row without a key_id is being adopted.
    IF OLD.key_id IS NULL THEN
        RETURN NEW;
    END IF;
    IF NEW.version = OLD.version THEN
        NEW.version := OLD.version + 1;
        IF NEW.status = 'active' AND NEW.is_active IS NOT TRUE THEN
            NEW.status := 'revoked';
            NEW.revoke_reason := coalesce(NEW.revoke_reason, 'is_active was cleared');
            NEW.is_active := FALSE;
        END IF;
    END IF;
    IF NEW.status = 'revoked' THEN
        NEW.revoked_at := coalesce(NEW.revoked_at,
            date_trunc('milliseconds', clock_timestamp()));
        NEW.revoke_reason := coalesce(NEW.revoke_reason, 'unspecified');
    END IF;
    RETURN NEW;
END
$$;

DROP TRIGGER api_keys_guard ON api_keys;
CREATE TRIGGER api_keys_guard BEFORE UPDATE ON api_keys
FOR EACH ROW WHEN ((
    OLD.key_id, OLD.key_hash, OLD.digest_pepper, OLD.key_prefix, OLD.client_name,
    OLD.client_email, OLD.owner, OLD.environment, OLD.permissions, OLD.allowed_endpoints,
    OLD.allowed_networks, OLD.rate_limit, OLD.rate_window_ms, OLD.rate_burst, OLD.scope_type,
    OLD.metadata, OLD.created_at, OLD.expires_at, OLD.is_active, OLD.status, OLD.revoked_at,
    OLD.revoke_reason, OLD.lineage, OLD.replaced_by, OLD.overlap_until, OLD.ends_at_first_use,
    OLD.rate_limit_wide, OLD.metadata_text, OLD.lifetime_ms, OLD.derived_from,
    OLD.derived_lineage, OLD.suspended_with, OLD.version
) IS DISTINCT FROM (
    NEW.key_id, NEW.key_hash, NEW.digest_pepper, NEW.key_prefix, NEW.client_name,
    NEW.client_email, NEW.owner, NEW.environment, NEW.permissions, NEW.allowed_endpoints,
    NEW.allowed_networks, NEW.rate_limit, NEW.rate_window_ms, NEW.rate_burst, NEW.scope_type,
    NEW.metadata, NEW.created_at, NEW.expires_at, NEW.is_active, NEW.status, NEW.revoked_at,
    NEW.revoke_reason, NEW.lineage, NEW.replaced_by, NEW.overlap_until, NEW.ends_at_first_use,
    NEW.rate_limit_wide, NEW.metadata_text, NEW.lifetime_ms, NEW.derived_from,
    NEW.derived_lineage, NEW.suspended_with, NEW.version
)) EXECUTE FUNCTION keystile_guard_key();

-- A transaction that keeps its snapshot cannot see that a key with this digest was revoked and
-- deleted since. If it was, writing the same digest fails here, and the transaction has to be
-- repeated.
CREATE FUNCTION keystile_settle_digest(place TEXT, digest TEXT, id TEXT) RETURNS VOID
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    written BIGINT;
BEGIN
    IF current_setting('transaction_isolation') = 'read committed' THEN
        RETURN;
    END IF;
    EXECUTE format('INSERT INTO %I.api_key_former_digests (key_hash, key_id)
        VALUES ($1, $2) ON CONFLICT DO NOTHING', place) USING digest, id;
    GET DIAGNOSTICS written = ROW_COUNT;
    IF written > 0 THEN
        EXECUTE format('DELETE FROM %I.api_key_former_digests WHERE key_hash = $1', place)
        USING digest;
    END IF;
END
$$;
REVOKE ALL ON FUNCTION keystile_settle_digest FROM PUBLIC;

-- A key that was deleted continues its versions, and a revoked one is stored as revoked.
CREATE FUNCTION keystile_insert_key() RETURNS TRIGGER
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    is_here CONSTANT BOOLEAN := TG_TABLE_SCHEMA = '@schema@';
    is_known BOOLEAN;
    known RECORD;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(1802728552, hashtext(TG_TABLE_SCHEMA));
    -- Of nearly every key nothing is known.
    IF is_here THEN
        is_known := EXISTS (SELECT 1 FROM "@schema@".api_key_deleted WHERE key_id = NEW.key_id)
            OR EXISTS (SELECT 1 FROM "@schema@".api_key_former_digests
                WHERE key_hash = NEW.key_hash::text COLLATE "C");
    ELSE
        EXECUTE format('SELECT EXISTS (SELECT 1 FROM %1$I.api_key_deleted WHERE key_id = $1)
                OR EXISTS (SELECT 1 FROM %1$I.api_key_former_digests WHERE key_hash = $2)',
            TG_TABLE_SCHEMA) INTO is_known USING NEW.key_id, NEW.key_hash::text;
    END IF;
    IF NOT is_known THEN
        RETURN NEW;
    END IF;
    EXECUTE format('SELECT version, revoked_at, revoke_reason FROM %I.api_key_deleted
        WHERE key_id = $1', TG_TABLE_SCHEMA) INTO known USING NEW.key_id;
    IF known.version >= NEW.version THEN
        NEW.version := known.version + 1;
    END IF;
    IF known.revoked_at IS NULL THEN
        EXECUTE format('SELECT revoked_at, revoke_reason FROM %I.api_key_revoked_digests
            WHERE key_hash = $1', TG_TABLE_SCHEMA) INTO known USING NEW.key_hash::text;
    END IF;
    IF known.revoked_at IS NOT NULL AND NEW.status IS DISTINCT FROM 'revoked' THEN
        NEW.status := 'revoked';
        NEW.is_active := FALSE;
        NEW.revoked_at := known.revoked_at;
        NEW.revoke_reason := known.revoke_reason;
        -- The event of this version is not the one that an insert by keystile has written.
        NEW.version := NEW.version + 1;
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER api_keys_inserting BEFORE INSERT ON api_keys
FOR EACH ROW EXECUTE FUNCTION keystile_insert_key();

-- A key that other code inserts is adopted in the same way as in the first migration. Its id
-- is random: a row's number can occur again if the sequence is reset, and an id must not.
CREATE OR REPLACE FUNCTION keystile_adopt_key() RETURNS TRIGGER
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    is_here CONSTANT BOOLEAN := TG_TABLE_SCHEMA = '@schema@';
    random TEXT := upper(gen_random_uuid()::text);
    -- The middle of a UUID is not entirely random.
    id TEXT := coalesce(NEW.key_id, '1' || left(random, 8) || right(random, 7));
    is_noted BOOLEAN;
    is_known BOOLEAN;
    known RECORD;
BEGIN
    IF NEW.key_id IS NULL THEN
        -- The application's own triggers may run in this: their plans are made as always.
        PERFORM set_config('enable_seqscan', 'on', TRUE);
        EXECUTE format('INSERT INTO %I.api_key_usage (lineage) VALUES ($1)', TG_TABLE_SCHEMA)
        USING id;
        EXECUTE format('UPDATE %I.api_keys SET
                key_id = $1,
                lineage = $1,
                created_at = coalesce(created_at, $2),
                is_active = coalesce(is_active, FALSE),
                status = CASE WHEN is_active THEN ''active'' ELSE ''revoked'' END,
                revoked_at = CASE WHEN NOT coalesce(is_active, FALSE)
                    THEN coalesce(revoked_at, $2) END,
                revoke_reason = CASE WHEN NOT coalesce(is_active, FALSE)
                    THEN coalesce(revoke_reason, ''inactive when it was adopted'') END,
                rate_limit = coalesce(rate_limit, 1000),
                rate_window_ms = 3600000
            WHERE id = $3', TG_TABLE_SCHEMA)
        USING id, date_trunc('milliseconds', clock_timestamp()), NEW.id;
        PERFORM set_config('enable_seqscan', 'off', TRUE);
    END IF;
    -- The insert may have waited for a transaction that deleted the key. What that transaction
    -- left was not yet visible to api_keys_inserting, so it is looked up again.
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        EXECUTE format('SELECT %I.keystile_settle_digest($1, $2, $3)', TG_TABLE_SCHEMA)
        USING TG_TABLE_SCHEMA::text, NEW.key_hash::text, id;
        EXECUTE format('INSERT INTO %I.api_key_deleted (key_id, version)
            VALUES ($1, 0) ON CONFLICT DO NOTHING', TG_TABLE_SCHEMA) USING id;
    END IF;
    IF is_here THEN
        is_noted := EXISTS (SELECT 1 FROM "@schema@".api_key_events
            WHERE key_id = id AND version = NEW.version);
        is_known := EXISTS (SELECT 1 FROM "@schema@".api_key_deleted WHERE key_id = id)
            OR EXISTS (SELECT 1 FROM "@schema@".api_key_former_digests
                WHERE key_hash = NEW.key_hash::text COLLATE "C");
    ELSE
        EXECUTE format('SELECT
                EXISTS (SELECT 1 FROM %1$I.api_key_events WHERE key_id = $1 AND version = $2),
                EXISTS (SELECT 1 FROM %1$I.api_key_deleted WHERE key_id = $1)
                OR EXISTS (SELECT 1 FROM %1$I.api_key_former_digests WHERE key_hash = $3)',
            TG_TABLE_SCHEMA) INTO is_noted, is_known USING id, NEW.version, NEW.key_hash::text;
    END IF;
    IF NOT is_noted THEN
        -- A successor is noted with the rotation.
        EXECUTE format('SELECT %1$I.keystile_note($1, $2, $3, $4, $5, NULL::jsonb)
            WHERE $4 > 1 OR NOT EXISTS (SELECT 1 FROM %1$I.api_key_events WHERE successor = $3)',
            TG_TABLE_SCHEMA)
        USING TG_TABLE_SCHEMA::text, CASE NEW.status WHEN 'revoked' THEN 'revoked' ELSE 'imported' END,
            id, NEW.version, NEW.revoke_reason;
    END IF;
    IF NOT is_known THEN
        RETURN NULL;
    END IF;
    PERFORM set_config('enable_seqscan', 'on', TRUE);
    EXECUTE format('SELECT max(version) AS version, max(revoked_at) AS revoked_at,
            max(revoke_reason) AS revoke_reason
        FROM (
            SELECT version, revoked_at, revoke_reason FROM %1$I.api_key_deleted
            WHERE key_id = $1
            UNION ALL
            SELECT NULL, revoked_at, revoke_reason FROM %1$I.api_key_revoked_digests
            WHERE key_hash = $2
        ) AS ended', TG_TABLE_SCHEMA) INTO known USING id, NEW.key_hash::text;
    IF known.revoked_at IS NOT NULL THEN
        EXECUTE format('UPDATE %I.api_keys SET status = ''revoked'', is_active = FALSE,
                revoked_at = $1, revoke_reason = $2,
                version = greatest(version, coalesce($3, 0)) + 1
            WHERE id = $4 AND status <> ''revoked''', TG_TABLE_SCHEMA)
        USING known.revoked_at, known.revoke_reason, known.version, NEW.id;
    END IF;
    EXECUTE format('UPDATE %I.api_keys SET version = $1 + 1 WHERE id = $2 AND version <= $1',
        TG_TABLE_SCHEMA) USING known.version, NEW.id;
    EXECUTE format('DELETE FROM %I.api_key_deleted WHERE key_id = $1', TG_TABLE_SCHEMA)
    USING id;
    RETURN NULL;
END
$$;

DROP TRIGGER api_keys_adopted ON api_keys;
CREATE TRIGGER api_keys_inserted AFTER INSERT ON api_keys
FOR EACH ROW EXECUTE FUNCTION keystile_adopt_key();

-- Writes the events of changes by other code.
CREATE FUNCTION keystile_note_key() RETURNS TRIGGER
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    note TEXT := format('SELECT %I.keystile_note($1, $2, $3, $4, $5, $6)', TG_TABLE_SCHEMA);
    gone BOOLEAN := TG_OP = 'DELETE';
    shared BOOLEAN;
    changes JSONB;
    columns CONSTANT TEXT[] := ARRAY[
        'key_id', 'key_hash', 'digest_pepper', 'key_prefix', 'client_name', 'client_email',
        'owner', 'environment', 'permissions', 'allowed_endpoints', 'allowed_networks',
        'rate_limit', 'rate_window_ms', 'rate_burst', 'scope_type', 'metadata', 'created_at',
        'expires_at', 'is_active', 'status', 'revoked_at', 'revoke_reason', 'lineage',
        'replaced_by', 'overlap_until', 'ends_at_first_use', 'rate_limit_wide', 'metadata_text',
        'lifetime_ms', 'derived_from', 'derived_lineage', 'suspended_with'
    ];
BEGIN
    IF NOT gone THEN
        IF NEW.key_hash IS DISTINCT FROM OLD.key_hash THEN
            EXECUTE format('INSERT INTO %I.api_key_former_digests (key_hash, key_id)
                VALUES ($1, $2) ON CONFLICT DO NOTHING', TG_TABLE_SCHEMA)
            USING OLD.key_hash::text, NEW.key_id;
            -- Again, since the update may have waited for the transaction that deleted the
            -- revoked key.
            EXECUTE format('SELECT %I.keystile_settle_digest($1, $2, $3)', TG_TABLE_SCHEMA)
            USING TG_TABLE_SCHEMA::text, NEW.key_hash::text, NEW.key_id;
            EXECUTE format('SELECT EXISTS (SELECT 1 FROM %I.api_key_revoked_digests
                WHERE key_hash = $1)', TG_TABLE_SCHEMA) INTO gone USING NEW.key_hash::text;
            IF gone AND NEW.status <> 'revoked' THEN
                RAISE EXCEPTION 'a revoked key must stay revoked' USING ERRCODE = 'KS001';
            END IF;
        END IF;
        gone := NEW.key_id <> OLD.key_id;
    END IF;
    IF gone THEN
        IF OLD.status = 'revoked' THEN
            EXECUTE format('INSERT INTO %I.api_key_former_digests (key_hash, key_id)
                VALUES ($1, $2) ON CONFLICT DO NOTHING', TG_TABLE_SCHEMA)
            USING OLD.key_hash::text, OLD.key_id;
        END IF;
        EXECUTE format('INSERT INTO %I.api_key_deleted
                (key_id, version, revoked_at, revoke_reason, place, owner)
            VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING', TG_TABLE_SCHEMA)
        USING OLD.key_id, OLD.version + 1, OLD.revoked_at, OLD.revoke_reason, OLD.id,
            OLD.owner::text;
        EXECUTE note USING TG_TABLE_SCHEMA::text, 'deleted'::text, OLD.key_id, OLD.version + 1,
            NULL::text, NULL::jsonb;
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN NULL;
    END IF;
    -- If the further changes of the transaction share an event, their fields are not needed.
    EXECUTE format('SELECT key_id = ''*'' AND reason IS NULL FROM %I.api_key_events
        WHERE number < 0 ORDER BY number LIMIT 1', TG_TABLE_SCHEMA) INTO shared;
    IF shared THEN
        RETURN NULL;
    END IF;
    SELECT jsonb_agg(jsonb_build_object('field', after.key) ORDER BY after.key)
    INTO changes
    FROM jsonb_each(to_jsonb(NEW)) AS after
    WHERE after.key = ANY (columns)
        AND after.value IS DISTINCT FROM to_jsonb(OLD) -> after.key;
    EXECUTE note USING TG_TABLE_SCHEMA::text,
        CASE
            WHEN NEW.status = 'revoked' AND OLD.status <> 'revoked' THEN 'revoked'
            WHEN NEW.status = 'suspended' AND OLD.status = 'active' THEN 'suspended'
            WHEN NEW.status = 'active' AND OLD.status = 'suspended' THEN 'resumed'
            ELSE 'changed'
        END,
        NEW.key_id, NEW.version,
        CASE WHEN OLD.status <> 'revoked' THEN NEW.revoke_reason END, changes;
    RETURN NULL;
END
$$;

CREATE TRIGGER api_keys_changed AFTER UPDATE ON api_keys
FOR EACH ROW WHEN (OLD.key_id IS NOT NULL AND NEW.version <> OLD.version)
EXECUTE FUNCTION keystile_note_key();

CREATE TRIGGER api_keys_deleted AFTER DELETE ON api_keys
FOR EACH ROW WHEN (OLD.key_id IS NOT NULL)
EXECUTE FUNCTION keystile_note_key();

CREATE FUNCTION keystile_truncate_keys() RETURNS TRIGGER
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_WHEN = 'BEFORE' THEN
        EXECUTE format('INSERT INTO %1$I.api_key_former_digests (key_hash, key_id)
            SELECT key_hash, key_id FROM %1$I.api_keys WHERE status = ''revoked''
            ON CONFLICT DO NOTHING', TG_TABLE_SCHEMA);
        EXECUTE format('INSERT INTO %1$I.api_key_deleted
                (key_id, version, revoked_at, revoke_reason, place, owner)
            SELECT key_id, version + 1, revoked_at, revoke_reason, id, owner::text FROM %1$I.api_keys
            WHERE key_id IS NOT NULL
            ON CONFLICT DO NOTHING', TG_TABLE_SCHEMA);
    ELSE
        -- With a reason, since later rows of the transaction have events of their own.
        EXECUTE format('SELECT %I.keystile_note($1, $2, $3, NULL::bigint, $4, NULL::jsonb)',
            TG_TABLE_SCHEMA)
        USING TG_TABLE_SCHEMA::text, 'deleted'::text, '*'::text, 'the table was truncated'::text;
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER api_keys_truncating BEFORE TRUNCATE ON api_keys
FOR EACH STATEMENT EXECUTE FUNCTION keystile_truncate_keys();

CREATE TRIGGER api_keys_truncated AFTER TRUNCATE ON api_keys
FOR EACH STATEMENT EXECUTE FUNCTION keystile_truncate_keys();

-- Whether uses are counted, and that some were added, is a change of each key of the lineage.
-- Spending one is not. Without the row the keys cannot be read.
CREATE FUNCTION keystile_note_usage() RETURNS TRIGGER
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    k RECORD;
    noted BOOLEAN := FALSE;
BEGIN
    -- keystile writes the events and the versions itself: before this, it has written the event
    -- of the next version of one of the keys.
    IF TG_OP = 'UPDATE' THEN
        EXECUTE format('SELECT EXISTS (SELECT 1 FROM %1$I.api_keys k JOIN %1$I.api_key_events e
            ON e.key_id = k.key_id AND e.version = k.version + 1 WHERE k.lineage = $1)',
            TG_TABLE_SCHEMA) INTO noted USING OLD.lineage;
    END IF;
    IF noted THEN
        RETURN NULL;
    END IF;
    FOR k IN EXECUTE format('SELECT id, key_id, version + 1 AS version FROM %I.api_keys
        WHERE lineage = $1 ORDER BY id FOR NO KEY UPDATE', TG_TABLE_SCHEMA) USING OLD.lineage
    LOOP
        EXECUTE format('SELECT %I.keystile_note($1, $2, $3, $4, NULL::text, $5)',
            TG_TABLE_SCHEMA)
        USING TG_TABLE_SCHEMA::text, 'changed'::text, k.key_id, k.version, '[{"field": "remaining_uses"}]'::jsonb;
        EXECUTE format('UPDATE %I.api_keys SET version = $1 WHERE id = $2', TG_TABLE_SCHEMA)
        USING k.version, k.id;
    END LOOP;
    RETURN NULL;
END
$$;

CREATE TRIGGER api_key_usage_changed AFTER UPDATE ON api_key_usage
FOR EACH ROW WHEN (OLD.rate_state = NEW.rate_state AND (
    NEW.remaining_uses > OLD.remaining_uses
    OR (OLD.remaining_uses IS NULL) <> (NEW.remaining_uses IS NULL)))
EXECUTE FUNCTION keystile_note_usage();

CREATE TRIGGER api_key_usage_deleted AFTER DELETE ON api_key_usage
FOR EACH ROW EXECUTE FUNCTION keystile_note_usage();

-- Writes the schema's name in the functions that have static SQL, unless it has the placeholder in
-- it: then is_here stays false. If enable_seqscan was on, a plan that is made while a table has few
-- rows would be kept, and read the whole table for each row.
DO $$
DECLARE
    f RECORD;
BEGIN
    FOR f IN SELECT p.proname, p.prosrc FROM pg_proc p
        JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE n.nspname = current_schema() AND p.prosrc LIKE '%"@schema@"%'
            AND n.nspname NOT LIKE '%@schema@%'
    LOOP
        EXECUTE format('CREATE OR REPLACE FUNCTION %I() RETURNS TRIGGER
                LANGUAGE plpgsql SECURITY DEFINER
                SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS %L',
            f.proname,
            replace(replace(f.prosrc, '''@schema@''', quote_literal(current_schema())),
                '"@schema@"', quote_ident(current_schema())));
    END LOOP;
END
$$;

-- What the triggers above replace.
DROP TRIGGER api_keys_note_adopted ON api_keys;
DROP TRIGGER api_keys_note_revoked ON api_keys;
DROP TRIGGER api_keys_note_deleted ON api_keys;
DROP TRIGGER api_keys_notify_insert_delete ON api_keys;
DROP TRIGGER api_keys_notify_update ON api_keys;
DROP FUNCTION keystile_note_others();
DROP FUNCTION keystile_notify();

ALTER TABLE api_keys
    ENABLE ALWAYS TRIGGER api_keys_guard,
    ENABLE ALWAYS TRIGGER api_keys_inserting,
    ENABLE ALWAYS TRIGGER api_keys_inserted,
    ENABLE ALWAYS TRIGGER api_keys_changed,
    ENABLE ALWAYS TRIGGER api_keys_deleted,
    ENABLE ALWAYS TRIGGER api_keys_truncating,
    ENABLE ALWAYS TRIGGER api_keys_truncated;
ALTER TABLE api_key_usage
    ENABLE ALWAYS TRIGGER api_key_usage_changed,
    ENABLE ALWAYS TRIGGER api_key_usage_deleted;
ALTER TABLE api_key_events
    ENABLE ALWAYS TRIGGER api_key_events_number,
    ENABLE ALWAYS TRIGGER api_key_events_numbered;

-- The keys that are live, for code that knows only the columns of the application's table: not
-- revoked, suspended, expired, or replaced and past the overlap. What it does not check:
-- endpoints, networks, environments, limits and uses.
CREATE VIEW api_keys_live AS
SELECT id, key_hash, key_prefix, client_name, client_email, permissions, created_at,
    last_used_at, expires_at, is_active, rate_limit, metadata
FROM api_keys
WHERE key_id IS NOT NULL AND status = 'active' AND is_active
    -- An infinite instant cannot be read.
    AND (expires_at IS NULL
        OR (expires_at > statement_timestamp() AND expires_at < '10000-01-01 00:00:00+00'))
    AND CASE
        WHEN overlap_until IS NULL THEN replaced_by IS NULL
        ELSE overlap_until > statement_timestamp()
    END;

-- Requests to issue a key that had an idempotency key, for a day.
--
-- request is the SHA-256 digest of the idempotency key, and body that of what was asked for.
CREATE TABLE api_key_issue_requests (
    caller TEXT COLLATE "C" NOT NULL,
    request TEXT COLLATE "C" NOT NULL,
    body TEXT COLLATE "C" NOT NULL,
    key_id TEXT COLLATE "C" NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (caller, request)
);
CREATE INDEX api_key_issue_requests_at ON api_key_issue_requests (at);

-- Templates: named permissions, endpoints, limits and lifetimes that keys are issued from. No
-- decision reads them: a key has its own copy. former is a JSON array with what a template was
-- before, the latest last: a key that is like one of them has no rights of its own.
CREATE TABLE api_key_templates (
    name TEXT COLLATE "C" PRIMARY KEY,
    permissions JSONB NOT NULL,
    allowed_endpoints JSONB,
    rate_limit BIGINT,
    rate_window_ms BIGINT,
    rate_burst BIGINT,
    lifetime_ms BIGINT,
    former JSONB NOT NULL DEFAULT '[]',
    version BIGINT NOT NULL DEFAULT 1,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL
        DEFAULT date_trunc('milliseconds', statement_timestamp()),
    changed_at TIMESTAMP WITH TIME ZONE NOT NULL
        DEFAULT date_trunc('milliseconds', statement_timestamp())
);

-- Indexes of lists. Each has the number of the row after its column, so that a page continues where
-- the one before it ended. It is a sum, because the primary key orders rows by the number alone:
-- a planner that takes the rows of an owner for evenly spread would read all others before them.
--
-- An index of instants is of their number of milliseconds since 1970: NULL, which never comes,
-- is the largest number. An instant that is no valid one here, such as infinity, has the number 0,
-- and is compared in each list by the program that reads the row. The lists have these expressions
-- from this file.
DROP INDEX IF EXISTS api_keys_owner;
CREATE INDEX api_keys_of_owner ON api_keys (owner, (id + 0));
CREATE INDEX api_keys_of_client ON api_keys ((client_name::text COLLATE "C"), (id + 0));
CREATE INDEX api_keys_of_environment ON api_keys (environment, (id + 0)) WHERE environment IS NOT NULL;
CREATE INDEX api_keys_of_template ON api_keys (scope_type, (id + 0)) WHERE scope_type IS NOT NULL;
CREATE INDEX api_keys_ended ON api_keys (status, (id + 0)) WHERE status <> 'active';
CREATE INDEX api_keys_by_issue ON api_keys ((CASE
        WHEN created_at >= '1973-03-03 09:46:40+00' AND created_at < '10000-01-01 00:00:00+00'
        THEN (extract(epoch FROM date_trunc('milliseconds', created_at AT TIME ZONE 'UTC')) * 1000)::bigint
        ELSE 0
    END), (id + 0));
CREATE INDEX api_keys_by_end ON api_keys ((CASE
    WHEN status = 'revoked' THEN -1
    ELSE least(CASE
            WHEN expires_at IS NULL THEN 9223372036854775807
            WHEN expires_at >= '1973-03-03 09:46:40+00' AND expires_at < '10000-01-01 00:00:00+00'
            THEN (extract(epoch FROM date_trunc('milliseconds', expires_at AT TIME ZONE 'UTC')) * 1000)::bigint
            ELSE 0
        END, CASE
            WHEN overlap_until IS NULL THEN 9223372036854775807
            WHEN overlap_until >= '1973-03-03 09:46:40+00' AND overlap_until < '10000-01-01 00:00:00+00'
            THEN (extract(epoch FROM date_trunc('milliseconds', overlap_until AT TIME ZONE 'UTC')) * 1000)::bigint
            ELSE 0
        END)
END), (id + 0));
CREATE INDEX api_keys_replaced_by_end ON api_keys ((CASE
    WHEN status = 'revoked' THEN -1
    ELSE least(CASE
            WHEN expires_at IS NULL THEN 9223372036854775807
            WHEN expires_at >= '1973-03-03 09:46:40+00' AND expires_at < '10000-01-01 00:00:00+00'
            THEN (extract(epoch FROM date_trunc('milliseconds', expires_at AT TIME ZONE 'UTC')) * 1000)::bigint
            ELSE 0
        END, CASE
            WHEN overlap_until IS NULL THEN 9223372036854775807
            WHEN overlap_until >= '1973-03-03 09:46:40+00' AND overlap_until < '10000-01-01 00:00:00+00'
            THEN (extract(epoch FROM date_trunc('milliseconds', overlap_until AT TIME ZONE 'UTC')) * 1000)::bigint
            ELSE 0
        END)
END), (id + 0))
    WHERE status = 'active' AND replaced_by IS NOT NULL;

INSERT INTO keystile_migrations (version, name) VALUES (3, '0003_changes');
