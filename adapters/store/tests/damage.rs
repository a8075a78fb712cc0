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

#[path = "damage/one_row.rs"]
mod one_row;

use std::path::Path;

use keystile::{
    Decision, DenialCode, IssueRequest, Issued, KeyFormat, KeyId, Lookup, Millis, PepperRing,
    RateLimit, Request, RotationPolicy, SysRng, UnixMillis, Verifier, issue,
};
use keystile_store::{SqliteStore, Store, StoreError, check, revoke, rotate, save_issued, suspend};
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
        ("overlap_until = '2026-01-01 00:00:00'", "overlap_until"),
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
        let checked = check(&store, &verifier, key, &Request::new(), at(1)).await;
        let checked = checked.unwrap();
        let denial = checked.decision.denial().expect(damage);
        assert_eq!(denial.code(), DenialCode::RecordDamaged, "{damage}");
        let found = checked.damage.expect(damage);
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

/// A new store, and another program's connection to it.
async fn beside(folder: &tempfile::TempDir) -> (SqliteStore, Connection) {
    let path = folder.path().join("keys.db");
    let store = opened(&path).await;
    let other = Connection::open(&path).unwrap();
    other
        .execute_batch("PRAGMA foreign_keys = OFF; PRAGMA busy_timeout = 5000")
        .unwrap();
    (store, other)
}

fn change(other: &Connection, id: &KeyId, set: &str) {
    let sql = format!("UPDATE api_keys SET {set} WHERE key_id = '{id}'");
    assert_eq!(other.execute(&sql, []).unwrap(), 1, "{set}");
}

async fn answer(store: &SqliteStore, key: &Issued) -> Option<DenialCode> {
    let (verifier, text) = (Verifier::new(structured()), key.key.expose().as_bytes());
    let checked = check(store, &verifier, text, &Request::new(), at(9)).await;
    let checked = checked.unwrap();
    checked.decision.denial().map(|denial| denial.code())
}

/// A key whose usage cannot be read is denied, and can be ended by its id.
#[tokio::test]
async fn a_key_with_a_damaged_usage_can_be_ended() {
    for damage in ["rate_state = 'x'", "remaining_uses = 0.5"] {
        let folder = tempfile::tempdir().unwrap();
        let (store, other) = beside(&folder).await;
        let [key, sound] = [kept(&store).await, kept(&store).await];
        let id = key.record.id;
        let sql = format!("UPDATE api_key_usage SET {damage} WHERE lineage = '{id}'");
        assert_eq!(other.execute(&sql, []).unwrap(), 1);
        let denied = answer(&store, &key).await;
        assert_eq!(denied, Some(DenialCode::RecordDamaged), "{damage}");
        assert_eq!(answer(&store, &sound).await, None, "{damage}");
        assert!(suspend(&store, &id, at(1)).await.unwrap().is_changed());
        let revoked = revoke(&store, &id, "leaked", at(2)).await.unwrap();
        assert!(revoked.is_changed(), "{damage}");
        let mended = "UPDATE api_key_usage SET rate_state = 0, remaining_uses = 9";
        other.execute_batch(mended).unwrap();
        let denied = answer(&store, &key).await;
        assert_eq!(denied, Some(DenialCode::KeyRevoked), "{damage}");
    }
}

