//! Lists of many keys: each filter and order, in SQLite and in memory.

#![cfg(feature = "sqlite")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::print_stdout,
    clippy::panic,
    reason = "tests and their fixtures"
)]

mod cost;
mod plans;
mod random;
mod selected;

use keystile_store::{MemoryStore, SqliteStore};
use random::{Random, insert, records};
use rusqlite::Connection;

async fn beside(folder: &tempfile::TempDir) -> (SqliteStore, Connection) {
    let path = folder.path().join("keys.db");
    let store = SqliteStore::open(&path).unwrap();
    store.migrate().await.unwrap();
    (store, Connection::open(path).unwrap())
}

#[tokio::test]
async fn lists_in_sqlite_are_those_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = beside(&folder).await;
    let memory = MemoryStore::new();
    let mut random = Random(1);
    let all = records(&mut random, 300);
    insert(&store, &all).await;
    insert(&memory, &all).await;
    random::are_alike(&store, &memory, &mut random).await;
    random::shows_what_the_filter_shows(&memory, &mut random).await;
}

/// Other code writes instants in other forms, and some that are none.
#[tokio::test]
async fn no_row_of_other_code_is_lost_or_wrongly_shown() {
    let folder = tempfile::tempdir().unwrap();
    let (store, other) = beside(&folder).await;
    let mut random = Random(2);
    let all = records(&mut random, 300);
    insert(&store, &all).await;
    // All of them are at 14:13:20 and few milliseconds, or none.
    let forms = [
        "2026-09-21 14:13:20",
        "2026-09-21T14:13:20Z",
        "2026-09-21T14:13:20+00:00",
        "2026-09-21 14:13:20.004",
        "2026-09-21T14:13:20.004Z",
        "2026-09-21 14:13:20.004999",
        "2026-09-21T14:13:20.004999+00:00",
        "2026-09-21T16:13:20.006+02:00",
        "2026-09-21 14:13:20+00",
        "2026-09-21T14:13:20.0Z",
        "2026-09-21T14:13:20.007 ",
        "2026-09-21",
        "2026-02-30T14:13:20.000Z",
        "2026-09-21T24:13:20.000Z",
        "1970-09-21T14:13:20.000Z",
        "1973-03-03T14:13:20.000Z",
        "2026-09-21T14:13:20.000Z\0",
        "now",
        "",
        "never",
    ];
    for (row, record) in all.iter().enumerate() {
        let form = forms[row % forms.len()];
        let column = ["expires_at", "created_at", "overlap_until", "last_used_at"]
            [usize::try_from(random.below(4)).unwrap()];
        if column == "overlap_until" && record.overlap_until.is_none() {
            continue;
        }
        let sql = format!("UPDATE api_keys SET {column} = ?2 WHERE key_id = ?1");
        let key = record.id.as_str();
        if row % 41 == 0 {
            let number = format!("UPDATE api_keys SET {column} = 1790000000 WHERE key_id = ?1");
            other.execute(&number, [key]).unwrap();
        } else if row % 7 == 0 {
            let blob = rusqlite::params![key, form.as_bytes()];
            other.execute(&sql, blob).unwrap();
        } else {
            other.execute(&sql, [key, form]).unwrap();
        }
        if row % 11 == 0 {
            let damage = "UPDATE api_keys SET permissions = 'none' WHERE key_id = ?1";
            other.execute(damage, [key]).unwrap();
        }
    }
    let named = random::shows_what_the_filter_shows(&store, &mut random).await;
    assert!(named > 500, "the case was tested: {named}");
}

/// The indexes of lists that no trigger needs.
const DROP: &str = "DROP INDEX api_keys_of_owner; DROP INDEX api_keys_of_client;
     DROP INDEX api_keys_of_environment; DROP INDEX api_keys_of_template;
     DROP INDEX api_keys_ended; DROP INDEX api_keys_by_issue; DROP INDEX api_keys_by_end;
     DROP INDEX api_keys_replaced_by_end";

/// Run it as CONTRIBUTING.md says.
#[tokio::test]
#[ignore = "it measures, and compares nothing"]
async fn what_the_indexes_cost_large() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let (with, _) = beside(&folders[0]).await;
    let (without, other) = beside(&folders[1]).await;
    other.execute_batch(DROP).unwrap();
    cost::compare(&with, &without).await;
}

/// Someone may drop an index that a tool calls unused: then a list takes longer.
#[tokio::test]
async fn a_list_needs_no_index() {
    let folder = tempfile::tempdir().unwrap();
    let (store, other) = beside(&folder).await;
    let mut random = Random(3);
    insert(&store, &records(&mut random, 60)).await;
    let indexes = "SELECT name FROM sqlite_schema WHERE type = 'index' AND sql LIKE 'CREATE INDEX%'
        AND tbl_name = 'api_keys'";
    let mut named = other.prepare(indexes).unwrap();
    let names = named.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let names: Vec<String> = names.map(Result::unwrap).collect();
    assert!(names.len() >= 8, "{names:?}");
    for name in names {
        other.execute_batch(&format!("DROP INDEX {name}")).unwrap();
    }
    random::shows_what_the_filter_shows(&store, &mut random).await;
}
