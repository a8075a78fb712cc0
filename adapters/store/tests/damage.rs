//! A damaged row is an error, never a grant, and the error does not contain the damaged
//! value.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test's fixtures"
)]

use std::path::Path;

use keystile::{
    Decision, Event, EventKind, IssueRequest, Issued, KeyFormat, KeyId, Lookup, Millis, PepperRing,
    RateLimit, Request, RotationPolicy, SysRng, UnixMillis, Verifier, issue,
};
use keystile_store::{Batch, SqliteStore, Store, StoreError, check, rotate, save_issued};
use rusqlite::Connection;

fn at(millis: u64) -> UnixMillis {
    UnixMillis::new(1_790_000_000_000 + millis).unwrap()
}

fn structured() -> KeyFormat {
    KeyFormat::structured("acme").unwrap()
}

async fn opened(path: impl AsRef<Path>) -> SqliteStore {
    let store = SqliteStore::open(path).unwrap();
    store.migrate().await.unwrap();
    store
}

async fn kept(store: &SqliteStore) -> Issued {
    let limit = RateLimit::new(100, Millis::from_hours(1)).unwrap();
    let request = IssueRequest::new("Acme Ltd")
        .unwrap()
        .rate_limit(limit)
        .uses(50)
        .unwrap();
    let none = PepperRing::none();
    let issued = issue(&structured(), &none, &request, &mut SysRng, at(0)).unwrap();
    save_issued(store, &issued).await.unwrap();
    issued
}

/// Each is an error that names the column and does not contain its value.
#[tokio::test]
async fn damage_is_an_error_and_never_a_grant() {
    let damages = [
        ("key_hash = upper(key_hash)", "key_hash"),
        ("key_hash = substr(key_hash, 2)", "key_hash"),
        ("digest_pepper = -1", "digest_pepper"),
        ("digest_pepper = 'x'", "digest_pepper"),
        ("allowed_endpoints = ''", "allowed_endpoints"),
        ("allowed_endpoints = '[\"api\"]'", "allowed_endpoints"),
        ("allowed_networks = '[\"10.0.0.1/8\"]'", "allowed_networks"),
        ("rate_window_ms = NULL", "rate_limit"),
        ("rate_limit = NULL", "rate_limit"),
        ("rate_window_ms = 0", "rate_limit"),
        ("rate_burst = 0", "rate_limit"),
        ("environment = 'Live'", "environment"),
        ("scope_type = ''", "scope_type"),
        ("expires_at = ''", "expires_at"),
        ("expires_at = 9e99", "expires_at"),
        ("overlap_until = 'soon'", "overlap_until"),
        ("overlap_until = '2026-01-01 00:00:00'", "any"),
        ("replaced_by = '7'", "replaced_by"),
        ("ends_at_first_use = ''", "ends_at_first_use"),
        ("is_active = 2, version = 2", "status"),
        ("status = 'revoked', is_active = 0", "status"),
        ("revoked_at = '2026-01-01 00:00:00'", "status"),
        ("lineage = NULL", "lineage"),
        ("lineage = '1zzzzzzzzzzzzzzz'", "lineage"),
        ("version = 1.5", "version"),
        ("client_name = ''", "client_name"),
        ("client_name = x'ff'", "client_name"),
    ];
    for (damage, expected) in damages {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.db");
        let store = opened(&path).await;
        let issued = kept(&store).await;
        let raw = Connection::open(&path).unwrap();
        // The trigger would make a revocation of two of these.
        raw.execute_batch("PRAGMA foreign_keys = OFF; DROP TRIGGER api_keys_changed")
            .unwrap();
        assert_eq!(
            raw.execute(&format!("UPDATE api_keys SET {damage}"), [])
                .unwrap(),
            1
        );
        let verifier = Verifier::new(structured());
        let key = issued.key.expose().as_bytes();
        let failed = check(&store, &verifier, key, &Request::new(), at(1)).await;
        let Err(StoreError::Corrupt(found)) = failed else {
            panic!("{damage}: {failed:?}")
        };
        assert_eq!((found.column, found.row), (expected, 1), "{damage}");
        let text = format!("{found} {found:?}").to_lowercase();
        let hash = issued.record.digest.to_string();
        let hash = hash.rsplit(':').next().unwrap();
        assert!(
            !text.contains(&hash[1..20]),
            "no digest in an error: {text}"
        );
    }
}

