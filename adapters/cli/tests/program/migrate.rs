//! `migrate`: what it prints and when it refuses; and that no other command changes the tables
//! of another program.

use core::time::Duration;
use std::path::Path;

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::keystile::Keystile;

const TABLE: &str = "CREATE TABLE api_keys (
    id INTEGER PRIMARY KEY,
    key_hash VARCHAR(64) NOT NULL UNIQUE,
    key_prefix VARCHAR(10) NOT NULL,
    client_name VARCHAR(255) NOT NULL,
    permissions JSONB NOT NULL DEFAULT '[]',
    created_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP,
    last_used_at TIMESTAMP WITH TIME ZONE,
    is_active BOOLEAN DEFAULT TRUE,
    rate_limit INTEGER DEFAULT 1000
)";

/// The commands that use a store, apart from `migrate` and `restore`.
const COMMANDS: [&[&str]; 12] = [
    &["list"],
    &["show", "1000000000000001"],
    &["events"],
    &["plan"],
    &["verify"],
    &["revoke", "1000000000000001", "--reason", "leaked"],
    &["suspend", "1000000000000001"],
    &["resume", "1000000000000001"],
    &["rotate", "1000000000000001"],
    &["backup", "copy.db"],
    &["issue", "--client", "x"],
    &["serve", "--listen", "127.0.0.1:0"],
];

fn application(program: &Keystile, sql: &str) -> Connection {
    let connection = Connection::open(program.folder().join("app.db")).unwrap();
    connection.execute_batch(sql).unwrap();
    connection
}

fn row(connection: &Connection, hash: &str, permissions: &str) {
    let sql = "INSERT INTO api_keys (key_hash, key_prefix, client_name, permissions)
         VALUES (?1, 'dt_', 'Acme Ltd', ?2)";
    connection.execute(sql, [hash, permissions]).unwrap();
}

