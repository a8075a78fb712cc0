//! A damaged row is an error, never a grant, and the error does not contain the damaged
//! value.

use keystile::{DenialCode, KeyId, Lookup, Millis, RateLimit};
use keystile_store::{Store, StoreError};

use crate::database::Database;
use crate::keys::{answer, issued, kept, request};
use crate::one_row;

/// A damaged template is named, and the others are listed.
#[tokio::test]
async fn a_damaged_template_is_named() {
    let Some(database) = Database::new().await else {
        return;
    };
    let store = database.store().await;
    for (values, column) in [
        ("'\"read\"', NULL, NULL, NULL, now()", "permissions"),
        ("'[]', 'null', NULL, NULL, now()", "allowed_endpoints"),
        ("'[]', NULL, 5, NULL, now()", "rate_limit"),
        ("'[]', NULL, NULL, 0, now()", "lifetime_ms"),
        ("'[]', NULL, NULL, -1, now()", "lifetime_ms"),
        ("'[]', NULL, NULL, NULL, 'infinity'", "changed_at"),
    ] {
        let sql = format!(
            "DELETE FROM api_key_templates; \
             INSERT INTO api_key_templates (name, permissions) VALUES ('aaa', '[]'), ('zzz', '[]'); \
             INSERT INTO api_key_templates (name, permissions, allowed_endpoints, rate_limit, \
             lifetime_ms, changed_at) VALUES ('bad', {values})"
        );
        database.sql(&sql).await.unwrap();
        let listed = store.list_templates(None, 9).await.unwrap();
        assert_eq!(listed.templates.len(), 2, "{values}");
        assert_eq!(listed.damaged.len(), 1, "{values}");
        assert_eq!(listed.damaged[0].column, column, "{values}");
        let name = listed.damaged[0].name.clone().unwrap();
        let found = store.template(&name).await;
        assert!(matches!(found, Err(StoreError::Template(_))), "{values}");
        store.remove_template(&name, None).await.unwrap();
    }
    // An instant with microseconds is read, so it has to be compared, too.
    let sql = "INSERT INTO api_key_templates (name, permissions, created_at) \
         VALUES ('pro', '[]', '2026-09-21 14:13:20.000789+00')";
    database.sql(sql).await.unwrap();
    let name = keystile::TemplateName::new("pro").unwrap();
    let read = store.template(&name).await.unwrap().unwrap();
    let changed = read.changed(read.template.clone(), None, read.created_at);
    store.save_template(&changed).await.unwrap();
    assert!(store.remove_template(&name, Some(&read)).await.is_err());
    store.remove_template(&name, Some(&changed)).await.unwrap();
}

