//! What adopting an application's table would do.

pub(super) mod metadata;

use std::collections::BTreeMap;

use deadpool_postgres::{Client, GenericClient};
use keystile::{KeyRecord, UnixMillis};
use tokio_postgres::Row;

use super::fault::Fault;
use super::migration::{self, MIGRATIONS};
use super::row::read_record;
use crate::adoption::{AdoptOptions, AdoptionPlan, MetadataEndpoints, RowFacts, TableProblem};
use crate::error::StoreError;
use crate::tables::Tables;

/// The columns of the well-known example's first table: the types that can be adopted, and how
/// they are written.
const REQUIRED: [(&str, &[&str], &str); 9] = [
    ("id", &["integer", "bigint"], "INTEGER or BIGINT"),
    (
        "key_hash",
        &["character varying", "text"],
        "VARCHAR(64) or TEXT",
    ),
    (
        "key_prefix",
        &["character varying", "text"],
        "VARCHAR or TEXT",
    ),
    (
        "client_name",
        &["character varying", "text"],
        "VARCHAR or TEXT",
    ),
    ("permissions", &["jsonb"], "JSONB"),
    (
        "created_at",
        &["timestamp with time zone"],
        "TIMESTAMP WITH TIME ZONE",
    ),
    (
        "last_used_at",
        &["timestamp with time zone"],
        "TIMESTAMP WITH TIME ZONE",
    ),
    ("is_active", &["boolean"], "BOOLEAN"),
    ("rate_limit", &["integer", "bigint"], "INTEGER or BIGINT"),
];

/// The columns that only the second one has: they are added, as the last text.
pub(super) const OPTIONAL: [(&str, &[&str], &str); 3] = [
    (
        "client_email",
        &["character varying", "text"],
        "VARCHAR(255)",
    ),
    (
        "expires_at",
        &["timestamp with time zone"],
        "TIMESTAMP WITH TIME ZONE",
    ),
    ("metadata", &["jsonb"], "JSONB DEFAULT '{}'"),
];