/// The triggers are there: each damage is a change by other code.
#[tokio::test]
async fn one_damaged_row_costs_one_row() {
    for (damage, column) in [
        ("key_hash = upper(key_hash)", "key_hash"),
        ("digest_pepper = -1", "digest_pepper"),
        ("permissions = 'not json'", "permissions"),
        ("permissions = '[\"read users\"]'", "permissions"),
        ("permissions = '[\"inv*\"]'", "permissions"),
        ("permissions = '{\"read\": true}'", "permissions"),
        ("permissions = 'read,write'", "permissions"),
        ("allowed_endpoints = ''", "allowed_endpoints"),
        ("allowed_networks = '[1]'", "allowed_networks"),
        ("rate_window_ms = NULL", "rate_limit"),
        ("rate_limit = 'many'", "rate_limit"),
        ("environment = 'Live'", "environment"),
        ("scope_type = ''", "scope_type"),
        ("client_name = ''", "client_name"),
        ("client_name = x'ff'", "client_name"),
        ("client_email = 'a' || char(10)", "client_email"),
        ("metadata = zeroblob(20000)", "metadata"),
        ("created_at = '1970-01-01'", "created_at"),
        ("created_at = NULL", "created_at"),
        ("expires_at = '2030-01-01'", "expires_at"),
        ("expires_at = '2030-01-01T00:00:00+0000'", "expires_at"),
        ("expires_at = ''", "expires_at"),
        ("expires_at = 1782043200000", "expires_at"),
        ("expires_at = 'infinity'", "expires_at"),
        (
            "expires_at = 'Fri Jan 01 2030 00:00:00 GMT+0000'",
            "expires_at",
        ),
        ("lineage = '1zzzzzzzzzzzzzzz'", "lineage"),
        ("replaced_by = '7'", "replaced_by"),
        ("overlap_until = 'soon'", "overlap_until"),
        ("overlap_until = '2026-01-01 00:00:00'", "overlap_until"),
        ("ends_at_first_use = ''", "ends_at_first_use"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (store, other) = beside(&folder).await;
        let make = async |id: &KeyId| change(&other, id, damage);
        one_row::one_damaged_row_costs_one_row(&store, make, column, damage).await;
    }
}

/// The columns of the status may be the damage: they are what is written.
#[tokio::test]
async fn a_damaged_status_is_revoked() {
    for damage in [
        "is_active = 2",
        "revoked_at = '2026-01-01T00:00:00.000Z'",
        "revoke_reason = x'ff'",
        "status = 'suspended', is_active = 0, revoked_at = 'never'",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (store, other) = beside(&folder).await;
        let issued = kept(&store).await;
        let id = issued.record.id;
        // The trigger would make a revocation of the first.
        other
            .execute_batch("DROP TRIGGER api_keys_changed")
            .unwrap();
        change(&other, &id, damage);
        let found = store.find(&Lookup::Id(id)).await;
        assert!(matches!(found, Err(StoreError::Corrupt(_))), "{damage}");
        let outcome = revoke(&store, &id, "leaked", at(1)).await.expect(damage);
        assert!(outcome.is_changed(), "{damage}");
        let found = store.find(&Lookup::Id(id)).await.expect(damage).unwrap();
        assert_eq!(found.status.as_str(), "revoked", "{damage}");
    }
}

/// Without a version there is nothing to compare with, and nothing is written.
#[tokio::test]
async fn a_key_without_a_version_is_not_changed() {
    let folder = tempfile::tempdir().unwrap();
    let (store, other) = beside(&folder).await;
    let issued = kept(&store).await;
    change(&other, &issued.record.id, "version = 1.5");
    let last = store.last_event().await.unwrap();
    let refused = revoke(&store, &issued.record.id, "leaked", at(1)).await;
    let Err(StoreError::Corrupt(row)) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(row.column, "version");
    assert_eq!(store.last_event().await.unwrap(), last);
}

#[tokio::test]
async fn a_damaged_sibling_ends_with_a_rotation() {
    let folder = tempfile::tempdir().unwrap();
    let (store, other) = beside(&folder).await;
    let damage = async |id: &KeyId| change(&other, id, "permissions = 'read'");
    let mend = async |id: &KeyId| change(&other, id, "permissions = '[]'");
    one_row::a_damaged_sibling_ends_with_a_rotation(&store, damage, mend).await;
}

/// The predecessor ends with the first use of its successor, although it cannot be read.
#[tokio::test]
async fn a_damaged_predecessor_ends_at_the_first_use() {
    let folder = tempfile::tempdir().unwrap();
    let (store, other) = beside(&folder).await;
    let old = kept(&store).await;
    let policy = RotationPolicy::default().with_end_on_first_use(true);
    let (id, none) = (old.record.id, PepperRing::none());
    let new = rotate(&store, &id, &policy, None, &none, &mut SysRng, at(1)).await;
    let new = new.unwrap();
    change(&other, &id, "permissions = 'read'");
    let verifier = Verifier::new(structured());
    let ask = async |key: &str, now| {
        let checked = check(&store, &verifier, key.as_bytes(), &Request::new(), now).await;
        checked.unwrap().decision
    };
    assert!(ask(new.key.expose(), at(2)).await.is_allow());
    change(&other, &id, "permissions = '[]'");
    let denied = ask(old.key.expose(), at(3)).await;
    assert_eq!(denied.denial().unwrap().code(), DenialCode::KeyReplaced);
}

#[tokio::test]
async fn a_cursor_survives_a_deleted_row() {
    let folder = tempfile::tempdir().unwrap();
    let (store, other) = beside(&folder).await;
    let delete = async |id: &KeyId| {
        let sql = "DELETE FROM api_keys WHERE key_id = ?1";
        assert_eq!(other.execute(sql, [id.as_str()]).unwrap(), 1);
    };
    one_row::a_cursor_survives_a_deleted_row(&store, delete).await;
}

#[tokio::test]
async fn a_list_passes_a_row_without_an_id() {
    let folder = tempfile::tempdir().unwrap();
    let (store, other) = beside(&folder).await;
    let damage = async |id: &KeyId| change(&other, id, "key_id = 'x'");
    one_row::a_list_passes_a_row_without_an_id(&store, damage).await;
}

#[tokio::test]
async fn a_list_of_events_passes_a_damaged_one() {
    for damage in [
        "kind = 'forged'",
        "at = ''",
        "key_id = ''",
        "successor = 'x'",
        "changes = '{}'",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (store, other) = beside(&folder).await;
        let make = async |number: u64| {
            let sql = format!("UPDATE api_key_events SET {damage} WHERE number = {number}");
            assert_eq!(other.execute(&sql, []).unwrap(), 1);
        };
        one_row::a_list_of_events_passes_a_damaged_one(&store, make).await;
    }
}