/// Each is an error that names the column and does not contain its value.
#[tokio::test]
async fn damage_is_an_error_and_never_a_grant() {
    let Some(database) = Database::new().await else {
        return;
    };
    let store = database.store().await;
    database
        .sql("ALTER TABLE api_keys DISABLE TRIGGER USER")
        .await
        .unwrap();
    let limit = RateLimit::new(100, Millis::from_hours(1)).unwrap();
    let request = request().rate_limit(limit).uses(50).unwrap();
    for (number, (damage, expected)) in (1..).zip([
        ("key_hash = upper(key_hash)", "key_hash"),
        ("key_hash = substr(key_hash, 2)", "key_hash"),
        ("digest_pepper = -1", "digest_pepper"),
        ("digest_pepper = 4294967296", "digest_pepper"),
        ("permissions = '7'", "permissions"),
        ("allowed_endpoints = 'null'", "allowed_endpoints"),
        ("allowed_endpoints = '[\"api\"]'", "allowed_endpoints"),
        ("allowed_networks = '[\"10.0.0.1/8\"]'", "allowed_networks"),
        ("rate_window_ms = NULL", "rate_limit"),
        ("rate_limit = NULL", "rate_limit"),
        ("rate_limit = -5", "rate_limit"),
        ("rate_window_ms = 0", "rate_limit"),
        ("rate_burst = 0", "rate_limit"),
        ("environment = 'Live'", "environment"),
        ("scope_type = ''", "scope_type"),
        ("expires_at = 'infinity'", "expires_at"),
        ("created_at = NULL", "created_at"),
        ("overlap_until = '-infinity'", "overlap_until"),
        ("overlap_until = '2026-01-01'", "overlap_until"),
        ("replaced_by = '7'", "replaced_by"),
        ("ends_at_first_use = ''", "ends_at_first_use"),
        ("is_active = FALSE", "status"),
        ("is_active = NULL", "status"),
        ("status = 'revoked', is_active = FALSE", "status"),
        ("revoked_at = '2026-01-01'", "status"),
        ("lineage = NULL", "lineage"),
        ("client_name = ''", "client_name"),
        ("metadata_text = '\\xff'", "metadata_text"),
    ]) {
        let issued = kept(&store, &request).await;
        let id = issued.record.id.as_str();
        let sql = format!("UPDATE api_keys SET {damage} WHERE key_id = '{id}'");
        database.sql(&sql).await.unwrap();
        let checked = answer(&store, issued.key.expose()).await.unwrap();
        let denial = checked.decision.denial().expect(damage);
        assert_eq!(denial.code(), DenialCode::RecordDamaged, "{damage}");
        let found = checked.damage.expect(damage);
        assert_eq!((found.column, found.row), (expected, number), "{damage}");
        let text = format!("{found} {found:?}").to_lowercase();
        let hash = issued.record.digest.to_string();
        let hash = hash.rsplit(':').next().unwrap();
        assert!(
            !text.contains(&hash[1..20]),
            "no digest in an error: {text}"
        );
    }
}

/// Without its usage row, a limited number of uses would appear to be unlimited.
#[tokio::test]
async fn missing_usage_is_an_error() {
    let Some(database) = Database::new().await else {
        return;
    };
    let store = database.store().await;
    let issued = kept(&store, &request().uses(50).unwrap()).await;
    for refused in [
        "DELETE FROM api_key_usage",
        "UPDATE api_key_usage SET remaining_uses = -1",
        "UPDATE api_keys SET lineage = '1zzzzzzzzzzzzzzz'",
    ] {
        assert!(database.sql(refused).await.is_err(), "the tables hold it");
    }
    let gone = "ALTER TABLE api_keys DROP CONSTRAINT api_keys_lineage_fkey;
         DELETE FROM api_key_usage";
    database.sql(gone).await.unwrap();
    let failed = store.find(&Lookup::Id(issued.record.id)).await;
    assert!(matches!(failed, Err(StoreError::Corrupt(_))), "{failed:?}");
}

async fn change(database: &Database, id: &KeyId, set: &str) {
    let sql = format!("UPDATE api_keys SET {set} WHERE key_id = '{id}'");
    database.sql(&sql).await.expect(set);
}

/// The triggers are there: each damage is a change by other code.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_damaged_row_costs_one_row() {
    for (damage, column) in [
        ("key_hash = upper(key_hash)", "key_hash"),
        ("digest_pepper = -1", "digest_pepper"),
        ("permissions = '7'", "permissions"),
        ("permissions = '[\"read users\"]'", "permissions"),
        ("permissions = '{\"read\": true}'", "permissions"),
        ("allowed_endpoints = 'null'", "allowed_endpoints"),
        ("allowed_networks = '[\"10.0.0.1/8\"]'", "allowed_networks"),
        ("rate_limit = -5", "rate_limit"),
        ("environment = 'Live'", "environment"),
        ("client_name = ''", "client_name"),
        ("client_email = E'a\\nb'", "client_email"),
        ("metadata_text = '\\xff'", "metadata_text"),
        ("created_at = NULL", "created_at"),
        ("created_at = '1970-01-01'", "created_at"),
        ("expires_at = 'infinity'", "expires_at"),
        ("overlap_until = '-infinity'", "overlap_until"),
        ("overlap_until = '2026-01-01'", "overlap_until"),
        ("replaced_by = '7'", "replaced_by"),
    ] {
        let Some(database) = Database::new().await else {
            return;
        };
        let store = database.store().await;
        let make = async |id: &KeyId| change(&database, id, damage).await;
        one_row::one_damaged_row_costs_one_row(&store, make, column, damage).await;
    }
}

