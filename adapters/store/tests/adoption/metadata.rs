//! Endpoint rules in metadata are enforced, in the rows that are there and in later ones.

use keystile::{Request, Verifier};
use keystile_store::{AdoptOptions, AdoptionRefusal, MetadataEndpoints, SqliteStore, Store, check};

use crate::app_database::{AppDatabase, at, key};
use crate::plan::plan;

/// What the example's `createScopedKey` restricts a key to.
pub(crate) const SCOPED: &str =
    r#"'{"scopeType":"monitoring","allowedEndpoints":["/api/metrics/*"]}'"#;

/// Which paths the key may be used for: its own, and another one.
async fn allowed(store: &SqliteStore, number: usize) -> (bool, bool) {
    let verifier = Verifier::new(keystile::KeyFormat::opaque("dt").unwrap());
    let mut allowed = Vec::new();
    for path in ["/api/metrics/cpu", "/api/profile"] {
        let request = Request::new().endpoint("GET", path);
        let text = key(number);
        let checked = check(store, &verifier, text.as_bytes(), &request, at(0));
        allowed.push(checked.await.unwrap().decision.is_allow());
    }
    (allowed[0], allowed[1])
}

/// Also if no row had some when the table was adopted; only if they are ignored they are not.
#[tokio::test]
async fn endpoints_of_rows_that_old_code_inserts_later_are_enforced_unless_ignored() {
    for handling in [
        MetadataEndpoints::Enforce,
        MetadataEndpoints::Refuse,
        MetadataEndpoints::Ignore,
    ] {
        let database = AppDatabase::new();
        let store = database.open();
        let before = plan(&store, |options: &mut AdoptOptions| {
            options.metadata_endpoints = handling;
        });
        store.adopt(&before.await, |_| ()).await.unwrap();
        let rows = may_have_endpoints();
        for ((metadata, _), number) in rows.iter().zip(1..) {
            database.row(number, "metadata", metadata);
        }
        database.row(50, "metadata", SCOPED);
        database.row(51, "is_active", "TRUE");
        assert_eq!(allowed(&store, 51).await, (true, true));
        if handling == MetadataEndpoints::Ignore {
            assert_eq!(allowed(&store, 50).await, (true, true));
            continue;
        }
        expect_endpoints(&store, &rows).await;
        assert_eq!(allowed(&store, 50).await, (true, false));
        let template = "SELECT scope_type FROM api_keys WHERE scope_type IS NOT NULL";
        let template = database
            .application
            .query_row(template, [], |row| row.get(0));
        assert_eq!(template, Ok("monitoring".to_owned()));
        assert!(store.events(None, 0, 99).await.unwrap().damaged.is_empty());
    }
}

#[tokio::test]
async fn endpoints_that_old_code_changes_later_are_enforced() {
    let database = AppDatabase::new();
    database.row(1, "metadata", SCOPED);
    let store = database.open();
    store
        .adopt(&plan(&store, enforce).await, |_| ())
        .await
        .unwrap();
    let set = |metadata: &str| {
        let sql = format!("UPDATE api_keys SET metadata = {metadata} WHERE id = 1");
        assert_eq!(database.sql(&sql).unwrap(), 1);
    };
    assert_eq!(allowed(&store, 1).await, (true, false));
    for (metadata, expected) in [
        (r#"'{"allowedEndpoints":["/api/profile"]}'"#, (false, true)),
        (r#"'{"allowedEndpoints":[]}'"#, (false, false)),
        ("'{'", (false, false)),
        (SCOPED, (true, false)),
        (r#"'{"plan":"gold"}'"#, (true, true)),
        (SCOPED, (true, false)),
    ] {
        set(metadata);
        assert_eq!(allowed(&store, 1).await, expected, "{metadata}");
    }
    // Rules that were set otherwise are kept.
    let narrowed = "UPDATE api_keys SET allowed_endpoints = '[]'";
    assert_eq!(database.sql(narrowed).unwrap(), 1);
    set("'{}'");
    assert_eq!(allowed(&store, 1).await, (false, false));
}

/// Rules beside a value that not every program reads are found, and what cannot be read is never
/// "no rules".
#[tokio::test]
async fn metadata_that_may_have_endpoints_is_never_without_rules() {
    let database = AppDatabase::new();
    let rows = may_have_endpoints();
    for ((metadata, _), number) in rows.iter().zip(1..) {
        database.row(number, "metadata", metadata);
    }
    let store = database.open();
    let refused = plan(&store, |options| options.accept_unreadable = true).await;
    assert_eq!(refused.refusals(), [AdoptionRefusal::MetadataEndpoints]);
    let found = refused.metadata_endpoints.count + refused.unreadable.count;
    assert_eq!(found, 13);

    let refused = plan(&store, enforce).await;
    assert_eq!(refused.refusals(), [AdoptionRefusal::Unreadable]);
    let found = refused.unreadable.first.iter();
    let found: Vec<_> = found.map(|row| (row.row, row.column)).collect();
    let expected: Vec<_> = (6..=13).map(|row| (row, "metadata")).collect();
    assert_eq!(found, expected);
    let accepted = plan(&store, |options| {
        enforce(options);
        options.accept_unreadable = true;
    });
    store.adopt(&accepted.await, |_| ()).await.unwrap();
    expect_endpoints(&store, &rows).await;
}

pub(crate) fn enforce(options: &mut AdoptOptions) {
    options.metadata_endpoints = MetadataEndpoints::Enforce;
}

/// Metadata in SQL, and whether its rules can be read. There are 13.
fn may_have_endpoints() -> Vec<(String, bool)> {
    let nested = |levels| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let rules = r#""allowedEndpoints":["/api/metrics/*"]"#;
    let escaped = r#"'{"allowed\u0045ndpoints":["/api/metrics/*"]}'"#;
    let twice = r#"json_quote('{"allowedEndpoints":["/api/metrics/*"]}')"#;
    vec![
        (format!(r#"'{{"note":"cut \ud83d",{rules}}}'"#), true),
        (format!(r#"'{{"limit":1e999,{rules}}}'"#), true),
        (format!(r#"'{{"deep":{},{rules}}}'"#, nested(200)), true),
        (escaped.to_owned(), true),
        (format!("CAST('{{{rules}}}' AS BLOB)"), true),
        (format!(r#"'{{"deep":{},{rules}}}'"#, nested(1_100)), false),
        (format!("'{{{rules}'"), false),
        (format!(r#"'{{"allowedEndpoints":null,{rules}}}'"#), false),
        (format!("jsonb('{{{rules}}}')"), false),
        (twice.to_owned(), false),
        (
            r#"'{"allowedEndpoints":["/api/\ud83d"]}'"#.to_owned(),
            false,
        ),
        ("'not json'".to_owned(), false),
        ("''".to_owned(), false),
    ]
}

async fn expect_endpoints(store: &SqliteStore, rows: &[(String, bool)]) {
    let verifier = Verifier::new(keystile::KeyFormat::opaque("dt").unwrap());
    for ((metadata, has_rules), number) in rows.iter().zip(1..) {
        for (path, expected) in [("/api/profile", false), ("/api/metrics/cpu", *has_rules)] {
            let request = Request::new().endpoint("GET", path);
            let text = key(number);
            let checked = check(store, &verifier, text.as_bytes(), &request, at(0));
            let is_allow = checked.await.unwrap().decision.is_allow();
            assert_eq!(is_allow, expected, "{metadata:.60} {path}");
        }
    }
}
