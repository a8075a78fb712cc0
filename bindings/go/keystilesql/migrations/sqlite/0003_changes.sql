-- Changes by other code: each of them increments the version of the record and leaves an
-- event, so that every process is notified of it.
--
-- keystile writes the event of a change before the change, with the version that the record
-- then has. A change without such an event is by other code. What no trigger sees: a row that
-- INSERT OR REPLACE removes because of a UNIQUE constraint that is not in these files.

ALTER TABLE api_key_events ADD COLUMN version INTEGER;
-- Who did it, and from which address or host. Other code is 'sqlite': SQLite has no users.
ALTER TABLE api_key_events ADD COLUMN actor TEXT;
ALTER TABLE api_key_events ADD COLUMN origin TEXT;
-- What was changed: a JSON array of objects that have a "field".
ALTER TABLE api_key_events ADD COLUMN changes TEXT;

-- Events are listed and removed by their time.
CREATE INDEX api_key_events_at ON api_key_events (at);

-- The length of life that a key was given; NULL is from its beginning to its end. The key that
-- it is derived from, and that key's lineage. The key whose suspension suspended it.
ALTER TABLE api_keys ADD COLUMN lifetime_ms INTEGER;
ALTER TABLE api_keys ADD COLUMN derived_from TEXT;
ALTER TABLE api_keys ADD COLUMN derived_lineage TEXT;
ALTER TABLE api_keys ADD COLUMN suspended_with TEXT;
CREATE INDEX api_keys_derived ON api_keys (derived_lineage) WHERE derived_lineage IS NOT NULL;

