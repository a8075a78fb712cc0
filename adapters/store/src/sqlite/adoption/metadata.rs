//! The endpoint rules that an application keeps in the metadata of its keys, as SQL: the rows
//! of an adoption and those that come later are read by the same expression.

use rusqlite::Connection;

use crate::adoption::{METADATA_ENDPOINTS, MetadataEndpoints};
use crate::error::StoreError;
use crate::sqlite::fault::unavailable;

/// The rules in this column, as JSON; NULL only if its value can be read and has none. What is
/// not known is a JSON text, which is no list of rules: a key with it is refused. So is a text
/// in JSON, which may be an object that was written twice.
pub(in crate::sqlite) fn rules(column: &str) -> String {
    // A blob may hold text. If a name occurs twice, programs differ in which one they read.
    let json = format!("CAST({column} AS TEXT)");
    format!(
        "CASE WHEN {column} IS NULL THEN NULL
            WHEN NOT json_valid({json}) THEN '\"unreadable\"'
            WHEN json_type({json}) = 'text' THEN '\"text\"'
            ELSE (SELECT CASE
                    WHEN count(*) = 0 OR (count(*) = 1 AND max(type) = 'null') THEN NULL
                    WHEN count(*) = 1 AND max(type) = 'array' THEN max(value)
                    ELSE '\"not an array\"'
                END
                FROM json_each({json}) WHERE key = '{METADATA_ENDPOINTS}')
        END"
    )
}

/// The template's name beside the rules, if it is a valid one.
pub(in crate::sqlite) fn scope_type(column: &str) -> String {
    let json = format!("CAST({column} AS TEXT)");
    let rules = rules(column);
    format!(
        "CASE WHEN {rules} IS NOT NULL AND json_valid({json}) THEN (SELECT value
            FROM json_each({json}) WHERE key = 'scopeType' AND type = 'text'
                AND length(value) <= 32 AND value GLOB '[a-z]*'
                AND value NOT GLOB '*[^a-z0-9_-]*' LIMIT 1)
        END"
    )
}

/// The triggers that treat what old code writes later as the adoption treats its rows. Only
/// if rules are ignored there are none.
///
/// Old code inserts without a key_id, and changes metadata without the version. If the rules
/// were set otherwise since, its changes do not undo that.
pub(in crate::sqlite) fn keep(
    connection: &Connection,
    endpoints: MetadataEndpoints,
) -> Result<(), StoreError> {
    let mut sql = "DROP TRIGGER IF EXISTS api_keys_endpoints_inserted;
        DROP TRIGGER IF EXISTS api_keys_endpoints_changed;"
        .to_owned();
    if endpoints != MetadataEndpoints::Ignore {
        let [own, old, new] = ["metadata", "OLD.metadata", "NEW.metadata"].map(rules);
        let scope_type = scope_type("metadata");
        sql.push_str(&format!(
            "CREATE TRIGGER api_keys_endpoints_inserted AFTER INSERT ON api_keys
            WHEN NEW.key_id IS NULL AND NEW.allowed_endpoints IS NULL
            BEGIN
                UPDATE api_keys SET allowed_endpoints = {own},
                    scope_type = coalesce(scope_type, {scope_type})
                WHERE rowid = NEW.rowid;
            END;
            CREATE TRIGGER api_keys_endpoints_changed AFTER UPDATE OF metadata ON api_keys
            WHEN OLD.key_id IS NOT NULL AND NEW.version = OLD.version
                AND NEW.allowed_endpoints IS OLD.allowed_endpoints
                AND OLD.allowed_endpoints IS {old} AND OLD.allowed_endpoints IS NOT {new}
            BEGIN
                UPDATE api_keys SET allowed_endpoints = {new} WHERE rowid = NEW.rowid;
            END;"
        ));
    }
    connection.execute_batch(&sql).map_err(unavailable)
}
