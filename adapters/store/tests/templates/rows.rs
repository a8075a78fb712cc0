//! Damaged rows of templates, and backups.

use keystile::{PermissionSet, ScopeTemplate};
use keystile_store::{
    MemoryStore, RestoreOptions, SqliteStore, Store, StoreError, TEMPLATES_PAGE_MAX,
    TemplateProblem, add_template, change_template, find_template, remove_template,
};

use super::{at, named, rights};

#[tokio::test]
async fn a_damaged_template_is_named_and_can_be_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.db");
    let store = SqliteStore::open(&path).unwrap();
    store.migrate().await.unwrap();
    let sound = add_template(&store, rights(&["read"]), None, at(0))
        .await
        .unwrap();
    let raw = rusqlite::Connection::open(&path).unwrap();
    for (values, column) in [
        (
            "'bad', '[\"inv*\"]', NULL, NULL, NULL, NULL, NULL, '[]', 1",
            "permissions",
        ),
        (
            "'bad', '[\"a\"]', '[\"api\"]', NULL, NULL, NULL, NULL, '[]', 1",
            "allowed_endpoints",
        ),
        (
            "'bad', '[\"a\"]', 'null', NULL, NULL, NULL, NULL, '[]', 1",
            "allowed_endpoints",
        ),
        (
            "'bad', '[\"a\"]', NULL, 5, NULL, NULL, NULL, '[]', 1",
            "rate_limit",
        ),
        (
            "'bad', '[\"a\"]', NULL, 5, 1000, 0, NULL, '[]', 1",
            "rate_limit",
        ),
        (
            "'bad', '[\"a\"]', NULL, -5, 1000, NULL, NULL, '[]', 1",
            "rate_limit",
        ),
        (
            "'bad', '[\"a\"]', NULL, NULL, NULL, NULL, 0, '[]', 1",
            "lifetime_ms",
        ),
        (
            "'bad', '[\"a\"]', NULL, NULL, NULL, NULL, NULL, '{}', 1",
            "former",
        ),
        (
            "'bad', '[\"a\"]', NULL, NULL, NULL, NULL, NULL, \
             '[{\"until\":1,\"template\":{\"name\":\"pro\",\"permissions\":[],\"rate_limit\":null,\"allowed_endpoints\":null}}]', 1",
            "former",
        ),
        (
            "'bad', '[\"a\"]', NULL, NULL, NULL, NULL, NULL, \
             '[{\"template\":{\"name\":\"bad\",\"permissions\":[],\"rate_limit\":null,\"allowed_endpoints\":null}}]', 1",
            "former",
        ),
        (
            "'bad', '[\"a\"]', NULL, NULL, NULL, NULL, NULL, '[]', 0",
            "version",
        ),
        (
            "'admin', '[\"*\"]', NULL, NULL, NULL, NULL, NULL, '[]', 1",
            "name",
        ),
        (
            "'Bad Name', '[\"a\"]', NULL, NULL, NULL, NULL, NULL, '[]', 1",
            "name",
        ),
    ] {
        let sql = format!(
            "INSERT INTO api_key_templates (name, permissions, allowed_endpoints, rate_limit, \
             rate_window_ms, rate_burst, lifetime_ms, former, version) VALUES ({values})"
        );
        raw.execute(&sql, []).unwrap();
        let listed = store.list_templates(None, 9).await.unwrap();
        assert!(listed.templates.contains(&sound), "{values}");
        assert_eq!(listed.damaged.len(), 1, "{values}");
        let damage = &listed.damaged[0];
        assert_eq!(damage.column, column, "{values}");
        if let Some(name) = damage.name.clone().filter(|name| name.as_str() == "bad") {
            let found = store.template(&name).await.unwrap_err();
            assert!(
                matches!(&found, StoreError::Template(TemplateProblem::Damaged(it)) if it == damage)
            );
            assert!(
                !found.to_string().contains("inv*"),
                "only what was expected"
            );
            remove_template(&store, &name, None).await.unwrap();
        }
        raw.execute("DELETE FROM api_key_templates WHERE name <> 'pro'", [])
            .unwrap();
    }
    // A row that names an admin of its own is not one: the preset counts.
    let preset = find_template(&store, &named("admin")).await.unwrap();
    assert!(!preset.template.permissions.grants("keystile:keys:write"));
}

#[tokio::test]
async fn a_backup_has_the_templates() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.db");
    let store = SqliteStore::open(&path).unwrap();
    store.migrate().await.unwrap();
    let pro = add_template(&store, rights(&["read"]), None, at(0))
        .await
        .unwrap();
    let backup = folder.path().join("backup.db");
    store.backup(&backup, |_| {}).await.unwrap();
    remove_template(&store, &named("pro"), Some(&pro))
        .await
        .unwrap();
    SqliteStore::restore(&path, &backup, RestoreOptions::new())
        .await
        .unwrap();
    assert_eq!(find_template(&store, &named("pro")).await.unwrap(), pro);
}

/// Other code may write an instant in another form than this store does: it is read, so it has to be
/// compared, too.
#[tokio::test]
async fn instants_in_other_forms_are_compared_as_they_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.db");
    let store = SqliteStore::open(&path).unwrap();
    store.migrate().await.unwrap();
    let raw = rusqlite::Connection::open(&path).unwrap();
    for instant in [
        "2026-09-21 14:13:20",
        "2026-09-21T14:13:20Z",
        "2026-09-21T14:13:20.000Z",
        "2026-09-21T16:13:20+02:00",
    ] {
        let sql = "INSERT INTO api_key_templates (name, permissions, created_at) \
                   VALUES ('pro', '[\"a\"]', ?1)";
        raw.execute(sql, [instant]).unwrap();
        let read = find_template(&store, &named("pro")).await.unwrap();
        assert_eq!(read.created_at, at(0), "{instant}");
        let changed = change_template(&store, &read, rights(&["b"]), None, at(5));
        let changed = changed.await.expect(instant);
        let again = change_template(&store, &read, rights(&["c"]), None, at(6)).await;
        let stale = again.unwrap_err();
        assert!(matches!(
            stale,
            StoreError::Template(TemplateProblem::Stale)
        ));
        let mut other = changed.clone();
        other.created_at = at(1);
        for older in [&read, &other] {
            let stale = remove_template(&store, &named("pro"), Some(older)).await;
            assert!(stale.is_err(), "{instant}");
        }
        let mut next = other.changed(rights(&["d"]), None, at(7));
        assert!(store.save_template(&next).await.is_err(), "{instant}");
        next.created_at = at(0);
        store.save_template(&next).await.expect(instant);
        remove_template(&store, &named("pro"), Some(&next))
            .await
            .expect(instant);
    }
}

#[tokio::test]
async fn a_page_has_at_most_fifty_templates() {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = SqliteStore::open(folder.path().join("keys.db")).unwrap();
    sqlite.migrate().await.unwrap();
    pages(&sqlite).await;
    pages(&MemoryStore::new()).await;
}

async fn pages(store: &impl Store) {
    for number in 0..=TEMPLATES_PAGE_MAX {
        let name = named(&format!("t{number:03}"));
        let rights = ScopeTemplate::new(name, PermissionSet::new(["a"]).unwrap());
        add_template(store, rights, None, at(0)).await.unwrap();
    }
    let first = store.list_templates(None, 500).await.unwrap();
    assert_eq!(first.templates.len(), TEMPLATES_PAGE_MAX);
    let rest = store.list_templates(first.next.as_deref(), 500).await;
    let rest = rest.unwrap();
    assert_eq!((rest.templates.len(), rest.next), (1, None));
}
