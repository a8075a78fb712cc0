//! A store on a PostgreSQL server, and the messages if it cannot be used.

use serde_json::Value;

use crate::keystile::{Keystile, text};
use crate::server::Server;

#[test]
fn a_key_lives_and_ends_on_a_server() {
    let Some(server) = Server::start() else {
        return;
    };
    let url = server.url("postgres");
    let program = Keystile::new().with("KEYSTILE_STORE", &url);
    let early = program.run(&["issue", "--client", "Acme Ltd"]);
    assert_eq!((early.code, early.output.as_str()), (2, ""));
    assert!(early.errors.contains("no tables of keystile"));
    assert_eq!(program.run(&["migrate"]).code, 0);
    let first = program.run(&["issue", "--client", "Acme Ltd", "--uses", "1"]);
    assert_eq!(first.code, 0, "{}", first.errors);
    let once = first.output.trim();
    assert_eq!(program.decision(once, &[]), "allow");
    assert_eq!(program.decision(once, &[]), "uses_spent");

    let (key, id) = program.issue(&["--permission", "read"]);
    assert_eq!(program.decision(&key, &["--requires", "read"]), "allow");
    assert_ne!(program.decision(&key, &["--requires", "write"]), "allow");
    let rotated = program.object(&["rotate", &id, "--json"]);
    let successor = text(&rotated, "key");
    assert_eq!(program.decision(&successor, &[]), "allow");
    assert_eq!(program.decision(&key, &[]), "allow", "both live");
    let revoked = program.run(&["revoke", &id, "--reason", "leaked"]);
    assert_eq!((revoked.code, revoked.errors.as_str()), (0, ""));
    assert_eq!(program.decision(&key, &[]), "key_revoked");
    assert_eq!(program.objects(&["list", "--json"]).len(), 3);
    let events = program.objects(&["events", &id, "--json"]);
    let kinds: Vec<_> = events
        .iter()
        .map(|event| event.get("kind").and_then(Value::as_str).unwrap())
        .collect();
    assert_eq!(kinds, ["issued", "rotated", "revoked"]);
    assert!(program.files().is_empty(), "no file beside it");
    let given = program.run(&["--store", &url, "list"]);
    assert_eq!(given.output.lines().count(), 4);
}

/// A8: a table of an application is adopted by `migrate`, and by nothing else.
#[test]
fn another_programs_tables_are_left_alone() {
    let Some(server) = Server::start() else {
        return;
    };
    let table = "CREATE TABLE api_keys (id SERIAL PRIMARY KEY, key_hash VARCHAR(64) UNIQUE,
        key_prefix TEXT, client_name TEXT, permissions JSONB DEFAULT '[\"read\"]',
        created_at TIMESTAMPTZ, last_used_at TIMESTAMPTZ, is_active BOOLEAN DEFAULT TRUE,
        rate_limit INTEGER DEFAULT 1000);
        INSERT INTO api_keys (key_hash, key_prefix, client_name) VALUES (repeat('0', 64), 'dt_', 'A')";
    for (name, sql, said) in [
        ("app", table, "the table api_keys is another program's"),
        ("other", "CREATE TABLE users (id INT)", "keystile migrate"),
    ] {
        server.psql("postgres", &format!("CREATE DATABASE {name}"));
        server.psql(name, sql);
        let program = Keystile::new().with("KEYSTILE_STORE", &server.url(name));
        for command in [
            &["list"][..],
            &["issue", "--client", "x"],
            &["serve", "--listen", "127.0.0.1:0"],
            &["migrate", "--dry-run"],
            &["list"],
        ] {
            let ran = program.run(command);
            if command[0] == "migrate" {
                assert_eq!(ran.code, 0, "{}", ran.errors);
            } else {
                assert_eq!((ran.code, ran.output.as_str()), (2, ""));
                assert!(ran.errors.contains(said), "{command:?}: {}", ran.errors);
            }
        }
        assert_eq!(program.run(&["migrate"]).code, 0);
        let keys = usize::from(name == "app");
        assert_eq!(program.objects(&["list", "--json"]).len(), keys);
    }
}

/// All of them find the tables missing, and one creates them.
#[test]
fn many_may_be_the_first() {
    let Some(server) = Server::start() else {
        return;
    };
    let program = Keystile::new().with("KEYSTILE_STORE", &server.url("postgres"));
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| assert_eq!(program.run(&["migrate"]).code, 0));
        }
    });
    assert!(program.objects(&["list", "--json"]).is_empty());
}

#[test]
fn a_server_that_cannot_be_used_is_reported_in_one_line() {
    let Some(mut server) = Server::start() else {
        return;
    };
    let url = server.url("postgres");
    let with = |user: &str, database: &str| {
        let url = server.url(database);
        url.replace("keystile@", &format!("{user}:s3cr3t@"))
    };
    let program = Keystile::new();
    let mut rows = vec![
        (with("keystile", "no-such-database"), "no such database"),
        (with("nobody", "postgres"), "rejected the user"),
        (with("keystile", "locked"), "rejected the user"),
    ];
    let everything = |rows: &[(String, &str)]| {
        for (store, said) in rows {
            for command in [&["list"][..], &["issue", "--client", "x"], &["verify"]] {
                let ran = program.run(&[&["--store", store], command].concat());
                let key = ran.output.as_str();
                assert_eq!((ran.code, key), (2, ""), "{store} {command:?}");
                assert_eq!(ran.errors.lines().count(), 1, "{}", ran.errors);
                assert!(ran.errors.contains(said), "{store}: {}", ran.errors);
                assert!(!ran.errors.contains("s3cr3t"), "{}", ran.errors);
            }
        }
    };
    everything(&rows);

    server.kill();
    let gone = "cannot reach the PostgreSQL server";
    rows = vec![
        (url.clone(), gone),
        ("postgres://u:s3cr3t@127.0.0.1:1/d".to_owned(), gone),
        (
            "postgres://u:s3cr3t@no-such-host.invalid/d".to_owned(),
            gone,
        ),
    ];
    for (wrong, said) in [
        (
            "postgres://u:s3cr3t@h:port/d",
            "postgres://USER:PASSWORD@HOST",
        ),
        ("postgres://s3cr3t", "cannot reach the PostgreSQL server"),
        ("postgresql:///s3cr3t", "postgres://USER:PASSWORD@HOST"),
        ("postgresql:s3cr3t", "postgres://USER:PASSWORD@HOST"),
        (
            "postgres://u:s3cr3t@h/d?s3cr3t=1",
            "postgres://USER:PASSWORD@HOST",
        ),
        (
            "postgres://u:s3cr3t@h/d?sslmode=require&sslrootcert=/s3cr3t",
            "TLS",
        ),
    ] {
        rows.push((wrong.to_owned(), said));
    }
    everything(&rows);

    server.run();
    let program = Keystile::new().with("KEYSTILE_STORE", &url);
    assert_eq!(program.run(&["migrate"]).code, 0);
    let (key, _) = program.issue(&[]);
    assert_eq!(program.decision(&key, &[]), "allow", "when it is back");
}
