//! The records of a page of a list.

use std::sync::LazyLock;

use keystile::KeyRecord;
use rusqlite::types::{Value as Cell, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};

use super::migration::MIGRATIONS;
use super::read::prepared;
use super::row::{RECORD, read_record};
use crate::error::StoreError;
use crate::filter::Filter;
use crate::list::{Cursor, Listed, PAGE_MAX, Page};
use crate::list_page::{ListRow, PageReader, Rows};
use crate::list_plan::ListPlan;
use crate::list_statement::{ListSpelling, Value, indexed};
use crate::sort::{Sort, arranged};
use crate::sqlite::fault::unavailable;

static ISSUED: LazyLock<String> = LazyLock::new(|| indexed(&MIGRATIONS, "api_keys_by_issue"));
static ENDS: LazyLock<String> = LazyLock::new(|| indexed(&MIGRATIONS, "api_keys_by_end"));

const INDEXED_BY: &str = " INDEXED BY ";

/// How SQLite spells lists.
pub(crate) struct Sqlite;

impl ListSpelling for Sqlite {
    const ROW: &'static str = "k.rowid";
    const PLACED_ROW: &'static str = Self::ROW;
    const UNOWNED_ORDER: &'static str = Self::ROW;
    const RECORD: &'static str = RECORD;

    fn exact(column: &'static str) -> String {
        match column {
            // The column is the application's, and may ignore case.
            "client_name" => "k.client_name COLLATE BINARY".to_owned(),
            _ => format!("k.{column}"),
        }
    }

    fn text(number: usize) -> String {
        format!("?{number}")
    }

    fn number(number: usize) -> String {
        format!("?{number}")
    }

    /// Otherwise it takes the table itself if many rows have the same text, and reads all others.
    fn by(index: &str) -> String {
        format!("{INDEXED_BY}{index}")
    }

    fn begins(text: &str) -> String {
        format!("substr(k.key_id, 1, length({text})) = {text}")
    }

    fn issued() -> &'static str {
        &ISSUED
    }

    fn ends() -> &'static str {
        &ENDS
    }
}

pub(super) fn list(
    connection: &Connection,
    filter: &Filter,
    page: Page,
) -> Result<Listed, StoreError> {
    match page.sort {
        Some(sort) if !sort.streams(filter) => {
            let all = Page::first(PAGE_MAX);
            let all = page_of(connection, filter, all, read_record, |record| record)?;
            arranged(all.listed(), sort, page)
        }
        _ => Ok(page_of(connection, filter, page, read_record, |record| record)?.listed()),
    }
}

/// A page of what `read` makes of each row, which has this record, in an order that has an index.
pub(super) fn page_of<T>(
    connection: &Connection,
    filter: &Filter,
    page: Page,
    read: impl Fn(&Row<'_>) -> Result<T, StoreError>,
    record: impl Fn(&T) -> &KeyRecord,
) -> Result<Rows<T>, StoreError> {
    let (row, id) = match page.after {
        None => (i64::MIN, None),
        Some(cursor) => start(connection, &cursor, page.sort.unwrap_or(filter.order()))?,
    };
    let plan = ListPlan::new(filter, page, row, id)?;
    let mut reader = PageReader::new(&plan);
    for (sql, values) in plan.statements::<Sqlite>() {
        let limit = i64::try_from(reader.rows_left()).map_err(|_| StoreError::OutOfRange)?;
        if limit == 0 {
            break;
        }
        let values = values.into_iter().map(|value| match value {
            Value::Number(number) => Cell::Integer(number),
            Value::Text(text) => Cell::Text(text),
        });
        let params = params_from_iter([Cell::Integer(limit)].into_iter().chain(values));
        let mut statement = match connection.prepare_cached(&sql) {
            // Without the index, which someone has dropped, it takes longer.
            Err(_) => prepared(connection, &without_index(&sql))?,
            Ok(statement) => statement,
        };
        let mut rows = statement.query(params).map_err(unavailable)?;
        while reader.rows_left() > 0
            && let Some(row) = rows.next().map_err(unavailable)?
        {
            if reader.takes(&list_row(row)?) {
                reader.add(read(row), &record)?;
            }
        }
    }
    Ok(reader.finish())
}

fn without_index(sql: &str) -> String {
    let Some((before, after)) = sql.split_once(INDEXED_BY) else {
        return sql.to_owned();
    };
    let (_, after) = after.split_once(' ').unwrap_or_default();
    format!("{before} {after}")
}

fn list_row<'r>(row: &'r Row<'_>) -> Result<ListRow<'r>, StoreError> {
    let key_id = match row.get_ref("key_id").map_err(unavailable)? {
        ValueRef::Text(text) => core::str::from_utf8(text).ok(),
        _ => None,
    };
    let is_shown: Option<bool> = row.get("shown").map_err(unavailable)?;
    Ok(ListRow {
        number: row.get("row").map_err(unavailable)?,
        place: row.get("place").map_err(unavailable)?,
        is_shown: is_shown == Some(true),
        key_id,
    })
}

/// The number of the row that a cursor names, and the id in it.
fn start(
    connection: &Connection,
    cursor: &Cursor,
    sort: Sort,
) -> Result<(i64, Option<String>), StoreError> {
    match (cursor.row(), cursor.key_id()) {
        (_, Some(id)) if sort == Sort::Id => Ok((0, Some(id.to_string()))),
        (Some(row), _) if sort == Sort::Id => {
            let sql = "SELECT key_id FROM api_keys WHERE rowid = ?1 AND key_id IS NOT NULL";
            let id = one(connection, sql, [row])?;
            Ok((row, Some(id)))
        }
        (Some(row), _) => Ok((row, None)),
        (None, Some(id)) => {
            let sql = "SELECT rowid FROM api_keys WHERE key_id = ?1 UNION ALL \
                 SELECT place FROM api_key_deleted WHERE key_id = ?1 AND place IS NOT NULL";
            Ok((one(connection, sql, [id.as_str()])?, None))
        }
        (None, None) => Err(StoreError::NotFound),
    }
}

fn one<T: rusqlite::types::FromSql>(
    connection: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
) -> Result<T, StoreError> {
    let mut statement = prepared(connection, sql)?;
    let found = statement.query_row(params, |row| row.get(0)).optional();
    found.map_err(unavailable)?.ok_or(StoreError::NotFound)
}

#[cfg(test)]
mod tests {
    use super::Sqlite;
    use crate::list_statement::ListSpelling;

    /// They are cut out of the file of the migration.
    #[test]
    fn the_expressions_of_the_indexes_are_whole() {
        for place in [Sqlite::issued(), Sqlite::ends()] {
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
