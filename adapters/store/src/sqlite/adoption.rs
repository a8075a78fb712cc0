//! What adopting an application's table would do.

pub(super) mod metadata;

use std::collections::BTreeSet;
use std::sync::Arc;

use keystile::{KeyRecord, UnixMillis};
use rusqlite::{Connection, Row, params};

use super::connection::{Connections, pause};
use super::migration::{self, MIGRATIONS};
use super::row::read_record;
use crate::adoption::{AdoptOptions, AdoptionPlan, MetadataEndpoints, RowFacts, TableProblem};
use crate::error::StoreError;
use crate::sqlite::fault::unavailable;
use crate::tables::Tables;

/// The columns of the well-known example's first table, with the types in which SQLite stores
/// them.
const REQUIRED: [(&str, &str); 8] = [
    ("key_hash", "VARCHAR(64)"),
    ("key_prefix", "VARCHAR(10)"),
    ("client_name", "VARCHAR(255)"),
    ("permissions", "JSONB"),
    ("created_at", "TIMESTAMP WITH TIME ZONE"),
    ("last_used_at", "TIMESTAMP WITH TIME ZONE"),
    ("is_active", "BOOLEAN"),
    ("rate_limit", "INTEGER"),
];

/// The columns that only the second one has; they are added.
pub(super) const OPTIONAL: [(&str, &str); 3] = [
    ("client_email", "VARCHAR(255)"),
    ("expires_at", "TIMESTAMP WITH TIME ZONE"),
    ("metadata", "JSONB DEFAULT '{}'"),
];

/// The columns that keystile adds. An application's column of the same name has another
/// meaning.
const ADDED: [&str; 21] = [
    "key_id",
    "digest_pepper",
    "owner",
    "environment",
    "allowed_endpoints",
    "allowed_networks",
    "rate_window_ms",
    "rate_burst",
    "scope_type",
    "lineage",
    "status",
    "revoked_at",
    "revoke_reason",
    "replaced_by",
    "overlap_until",
    "ends_at_first_use",
    "version",
    "lifetime_ms",
    "derived_from",
    "derived_lineage",
    "suspended_with",
];

/// The other tables and views.
const OTHERS: [&str; 10] = [
    "api_key_usage",
    "api_key_events",
    "api_key_deleted",
    "api_key_replaced",
    "api_key_former_digests",
    "api_key_revoked_digests",
    "api_key_notes",
    "api_key_templates",
    "api_key_issue_requests",
    "api_keys_live",
];

/// The id of a row's key, unless it has one: the digit 1 and the row's number in 15 digits. The
/// key of a row with a longer number gets a random id, which it has as its lineage before.
pub(super) const KEY_ID: &str = "coalesce(lineage, '1' || printf('%015d', rowid))";
/// Rows whose number has more digits.
pub(super) const IS_LONG: &str = "rowid NOT BETWEEN 0 AND 999999999999999";
/// `is_active` without NULL. What is neither true nor false is not converted: such a row cannot
/// be read, and so its key is refused.
pub(super) const IS_ACTIVE: &str = "coalesce(is_active, 0)";
pub(super) const NOW: &str = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')";

/// The rows that are read at once. Without a write-ahead log, writers wait for a reader, and
/// other readers for the writer: so no statement may read for long, and there is a pause
/// after it.
const ROWS_AT_ONCE: i64 = 200;

pub(super) async fn plan(
    connections: &Arc<Connections>,
    options: AdoptOptions,
    now: UnixMillis,
) -> Result<AdoptionPlan, StoreError> {
    let work = move |connection: &Connection| begin(connection, options, now);
    let (mut plan, sql) = connections.read(work).await?;
    let mut last = Some(i64::MIN);
    while let (Some(sql), Some(after)) = (&sql, last) {
        let sql = sql.clone();
        let work = move |connection: &Connection| rows(connection, plan, &sql, after);
        (plan, last) = connections.read(work).await?;
        pause().await?;
    }
    Ok(plan)
}

