//! The records of a page of a list.

use std::sync::LazyLock;

use deadpool_postgres::Client;
use keystile::KeyRecord;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::fault::Fault;
use super::migration::MIGRATIONS;
use super::read::one;
use super::row::{RECORD, read_record};
use crate::error::StoreError;
use crate::filter::Filter;
use crate::list::{Cursor, Listed, PAGE_MAX, Page};
use crate::list_page::{ListRow, PageReader, Rows};
use crate::list_plan::ListPlan;
use crate::list_statement::{ListSpelling, Value, indexed};
use crate::sort::{Sort, arranged};

static ISSUED: LazyLock<String> = LazyLock::new(|| indexed(&MIGRATIONS, "api_keys_by_issue"));
static ENDS: LazyLock<String> = LazyLock::new(|| indexed(&MIGRATIONS, "api_keys_by_end"));

/// How PostgreSQL spells lists.
pub(crate) struct Postgres;

impl ListSpelling for Postgres {
    const ROW: &'static str = "k.id";
    const PLACED_ROW: &'static str = "(k.id + 0)";
    /// NULL is no value for the planner, by which all rows would be equal.
    const UNOWNED_ORDER: &'static str = "k.owner, (k.id + 0)";
    const RECORD: &'static str = RECORD;

    fn exact(column: &'static str) -> String {
        match column {
            // The column is the application's, and may have any collation.
            "client_name" => "k.client_name::text COLLATE \"C\"".to_owned(),
            _ => format!("k.{column}"),
        }
    }

    fn text(number: usize) -> String {
        format!("${number}::text")
    }

    fn number(number: usize) -> String {
        format!("${number}::bigint")
    }

    fn by(_: &str) -> String {
        String::new()
    }

    fn begins(text: &str) -> String {
        format!("starts_with(k.key_id, {text})")
    }

    fn issued() -> &'static str {
        &ISSUED
    }

    fn ends() -> &'static str {
        &ENDS
    }
}

pub(super) async fn list(client: &Client, filter: &Filter, page: Page) -> Result<Listed, Fault> {
    match page.sort {
        Some(sort) if !sort.streams(filter) => {
            let all = Page::first(PAGE_MAX);
            let all = page_of(client, filter, all, read_record, |record| record).await?;
            Ok(arranged(all.listed(), sort, page)?)
        }
        _ => {
            let rows = page_of(client, filter, page, read_record, |record| record).await?;
            Ok(rows.listed())
        }
    }
}

/// A page of what `read` makes of each row, which has this record, in an order that has an index.
pub(super) async fn page_of<T>(
    client: &Client,
    filter: &Filter,
    page: Page,
    read: impl Fn(&Row) -> Result<T, Fault>,
    record: impl Fn(&T) -> &KeyRecord,
) -> Result<Rows<T>, Fault> {
    let (row, id) = match page.after {
        None => (i64::MIN, None),
        Some(cursor) => start(client, &cursor, page.sort.unwrap_or(filter.order())).await?,
    };
    let plan = ListPlan::new(filter, page, row, id)?;
    let mut reader = PageReader::new(&plan);
    // One statement for each kind of filter, so that each is planned for its index.
    for (sql, values) in plan.statements::<Postgres>() {
        let limit = i64::try_from(reader.rows_left()).map_err(|_| StoreError::OutOfRange)?;
        if limit == 0 {
            break;
        }
        let mut params: Vec<&(dyn ToSql + Sync)> = vec![&limit];
        params.extend(values.iter().map(|value| match value {
            Value::Number(number) => number as &(dyn ToSql + Sync),
            Value::Text(text) => text,
        }));
        let statement = client.prepare_cached(&sql).await?;
        for row in &client.query(&statement, &params).await? {
            take(&mut reader, row, &read, &record)?;
        }
    }
    Ok(reader.finish())
}

fn take<T>(
    reader: &mut PageReader<'_, T>,
    row: &Row,
    read: impl Fn(&Row) -> Result<T, Fault>,
    record: impl Fn(&T) -> &KeyRecord,
) -> Result<(), Fault> {
    let is_shown: Option<bool> = row.try_get("shown")?;
    let listed = ListRow {
        number: row.try_get("row")?,
        place: row.try_get("place")?,
        is_shown: is_shown == Some(true),
        key_id: row.try_get("key_id")?,
    };
    if reader.takes(&listed) {
        match read(row) {
            Err(Fault::Store(error)) => reader.add(Err(error), record)?,
            read => reader.add(Ok(read?), record)?,
        }
    }
    Ok(())
}

/// The number of the row that a cursor names, and the id in it.
async fn start(
    client: &Client,
    cursor: &Cursor,
    sort: Sort,
) -> Result<(i64, Option<String>), Fault> {
    match (cursor.row(), cursor.key_id()) {
        (_, Some(id)) if sort == Sort::Id => return Ok((0, Some(id.to_string()))),
        (Some(row), _) if sort == Sort::Id => {
            let sql = "SELECT key_id FROM api_keys WHERE id = $1::bigint AND key_id IS NOT NULL";
            let id = one(client, sql, &[&row], |row| Ok(row.try_get(0)?)).await?;
            return Ok((row, Some(id.ok_or(StoreError::NotFound)?)));
        }
        (Some(row), _) => return Ok((row, None)),
        _ => {}
    }
    // One after the other: a role may have no right to the second table.
    for sql in [
        "SELECT id::bigint FROM api_keys WHERE key_id = $1",
        "SELECT place FROM api_key_deleted WHERE key_id = $1 AND place IS NOT NULL",
    ] {
        let id = cursor.key_id().map_or("", keystile::KeyId::as_str);
        let found = one(client, sql, &[&id], |row| Ok(row.try_get(0)?)).await?;
        if let Some(row) = found {
            return Ok((row, None));
        }
    }
    Err(StoreError::NotFound.into())
}

#[cfg(test)]
mod tests {
    use super::Postgres;
    use crate::list_statement::ListSpelling;

    /// They are cut out of the file of the migration.
    #[test]
    fn the_expressions_of_the_indexes_are_whole() {
        for place in [Postgres::issued(), Postgres::ends()] {
            let whole = place
                .strip_prefix('(')
                .and_then(|place| place.strip_suffix(')'));
            let place = whole.unwrap_or(place);
            assert!(place.starts_with("CASE"), "{place}");
            assert!(place.ends_with("END"), "{place}");
            assert_eq!(place.matches('(').count(), place.matches(')').count());
        }
    }
}
