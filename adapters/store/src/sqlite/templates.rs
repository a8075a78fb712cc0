//! Templates in the table `api_key_templates`.

use keystile::{TemplateName, UnixMillis};
use rusqlite::types::Value;
use rusqlite::{Connection, params, params_from_iter};

use super::fault::unavailable;
use super::read::{concat_sql, limited, one, prepared};
use super::row::{SqliteRow, read_template, read_template_version};
use crate::error::StoreError;
use crate::row_reader::RowReader;
use crate::template::{ListedTemplates, StoredTemplate, TEMPLATES_PAGE_MAX, TemplateProblem};
use crate::template_row::TemplateRow;
use crate::template_version::TemplateVersion;

const SELECT: &str = "SELECT rowid AS row, name, permissions, allowed_endpoints, rate_limit, \
     rate_window_ms, rate_burst, lifetime_ms, former, version, created_at, changed_at \
     FROM api_key_templates";

pub(super) fn find(
    connection: &Connection,
    name: &TemplateName,
) -> Result<Option<StoredTemplate>, StoreError> {
    let sql = concat_sql(SELECT, "WHERE name = ?1");
    one(
        &mut prepared(connection, &sql)?,
        [name.as_str()],
        read_template,
    )
}

pub(super) fn list(
    connection: &Connection,
    after: Option<&str>,
    limit: usize,
) -> Result<ListedTemplates, StoreError> {
    let sql = concat_sql(
        SELECT,
        "WHERE ?1 IS NULL OR name > ?1 ORDER BY name LIMIT ?2",
    );
    let limit = limited(limit.min(TEMPLATES_PAGE_MAX));
    let mut statement = prepared(connection, &sql)?;
    let mut rows = statement
        .query(params![after, limit])
        .map_err(unavailable)?;
    let (mut listed, mut count) = (ListedTemplates::default(), 0_i64);
    while let Some(row) = rows.next().map_err(unavailable)? {
        count = count.saturating_add(1);
        // A name in the column can be no text: then no page starts after it.
        listed.next = row.get::<_, String>("name").ok();
        listed.add(read_template(row))?;
    }
    listed.next = listed.next.filter(|_| count == limit);
    Ok(listed)
}

/// When a template was added, as its row has it, if that is the instant that was read: other code
/// may have written it in another form than this store does.
fn created(
    connection: &Connection,
    name: &TemplateName,
    read: UnixMillis,
) -> Result<Value, StoreError> {
    let sql = "SELECT rowid AS row, created_at FROM api_key_templates WHERE name = ?1";
    let found = one(&mut prepared(connection, sql)?, [name.as_str()], |row| {
        let written = row.get("created_at").map_err(unavailable)?;
        Ok((SqliteRow::of(row)?.time("created_at")?, written))
    });
    match found {
        Ok(Some((Some(instant), written))) if instant == read => Ok(written),
        Ok(_) | Err(StoreError::Corrupt(_)) => Err(TemplateProblem::Stale.into()),
        Err(error) => Err(error),
    }
}

/// Fails if a batch relies on another version than that of the row. No one can change it before the
/// transaction ends, which is a writer.
pub(super) fn require(
    transaction: &Connection,
    relied_on: &TemplateVersion,
) -> Result<(), StoreError> {
    let sql =
        "SELECT rowid AS row, name, version, created_at FROM api_key_templates WHERE name = ?1";
    let name = relied_on.name.as_str();
    relied_on.require(one(
        &mut prepared(transaction, sql)?,
        [name],
        read_template_version,
    )?)
}

pub(super) fn save(connection: &Connection, template: &StoredTemplate) -> Result<(), StoreError> {
    let row = TemplateRow::of(template)?;
    let row = row.values(template.name());
    let mut values: Vec<Value> = row
        .iter()
        .map(|cell| (*cell).map(str::to_owned).into())
        .collect();
    let (sql, refused) = if template.version == 1 {
        let insert = "INSERT INTO api_key_templates (name, permissions, allowed_endpoints, \
             rate_limit, rate_window_ms, rate_burst, lifetime_ms, former, version, created_at, \
             changed_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) \
             ON CONFLICT (name) DO NOTHING";
        (insert, TemplateProblem::Exists)
    } else {
        let update = "UPDATE api_key_templates SET permissions = ?2, allowed_endpoints = ?3, \
             rate_limit = ?4, rate_window_ms = ?5, rate_burst = ?6, lifetime_ms = ?7, former = ?8, \
             version = ?9, changed_at = ?11 \
             WHERE name = ?1 AND version = ?9 - 1 AND created_at IS ?12";
        values.push(created(connection, template.name(), template.created_at)?);
        (update, TemplateProblem::Stale)
    };
    match prepared(connection, sql)?
        .execute(params_from_iter(values))
        .map_err(unavailable)?
    {
        0 => Err(refused.into()),
        _ => Ok(()),
    }
}

pub(super) fn remove(
    connection: &Connection,
    name: &TemplateName,
    only: Option<&StoredTemplate>,
) -> Result<(), StoreError> {
    let version = only
        .map(|only| crate::columns::number(only.version))
        .transpose()?;
    let created = only.map(|only| created(connection, name, only.created_at));
    let created = created.transpose()?;
    let sql = "DELETE FROM api_key_templates WHERE name = ?1 \
         AND (?2 IS NULL OR (version = CAST(?2 AS INTEGER) AND created_at IS ?3))";
    let removed = prepared(connection, sql)?
        .execute(params![name.as_str(), version, created])
        .map_err(unavailable)?;
    match (removed, only) {
        (1.., _) => Ok(()),
        (0, None) => Err(TemplateProblem::NotFound.into()),
        (0, Some(_)) => Err(TemplateProblem::Stale.into()),
    }
}
