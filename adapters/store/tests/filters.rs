//! Filters over a table that other code writes too, in SQLite.

#![cfg(feature = "sqlite")]
#![allow(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    reason = "a test fails where the product must not"
)]

use keystile::{IssueRequest, KeyFormat, KeyId, PepperRing, SysRng, UnixMillis, issue};
use keystile_store::{AdoptOptions, Filter, KeyStatus, Page, SqliteStore, Store, save_issued};
use rusqlite::Connection;

/// 2026-09-21T14:13:20Z.
fn at(millis: u64) -> UnixMillis {
    UnixMillis::new(1_790_000_000_000 + millis).unwrap()
}

async fn beside(folder: &tempfile::TempDir) -> (SqliteStore, Connection) {
    let path = folder.path().join("keys.db");
    let store = SqliteStore::open(&path).unwrap();
    store.migrate().await.unwrap();
    (store, Connection::open(path).unwrap())
}

async fn kept(store: &SqliteStore) -> KeyId {
    let request = IssueRequest::new("Acme Ltd").unwrap();
    let format = KeyFormat::structured("acme").unwrap();
    let issued = issue(&format, &PepperRing::none(), &request, &mut SysRng, at(0)).unwrap();
    save_issued(store, &issued).await.unwrap();
    issued.record.id
}

fn change(other: &Connection, id: &KeyId, set: &str) {
    let sql = format!("UPDATE api_keys SET {set} WHERE key_id = ?1");
    assert_eq!(other.execute(&sql, [id.as_str()]).unwrap(), 1, "{set}");
}

async fn listed(store: &SqliteStore, filter: &Filter) -> Vec<KeyId> {
    let listed = store.list(filter, Page::first(9)).await.unwrap();
    listed.records.iter().map(|record| record.id).collect()
}

/// As texts, these instants are in another order than in time.
#[tokio::test]
async fn instants_of_other_code_are_compared_as_instants() {
    let folder = tempfile::tempdir().unwrap();
    let (store, other) = beside(&folder).await;
    let id = kept(&store).await;
    // All of them are 14:13:21.000Z or a part of a millisecond later.
    for text in [
        "2026-09-21T14:13:21.000Z",
        "2026-09-21 14:13:21",
        "2026-09-21T14:13:21",
        "2026-09-21 23:13:21+09",
        "2026-09-21T09:13:21.0001-05:00",
        "2026-09-22 00:13:21.000999+10:00",
    ] {
        for column in ["expires_at", "last_used_at", "created_at"] {
            change(&other, &id, &format!("{column} = '{text}'"));
        }
        let all = Filter::default;
        for (filter, what) in [
            (all().ending(at(999), at(1_001)), "ends"),
            (all().unused_since(at(1_001)), "was used"),
            (all().issued_from(at(1_000)), "was issued"),
            (all().issued_before(at(1_001)), "was issued"),
            (all().status(KeyStatus::Active, at(999)), "is active"),
            (all().status(KeyStatus::Expired, at(1_000)), "is expired"),
        ] {
            assert_eq!(listed(&store, &filter).await, [id], "{what}: {text}");
        }
        for (filter, what) in [
            (all().ending(at(999), at(1_000)), "ends"),
            (all().ending(at(1_000), at(9_000)), "has ended"),
            (all().unused_since(at(1_000)), "was used"),
            (all().issued_from(at(1_001)), "was issued"),
            (all().issued_before(at(1_000)), "was issued"),
            (all().status(KeyStatus::Expired, at(999)), "is active"),
        ] {
            assert_eq!(listed(&store, &filter).await, [], "{what}: {text}");
        }
    }
}

/// A row whose instants cannot be read is in no list of keys, and is named in each of those
/// that compare these instants.
#[tokio::test]
async fn a_damaged_row_is_named_unless_a_column_excludes_it() {
    let folder = tempfile::tempdir().unwrap();
    let (store, other) = beside(&folder).await;
    let [damaged, sound] = [kept(&store).await, kept(&store).await];
    change(
        &other,
        &damaged,
        "expires_at = 'soon', environment = 'live'",
    );
    let all = Filter::default;
    let live = keystile::Environment::new("live").unwrap();
    let test = keystile::Environment::new("test").unwrap();
    for (filter, named) in [
        (all().ending(at(0), UnixMillis::MAX), 1),
        (all().unused_since(at(0)), 1),
        (all().issued_from(at(500)), 0),
        (all().status(KeyStatus::Active, at(0)), 1),
        (all().status(KeyStatus::Retiring, at(0)), 0),
        (all().environment(live), 1),
        (all().id_prefix(damaged.as_str()), 1),
        (all().environment(test), 0),
        (all().status(KeyStatus::Suspended, at(0)), 0),
        (all().id_prefix(sound.as_str()), 0),
        (Filter::of_owner("tenant-7"), 0),
    ] {
        let page = store.list(&filter, Page::first(9)).await.unwrap();
        assert_eq!(page.damaged.len(), named, "{filter:?}");
        assert!(page.records.iter().all(|record| record.id == sound));
        assert_eq!(page.next, None);
    }
    // It counts towards the size of a page.
    let filter = all().issued_before(at(9));
    let first = store.list(&filter, Page::first(1)).await.unwrap();
    assert_eq!((first.records.len(), first.damaged.len()), (0, 1));
    let rest = Page::first(1).after(first.next.unwrap());
    let rest = store.list(&filter, rest).await.unwrap();
    assert_eq!(rest.records.first().map(|record| record.id), Some(sound));
}

/// An adopted table may have a column that ignores case.
#[tokio::test]
async fn a_column_that_ignores_case_selects_no_other_client() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.db");
    let other = Connection::open(&path).unwrap();
    let table = "CREATE TABLE api_keys (id INTEGER PRIMARY KEY AUTOINCREMENT, \
         key_hash VARCHAR(64) NOT NULL UNIQUE, key_prefix VARCHAR(10) NOT NULL, \
         client_name VARCHAR(255) NOT NULL COLLATE NOCASE, client_email VARCHAR(255), \
         permissions JSONB NOT NULL DEFAULT '[]', created_at TEXT, last_used_at TEXT, \
         expires_at TEXT, is_active BOOLEAN DEFAULT TRUE, rate_limit INTEGER DEFAULT 1000, \
         metadata JSONB DEFAULT '{}')";
    other.execute_batch(table).unwrap();
    let store = SqliteStore::open(&path).unwrap();
    let plan = store.plan_adoption(AdoptOptions::default(), at(0)).await;
    store.adopt(&plan.unwrap(), |_| ()).await.unwrap();
    let id = kept(&store).await;
    assert_eq!(listed(&store, &Filter::of_client("Acme Ltd")).await, [id]);
    assert_eq!(listed(&store, &Filter::of_client("ACME LTD")).await, []);
}
