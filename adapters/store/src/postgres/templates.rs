//! Templates in the table `api_key_templates`.

use deadpool_postgres::{Client, Transaction};
use keystile::TemplateName;

use super::fault::Fault;
use super::read::{Params, all, limited, one};
use super::row::{read_template, read_template_version};
use crate::columns::number;
use crate::error::StoreError;
use crate::instant;
use crate::template::{ListedTemplates, StoredTemplate, TEMPLATES_PAGE_MAX, TemplateProblem};
use crate::template_row::TemplateRow;
use crate::template_version::TemplateVersion;

const SELECT: &str = "SELECT 0::bigint AS row, name, permissions::text, \
     allowed_endpoints::text, rate_limit, NULL::bigint AS rate_limit_wide, rate_window_ms, \
     rate_burst, lifetime_ms, former::text, version, created_at, changed_at \
     FROM api_key_templates";

pub(super) async fn find(
    client: &Client,
    name: &TemplateName,
) -> Result<Option<StoredTemplate>, Fault> {
    let sql = [SELECT, "WHERE name = $1"].join(" ");
    one(client, &sql, &[&name.as_str()], read_template).await
}

pub(super) async fn list(
    client: &Client,
    after: Option<&str>,
    limit: usize,
) -> Result<ListedTemplates, Fault> {
    let sql = [
        SELECT,
        "WHERE $1::text IS NULL OR name > $1::text ORDER BY name LIMIT $2",
    ]
    .join(" ");
    let limit = limited(limit.min(TEMPLATES_PAGE_MAX));
    let read = |row: &tokio_postgres::Row| {
        let name: String = row.try_get("name")?;
        Ok((name, read_template(row)))
    };
    let rows = all(client, &sql, &[&after, &limit], read).await?;
    let mut listed = ListedTemplates::default();
    let is_full = i64::try_from(rows.len()) == Ok(limit);
    for (name, template) in rows {
        listed.next = is_full.then_some(name);
        listed.add(template.map_err(StoreError::from))?;
    }
    Ok(listed)
}

/// Fails if a batch relies on another version than that of the row, and locks the row until the
/// transaction ends: a change of the template waits for it. Others may rely on it at the same time.
pub(super) async fn require(
    transaction: &Transaction<'_>,
    relied_on: &TemplateVersion,
) -> Result<(), Fault> {
    let sql = "SELECT 0::bigint AS row, name, version, created_at FROM api_key_templates \
         WHERE name = $1 FOR SHARE";
    let statement = transaction.prepare_cached(sql).await?;
    let name = relied_on.name.as_str();
    let row = transaction.query_opt(&statement, &[&name]).await?;
    let stored = row.as_ref().map(read_template_version).transpose()?;
    Ok(relied_on.require(stored)?)
}

/// Each parameter is text, and cast to the type of its column. Instants are compared as they are
/// read: other code may have written one with microseconds.
const INSERT: &str = "INSERT INTO api_key_templates (name, permissions, allowed_endpoints, \
     rate_limit, rate_window_ms, rate_burst, lifetime_ms, former, version, created_at, changed_at) \
     VALUES ($1::text, $2::text::jsonb, $3::text::jsonb, $4::text::bigint, $5::text::bigint, \
     $6::text::bigint, $7::text::bigint, $8::text::jsonb, $9::text::bigint, \
     $10::text::timestamptz, $11::text::timestamptz) ON CONFLICT (name) DO NOTHING";
const UPDATE: &str = "UPDATE api_key_templates SET permissions = $2::text::jsonb, \
     allowed_endpoints = $3::text::jsonb, rate_limit = $4::text::bigint, \
     rate_window_ms = $5::text::bigint, rate_burst = $6::text::bigint, \
     lifetime_ms = $7::text::bigint, former = $8::text::jsonb, version = $9::text::bigint, \
     changed_at = $11::text::timestamptz WHERE name = $1::text \
     AND version = $9::text::bigint - 1 \
     AND date_trunc('milliseconds', created_at) = $10::text::timestamptz";

pub(super) async fn save(client: &Client, template: &StoredTemplate) -> Result<(), Fault> {
    let row = TemplateRow::of(template)?;
    let (sql, refused) = match template.version {
        1 => (INSERT, TemplateProblem::Exists),
        _ => (UPDATE, TemplateProblem::Stale),
    };
    let statement = client.prepare_cached(sql).await?;
    let values = row.values(template.name());
    let params: Vec<&(dyn tokio_postgres::types::ToSql + Sync)> =
        values.iter().map(|value| value as _).collect();
    match client.execute(&statement, &params).await? {
        0 => Err(Fault::Store(refused.into())),
        _ => Ok(()),
    }
}

pub(super) async fn remove(
    client: &Client,
    name: &TemplateName,
    only: Option<&StoredTemplate>,
) -> Result<(), Fault> {
    let version = only.map(|only| number(only.version)).transpose()?;
    let created = only.map(|only| instant::format(only.created_at));
    let sql = "DELETE FROM api_key_templates WHERE name = $1 AND ($2::text IS NULL \
         OR (version = $2::text::bigint \
         AND date_trunc('milliseconds', created_at) = $3::text::timestamptz))";
    let statement = client.prepare_cached(sql).await?;
    let params: &Params<'_> = &[&name.as_str(), &version, &created];
    let problem = match (client.execute(&statement, params).await?, only) {
        (1.., _) => return Ok(()),
        (0, None) => TemplateProblem::NotFound,
        (0, Some(_)) => TemplateProblem::Stale,
    };
    Err(Fault::Store(problem.into()))
}
