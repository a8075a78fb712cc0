//! The endpoint rules that an application keeps in the metadata of its keys, as SQL.

use crate::adoption::METADATA_ENDPOINTS;

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
