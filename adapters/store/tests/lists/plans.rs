//! In SQLite each filter is served by an index, and a page reads few rows.

use keystile_store::Page;
use keystile_store::list_plans::{self, Value as ListValue};
use rusqlite::types::Value;
use rusqlite::{Connection, StatementStatus, params_from_iter};

use crate::beside;
use crate::selected::{BEYOND, SIZE, Spelled, fill, filters, pages};

const SQLITE: Spelled = Spelled {
    padded: "'1' || printf('%015d', n)",
    hash: "printf('%064x', n)",
    instant: |millis| {
        let at = format!("({millis})");
        format!("strftime('%Y-%m-%dT%H:%M:%S', {at} / 1000, 'unixepoch') || '.000Z'")
    },
    text: |number| format!("({number})"),
};

fn filled(connection: &Connection, count: u64) {
    connection.execute_batch("BEGIN").unwrap();
    for sql in fill(count, &SQLITE) {
        let (insert, select) = sql.split_once("SELECT").unwrap();
        let numbers = format!(
            "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers
             WHERE n < {count}) SELECT"
        );
        let sql = format!("{insert} {numbers}{select}");
        assert_eq!(connection.execute(&sql, []).unwrap() as u64, count);
    }
    connection.execute_batch("COMMIT").unwrap();
}

/// The rows of a statement, and the steps of SQLite's machine.
fn run(connection: &Connection, sql: &str, values: &[ListValue]) -> (usize, i32) {
    let mut statement = connection.prepare(sql).unwrap();
    let mut rows = statement.query(params_from_iter(cells(values))).unwrap();
    let mut count = 0;
    while rows.next().unwrap().is_some() {
        count += 1;
    }
    drop(rows);
    (count, statement.get_status(StatementStatus::VmStep))
}

fn cells(values: &[ListValue]) -> Vec<Value> {
    let cell = |value: &ListValue| match value {
        ListValue::Number(number) => Value::Integer(*number),
        ListValue::Text(text) => Value::Text(text.clone()),
    };
    values.iter().map(cell).collect()
}

fn plan(connection: &Connection, sql: &str, values: &[ListValue]) -> String {
    let mut explained = connection
        .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
        .unwrap();
    let steps = explained.query_map(params_from_iter(cells(values)), |row| {
        row.get::<_, String>(3)
    });
    let steps: Vec<_> = steps.unwrap().map(Result::unwrap).collect();
    steps.join("; ")
}

/// Returns the most rows of a page.
async fn each_filter_has_an_index(count: u64) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let (_, connection) = beside(&folder).await;
    filled(&connection, count);
    let mut most = 0;
    for analysed in [false, true] {
        if analysed {
            connection.execute_batch("ANALYZE").unwrap();
        }
        // Each row of a list without a filter is shown, so this many steps are for so many rows.
        let all = list_plans::sqlite(&Default::default(), Page::first(SIZE + BEYOND)).unwrap();
        let (rows, allowed) = run(&connection, &all[0].0, &all[0].1);
        assert_eq!(rows, SIZE + BEYOND);
        for (filter, index) in filters() {
            for page in pages(&filter, count) {
                let (mut visited, mut steps) = (0, 0);
                for (sql, mut values) in list_plans::sqlite(&filter, page).unwrap() {
                    // As the store does: each statement reads what the ones before have left.
                    if let ListValue::Number(left) = &mut values[0] {
                        *left -= visited as i64;
                    }
                    let plan = plan(&connection, &sql, &values);
                    let uses = format!("SEARCH k USING INDEX {index} (");
                    assert!(plan.contains(&uses), "{filter:?}: {plan}");
                    assert!(
                        !plan.contains("TEMP B-TREE") && !plan.contains("SCAN"),
                        "{plan}"
                    );
                    let (rows, ran) = run(&connection, &sql, &values);
                    visited += rows;
                    steps += ran;
                }
                let what = format!("{filter:?} {page:?}");
                assert!(visited <= SIZE + BEYOND, "{what}: {visited}");
                // A row of this list has an instant computed, which takes more steps.
                assert!(steps <= 4 * allowed, "{what}: {steps} steps, {allowed}");
                most = most.max(visited);
            }
        }
    }
    most
}

#[tokio::test]
async fn each_filter_of_5_000_keys_has_an_index() {
    each_filter_has_an_index(5_000).await;
}

/// Run it as CONTRIBUTING.md says.
#[tokio::test]
#[ignore = "it takes a minute"]
async fn each_filter_of_100_000_keys_has_an_index_large() {
    let most = each_filter_has_an_index(100_000).await;
    println!("at most {most} rows of a statement");
}