/// The plan without its rows, and the statement that reads them, if there are any.
fn begin(
    connection: &Connection,
    options: AdoptOptions,
    now: UnixMillis,
) -> Result<(AdoptionPlan, Option<String>), StoreError> {
    // One snapshot of the file.
    let connection = connection.unchecked_transaction().map_err(unavailable)?;
    let tables = migration::tables(&connection)?;
    let mut plan = AdoptionPlan::new(tables, options, now);
    match tables {
        Tables::Current => {}
        Tables::Empty | Tables::Others => plan.steps.push("create the tables".to_owned()),
        Tables::Old => {
            let done = migration::version(&connection)?;
            let known = MIGRATIONS.len();
            let step = format!("update the tables from version {done} to {known}");
            plan.steps.push(step);
        }
        Tables::NotAdopted | Tables::HalfAdopted => {
            let columns = columns(&connection)?;
            if tables == Tables::NotAdopted {
                plan.problems = problems(&connection, &columns)?;
            }
            if plan.problems.is_empty() {
                let names = OPTIONAL.iter().map(|(name, _)| *name);
                let missing: Vec<&str> = names.filter(|name| !columns.contains(*name)).collect();
                let filter = match tables {
                    Tables::HalfAdopted => "AND key_id IS NULL",
                    _ => "",
                };
                let sql = format!(
                    "{} WHERE rowid > ?1 {filter} ORDER BY rowid LIMIT ?2",
                    as_adopted(&missing, options)
                );
                plan.missing = missing;
                return Ok((plan, Some(sql)));
            }
        }
    }
    Ok((plan, None))
}

/// Notes the next rows after this one. Returns the last of them, unless there are no more.
fn rows(
    connection: &Connection,
    mut plan: AdoptionPlan,
    sql: &str,
    after: i64,
) -> Result<(AdoptionPlan, Option<i64>), StoreError> {
    let mut statement = connection.prepare_cached(sql).map_err(unavailable)?;
    let mut found = statement
        .query(params![after, ROWS_AT_ONCE])
        .map_err(unavailable)?;
    let mut last = None;
    while let Some(row) = found.next().map_err(unavailable)? {
        let (facts, record) = read(row)?;
        last = Some(facts.row);
        plan.note(facts, record)?;
    }
    if last.is_none() {
        steps(&mut plan);
    }
    Ok((plan, last))
}

fn steps(plan: &mut AdoptionPlan) {
    let (rows, inactive) = (plan.rows, plan.inactive);
    if plan.tables == Tables::NotAdopted {
        let missing = core::mem::take(&mut plan.missing);
        for (name, kind) in OPTIONAL.iter().filter(|(name, _)| missing.contains(name)) {
            plan.steps
                .push(format!("add the missing column {name} {kind} to api_keys"));
        }
        plan.steps.push(
            "set the file to WAL mode, so that readers do not wait for the adoption".to_owned(),
        );
        plan.steps.push(format!(
            "add {} columns, 12 indexes and the triggers to api_keys, and create the other \
             tables",
            ADDED.len()
        ));
    }
    plan.steps.push(format!(
        "give each of the {rows} rows a key id and an event, and revoke the {inactive} that are \
         not active"
    ));
    if plan.options.metadata_endpoints == MetadataEndpoints::Enforce {
        plan.steps
            .push("copy the endpoint rules in metadata to allowed_endpoints".to_owned());
    }
    plan.steps.push(format!(
        "record the version {} of the tables",
        MIGRATIONS.len()
    ));
}

/// The names of the columns, in lower case: SQLite ignores the case.
pub(super) fn columns(connection: &Connection) -> Result<BTreeSet<String>, StoreError> {
    let sql = "SELECT lower(name) FROM pragma_table_xinfo('api_keys')";
    names(connection, sql)
}

fn names(connection: &Connection, sql: &str) -> Result<BTreeSet<String>, StoreError> {
    let mut statement = connection.prepare(sql).map_err(unavailable)?;
    let rows = statement
        .query_map([], |row| row.get(0))
        .map_err(unavailable)?;
    rows.collect::<Result<_, _>>().map_err(unavailable)
}