/// An adopted table may allow what a new one does not.
#[tokio::test]
async fn a_row_without_a_client_costs_one_row() {
    let Some(database) = Database::new().await else {
        return;
    };
    let store = database.store().await;
    let lax = "ALTER TABLE api_keys ALTER COLUMN client_name DROP NOT NULL";
    database.sql(lax).await.unwrap();
    let damage = async |id: &KeyId| change(&database, id, "client_name = NULL").await;
    one_row::one_damaged_row_costs_one_row(&store, damage, "client_name", "no client").await;
}

#[tokio::test]
async fn a_damaged_sibling_ends_with_a_rotation() {
    let Some(database) = Database::new().await else {
        return;
    };
    let store = database.store().await;
    let damage = async |id: &KeyId| change(&database, id, "permissions = '7'").await;
    let mend = async |id: &KeyId| change(&database, id, "permissions = '[]'").await;
    one_row::a_damaged_sibling_ends_with_a_rotation(&store, damage, mend).await;
}

#[tokio::test]
async fn a_cursor_survives_a_deleted_row() {
    for delete in [
        "DELETE FROM api_keys WHERE key_id = '%'",
        // Of a key that another row takes over, too.
        "UPDATE api_keys SET key_id = '1AbCdEfGhIjKlMn9' WHERE key_id = '%';
         DELETE FROM api_keys WHERE key_id = '1AbCdEfGhIjKlMn9'",
    ] {
        let Some(database) = Database::new().await else {
            return;
        };
        let store = database.store().await;
        let delete = async |id: &KeyId| {
            let sql = delete.replace('%', id.as_str());
            database.sql(&sql).await.unwrap();
        };
        one_row::a_cursor_survives_a_deleted_row(&store, delete).await;
    }
}

#[tokio::test]
async fn a_list_passes_a_row_without_an_id() {
    let Some(database) = Database::new().await else {
        return;
    };
    let store = database.store().await;
    let damage = async |id: &KeyId| change(&database, id, "key_id = 'x'").await;
    one_row::a_list_passes_a_row_without_an_id(&store, damage).await;
}

#[tokio::test]
async fn a_list_of_events_passes_a_damaged_one() {
    for damage in [
        "kind = 'forged'",
        "at = 'infinity'",
        "key_id = ''",
        "successor = 'x'",
        "changes = '{}'",
    ] {
        let Some(database) = Database::new().await else {
            return;
        };
        let store = database.store().await;
        let make = async |number: u64| {
            let sql = format!("UPDATE api_key_events SET {damage} WHERE number = {number}");
            database.sql(&sql).await.unwrap();
        };
        one_row::a_list_of_events_passes_a_damaged_one(&store, make).await;
    }
}

/// F2: the detail of a server's error, which contains values of the row, is not passed on.
#[tokio::test]
async fn no_error_holds_a_digest() {
    let Some(database) = Database::new().await else {
        return;
    };
    let store = database.store().await;
    let strict = "ALTER TABLE api_keys ADD CHECK (client_name <> 'Acme Ltd')";
    database.sql(strict).await.unwrap();
    let issued = issued(&request());
    let failed = keystile_store::save_issued(&store, &issued).await;
    let Err(error) = failed else {
        panic!("the table refuses it")
    };
    let mut text = format!("{error:?}");
    let mut source: Option<&dyn core::error::Error> = Some(&error);
    while let Some(error) = source {
        text = format!("{text} {error} {error:?}");
        source = error.source();
    }
    assert!(text.contains("23514"), "the reason is told: {text}");
    let digest = issued.record.digest.to_string();
    let hash = digest.rsplit(':').next().unwrap();
    assert!(!text.contains(hash), "and no value: {text}");
}