-- The keys whose rows were deleted. If a row with such an id is inserted again, its versions
-- continue after the last one, and a revoked key stays revoked. place is the number of the row:
-- a list that ended with it continues there. owner is the last one: its events are still for
-- that owner. lost is 1 if a restore of a backup removed the row, and no one deleted the key.
CREATE TABLE api_key_deleted (
    key_id TEXT PRIMARY KEY NOT NULL,
    version INTEGER NOT NULL,
    revoked_at TEXT,
    revoke_reason TEXT,
    place INTEGER,
    owner TEXT,
    lost INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX api_key_deleted_owner ON api_key_deleted (owner) WHERE owner IS NOT NULL;

-- The digests that a key had before its current one, and the last digests of revoked keys
-- whose rows were deleted.
CREATE TABLE api_key_former_digests (
    key_hash TEXT PRIMARY KEY NOT NULL,
    key_id TEXT NOT NULL
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

-- The events of changes by other code are inserted into this view. The first 1,000 rows that a
-- statement changes have an event each. All others have one in common, whose key_id is '*': it
-- invalidates everything. For each further row it gets the next number, in case a reader has
-- seen it already. The rows of a statement have the same time, since 'now' does not change
-- during a statement.
CREATE VIEW api_key_notes AS
SELECT kind, key_id, version, reason, changes FROM api_key_events WHERE 0;

CREATE TRIGGER api_key_notes_written INSTEAD OF INSERT ON api_key_notes
BEGIN
    UPDATE api_key_events SET number = number + 1
    WHERE number = (SELECT max(number) FROM api_key_events)
        AND key_id = '*' AND at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now');
    INSERT INTO api_key_events (kind, key_id, at, version, reason, actor, changes)
    SELECT NEW.kind, iif(shared, '*', NEW.key_id), now, iif(shared, NULL, NEW.version),
        iif(shared, NULL, NEW.reason), 'sqlite', iif(shared, NULL, NEW.changes)
    FROM (
        SELECT now, EXISTS (SELECT 1 FROM api_key_events
            WHERE number = last - 999 AND at = now AND actor = 'sqlite') AS shared
        FROM (
            SELECT max(number) AS last, strftime('%Y-%m-%dT%H:%M:%fZ', 'now') AS now
            FROM api_key_events
        )
        WHERE NOT EXISTS (SELECT 1 FROM api_key_events
            WHERE number = last AND at = now AND key_id = '*')
    );
END;

-- As before, but other code may omit the time and the reason of a revocation, which
-- api_keys_changed then fills in.
DROP TRIGGER api_keys_revocation_stands;
CREATE TRIGGER api_keys_revocation_stands BEFORE UPDATE ON api_keys
WHEN (OLD.status = 'revoked' AND (NEW.status IS NOT 'revoked'
        OR (OLD.revoked_at IS NOT NULL AND NEW.revoked_at IS NOT OLD.revoked_at)
        OR (OLD.revoke_reason IS NOT NULL AND NEW.revoke_reason IS NOT OLD.revoke_reason)))
    OR (NEW.status <> 'active' AND NEW.is_active IS NOT 0)
BEGIN
    SELECT RAISE(ABORT, 'a revoked key must stay revoked, and is_active must be false unless status is active');
END;

DROP TRIGGER api_keys_changed_by_others;

-- Other code revokes by is_active too, and may omit the time and the reason.
CREATE TRIGGER api_keys_changed AFTER UPDATE OF
    key_id, key_hash, digest_pepper, key_prefix, client_name, client_email, owner, environment,
    permissions, allowed_endpoints, allowed_networks, rate_limit, rate_window_ms, rate_burst,
    scope_type, metadata, created_at, expires_at, is_active, status, revoked_at, revoke_reason,
    lineage, replaced_by, overlap_until, ends_at_first_use, lifetime_ms, derived_from,
    derived_lineage, suspended_with, version
ON api_keys
WHEN OLD.key_id IS NOT NULL AND (
    (NEW.version = OLD.version AND (
        NEW.key_id COLLATE BINARY IS NOT OLD.key_id
        OR NEW.key_hash COLLATE BINARY IS NOT OLD.key_hash
        OR NEW.digest_pepper COLLATE BINARY IS NOT OLD.digest_pepper
        OR NEW.key_prefix COLLATE BINARY IS NOT OLD.key_prefix
        OR NEW.client_name COLLATE BINARY IS NOT OLD.client_name
        OR NEW.client_email COLLATE BINARY IS NOT OLD.client_email
        OR NEW.owner COLLATE BINARY IS NOT OLD.owner
        OR NEW.environment COLLATE BINARY IS NOT OLD.environment
        OR NEW.permissions COLLATE BINARY IS NOT OLD.permissions
        OR NEW.allowed_endpoints COLLATE BINARY IS NOT OLD.allowed_endpoints
        OR NEW.allowed_networks COLLATE BINARY IS NOT OLD.allowed_networks
        OR NEW.rate_limit COLLATE BINARY IS NOT OLD.rate_limit
        OR NEW.rate_window_ms COLLATE BINARY IS NOT OLD.rate_window_ms
        OR NEW.rate_burst COLLATE BINARY IS NOT OLD.rate_burst
        OR NEW.scope_type COLLATE BINARY IS NOT OLD.scope_type
        OR NEW.metadata COLLATE BINARY IS NOT OLD.metadata
        OR NEW.created_at COLLATE BINARY IS NOT OLD.created_at
        OR NEW.expires_at COLLATE BINARY IS NOT OLD.expires_at
        OR NEW.is_active COLLATE BINARY IS NOT OLD.is_active
        OR NEW.status COLLATE BINARY IS NOT OLD.status
        OR NEW.revoked_at COLLATE BINARY IS NOT OLD.revoked_at
        OR NEW.revoke_reason COLLATE BINARY IS NOT OLD.revoke_reason
        OR NEW.lineage COLLATE BINARY IS NOT OLD.lineage
        OR NEW.replaced_by COLLATE BINARY IS NOT OLD.replaced_by
        OR NEW.overlap_until COLLATE BINARY IS NOT OLD.overlap_until
        OR NEW.ends_at_first_use COLLATE BINARY IS NOT OLD.ends_at_first_use
        OR NEW.lifetime_ms COLLATE BINARY IS NOT OLD.lifetime_ms
        OR NEW.derived_from COLLATE BINARY IS NOT OLD.derived_from
        OR NEW.derived_lineage COLLATE BINARY IS NOT OLD.derived_lineage
        OR NEW.suspended_with COLLATE BINARY IS NOT OLD.suspended_with
    ))
    OR (NEW.version <> OLD.version AND NOT EXISTS (SELECT 1 FROM api_key_events
        WHERE key_id = NEW.key_id AND version = NEW.version))
)
BEGIN
    INSERT INTO api_key_notes (kind, key_id, version)
    SELECT 'deleted', OLD.key_id, OLD.version + 1 WHERE NEW.key_id <> OLD.key_id;
    INSERT INTO api_key_notes (kind, key_id, version, reason, changes)
    SELECT
        CASE
            WHEN revoked AND OLD.status <> 'revoked' THEN 'revoked'
            WHEN NEW.status = 'suspended' AND OLD.status = 'active' THEN 'suspended'
            WHEN NEW.status = 'active' AND OLD.status = 'suspended' THEN 'resumed'
            ELSE 'changed'
        END,
        NEW.key_id,
        max(NEW.version, OLD.version + 1),
        iif(revoked AND OLD.status <> 'revoked', coalesce(NEW.revoke_reason,
            iif(NEW.status = 'revoked', 'unspecified', 'is_active was cleared')), NULL),
        nullif('[' || substr(
        CASE WHEN NEW.key_id COLLATE BINARY IS NOT OLD.key_id
            THEN ',{"field":"key_id"}' ELSE '' END ||
        CASE WHEN NEW.key_hash COLLATE BINARY IS NOT OLD.key_hash
            THEN ',{"field":"key_hash"}' ELSE '' END ||
        CASE WHEN NEW.digest_pepper COLLATE BINARY IS NOT OLD.digest_pepper
            THEN ',{"field":"digest_pepper"}' ELSE '' END ||
        CASE WHEN NEW.key_prefix COLLATE BINARY IS NOT OLD.key_prefix
            THEN ',{"field":"key_prefix"}' ELSE '' END ||
        CASE WHEN NEW.client_name COLLATE BINARY IS NOT OLD.client_name
            THEN ',{"field":"client_name"}' ELSE '' END ||
        CASE WHEN NEW.client_email COLLATE BINARY IS NOT OLD.client_email
            THEN ',{"field":"client_email"}' ELSE '' END ||
        CASE WHEN NEW.owner COLLATE BINARY IS NOT OLD.owner
            THEN ',{"field":"owner"}' ELSE '' END ||
        CASE WHEN NEW.environment COLLATE BINARY IS NOT OLD.environment
            THEN ',{"field":"environment"}' ELSE '' END ||
        CASE WHEN NEW.permissions COLLATE BINARY IS NOT OLD.permissions
            THEN ',{"field":"permissions"}' ELSE '' END ||
        CASE WHEN NEW.allowed_endpoints COLLATE BINARY IS NOT OLD.allowed_endpoints
            THEN ',{"field":"allowed_endpoints"}' ELSE '' END ||
        CASE WHEN NEW.allowed_networks COLLATE BINARY IS NOT OLD.allowed_networks
            THEN ',{"field":"allowed_networks"}' ELSE '' END ||
        CASE WHEN NEW.rate_limit COLLATE BINARY IS NOT OLD.rate_limit
            THEN ',{"field":"rate_limit"}' ELSE '' END ||
        CASE WHEN NEW.rate_window_ms COLLATE BINARY IS NOT OLD.rate_window_ms
            THEN ',{"field":"rate_window_ms"}' ELSE '' END ||
        CASE WHEN NEW.rate_burst COLLATE BINARY IS NOT OLD.rate_burst
            THEN ',{"field":"rate_burst"}' ELSE '' END ||
        CASE WHEN NEW.scope_type COLLATE BINARY IS NOT OLD.scope_type
            THEN ',{"field":"scope_type"}' ELSE '' END ||
        CASE WHEN NEW.metadata COLLATE BINARY IS NOT OLD.metadata
            THEN ',{"field":"metadata"}' ELSE '' END ||
        CASE WHEN NEW.created_at COLLATE BINARY IS NOT OLD.created_at
            THEN ',{"field":"created_at"}' ELSE '' END ||
        CASE WHEN NEW.expires_at COLLATE BINARY IS NOT OLD.expires_at
            THEN ',{"field":"expires_at"}' ELSE '' END ||
        CASE WHEN NEW.is_active COLLATE BINARY IS NOT OLD.is_active
            THEN ',{"field":"is_active"}' ELSE '' END ||
        CASE WHEN NEW.status COLLATE BINARY IS NOT OLD.status
            THEN ',{"field":"status"}' ELSE '' END ||
        CASE WHEN NEW.revoked_at COLLATE BINARY IS NOT OLD.revoked_at
            THEN ',{"field":"revoked_at"}' ELSE '' END ||
        CASE WHEN NEW.revoke_reason COLLATE BINARY IS NOT OLD.revoke_reason
            THEN ',{"field":"revoke_reason"}' ELSE '' END ||
        CASE WHEN NEW.lineage COLLATE BINARY IS NOT OLD.lineage
            THEN ',{"field":"lineage"}' ELSE '' END ||
        CASE WHEN NEW.replaced_by COLLATE BINARY IS NOT OLD.replaced_by
            THEN ',{"field":"replaced_by"}' ELSE '' END ||
        CASE WHEN NEW.overlap_until COLLATE BINARY IS NOT OLD.overlap_until
            THEN ',{"field":"overlap_until"}' ELSE '' END ||
        CASE WHEN NEW.ends_at_first_use COLLATE BINARY IS NOT OLD.ends_at_first_use
            THEN ',{"field":"ends_at_first_use"}' ELSE '' END ||
        CASE WHEN NEW.lifetime_ms COLLATE BINARY IS NOT OLD.lifetime_ms
            THEN ',{"field":"lifetime_ms"}' ELSE '' END ||
        CASE WHEN NEW.derived_from COLLATE BINARY IS NOT OLD.derived_from
            THEN ',{"field":"derived_from"}' ELSE '' END ||
        CASE WHEN NEW.derived_lineage COLLATE BINARY IS NOT OLD.derived_lineage
            THEN ',{"field":"derived_lineage"}' ELSE '' END ||
        CASE WHEN NEW.suspended_with COLLATE BINARY IS NOT OLD.suspended_with
            THEN ',{"field":"suspended_with"}' ELSE '' END,
        2) || ']', '[]')
    FROM (SELECT NEW.status = 'revoked' OR (NEW.status = 'active' AND NEW.is_active IS NOT 1)
        AS revoked);
    UPDATE api_keys SET
        version = max(NEW.version, OLD.version + 1),
        status = 'revoked',
        revoked_at = coalesce(NEW.revoked_at, strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
        revoke_reason = coalesce(NEW.revoke_reason,
            iif(NEW.status = 'revoked', 'unspecified', 'is_active was cleared')),
        is_active = 0
    WHERE rowid = NEW.rowid AND OLD.status <> 'revoked'
        AND (NEW.status = 'revoked' OR (NEW.status = 'active' AND NEW.is_active IS NOT 1));
    UPDATE api_keys SET version = max(NEW.version, OLD.version + 1)
    WHERE rowid = NEW.rowid AND version = OLD.version;
END;

CREATE TRIGGER api_keys_digest_changed AFTER UPDATE OF key_hash, key_id ON api_keys
WHEN OLD.key_id IS NOT NULL AND (NEW.key_hash COLLATE BINARY IS NOT OLD.key_hash
    OR NEW.key_id <> OLD.key_id)
BEGIN
    INSERT INTO api_key_former_digests (key_hash, key_id)
    SELECT OLD.key_hash, NEW.key_id
    WHERE NOT EXISTS (SELECT 1 FROM api_key_former_digests WHERE key_hash = OLD.key_hash);
    INSERT INTO api_key_deleted (key_id, version, revoked_at, revoke_reason, place, owner)
    SELECT OLD.key_id, OLD.version + 1, OLD.revoked_at, OLD.revoke_reason, OLD.rowid,
        OLD.owner
    WHERE NEW.key_id <> OLD.key_id
        AND NOT EXISTS (SELECT 1 FROM api_key_deleted WHERE key_id = OLD.key_id);
END;

-- UPDATE OR REPLACE would remove another key without an event. keystile gets a conflict from the
-- constraint itself. A row's number has more names than id, so no columns are named.
CREATE TRIGGER api_keys_not_taken BEFORE UPDATE ON api_keys
WHEN (NEW.rowid <> OLD.rowid OR NEW.key_hash COLLATE BINARY IS NOT OLD.key_hash
        OR NEW.key_id COLLATE BINARY IS NOT OLD.key_id)
    AND (NEW.version = OLD.version OR NOT EXISTS (SELECT 1 FROM api_key_events
        WHERE key_id = NEW.key_id AND version = NEW.version))
    AND EXISTS (SELECT 1 FROM api_keys WHERE rowid <> OLD.rowid
        AND (rowid = NEW.rowid OR key_hash = NEW.key_hash OR key_id = NEW.key_id))
BEGIN
    SELECT RAISE(ABORT, 'another key has this number, key_hash or key_id');
END;

CREATE TRIGGER api_keys_digest_stays_revoked BEFORE UPDATE OF key_hash ON api_keys
WHEN NEW.key_hash COLLATE BINARY IS NOT OLD.key_hash AND NEW.status <> 'revoked'
    AND EXISTS (SELECT 1 FROM api_key_revoked_digests WHERE key_hash = NEW.key_hash)
BEGIN
    SELECT RAISE(ABORT, 'a revoked key must stay revoked');
END;

CREATE TRIGGER api_keys_deleted AFTER DELETE ON api_keys
WHEN OLD.key_id IS NOT NULL
BEGIN
    INSERT INTO api_key_former_digests (key_hash, key_id)
    SELECT OLD.key_hash, OLD.key_id
    WHERE OLD.status = 'revoked'
        AND NOT EXISTS (SELECT 1 FROM api_key_former_digests WHERE key_hash = OLD.key_hash);
    INSERT INTO api_key_deleted (key_id, version, revoked_at, revoke_reason, place, owner)
    SELECT OLD.key_id, OLD.version + 1, OLD.revoked_at, OLD.revoke_reason, OLD.rowid,
        OLD.owner
    WHERE NOT EXISTS (SELECT 1 FROM api_key_deleted WHERE key_id = OLD.key_id);
    INSERT INTO api_key_notes (kind, key_id, version)
    SELECT 'deleted', OLD.key_id, OLD.version + 1
    WHERE NOT EXISTS (SELECT 1 FROM api_key_events
        WHERE key_id = OLD.key_id AND version = OLD.version + 1);
END;

-- INSERT OR REPLACE removes rows, and fires no DELETE trigger unless the connection has set
-- recursive_triggers. So the rows that it may remove are noted before: those that are missing
-- afterwards were removed.
CREATE TABLE api_key_replaced (
    key_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    place INTEGER NOT NULL,
    owner TEXT
);

DROP TRIGGER api_keys_revoked_not_replaced;

CREATE TRIGGER api_keys_inserting BEFORE INSERT ON api_keys
BEGIN
    SELECT RAISE(ABORT, 'a revoked key must not be inserted again')
    WHERE EXISTS (SELECT 1 FROM api_keys
        WHERE (key_hash = NEW.key_hash OR key_id = NEW.key_id OR rowid = NEW.rowid)
            AND status = 'revoked');
    DELETE FROM api_key_replaced;
    INSERT INTO api_key_replaced (key_id, version, place, owner)
    SELECT key_id, version, rowid, owner FROM api_keys
    WHERE key_hash = NEW.key_hash OR key_id = NEW.key_id OR rowid = NEW.rowid;
END;

DROP TRIGGER api_keys_adopted;

-- A key that other code inserts is adopted in the same way as in the first migration. Its id
-- is random, since the number of a deleted row can occur again, and an id must not.
CREATE TRIGGER api_keys_inserted AFTER INSERT ON api_keys
BEGIN
    INSERT INTO api_key_notes (kind, key_id, version)
    SELECT 'deleted', key_id, version + 1 FROM api_key_replaced replaced
    WHERE NOT EXISTS (SELECT 1 FROM api_keys k WHERE k.key_id = replaced.key_id)
        AND NOT EXISTS (SELECT 1 FROM api_key_deleted d WHERE d.key_id = replaced.key_id);
    INSERT INTO api_key_deleted (key_id, version, place, owner)
    SELECT key_id, version + 1, place, owner FROM api_key_replaced replaced
    WHERE NOT EXISTS (SELECT 1 FROM api_key_deleted d WHERE d.key_id = replaced.key_id);

    UPDATE api_keys SET lineage = '1' || substr(hex(randomblob(8)), 1, 15)
    WHERE rowid = NEW.rowid AND key_id IS NULL;
    INSERT INTO api_key_usage (lineage)
    SELECT lineage FROM api_keys WHERE rowid = NEW.rowid AND key_id IS NULL;
    UPDATE api_keys SET
        key_id = lineage,
        created_at = coalesce(created_at, strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
        is_active = coalesce(is_active, 0),
        status = CASE coalesce(is_active, 0) WHEN 1 THEN 'active' WHEN 0 THEN 'revoked' END,
        revoked_at = CASE WHEN coalesce(is_active, 0) = 0
            THEN strftime('%Y-%m-%dT%H:%M:%fZ', 'now') END,
        revoke_reason = CASE WHEN coalesce(is_active, 0) = 0
            THEN 'inactive when it was adopted' END,
        rate_limit = coalesce(rate_limit, 1000),
        rate_window_ms = 3600000
    WHERE rowid = NEW.rowid AND key_id IS NULL;

    -- A key that was deleted continues its versions.
    INSERT INTO api_key_notes (kind, key_id, version)
    SELECT 'imported', k.key_id, max(k.version, coalesce(deleted.version + 1, 0))
    FROM api_keys k LEFT JOIN api_key_deleted deleted ON deleted.key_id = k.key_id
    WHERE k.rowid = NEW.rowid AND (deleted.version >= k.version
        OR NOT EXISTS (SELECT 1 FROM api_key_events
            WHERE (key_id = k.key_id AND version = k.version)
                OR (successor = k.key_id AND k.version = 1)));
    UPDATE api_keys SET version = 1 + (SELECT deleted.version FROM api_key_deleted deleted
        WHERE deleted.key_id = api_keys.key_id)
    WHERE rowid = NEW.rowid AND version <= (SELECT deleted.version
        FROM api_key_deleted deleted WHERE deleted.key_id = api_keys.key_id);

    -- A key that was revoked is stored as revoked.
    UPDATE api_keys SET
        status = 'revoked',
        is_active = 0,
        revoked_at = (SELECT revoked_at FROM api_key_revoked_digests
            WHERE key_hash = NEW.key_hash
            UNION ALL SELECT revoked_at FROM api_key_deleted WHERE key_id = NEW.key_id),
        revoke_reason = (SELECT revoke_reason FROM api_key_revoked_digests
            WHERE key_hash = NEW.key_hash
            UNION ALL SELECT revoke_reason FROM api_key_deleted WHERE key_id = NEW.key_id)
    WHERE rowid = NEW.rowid AND status <> 'revoked' AND (
        EXISTS (SELECT 1 FROM api_key_revoked_digests WHERE key_hash = NEW.key_hash)
        OR EXISTS (SELECT 1 FROM api_key_deleted
            WHERE key_id = NEW.key_id AND revoked_at IS NOT NULL));
    DELETE FROM api_key_deleted WHERE key_id = NEW.key_id;
    DELETE FROM api_key_replaced;
END;

-- Whether uses are counted, and that some were added, is a change of each key of the lineage.
-- Spending one is not. keystile writes the events and the versions itself: before this, it has
-- written the event of the next version of one of the keys.
CREATE TRIGGER api_key_usage_changed AFTER UPDATE OF remaining_uses ON api_key_usage
WHEN OLD.rate_state = NEW.rate_state AND (NEW.remaining_uses > OLD.remaining_uses
    OR (OLD.remaining_uses IS NULL) <> (NEW.remaining_uses IS NULL))
    AND NOT EXISTS (SELECT 1 FROM api_keys k JOIN api_key_events e
        ON e.key_id = k.key_id AND e.version = k.version + 1 WHERE k.lineage = NEW.lineage)
BEGIN
    INSERT INTO api_key_notes (kind, key_id, version, changes)
    SELECT 'changed', key_id, version + 1, '[{"field":"remaining_uses"}]'
    FROM api_keys WHERE lineage = NEW.lineage;
    UPDATE api_keys SET version = version + 1 WHERE lineage = NEW.lineage;
END;

-- Without its row the keys of a lineage cannot be read. INSERT OR REPLACE replaces it.
CREATE TRIGGER api_key_usage_deleted AFTER DELETE ON api_key_usage
BEGIN
    INSERT INTO api_key_notes (kind, key_id, version, changes)
    SELECT 'changed', key_id, version + 1, '[{"field":"remaining_uses"}]'
    FROM api_keys WHERE lineage = OLD.lineage;
    UPDATE api_keys SET version = version + 1 WHERE lineage = OLD.lineage;
END;

CREATE TRIGGER api_key_usage_inserted AFTER INSERT ON api_key_usage
BEGIN
    INSERT INTO api_key_notes (kind, key_id, version, changes)
    SELECT 'changed', key_id, version + 1, '[{"field":"remaining_uses"}]'
    FROM api_keys WHERE lineage = NEW.lineage AND key_id IS NOT NULL;
    UPDATE api_keys SET version = version + 1
    WHERE lineage = NEW.lineage AND key_id IS NOT NULL;
END;

-- The keys that are live, for code that knows only the columns of the application's table: not
-- revoked, suspended, expired, or replaced and past the overlap. An instant that cannot be read
-- is not in the future. What it does not check: endpoints, networks, environments, limits and
-- uses.
CREATE VIEW api_keys_live AS
SELECT rowid AS id, key_hash, key_prefix, client_name, client_email, permissions, created_at,
    last_used_at, expires_at, is_active, rate_limit, metadata
FROM api_keys
WHERE key_id IS NOT NULL AND status = 'active' AND is_active = 1
    AND (expires_at IS NULL OR (typeof(expires_at) = 'text'
        AND julianday(expires_at) > julianday('now')))
    AND CASE
        WHEN overlap_until IS NULL THEN replaced_by IS NULL
        ELSE typeof(overlap_until) = 'text' AND julianday(overlap_until) > julianday('now')
    END;

-- Requests to issue a key that had an idempotency key, for a day.
--
-- request is the SHA-256 digest of the idempotency key, and body that of what was asked for.
CREATE TABLE api_key_issue_requests (
    caller TEXT NOT NULL,
    request TEXT NOT NULL,
    body TEXT NOT NULL,
    key_id TEXT NOT NULL,
    at TEXT NOT NULL,
    PRIMARY KEY (caller, request)
);
CREATE INDEX api_key_issue_requests_at ON api_key_issue_requests (at);

-- Templates: named permissions, endpoints, limits and lifetimes that keys are issued from. No
-- decision reads them: a key has its own copy. former is a JSON array with what a template was
-- before, the latest last: a key that is like one of them has no rights of its own.
CREATE TABLE api_key_templates (
    name TEXT PRIMARY KEY NOT NULL,
    permissions TEXT NOT NULL,
    allowed_endpoints TEXT,
    rate_limit INTEGER,
    rate_window_ms INTEGER,
    rate_burst INTEGER,
    lifetime_ms INTEGER,
    former TEXT NOT NULL DEFAULT '[]',
    version INTEGER NOT NULL DEFAULT 1,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    changed_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
);

-- Indexes of lists. Each has the number of the row after its column, which SQLite adds, so that a
-- page continues where the one before it ended.
--
-- An index of instants is of their number of milliseconds since 1970: NULL, which never comes,
-- is the largest number. An instant in a form that is not in its expression has the number 0, and
-- is compared in each list by the program that reads the row. The lists have these expressions
-- from this file.
DROP INDEX IF EXISTS api_keys_owner;
CREATE INDEX api_keys_of_owner ON api_keys (owner);
CREATE INDEX api_keys_of_client ON api_keys (client_name COLLATE BINARY);
CREATE INDEX api_keys_of_environment ON api_keys (environment) WHERE environment IS NOT NULL;
CREATE INDEX api_keys_of_template ON api_keys (scope_type) WHERE scope_type IS NOT NULL;
CREATE INDEX api_keys_ended ON api_keys (status) WHERE status <> 'active';
CREATE INDEX api_keys_by_issue ON api_keys (CASE
        WHEN typeof(created_at) = 'text' AND length(CAST(created_at AS BLOB)) = length(created_at)
            AND substr(created_at, 1, 19) GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9][ T][0-9][0-9]:[0-9][0-9]:[0-9][0-9]'
            AND substr(created_at, 1, 10) > '1973-03-03'
            AND strftime('%Y-%m-%d%H:%M:%S', substr(created_at, 1, 19))
                = substr(created_at, 1, 10) || substr(created_at, 12, 8)
            AND (substr(created_at, 20) IN ('', 'Z', '+00:00')
                OR substr(created_at, 20) GLOB '.[0-9][0-9][0-9]Z'
                OR substr(created_at, 20) GLOB '.[0-9][0-9][0-9][0-9][0-9][0-9]'
                OR substr(created_at, 20) GLOB '.[0-9][0-9][0-9][0-9][0-9][0-9]+00:00')
        THEN strftime('%s', substr(created_at, 1, 19)) * 1000 + CAST(substr(created_at, 21, 3) AS INTEGER)
        ELSE 0
    END);
CREATE INDEX api_keys_by_end ON api_keys (CASE
    WHEN status = 'revoked' THEN -1
    ELSE min(CASE
            WHEN expires_at IS NULL THEN 9223372036854775807
            WHEN typeof(expires_at) = 'text' AND length(CAST(expires_at AS BLOB)) = length(expires_at)
                AND substr(expires_at, 1, 19) GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9][ T][0-9][0-9]:[0-9][0-9]:[0-9][0-9]'
                AND substr(expires_at, 1, 10) > '1973-03-03'
                AND strftime('%Y-%m-%d%H:%M:%S', substr(expires_at, 1, 19))
                    = substr(expires_at, 1, 10) || substr(expires_at, 12, 8)
                AND (substr(expires_at, 20) IN ('', 'Z', '+00:00')
                    OR substr(expires_at, 20) GLOB '.[0-9][0-9][0-9]Z'
                    OR substr(expires_at, 20) GLOB '.[0-9][0-9][0-9][0-9][0-9][0-9]'
                    OR substr(expires_at, 20) GLOB '.[0-9][0-9][0-9][0-9][0-9][0-9]+00:00')
            THEN strftime('%s', substr(expires_at, 1, 19)) * 1000 + CAST(substr(expires_at, 21, 3) AS INTEGER)
            ELSE 0
        END, CASE
            WHEN overlap_until IS NULL THEN 9223372036854775807
            WHEN typeof(overlap_until) = 'text' AND length(CAST(overlap_until AS BLOB)) = length(overlap_until)
                AND substr(overlap_until, 1, 19) GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9][ T][0-9][0-9]:[0-9][0-9]:[0-9][0-9]'
                AND substr(overlap_until, 1, 10) > '1973-03-03'
                AND strftime('%Y-%m-%d%H:%M:%S', substr(overlap_until, 1, 19))
                    = substr(overlap_until, 1, 10) || substr(overlap_until, 12, 8)
                AND (substr(overlap_until, 20) IN ('', 'Z', '+00:00')
                    OR substr(overlap_until, 20) GLOB '.[0-9][0-9][0-9]Z'
                    OR substr(overlap_until, 20) GLOB '.[0-9][0-9][0-9][0-9][0-9][0-9]'
                    OR substr(overlap_until, 20) GLOB '.[0-9][0-9][0-9][0-9][0-9][0-9]+00:00')
            THEN strftime('%s', substr(overlap_until, 1, 19)) * 1000 + CAST(substr(overlap_until, 21, 3) AS INTEGER)
            ELSE 0
        END)
END);
CREATE INDEX api_keys_replaced_by_end ON api_keys (CASE
    WHEN status = 'revoked' THEN -1
    ELSE min(CASE
            WHEN expires_at IS NULL THEN 9223372036854775807
            WHEN typeof(expires_at) = 'text' AND length(CAST(expires_at AS BLOB)) = length(expires_at)
                AND substr(expires_at, 1, 19) GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9][ T][0-9][0-9]:[0-9][0-9]:[0-9][0-9]'
                AND substr(expires_at, 1, 10) > '1973-03-03'
                AND strftime('%Y-%m-%d%H:%M:%S', substr(expires_at, 1, 19))
                    = substr(expires_at, 1, 10) || substr(expires_at, 12, 8)
                AND (substr(expires_at, 20) IN ('', 'Z', '+00:00')
                    OR substr(expires_at, 20) GLOB '.[0-9][0-9][0-9]Z'
                    OR substr(expires_at, 20) GLOB '.[0-9][0-9][0-9][0-9][0-9][0-9]'
                    OR substr(expires_at, 20) GLOB '.[0-9][0-9][0-9][0-9][0-9][0-9]+00:00')
            THEN strftime('%s', substr(expires_at, 1, 19)) * 1000 + CAST(substr(expires_at, 21, 3) AS INTEGER)
            ELSE 0
        END, CASE
            WHEN overlap_until IS NULL THEN 9223372036854775807
            WHEN typeof(overlap_until) = 'text' AND length(CAST(overlap_until AS BLOB)) = length(overlap_until)
                AND substr(overlap_until, 1, 19) GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9][ T][0-9][0-9]:[0-9][0-9]:[0-9][0-9]'
                AND substr(overlap_until, 1, 10) > '1973-03-03'
                AND strftime('%Y-%m-%d%H:%M:%S', substr(overlap_until, 1, 19))
                    = substr(overlap_until, 1, 10) || substr(overlap_until, 12, 8)
                AND (substr(overlap_until, 20) IN ('', 'Z', '+00:00')
                    OR substr(overlap_until, 20) GLOB '.[0-9][0-9][0-9]Z'
                    OR substr(overlap_until, 20) GLOB '.[0-9][0-9][0-9][0-9][0-9][0-9]'
                    OR substr(overlap_until, 20) GLOB '.[0-9][0-9][0-9][0-9][0-9][0-9]+00:00')
            THEN strftime('%s', substr(overlap_until, 1, 19)) * 1000 + CAST(substr(overlap_until, 21, 3) AS INTEGER)
            ELSE 0
        END)
END)
    WHERE status = 'active' AND replaced_by IS NOT NULL;

INSERT INTO keystile_migrations (version, name) VALUES (3, '0003_changes');
