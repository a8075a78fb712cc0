//! Changes that a person at a prompt, or a program that knows only the table, makes to a key.

/// A change of the key `{id}` by plain SQL.
#[allow(
    dead_code,
    reason = "a test of one database has no use for the other's"
)]
pub(crate) struct Case {
    pub(crate) sqlite: &'static str,
    pub(crate) postgres: &'static str,
    /// Whether the key is denied from then on. Otherwise only its record has changed.
    pub(crate) denied: bool,
}

/// The same statement in both databases.
const fn both(sql: &'static str, denied: bool) -> Case {
    Case {
        sqlite: sql,
        postgres: sql,
        denied,
    }
}

/// A column of `api_keys` is set to this value.
macro_rules! set {
    ($assignments:literal, $denied:literal) => {
        both(
            concat!(
                "UPDATE api_keys SET ",
                $assignments,
                " WHERE key_id = '{id}'"
            ),
            $denied,
        )
    };
}

/// Each column that a decision reads, and each way to change a row. A key is issued for each,
/// in the environment `live`, with the permission `read` and a limit.
pub(crate) const CASES: [Case; 41] = [
    set!("key_id = '1' || substr(key_id, 3) || 'z'", true),
    set!("key_hash = '{hash}'", true),
    set!("digest_pepper = 9", true),
    set!("key_prefix = 'other'", false),
    set!("client_name = 'Other Ltd'", false),
    set!("client_email = 'other@acme.example'", false),
    set!("owner = 'tenant-9'", false),
    set!("environment = 'test'", true),
    set!("permissions = '[]'", true),
    set!(
        "permissions = '[\"write\"]', client_name = 'Other Ltd'",
        true
    ),
    set!("allowed_endpoints = '[]'", true),
    set!("allowed_networks = '[]'", true),
    set!("rate_limit = 0", true),
    set!("rate_window_ms = NULL", true),
    set!("rate_burst = 0", true),
    set!("scope_type = 'monitoring'", false),
    set!("metadata = '{\"plan\": \"gold\"}'", false),
    set!("created_at = '2020-01-01T00:00:00.000Z'", false),
    set!("expires_at = '2020-01-02T00:00:00.000Z'", true),
    set!("is_active = FALSE", true),
    set!("is_active = NULL", true),
    set!("status = 'suspended', is_active = FALSE", true),
    set!(
        "status = 'revoked', is_active = FALSE, revoked_at = CURRENT_TIMESTAMP, revoke_reason = 'leaked'",
        true
    ),
    set!(
        "status = 'revoked', is_active = FALSE, revoke_reason = 'leaked'",
        true
    ),
    set!("status = 'revoked', is_active = FALSE", true),
    set!("revoked_at = CURRENT_TIMESTAMP", true),
    set!("revoke_reason = 'leaked'", true),
    // That of a key whose uses no other case touches.
    set!(
        "lineage = (SELECT lineage FROM api_keys AS other WHERE other.owner = 'tenant-9')",
        false
    ),
    set!("replaced_by = '1zzzzzzzzzzzzzzz'", true),
    set!("overlap_until = '2020-01-02T00:00:00.000Z'", true),
    set!(
        "replaced_by = '1zzzzzzzzzzzzzzz', overlap_until = '2020-01-02T00:00:00.000Z'",
        true
    ),
    set!("ends_at_first_use = '1zzzzzzzzzzzzzzz'", false),
    // A writer that knows what a version is, and nothing of events.
    set!("permissions = '[]', version = version + 1", true),
    both(
        "UPDATE api_key_usage SET remaining_uses = 0 WHERE lineage = '{id}'",
        true,
    ),
    Case {
        sqlite: "DELETE FROM api_key_usage WHERE lineage = '{id}'",
        postgres: "SET session_replication_role = replica;
             DELETE FROM api_key_usage WHERE lineage = '{id}';
             RESET session_replication_role",
        denied: true,
    },
    both("DELETE FROM api_keys WHERE key_id = '{id}'", true),
    both(
        "INSERT INTO api_keys (key_hash, key_prefix, client_name)
         SELECT key_hash, key_prefix, client_name FROM api_keys WHERE key_id = '{id}'
         ON CONFLICT (key_hash) DO UPDATE SET permissions = '[]'",
        true,
    ),
    // It removes the row that is in its way, and fires no DELETE trigger.
    Case {
        sqlite: "INSERT OR REPLACE INTO api_keys (key_hash, key_prefix, client_name)
             SELECT key_hash, key_prefix, client_name FROM api_keys WHERE key_id = '{id}'",
        postgres: "DELETE FROM api_keys WHERE key_id = '{id}'",
        denied: true,
    },
    Case {
        sqlite: "INSERT OR REPLACE INTO api_keys
                 (key_hash, key_prefix, client_name, key_id, lineage, permissions)
             SELECT key_hash, key_prefix, client_name, key_id, lineage, '[]'
             FROM api_keys WHERE key_id = '{id}'",
        postgres: "DELETE FROM api_keys WHERE key_id = '{id}'",
        denied: true,
    },
    Case {
        sqlite: "REPLACE INTO api_keys (id, key_hash, key_prefix, client_name)
             SELECT id, '{hash}', key_prefix, client_name FROM api_keys WHERE key_id = '{id}'",
        // As the worker of a logical replication writes.
        postgres: "SET session_replication_role = replica;
             UPDATE api_keys SET permissions = '[]' WHERE key_id = '{id}';
             RESET session_replication_role",
        denied: true,
    },
    Case {
        sqlite: "PRAGMA recursive_triggers = ON;
             INSERT OR REPLACE INTO api_keys (key_hash, key_prefix, client_name)
             SELECT key_hash, key_prefix, client_name FROM api_keys WHERE key_id = '{id}';
             PRAGMA recursive_triggers = OFF",
        postgres: "SET session_replication_role = replica;
             DELETE FROM api_keys WHERE key_id = '{id}';
             RESET session_replication_role",
        denied: true,
    },
];

/// The statement for the key with this id and a number of its own.
pub(crate) fn statement(sql: &str, id: &str, number: usize) -> String {
    sql.replace("{id}", id)
        .replace("{hash}", &format!("{number:064x}"))
}
