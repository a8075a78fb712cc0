-- Guards that apply to every writer: keystile, an older program that knows only its own
-- columns, or a person at a prompt.

-- A revoked key stays revoked, with its instant and reason; and is_active is true only if
-- the status is active.
CREATE TRIGGER api_keys_revocation_stands BEFORE UPDATE ON api_keys
WHEN (OLD.status = 'revoked' AND (NEW.status IS NOT 'revoked'
        OR NEW.revoked_at IS NOT OLD.revoked_at
        OR NEW.revoke_reason IS NOT OLD.revoke_reason))
    OR (NEW.status <> 'active' AND NEW.is_active IS NOT 0)
BEGIN
    SELECT RAISE(ABORT, 'a revoked key must stay revoked, and is_active must be false unless status is active');
END;

CREATE TRIGGER api_keys_version_grows BEFORE UPDATE ON api_keys
WHEN NEW.version < OLD.version
BEGIN
    SELECT RAISE(ABORT, 'version must not decrease');
END;

-- A change by other code increments the version, so that a change by keystile on the record
-- before it is refused as stale. Other code revokes by is_active.
CREATE TRIGGER api_keys_changed_by_others
AFTER UPDATE OF key_hash, client_name, client_email, permissions, expires_at, is_active,
    rate_limit, metadata ON api_keys
WHEN NEW.version = OLD.version AND OLD.key_id IS NOT NULL
BEGIN
    INSERT INTO api_key_events (kind, key_id, at, reason)
    SELECT 'revoked', NEW.key_id, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), 'is_active was cleared'
    WHERE NEW.status = 'active' AND NEW.is_active IS NOT 1;
    UPDATE api_keys SET
        version = OLD.version + 1,
        status = 'revoked',
        revoked_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now'),
        revoke_reason = 'is_active was cleared',
        is_active = 0
    WHERE rowid = NEW.rowid AND NEW.status = 'active' AND NEW.is_active IS NOT 1;
    UPDATE api_keys SET version = OLD.version + 1
    WHERE rowid = NEW.rowid AND version = OLD.version;
END;

-- A key that other code inserts is adopted in the same way. Its id is random, since the
-- number of a deleted row can occur again, and an id must not.
CREATE TRIGGER api_keys_adopted AFTER INSERT ON api_keys
WHEN NEW.key_id IS NULL
BEGIN
    UPDATE api_keys SET
        key_id = '1' || substr(hex(randomblob(8)), 1, 15),
        created_at = coalesce(created_at, strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
        is_active = coalesce(is_active, 0),
        status = CASE coalesce(is_active, 0) WHEN 1 THEN 'active' WHEN 0 THEN 'revoked' END,
        revoked_at = CASE WHEN coalesce(is_active, 0) = 0
            THEN strftime('%Y-%m-%dT%H:%M:%fZ', 'now') END,
        revoke_reason = CASE WHEN coalesce(is_active, 0) = 0
            THEN 'inactive when it was adopted' END,
        rate_limit = coalesce(rate_limit, 1000),
        rate_window_ms = 3600000
    WHERE rowid = NEW.rowid;
    INSERT INTO api_key_usage (lineage) SELECT key_id FROM api_keys WHERE rowid = NEW.rowid;
    UPDATE api_keys SET lineage = key_id WHERE rowid = NEW.rowid;
    INSERT INTO api_key_events (kind, key_id, at)
    SELECT 'imported', key_id, strftime('%Y-%m-%dT%H:%M:%fZ', 'now')
    FROM api_keys WHERE rowid = NEW.rowid;
END;

-- INSERT OR REPLACE would replace a revoked row with a new one.
CREATE TRIGGER api_keys_revoked_not_replaced BEFORE INSERT ON api_keys
WHEN EXISTS (SELECT 1 FROM api_keys
    WHERE (key_hash = NEW.key_hash OR key_id = NEW.key_id) AND status = 'revoked')
BEGIN
    SELECT RAISE(ABORT, 'a revoked key must not be inserted again');
END;

INSERT INTO keystile_migrations (version, name) VALUES (2, '0002_guards');
