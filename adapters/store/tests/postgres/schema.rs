//! The schema of the tables may have any name, and another one later. Its functions have the name
//! that it had when the tables were created.

use keystile_store::{PostgresStore, Store, conformance};

use crate::database::Database;
use crate::heard::all_changes_are_in_force_soon;

/// What has to be quoted as a name, as a text and in a function.
const ODD: &str = r#"it's "App" %I $$ \"#;

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// With these as the tables' schema from now on, for each new connection.
async fn work_in(database: &Database, name: &str) -> Database {
    let database_name = database.url.rsplit('/').next().unwrap();
    let path = quoted(name);
    let set = format!("ALTER DATABASE {database_name} SET search_path = {path}");
    database.sql(&set).await.unwrap();
    Database::at(database.url.clone()).await
}

async fn count(database: &Database, sql: &str) -> i64 {
    database.other.query_one(sql, &[]).await.unwrap().get(0)
}

/// A store whose tables were created in `public`, which has another name now.
async fn renamed() -> Option<(Database, PostgresStore)> {
    let database = Database::new().await?;
    database.store().await;
    let rename = format!("ALTER SCHEMA public RENAME TO {}", quoted(ODD));
    database.sql(&rename).await.unwrap();
    let database = work_in(&database, ODD).await;
    let store = database.open();
    Some((database, store))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_guards_hold_in_a_schema_of_any_name() {
    let Some(database) = Database::new().await else {
        return;
    };
    let create = format!("CREATE SCHEMA {}", quoted(ODD));
    database.sql(&create).await.unwrap();
    let database = work_in(&database, ODD).await;
    let store = database.store().await;
    let named = "SELECT count(*) FROM pg_proc
         WHERE strpos(prosrc, 'TG_TABLE_SCHEMA = ' || quote_literal(current_schema())) > 0
             AND strpos(prosrc, quote_ident(current_schema()) || '.api_key_') > 0
             AND 'enable_seqscan=off' = ANY (proconfig)";
    assert_eq!(count(&database, named).await, 3);
    all_changes_are_in_force_soon(&database, store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_guards_hold_after_the_schema_was_renamed() {
    let Some((database, store)) = renamed().await else {
        return;
    };
    all_changes_are_in_force_soon(&database, store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_store_whose_schema_was_renamed_conforms() {
    if Database::new().await.is_none() {
        return;
    }
    conformance::run(async || renamed().await.unwrap().1).await;
}

/// Also in sessions that have used the tables under the name before, and if others have that
/// name now.
#[tokio::test]
async fn a_renamed_schema_is_not_taken_for_another_one() {
    let Some(database) = Database::new().await else {
        return;
    };
    database.store().await;
    let insert = |number: u32| {
        format!(
            "INSERT INTO api_keys (key_hash, key_prefix, client_name)
             VALUES ('{number:064x}', 'dt_', 'A')"
        )
    };
    for number in 0..9 {
        database.sql(&insert(number)).await.unwrap();
    }
    let rename = "ALTER SCHEMA public RENAME TO before; CREATE SCHEMA public";
    database.sql(rename).await.unwrap();
    let new = database.store().await;
    // A key that is revoked only in the schema that has the name now.
    for sql in [
        &insert(20),
        "UPDATE api_keys SET is_active = FALSE",
        "DELETE FROM api_keys",
    ] {
        database.sql(sql).await.unwrap();
    }
    let last = new.last_event().await.unwrap();
    database.sql("SET search_path = before").await.unwrap();
    for sql in [&insert(20), &insert(21)] {
        database.sql(sql).await.unwrap();
    }
    assert_eq!(new.last_event().await.unwrap(), last);
    let revoked = "SELECT count(*) FROM api_keys WHERE status = 'revoked'";
    assert_eq!(count(&database, revoked).await, 0);
    let old = work_in(&database, "before").await.open();
    let events = old.events(None, 0, 99).await.unwrap().events;
    let numbers: Vec<_> = events.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (1..=11).collect::<Vec<_>>());
}

/// A session keeps the plans of the lookups. They are made while the tables have few rows, and read
/// no whole table when there are many.
#[tokio::test]
async fn no_insert_reads_a_whole_table() {
    let Some(database) = Database::new().await else {
        return;
    };
    database.store().await;
    let read = "SELECT sum(seq_scan)::bigint FROM pg_stat_xact_user_tables
         WHERE relname IN ('api_key_events', 'api_key_deleted', 'api_key_former_digests')";
    let key = |number: u32| {
        format!(
            "INSERT INTO api_key_events (kind, key_id, at, version)
                 VALUES ('issued', '1{number:015}', now(), 1);
             INSERT INTO api_key_usage (lineage) VALUES ('1{number:015}');
             INSERT INTO api_keys (key_hash, key_prefix, client_name, key_id, lineage)
                 VALUES ('{number:064x}', 'dt_', 'A', '1{number:015}', '1{number:015}');"
        )
    };
    let remembered = "INSERT INTO api_key_deleted (key_id, version) VALUES ('1zzzzzzzzzzzzzzz', 1);
         INSERT INTO api_key_former_digests VALUES (repeat('f', 64), '1zzzzzzzzzzzzzzz');";
    let first = key(1);
    let small = format!("{remembered} {first} VACUUM ANALYZE; BEGIN");
    for statement in small.split_inclusive(';') {
        database.sql(statement).await.unwrap();
    }
    for number in 2..20 {
        database.sql(&key(number)).await.unwrap();
    }
    database.sql("SET CONSTRAINTS ALL IMMEDIATE").await.unwrap();
    assert_eq!(count(&database, read).await, 0);
    database.sql("COMMIT").await.unwrap();
}

/// Functions that others create in the schema, whose arguments fit those of a call better.
#[tokio::test]
async fn no_function_of_others_is_called() {
    let Some(database) = Database::new().await else {
        return;
    };
    database.store().await;
    let functions = [
        "hashtext(name)",
        "keystile_note(name, text, text, bigint, text, jsonb)",
        "keystile_note(text, text, text, bigint, text, text)",
        "keystile_note(text, text, text, text, text, text)",
        "keystile_note(text, text, text, bigint, text, json)",
        "keystile_settle_digest(name, text, text)",
    ];
    for function in functions {
        let trap = format!(
            "CREATE FUNCTION {function} RETURNS INTEGER LANGUAGE plpgsql AS
                 $$ BEGIN RAISE EXCEPTION 'called: {function}'; END $$"
        );
        database.sql(&trap).await.unwrap();
    }
    let insert = "INSERT INTO api_keys (key_hash, key_prefix, client_name)
         VALUES (repeat('1', 64), 'dt_', 'A'), (repeat('2', 64), 'dt_', 'A')";
    for isolation in ["READ COMMITTED", "REPEATABLE READ"] {
        for sql in [
            insert,
            "UPDATE api_keys SET key_hash = repeat('3', 64) WHERE key_hash = repeat('2', 64)",
            "UPDATE api_key_usage SET remaining_uses = 9",
            "DELETE FROM api_keys WHERE key_hash = repeat('3', 64)",
            "TRUNCATE api_keys CASCADE",
        ] {
            let sql = format!("BEGIN ISOLATION LEVEL {isolation}; {sql}; COMMIT");
            database.sql(&sql).await.unwrap();
        }
    }
}