pub(super) fn problems(
    connection: &Connection,
    columns: &BTreeSet<String>,
) -> Result<Vec<TableProblem>, StoreError> {
    let sql = "SELECT type, wr FROM pragma_table_list WHERE schema = 'main' \
               AND name = 'api_keys' COLLATE NOCASE";
    let (kind, without_rowid) = connection
        .query_row(sql, [], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, bool>(1)?))
        })
        .map_err(unavailable)?;
    let mut found = Vec::new();
    if kind != "table" {
        found.push(TableProblem::of_table("api_keys", "not a table", "a table"));
    } else if without_rowid {
        let expected = "a table with row numbers";
        found.push(TableProblem::of_table(
            "api_keys",
            "WITHOUT ROWID",
            expected,
        ));
    }
    for (name, kind) in REQUIRED.iter().filter(|(name, _)| !columns.contains(*name)) {
        found.push(TableProblem::of(name, "missing", *kind));
    }
    for name in ADDED.iter().filter(|name| columns.contains(**name)) {
        let expected = "no column of this name, since keystile adds one";
        found.push(TableProblem::of(name, "the application's", expected));
    }
    let unique = "SELECT DISTINCT lower(info.name)
        FROM pragma_index_list('api_keys') list, pragma_index_info(list.name) info
        WHERE list.\"unique\" AND NOT list.partial
            AND (SELECT count(*) FROM pragma_index_info(list.name)) = 1
        UNION SELECT lower(name) FROM pragma_table_info('api_keys') WHERE pk = 1
            AND (SELECT count(*) FROM pragma_table_info('api_keys') WHERE pk > 0) = 1";
    let unique = kind != "table" || names(connection, unique)?.contains("key_hash");
    if columns.contains("key_hash") && !unique {
        found.push(TableProblem::of("key_hash", "not unique", "UNIQUE"));
    }
    let bare = "SELECT lower(name) FROM pragma_table_info('api_keys')
        WHERE \"notnull\" AND dflt_value IS NULL AND pk = 0";
    for name in names(connection, bare)? {
        let known = REQUIRED
            .iter()
            .chain(&OPTIONAL)
            .any(|(own, _)| *own == name);
        if !known {
            let expected = "a default or NULL, since keystile inserts rows without it";
            found.push(TableProblem::of(
                &name,
                "NOT NULL without a default",
                expected,
            ));
        }
    }
    let taken = names(connection, "SELECT lower(name) FROM sqlite_schema")?;
    for name in OTHERS.iter().filter(|name| taken.contains(**name)) {
        let expected = "no table or view of this name, since keystile creates one";
        found.push(TableProblem::of_table(name, "the application's", expected));
    }
    Ok(found)
}

/// Selects the columns that `read_record` reads, as they are after the adoption, and what
/// [`RowFacts`] has besides.
pub(super) fn as_adopted(missing: &[&str], options: AdoptOptions) -> String {
    let or_null = |name: &'static str| match missing.contains(&name) {
        true => format!("NULL AS {name}"),
        false => name.to_owned(),
    };
    let rules = match missing.contains(&"metadata") {
        true => "NULL".to_owned(),
        false => metadata::rules("metadata"),
    };
    let endpoints = match options.metadata_endpoints {
        MetadataEndpoints::Enforce => rules.as_str(),
        _ => "NULL",
    };
    let [email, expires, metadata] = OPTIONAL.map(|(name, _)| or_null(name));
    format!(
        "SELECT rowid AS row, '1000000000000000' AS key_id, key_hash, NULL AS digest_pepper, \
         key_prefix, client_name, {email}, NULL AS owner, NULL AS environment, permissions, \
         {endpoints} AS allowed_endpoints, NULL AS allowed_networks, \
         coalesce(rate_limit, 1000) AS rate_limit, 3600000 AS rate_window_ms, \
         NULL AS rate_burst, '1000000000000000' AS usage_lineage, NULL AS remaining_uses, \
         NULL AS scope_type, {metadata}, coalesce(created_at, {NOW}) AS created_at, \
         last_used_at, {expires}, {IS_ACTIVE} AS is_active, \
         CASE {IS_ACTIVE} WHEN 0 THEN 'revoked' ELSE 'active' END AS status, \
         CASE {IS_ACTIVE} WHEN 0 THEN {NOW} END AS revoked_at, \
         CASE {IS_ACTIVE} WHEN 0 THEN 'inactive' END AS revoke_reason, \
         '1000000000000000' AS lineage, NULL AS replaced_by, NULL AS overlap_until, \
         NULL AS ends_at_first_use, NULL AS lifetime_ms, NULL AS derived_from, \
         NULL AS derived_lineage, NULL AS suspended_with, 1 AS version, ({rules}) IS NOT NULL AS has_endpoints \
         FROM api_keys"
    )
}

pub(super) fn read(row: &Row<'_>) -> Result<(RowFacts, Result<KeyRecord, StoreError>), StoreError> {
    let facts = RowFacts {
        row: row.get("row").map_err(unavailable)?,
        has_endpoints: row.get("has_endpoints").map_err(unavailable)?,
        is_infinite: false,
    };
    Ok((facts, read_record(row)))
}