fn bytes(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

#[test]
fn a_store_that_does_not_exist_is_made_only_by_those_that_say_so() {
    for command in COMMANDS {
        let program = Keystile::new();
        if command[0] == "serve" {
            continue; // It makes one: see the tests of serve.
        }
        let ran = program.run(command);
        if command[0] == "issue" {
            let said = "The store did not exist and was created";
            assert!(ran.code == 0 && ran.errors.contains(said));
            continue;
        }
        assert_eq!((ran.code, ran.output.as_str()), (2, ""), "{command:?}");
        assert!(ran.errors.contains("the store does not exist"));
        assert!(program.files().is_empty(), "{command:?}");
    }
    let program = Keystile::new();
    let planned = program.run(&["migrate", "--dry-run"]);
    assert_eq!(planned.code, 0);
    assert!(planned.output.contains("create the file and its tables"));
    assert!(program.files().is_empty());
    assert_eq!(program.run(&["migrate"]).code, 0);
    assert!(program.objects(&["list", "--json"]).is_empty());
    let again = program.run(&["migrate"]);
    assert!(again.output.contains("nothing to do"), "{}", again.output);
}

/// A8: no command but `migrate` changes a byte of another program's file.
#[test]
fn another_programs_tables_are_left_alone() {
    for (sql, said) in [
        (TABLE, "the table api_keys is another program's"),
        ("CREATE TABLE users (id INTEGER)", "keystile migrate"),
    ] {
        let program = Keystile::new().with("KEYSTILE_STORE", "sqlite:app.db");
        drop(application(&program, sql));
        let path = program.folder().join("app.db");
        let before = bytes(&path);
        for command in COMMANDS {
            let ran = program.run(command);
            assert_eq!((ran.code, ran.output.as_str()), (2, ""), "{command:?}");
            assert_eq!(ran.errors.lines().count(), 1, "{}", ran.errors);
            let is_backup = command[0] == "backup";
            assert!(ran.errors.contains(said) || is_backup, "{}", ran.errors);
            assert_eq!(program.files(), ["app.db"], "{command:?}");
            assert!(bytes(&path) == before, "{command:?}");
        }
        let planned = program.run(&["migrate", "--dry-run"]);
        assert_eq!(planned.code, 0, "{}", planned.errors);
        assert!(bytes(&path) == before);
        assert_eq!(program.run(&["migrate"]).code, 0);
        assert_eq!(program.run(&["list"]).code, 0);
    }
}

/// Tables of an earlier version are updated by `migrate` and `serve`, and by nothing else.
#[test]
fn old_tables_are_updated_only_if_that_is_asked_for() {
    let program = Keystile::new().with("KEYSTILE_STORE", "sqlite:app.db");
    let first = include_str!("../../../store/migrations/sqlite/0001_tables.sql");
    let connection = application(&program, first);
    let version = || -> i64 {
        let sql = "SELECT max(version) FROM keystile_migrations";
        connection.query_row(sql, [], |row| row.get(0)).unwrap()
    };
    for command in COMMANDS {
        if ["serve", "backup"].contains(&command[0]) {
            continue;
        }
        let ran = program.run(command);
        assert_eq!(ran.code, 2, "{command:?}");
        assert!(
            ran.errors.contains("of an earlier version"),
            "{}",
            ran.errors
        );
        assert_eq!(version(), 1);
    }
    assert_eq!(program.run(&["backup", "copy.db"]).code, 0);
    let planned = program.run(&["migrate", "--dry-run"]);
    assert!(
        planned
            .output
            .contains("update the tables from version 1 to 3")
    );
    assert_eq!(version(), 1);
    assert_eq!(program.run(&["migrate"]).code, 0);
    assert_eq!(version(), 3);
    assert_eq!(program.run(&["list"]).code, 0);
}

#[test]
fn what_was_found_has_to_be_accepted_by_name() {
    let program = Keystile::new().with("KEYSTILE_STORE", "sqlite:app.db");
    let connection = application(&program, TABLE);
    row(&connection, &"0".repeat(64), "[\"*\"]");
    row(&connection, "$2b$", "[]");
    let path = program.folder().join("app.db");
    let before = bytes(&path);
    for dry_run in [&[][..], &["--dry-run"]] {
        let ran = program.run(&[&["migrate", "--json"], dry_run].concat());
        assert_eq!((ran.code, ran.errors.as_str()), (1, ""));
        let report: Value = serde_json::from_str(&ran.output).unwrap();
        assert_eq!(report["refusals"], json!(["unreadable", "wildcards"]));
        assert_eq!(report["wildcards"], json!({ "count": 1, "first": [1] }));
        assert_eq!(
            report["unreadable"]["first"],
            json!([{ "row": 2, "column": "key_hash", "expected": "64 lower-case hex digits" }])
        );
        assert_eq!(report["adopted"], Value::Null);
    }
    let text = program.run(&["migrate", "--accept-wildcards"]);
    assert_eq!(text.code, 1);
    assert!(text.output.contains("row 2, column key_hash: expected 64"));
    assert!(text.errors.contains("nothing was changed"));
    assert!(bytes(&path) == before);

    let both = ["migrate", "--map-metadata", "--ignore-metadata"];
    assert_eq!(program.run(&both).code, 2);
    let accepted = [
        "migrate",
        "--json",
        "--accept-wildcards",
        "--accept-unreadable",
    ];
    let report = program.object(&accepted);
    assert_eq!(
        (&report["adopted"], &report["rows"]),
        (&json!(2), &json!(2))
    );
}

/// A12: by column and expected type.
#[test]
fn a_table_that_cannot_be_adopted_is_said_with_its_column() {
    let program = Keystile::new().with("KEYSTILE_STORE", "sqlite:app.db");
    drop(application(
        &program,
        &TABLE.replace(" UNIQUE", "").replace("client_name", "name"),
    ));
    let ran = program.run(&["migrate", "--accept-unreadable"]);
    assert_eq!(ran.code, 1);
    for said in [
        "table api_keys: column client_name is missing; expected VARCHAR(255)",
        "table api_keys: column key_hash is not unique; expected UNIQUE",
    ] {
        assert!(ran.output.contains(said), "{}", ran.output);
    }
}

#[test]
fn a_killed_adoption_is_continued() {
    let rows = 30_000_u32;
    let program = Keystile::new().with("KEYSTILE_STORE", "sqlite:app.db");
    let connection = application(&program, TABLE);
    let fill = format!(
        "INSERT INTO api_keys (key_hash, key_prefix, client_name)
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
         SELECT printf('%064x', i), 'dt_', 'Acme Ltd' FROM n"
    );
    connection.execute_batch(&fill).unwrap();
    let count = |condition: &str| -> u32 {
        let sql = format!("SELECT count(*) FROM api_keys WHERE {condition}");
        let found = connection.query_row(&sql, [], |row| row.get(0));
        // Before the first step there is no such column.
        found.unwrap_or(0)
    };
    let mut killed = program.command(&["migrate"]).spawn().unwrap();
    while count("key_id IS NOT NULL") == 0 {
        assert!(killed.try_wait().unwrap().is_none(), "it ended");
        std::thread::sleep(Duration::from_millis(1));
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    let adopted = count("key_id IS NOT NULL");
    assert!(adopted > 0 && adopted < rows, "{adopted}");
    for command in [&["list"][..], &["issue", "--client", "x"]] {
        let ran = program.run(command);
        assert_eq!(ran.code, 2);
        assert!(ran.errors.contains("not adopted, or not entirely"));
    }
    let resumed = program.run(&["migrate", "--json"]);
    assert_eq!(resumed.code, 0, "{}", resumed.errors);
    let report: Value = serde_json::from_str(&resumed.output).unwrap();
    assert_eq!(report["tables"], "half_adopted");
    assert_eq!(report["adopted"], json!(rows - adopted));
    let whole = "EXISTS (SELECT 1 FROM api_key_events e WHERE e.key_id = api_keys.key_id)
        AND EXISTS (SELECT 1 FROM api_key_usage u WHERE u.lineage = api_keys.lineage)";
    assert_eq!(count(whole), rows);
}
