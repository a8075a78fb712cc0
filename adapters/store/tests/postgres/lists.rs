//! In PostgreSQL the lists are those in memory, each filter is served by an index, and a page reads
//! few rows.

use keystile_store::MemoryStore;
use keystile_store::list_plans::{self, Value as ListValue};
use serde_json::Value;
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::cost;
use crate::database::Database;
use crate::random::{self, Random, insert, records};
use crate::selected::{BEYOND, SIZE, Spelled, fill, filters, pages};

const POSTGRES: Spelled = Spelled {
    padded: "'1' || lpad(n::text, 15, '0')",
    hash: "lpad(to_hex(n), 64, '0')",
    instant: |millis| format!("to_timestamp(({millis}) / 1000)"),
    text: |number| format!("({number})::text"),
};

#[tokio::test]
async fn lists_in_postgres_are_those_in_memory() {
    let Some(database) = Database::new().await else {
        return;
    };
    let store = database.store().await;
    let memory = MemoryStore::new();
    let mut random = Random(1);
    let all = records(&mut random, 300);
    insert(&store, &all).await;
    insert(&memory, &all).await;
    random::are_alike(&store, &memory, &mut random).await;
    // Other code writes fractions of milliseconds, and instants that no record can have.
    for (row, record) in all.iter().enumerate() {
        let form = [
            "2026-09-21 14:13:20.0049999+00",
            "2026-09-21 16:13:20.007001+02",
            "infinity",
            "-infinity",
            "1960-09-21 14:13:20+00",
            "12000-09-21 14:13:20+00",
        ][row % 6];
        let columns = ["expires_at", "created_at", "overlap_until", "last_used_at"];
        let column = columns[usize::try_from(random.below(4)).unwrap()];
        if column == "overlap_until" && record.overlap_until.is_none() {
            continue;
        }
        let key = record.id.as_str();
        let sql = format!("UPDATE api_keys SET {column} = '{form}' WHERE key_id = '{key}'");
        database.sql(&sql).await.unwrap();
    }
    let named = random::shows_what_the_filter_shows(&store, &mut random).await;
    assert!(named > 500, "the case was tested: {named}");
}

/// The rows of `api_keys` that a plan has read, and the indexes by which it did.
fn visited(node: &Value, found: &mut Vec<String>) -> u64 {
    let number = |name: &str| node[name].as_f64().map_or(0, |number| number as u64);
    let mut rows = 0;
    let kind = node["Node Type"].as_str().unwrap();
    let index = node["Index Name"].as_str();
    if let Some(index) = index.filter(|index| index.starts_with("api_keys")) {
        found.push(index.to_owned());
    }
    // The rows of a bitmap of an index are counted when they are read.
    if node["Relation Name"] == "api_keys" && kind != "Bitmap Index Scan" {
        rows += number("Actual Loops")
            * (number("Actual Rows")
                + number("Rows Removed by Filter")
                + number("Rows Removed by Index Recheck"));
        if kind == "Seq Scan" {
            found.push(kind.to_owned());
        }
    }
    let parts = node["Plans"].as_array().into_iter().flatten();
    rows + parts.map(|part| visited(part, found)).sum::<u64>()
}

/// As a prepared statement, which the server may plan without its values.
async fn explain(client: &Client, sql: &str, values: &[ListValue]) -> (u64, Vec<String>) {
    let values: Vec<String> = values
        .iter()
        .map(|value| match value {
            ListValue::Number(number) => number.to_string(),
            ListValue::Text(text) => format!("'{text}'"),
        })
        .collect();
    let prepare = format!("PREPARE listed AS {sql}");
    client.batch_execute(&prepare).await.unwrap();
    let sql = format!(
        "EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE listed ({})",
        values.join(", ")
    );
    let plan = client.simple_query(&sql).await.unwrap();
    client.batch_execute("DEALLOCATE listed").await.unwrap();
    let rows = plan.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    let plan: Value = serde_json::from_str(&rows.collect::<String>()).unwrap();
    let mut found = Vec::new();
    (visited(&plan[0]["Plan"], &mut found), found)
}

/// Returns the most rows of a page.
async fn each_filter_has_an_index(count: u64) -> Option<u64> {
    let database = Database::new().await?;
    drop(database.store().await);
    for sql in fill(count, &POSTGRES) {
        let (insert, select) = sql.split_once("SELECT").unwrap();
        let numbers = format!("WITH numbers (n) AS (SELECT generate_series(1::bigint, {count}))");
        let sql = format!("{insert} {numbers} SELECT{select}");
        database.sql(&sql).await.unwrap();
    }
    database.sql("ANALYZE").await.unwrap();
    let mut most = 0;
    for mode in ["force_custom_plan", "force_generic_plan"] {
        database
            .sql(&format!("SET plan_cache_mode = {mode}"))
            .await
            .unwrap();
        for (filter, index) in filters() {
            for page in pages(&filter, count) {
                let mut rows = 0;
                for (sql, mut values) in list_plans::postgres(&filter, page).unwrap() {
                    // As the store does: each statement reads what the ones before have left.
                    if let ListValue::Number(left) = &mut values[0] {
                        *left -= rows as i64;
                    }
                    let (read, nodes) = explain(&database.other, &sql, &values).await;
                    assert_eq!(nodes, [index], "{mode} {filter:?} {page:?}: {sql}");
                    rows += read;
                }
                // The server may take all of some hundred rows by a bitmap, and sort them.
                let limit = if count < 100_000 {
                    count / 10
                } else {
                    (SIZE + BEYOND) as u64
                };
                assert!(rows <= limit, "{mode} {filter:?} {page:?}: {rows}");
                most = most.max(rows);
            }
        }
    }
    Some(most)
}

#[tokio::test]
async fn each_filter_of_5_000_keys_has_an_index() {
    each_filter_has_an_index(5_000).await;
}

/// Run it as CONTRIBUTING.md says.
#[tokio::test]
#[ignore = "it takes a minute"]
async fn each_filter_of_100_000_keys_has_an_index_large() {
    if let Some(most) = each_filter_has_an_index(100_000).await {
        println!("at most {most} rows of a statement");
    }
}

/// Run it as CONTRIBUTING.md says.
#[tokio::test]
#[ignore = "it measures, and compares nothing"]
async fn what_the_indexes_cost_large() {
    let (Some(one), Some(other)) = (Database::new().await, Database::new().await) else {
        return;
    };
    let (with, without) = (one.store().await, other.store().await);
    let drop = "DROP INDEX api_keys_of_owner, api_keys_of_client, api_keys_of_environment,
        api_keys_of_template, api_keys_ended, api_keys_by_issue, api_keys_by_end,
        api_keys_replaced_by_end";
    other.sql(drop).await.unwrap();
    cost::compare(&with, &without).await;
}