/// The columns that keystile adds. An application's column of the same name has another
/// meaning.
const ADDED: [&str; 23] = [
    "key_id",
    "digest_pepper",
    "owner",
    "environment",
    "allowed_endpoints",
    "allowed_networks",
    "rate_window_ms",
    "rate_burst",
    "rate_limit_wide",
    "metadata_text",
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
const OTHERS: [&str; 8] = [
    "api_key_usage",
    "api_key_events",
    "api_key_deleted",
    "api_key_former_digests",
    "api_key_revoked_digests",
    "api_key_templates",
    "api_key_issue_requests",
    "api_keys_live",
];

/// The rows that are read at once.
const ROWS_AT_ONCE: i64 = 5_000;

/// The id of a row's key: the digit 1 and the row's number in 15 digits, or a random id if the
/// number has more.
pub(super) const KEY_ID: &str = "CASE WHEN id BETWEEN 0 AND 999999999999999 \
     THEN '1' || lpad(id::text, 15, '0') \
     ELSE '1' || left(upper(md5(gen_random_uuid()::text)), 15) END";

pub(super) async fn plan(
    client: &Client,
    options: AdoptOptions,
    now: UnixMillis,
) -> Result<AdoptionPlan, Fault> {
    let tables = migration::tables(client).await?;
    let mut plan = AdoptionPlan::new(tables, options, now);
    match tables {
        Tables::Current => return Ok(plan),
        Tables::Empty | Tables::Others => plan.steps.push("create the tables".to_owned()),
        Tables::Old => {
            let done = migration::version(client).await?;
            let known = MIGRATIONS.len();
            let step = format!("update the tables from version {done} to {known}");
            plan.steps.push(step);
        }
        Tables::NotAdopted | Tables::HalfAdopted => scan(client, &mut plan).await?,
    }
    Ok(plan)
}

async fn scan(client: &Client, plan: &mut AdoptionPlan) -> Result<(), Fault> {
    let columns = columns(client).await?;
    if plan.tables == Tables::NotAdopted {
        plan.problems = problems(client, &columns).await?;
    }
    if !plan.problems.is_empty() {
        return Ok(());
    }
    plan.missing = missing(&columns);
    let filter = match plan.tables {
        Tables::HalfAdopted => "AND key_id IS NULL",
        _ => "",
    };
    let sql = format!(
        "{} WHERE id > $1::bigint {filter} ORDER BY id LIMIT $2",
        as_adopted(&plan.missing, plan.options)
    );
    let statement = client.prepare(&sql).await?;
    let mut last = i64::MIN;
    loop {
        let rows = client.query(&statement, &[&last, &ROWS_AT_ONCE]).await?;
        for row in &rows {
            let (facts, record) = read(row)?;
            last = facts.row;
            plan.note(facts, record)?;
        }
        if i64::try_from(rows.len()).unwrap_or(i64::MAX) < ROWS_AT_ONCE {
            break;
        }
    }
    steps(plan);
    Ok(())
}

fn steps(plan: &mut AdoptionPlan) {
    let (rows, inactive) = (plan.rows, plan.inactive);
    if plan.tables == Tables::NotAdopted {
        let missing = core::mem::take(&mut plan.missing);
        for (name, _, kind) in OPTIONAL.iter().filter(|(name, ..)| missing.contains(name)) {
            plan.steps
                .push(format!("add the missing column {name} {kind} to api_keys"));
        }
        plan.steps.push(format!(
            "add {} columns and the triggers to api_keys, and create the other tables; \
             this needs a lock on api_keys for a moment",
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
    plan.steps
        .push("build 11 indexes on api_keys, without locking it".to_owned());
    plan.steps
        .push("check 4 constraints of api_keys, without locking it".to_owned());
    plan.steps.push(format!(
        "record the version {} of the tables",
        MIGRATIONS.len()
    ));
}

/// The type of each column of `api_keys`, its length, and whether a row needs a value.
pub(super) type Columns = BTreeMap<String, Column>;

pub(super) struct Column {
    kind: String,
    /// The limit on characters; `None` if there is none.
    length: Option<i32>,
    needs_value: bool,
    has_default: bool,
}

pub(super) async fn columns(client: &impl GenericClient) -> Result<Columns, Fault> {
    let sql = "SELECT attname::text, format_type(atttypid, NULL), atttypmod, attnotnull,
            atthasdef OR attidentity <> ''
        FROM pg_attribute
        WHERE attrelid = 'api_keys'::regclass AND attnum > 0 AND NOT attisdropped";
    let mut columns = Columns::new();
    for row in client.query(sql, &[]).await? {
        let (not_null, has_default): (bool, bool) = (row.try_get(3)?, row.try_get(4)?);
        let modifier: i32 = row.try_get(2)?;
        let column = Column {
            kind: row.try_get(1)?,
            // It includes four bytes of a header.
            length: (modifier >= 4).then(|| modifier.saturating_sub(4)),
            needs_value: not_null && !has_default,
            has_default,
        };
        columns.insert(row.try_get(0)?, column);
    }
    Ok(columns)
}

/// The columns that are added.
pub(super) fn missing(columns: &Columns) -> Vec<&'static str> {
    let names = OPTIONAL.iter().map(|(name, ..)| *name);
    names.filter(|name| !columns.contains_key(*name)).collect()
}

pub(super) async fn problems(
    client: &impl GenericClient,
    columns: &Columns,
) -> Result<Vec<TableProblem>, Fault> {
    let mut found = Vec::new();
    let kind = "SELECT relkind = 'r' FROM pg_class WHERE oid = 'api_keys'::regclass";
    if !client.query_one(kind, &[]).await?.try_get::<_, bool>(0)? {
        let expected = "a table that is not partitioned";
        found.push(TableProblem::of_table("api_keys", "not one", expected));
        return Ok(found);
    }
    for (name, types, expected) in REQUIRED.iter().chain(&OPTIONAL) {
        let optional = OPTIONAL.iter().any(|(own, ..)| own == name);
        let expected = expected.split(" DEFAULT").next().unwrap_or(expected);
        match columns.get(*name) {
            None if optional => {}
            None => found.push(TableProblem::of(name, "missing", expected)),
            Some(column) if !types.contains(&column.kind.as_str()) => {
                found.push(TableProblem::of(name, column.kind.as_str(), expected));
            }
            Some(Column {
                length: Some(length @ ..64),
                ..
            }) if *name == "key_hash" => {
                let type_found = format!("character varying({length})");
                found.push(TableProblem::of(name, type_found, expected));
            }
            Some(_) => {}
        }
    }
    for (name, expected) in [("key_hash", "UNIQUE"), ("id", "PRIMARY KEY or UNIQUE")] {
        if columns.contains_key(name) && !is_unique(client, name).await? {
            found.push(TableProblem::of(name, "not unique", expected));
        }
    }
    for (name, column) in columns {
        if ADDED.contains(&name.as_str()) {
            let expected = "no column of this name, since keystile adds one";
            found.push(TableProblem::of(name, "the application's", expected));
        } else if (column.needs_value && !is_known(name)) || (name == "id" && !column.has_default) {
            let expected = "a default or NULL, since keystile inserts rows without it";
            found.push(TableProblem::of(name, "without a default", expected));
        }
    }
    for name in OTHERS {
        let sql = "SELECT to_regclass(format('%I.%I', current_schema(), $1::text)) IS NOT NULL";
        if client
            .query_one(sql, &[&name])
            .await?
            .try_get::<_, bool>(0)?
        {
            let expected = "no table or view of this name, since keystile creates one";
            found.push(TableProblem::of_table(name, "the application's", expected));
        }
    }
    Ok(found)
}

fn is_known(name: &str) -> bool {
    let mut known = REQUIRED.iter().chain(&OPTIONAL);
    known.any(|(own, ..)| *own == name)
}

async fn is_unique(client: &impl GenericClient, column: &str) -> Result<bool, Fault> {
    let sql = "SELECT EXISTS (SELECT 1 FROM pg_index i
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
        WHERE i.indrelid = 'api_keys'::regclass AND i.indisunique AND i.indisvalid
            AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL
            AND i.indnkeyatts = 1 AND a.attname = $1::text)";
    Ok(client.query_one(sql, &[&column]).await?.try_get(0)?)
}

/// Selects the columns that `read_record` reads, as they are after the adoption, and what
/// [`RowFacts`] has besides.
pub(super) fn as_adopted(missing: &[&str], options: AdoptOptions) -> String {
    let has = |name: &str| !missing.contains(&name);
    let or_null = |name: &str, column: &str, kind: &str| match has(name) {
        true => column.to_owned(),
        false => format!("NULL::{kind} AS {name}"),
    };
    let email = or_null("client_email", "client_email", "text");
    let metadata = or_null("metadata", "metadata::text", "text");
    let endless = "nullif(expires_at, 'infinity') AS expires_at";
    let expires = or_null("expires_at", endless, "timestamptz");
    let is_infinite = match has("expires_at") {
        true => "coalesce(expires_at = 'infinity', FALSE)",
        false => "FALSE",
    };
    let rules = match has("metadata") {
        true => metadata::rules("metadata"),
        false => "NULL::jsonb".to_owned(),
    };
    let (endpoints, scope) = match options.metadata_endpoints {
        MetadataEndpoints::Enforce if has("metadata") => (
            rules.as_str(),
            format!(
                "CASE WHEN ({rules}) IS NOT NULL THEN {} END",
                metadata::SCOPE_TYPE
            ),
        ),
        _ => ("NULL", "NULL".to_owned()),
    };
    format!(
        "SELECT id::bigint AS row, '1000000000000000' AS key_id, key_hash::text, \
         NULL::bigint AS digest_pepper, key_prefix, client_name, {email}, NULL AS owner, \
         NULL AS environment, permissions::text, ({endpoints})::text AS allowed_endpoints, \
         NULL AS allowed_networks, coalesce(rate_limit, 1000)::bigint AS rate_limit, \
         NULL::bigint AS rate_limit_wide, 3600000::bigint AS rate_window_ms, \
         NULL::bigint AS rate_burst, '1000000000000000' AS usage_lineage, \
         NULL::bigint AS remaining_uses, {scope} AS scope_type, NULL::bytea AS metadata_text, \
         {metadata}, coalesce(created_at, now()) AS created_at, last_used_at, {expires}, \
         coalesce(is_active, FALSE) AS is_active, \
         CASE WHEN is_active THEN 'active' ELSE 'revoked' END AS status, \
         CASE WHEN NOT coalesce(is_active, FALSE) THEN now() END AS revoked_at, \
         CASE WHEN NOT coalesce(is_active, FALSE) THEN 'inactive' END AS revoke_reason, \
         '1000000000000000' AS lineage, NULL AS replaced_by, \
         NULL::timestamptz AS overlap_until, NULL AS ends_at_first_use, NULL::bigint AS lifetime_ms, \
         NULL AS derived_from, NULL AS derived_lineage, NULL AS suspended_with, 1::bigint AS version, \
         ({rules}) IS NOT NULL AS has_endpoints, {is_infinite} AS is_infinite FROM api_keys"
    )
}

pub(super) fn read(row: &Row) -> Result<(RowFacts, Result<KeyRecord, StoreError>), Fault> {
    let facts = RowFacts {
        row: row.try_get("row")?,
        has_endpoints: row.try_get("has_endpoints")?,
        is_infinite: row.try_get("is_infinite")?,
    };
    match read_record(row) {
        Ok(record) => Ok((facts, Ok(record))),
        Err(Fault::Store(error)) => Ok((facts, Err(error))),
        Err(fault) => Err(fault),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_added_unless_the_adoption_has_begun() {
        for (tables, adds) in [(Tables::NotAdopted, true), (Tables::HalfAdopted, false)] {
            let mut plan = AdoptionPlan::new(tables, AdoptOptions::default(), UnixMillis::MIN);
            steps(&mut plan);
            let mut steps = plan.steps.iter();
            let has_columns = steps.any(|step| step.contains("columns and the triggers"));
            assert_eq!(has_columns, adds, "{tables:?}: {:?}", plan.steps);
        }
    }
}