/// The use of one key is recorded although the other row is damaged.
#[tokio::test]
async fn a_damaged_last_use_does_not_prevent_other_updates() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.db");
    let store = opened(&path).await;
    let (damaged, sound) = (kept(&store).await, kept(&store).await);
    let raw = Connection::open(&path).unwrap();
    let sql = "UPDATE api_keys SET last_used_at = 'long ago' WHERE key_id = ?1";
    raw.execute(sql, [damaged.record.id.as_str()]).unwrap();
    let uses = [(damaged.record.id, at(7)), (sound.record.id, at(7))];
    store.note_uses(&uses).await.unwrap();
    let found = store.find(&Lookup::Id(sound.record.id)).await.unwrap();
    assert_eq!(found.unwrap().last_used_at, Some(at(7)));
    let found = store.find(&Lookup::Id(damaged.record.id)).await;
    assert!(matches!(found, Err(StoreError::Corrupt(_))), "{found:?}");
}

#[tokio::test]
async fn a_deleted_predecessor_is_looked_up_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.db");
    let store = opened(&path).await;
    let old = kept(&store).await;
    let (policy, none) = (
        RotationPolicy::default().with_end_on_first_use(true),
        PepperRing::none(),
    );
    let new = rotate(
        &store,
        &old.record.id,
        &policy,
        None,
        &none,
        &mut SysRng,
        at(1),
    )
    .await
    .unwrap();
    let raw = Connection::open(&path).unwrap();
    raw.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    let sql = "DELETE FROM api_keys WHERE key_id = ?1";
    assert_eq!(raw.execute(sql, [old.record.id.as_str()]).unwrap(), 1);
    let verifier = Verifier::new(structured());
    let ask = async |now| {
        let key = new.key.expose().as_bytes();
        let checked = check(&store, &verifier, key, &Request::new(), now).await;
        checked.unwrap().decision
    };
    let ends = |decision| match decision {
        Decision::Allow(allowed) => allowed.ends_overlap_of,
        Decision::Deny(denial) => panic!("{denial:?}"),
    };
    assert_eq!(ends(ask(at(2)).await), Some(old.record.id));
    assert_eq!(ends(ask(at(3)).await), None);
}

/// Without its usage row, a limited number of uses would appear to be unlimited.
#[tokio::test]
async fn missing_usage_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.db");
    let store = opened(&path).await;
    let issued = kept(&store).await;
    let raw = Connection::open(&path).unwrap();
    raw.execute_batch("PRAGMA foreign_keys = ON").unwrap();
    assert!(
        raw.execute("DELETE FROM api_key_usage", []).is_err(),
        "the tables hold it"
    );
    raw.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    raw.execute("DELETE FROM api_key_usage", []).unwrap();
    let failed = store.find(&Lookup::Id(issued.record.id)).await;
    assert!(matches!(failed, Err(StoreError::Corrupt(_))), "{failed:?}");

    let damaged = kept(&store).await;
    for damage in ["rate_state = 'x'", "remaining_uses = 0.5"] {
        raw.execute(&format!("UPDATE api_key_usage SET {damage}"), [])
            .unwrap();
        let failed = store.usage(&damaged.record.lineage).await;
        assert!(failed.is_err(), "{damage}: {failed:?}");
    }
    assert!(
        raw.execute("UPDATE api_key_usage SET remaining_uses = -1", [])
            .is_err()
    );
}

#[tokio::test]
async fn a_damaged_event_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.db");
    let store = opened(&path).await;
    let id: KeyId = "1AbCdEfGhIjKlMnO".parse().unwrap();
    let mut batch = Batch::new();
    batch.events.push(Event::new(EventKind::Issued, id, at(0)));
    store.commit(&batch).await.unwrap();
    let raw = Connection::open(&path).unwrap();
    for damage in [
        "kind = 'forged'",
        "at = ''",
        "key_id = ''",
        "successor = 'x'",
    ] {
        let whole = "UPDATE api_key_events SET kind = 'issued', at = '2026-01-01 00:00:00',
             key_id = '1AbCdEfGhIjKlMnO', successor = NULL";
        raw.execute(whole, []).unwrap();
        assert_eq!(store.events(None, 0, 9).await.unwrap().len(), 1);
        raw.execute(&format!("UPDATE api_key_events SET {damage}"), [])
            .unwrap();
        let failed = store.events(None, 0, 9).await;
        assert!(
            matches!(failed, Err(StoreError::Corrupt(_))),
            "{damage}: {failed:?}"
        );
    }
}
