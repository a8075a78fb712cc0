//! URLs that cannot be used, and servers that are slow, full, or gone.

use core::time::Duration;

use keystile::{Event, EventKind, Lookup, Millis, RateLimit, Usage};
use keystile_store::{
    PostgresOptions, PostgresStore, SpendRequest, Store, StoreError, UnavailableKind, revoke,
    save_issued,
};

use crate::database::Database;
use crate::keys::{answer, at, cause, issued, kept, request};
use crate::server::Server;

fn text_of(error: &StoreError) -> String {
    let StoreError::Unavailable { source: reason, .. } = error else {
        panic!("expected that it is unavailable: {error:?}")
    };
    format!("{error} {error:?} {reason}")
}

#[test]
fn a_url_that_cannot_be_used_is_refused_without_being_repeated() {
    for (url, said) in [
        ("", "expected postgres://"),
        ("postgres", "expected postgres://"),
        ("postgres:", "expected postgres://"),
        ("postgres://", "expected postgres://"),
        ("postgres:///s3cr3t", "expected postgres://"),
        ("mysql://u:s3cr3t@h/d", "expected postgres://"),
        ("POSTGRES://u:s3cr3t@h/d", "expected postgres://"),
        ("host=h password=s3cr3t", "expected postgres://"),
        ("postgres://u:s3cr3t@h:port/d", "expected postgres://"),
        ("postgres://u:s3cr3t@h:99999/d", "expected postgres://"),
        ("postgres://u:s3cr3t@[::1/d", "expected postgres://"),
        ("postgres://u:s3cr3t@h/d?frob=s3cr3t", "no parameters but"),
        ("postgres://u:s3cr3t@h/%ff", "expected postgres://"),
        #[cfg(not(feature = "postgres-tls"))]
        ("postgres://u:s3cr3t@h/d?sslmode=require", "TLS"),
        #[cfg(not(feature = "postgres-tls"))]
        ("postgres://u:s3cr3t@h/d?sslmode=verify-ca", "TLS"),
        #[cfg(not(feature = "postgres-tls"))]
        ("postgres://u:s3cr3t@h/d?a=b&sslmode=verify-full", "TLS"),
        ("postgres://u:p?s3cr3t@h/d?sslmode=require", "sslmode"),
        ("postgres://u:s3cr3t@h/d?sslrootcert=/s3cr3t", "sslrootcert"),
        (
            "postgres://u:s3cr3t@h/d?sslmode=prefer&sslrootcert=/s3cr3t",
            "sslrootcert",
        ),
        (
            "postgres://u:s3cr3t@h/d?sslmode=require&sslrootcert=%2Fs3cr3t",
            "sslrootcert",
        ),
        #[cfg(feature = "postgres-tls")]
        (
            "postgres://u:s3cr3t@h/d?sslmode=require&sslrootcert=/no/s3cr3t",
            "PEM file of certificates",
        ),
        #[cfg(feature = "postgres-tls")]
        (
            "postgres://u:s3cr3t@h/d?sslmode=require&sslrootcert=/dev/null",
            "PEM file of certificates",
        ),
        ("postgres://u:s3cr3t@h/d?sslmode=", "expected sslmode"),
        ("postgres://u:s3cr3t@h/d?sslmode=on", "expected sslmode"),
        (
            "postgres://u:s3cr3t@h/d?ssl%6dode=require",
            "expected sslmode",
        ),
        (
            "postgres://u:s3cr3t@h/d?sslmode=disable&sslmode=require",
            "once",
        ),
    ] {
        let refused = PostgresStore::open(url).expect_err(url);
        let text = text_of(&refused);
        assert!(text.contains(said), "{url}: {text}");
        assert!(!text.contains("s3cr3t"), "{url}: {text}");
        let is_root = text.contains("RootCertificates");
        let kind = match is_root {
            true => UnavailableKind::RootCertificates,
            false => UnavailableKind::Url,
        };
        assert_eq!(
            is_root,
            said == "sslrootcert" || said.contains("file of"),
            "{url}"
        );
        assert_eq!(refused.unavailable_kind(), Some(kind), "{url}");
    }
    for url in [
        "postgres://h",
        "postgresql://u:p@h:5432/d",
        "postgres://u@h/d?sslmode=disable",
        "postgres://u@h/d?sslmode=prefer&application_name=x",
        "postgres://u@a,b:6432/d?connect_timeout=3",
        "postgres://u@%2Frun%2Fpostgresql/d",
    ] {
        let store = PostgresStore::open(url).expect(url);
        assert_eq!(format!("{store:?}"), "PostgresStore { .. }");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    for (url, said) in [
        ("postgres://u:s3cr3t@127.0.0.1:1/d", "refused"),
        ("postgres://u:s3cr3t@%2Fno%2Fsuch%2Ffolder/d", "not found"),
        ("postgres://u:s3cr3t@no-such-host.invalid/d", "reached"),
    ] {
        let store = PostgresStore::open(url).unwrap();
        let mut failed = vec![
            store.migrate().await.unwrap_err(),
            store.last_event().await.unwrap_err(),
        ];
        failed.push(save_issued(&store, &issued(&request())).await.unwrap_err());
        failed.push(PostgresStore::open_existing(url).await.unwrap_err());
        for error in failed {
            let text = text_of(&error);
            assert!(text.contains(said), "{url}: {text}");
            assert!(!text.contains("s3cr3t"), "{url}: {text}");
            let kind = error.unavailable_kind();
            assert_eq!(kind, Some(UnavailableKind::Unreachable), "{url}");
        }
    }
}

/// The error reports what is wrong with an account, without its password.
#[tokio::test]
async fn a_wrong_password_is_reported_and_not_shown() {
    let Some(database) = Database::new().await else {
        return;
    };
    let create = "CREATE DATABASE locked";
    database.sql(create).await.unwrap();
    let set = "SET password_encryption = 'scram-sha-256'; CREATE ROLE guest LOGIN PASSWORD 'open'";
    database.sql(set).await.unwrap();
    let server = database.url.rsplit_once('/').unwrap().0;
    let server = server.replace("keystile@", "guest:WORD@");
    let url = |word: &str| format!("{}/locked", server.replace("WORD", word));
    let store = PostgresStore::open(&url("open")).unwrap();
    if let Err(error) = store.migrate().await {
        // From PostgreSQL 15 on, a guest may make no tables.
        assert_eq!(error.unavailable_kind(), Some(UnavailableKind::NoRight));
    }
    let store = PostgresStore::open(&url("s3cr3t")).unwrap();
    let error = store.migrate().await.unwrap_err();
    assert_eq!(error.unavailable_kind(), Some(UnavailableKind::Credentials));
    let text = text_of(&error);
    assert!(text.contains("28P01"), "{text}");
    assert!(!text.contains("s3cr3t"), "{text}");
    let missing = database.url.replace("/d", "/no-such-database-");
    let store = PostgresStore::open(&missing).unwrap();
    let error = store.migrate().await.unwrap_err();
    assert_eq!(error.unavailable_kind(), Some(UnavailableKind::NoDatabase));
    let text = text_of(&error);
    assert!(text.contains("3D000"), "{text}");
}

#[tokio::test]
async fn a_database_without_tables_answers_with_an_error() {
    let Some(database) = Database::new().await else {
        return;
    };
    let store = database.open();
    let issued = issued(&request());
    let failed = save_issued(&store, &issued).await.unwrap_err();
    assert!(text_of(&failed).contains("42P01"), "{failed:?}");
    assert_eq!(failed.unavailable_kind(), Some(UnavailableKind::NoTables));
    let failed = answer(&store, issued.key.expose()).await.unwrap_err();
    assert!(text_of(&failed).contains("42P01"), "never an allow");
}

/// A call that takes too long ends and closes its connection, where the statement that still
/// runs would delay the next call.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_takes_too_long_ends() {
    let Some(database) = Database::new().await else {
        return;
    };
    database.store().await;
    let mut options = PostgresOptions::default();
    options.connections_max = 1;
    options.statement_timeout = Duration::from_millis(300);
    let store = PostgresStore::open_with(&database.url, &options).unwrap();
    let limit = RateLimit::new(9, Millis::from_hours(1)).unwrap();
    let issued = kept(&store, &request().rate_limit(limit)).await;
    database
        .sql("BEGIN; LOCK TABLE api_keys, api_key_usage")
        .await
        .unwrap();
    for _ in 0..3 {
        let failed = answer(&store, issued.key.expose()).await.unwrap_err();
        let text = text_of(&failed);
        let late = text.contains("did not answer within") || text.contains("57014");
        assert!(late, "{text}");
        assert_eq!(failed.unavailable_kind(), Some(UnavailableKind::Late));
        let failed = revoke(&store, &issued.record.id, "leaked", at(1)).await;
        text_of(&failed.unwrap_err());
    }
    database.sql("ROLLBACK").await.unwrap();
    assert_eq!(cause(&store, issued.key.expose()).await, None, "and heals");

    // The only connection is taken.
    let mut options = PostgresOptions::default();
    options.connections_max = 1;
    options.wait_timeout = Duration::from_millis(100);
    let store = PostgresStore::open_with(&database.url, &options).unwrap();
    database.sql("BEGIN; LOCK TABLE api_keys").await.unwrap();
    let held = tokio::spawn({
        let (store, id) = (store.clone(), issued.record.id);
        async move { store.find(&Lookup::Id(id)).await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    loop {
        // At first the other task may not have it yet.
        let Err(failed) = store.last_event().await else {
            continue;
        };
        assert!(text_of(&failed).contains("was free within"), "{failed:?}");
        assert_eq!(failed.unavailable_kind(), Some(UnavailableKind::Late));
        break;
    }
    database.sql("ROLLBACK").await.unwrap();
    assert!(held.await.unwrap().unwrap().is_some());
}

/// A server that accepts and never answers.
#[tokio::test]
async fn a_silent_server_is_unavailable() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let mut options = PostgresOptions::default();
    options.connect_timeout = Duration::from_millis(200);
    let url = format!("postgres://u:s3cr3t@127.0.0.1:{port}/d");
    let store = PostgresStore::open_with(&url, &options).unwrap();
    let failed = store.last_event().await.unwrap_err();
    assert!(!text_of(&failed).contains("s3cr3t"));
}

/// A deadlock that the server resolves is retried, and not visible to the caller.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadlock_is_tried_again() {
    let Some(database) = Database::new().await else {
        return;
    };
    let store = database.store().await;
    let first = kept(&store, &request()).await.record;
    let second = kept(&store, &request()).await.record;
    let [mut low, mut high] = [first.clone(), second.clone()];
    if low.id > high.id {
        core::mem::swap(&mut low, &mut high);
    }
    // Another transaction locks the two rows in the other order.
    let lock = |id: &str| format!("SELECT 1 FROM api_keys WHERE key_id = '{id}' FOR UPDATE");
    database
        .sql("BEGIN; SET LOCAL deadlock_timeout = '60s'")
        .await
        .unwrap();
    database.sql(&lock(high.id.as_str())).await.unwrap();
    let committing = tokio::spawn({
        let (store, low, high) = (store.clone(), low.clone(), high.clone());
        async move {
            let mut batch = keystile_store::Batch::new();
            for mut record in [high, low] {
                record.version += 1;
                record.owner = Some("both".into());
                let event = Event::new(EventKind::Changed, record.id, at(1));
                batch.events.push(event.with_version(record.version));
                batch.updates.push(record);
            }
            store.commit(&batch).await
        }
    });
    // It has the lower row, and waits for the higher one.
    tokio::time::sleep(Duration::from_millis(100)).await;
    database.sql(&lock(low.id.as_str())).await.unwrap();
    database.sql("COMMIT").await.unwrap();
    committing.await.unwrap().expect("it is tried again");
    for id in [low.id, high.id] {
        let found = store.find(&Lookup::Id(id)).await.unwrap().unwrap();
        assert_eq!((found.owner.as_deref(), found.version), (Some("both"), 2));
    }
}

/// Connections that ended with the server are made again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_heals() {
    let Some(mut server) = Server::start() else {
        return;
    };
    let database = Database::at(server.url("postgres")).await;
    let store = database.store().await;
    let limit = RateLimit::new(9, Millis::from_hours(1)).unwrap();
    let issued = kept(&store, &request().rate_limit(limit)).await;
    assert_eq!(cause(&store, issued.key.expose()).await, None);
    server.kill();
    let id = issued.record.id;
    let usage = Usage::default();
    // A process that the killed server had started may answer for a moment.
    while store.find(&Lookup::Id(id)).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for failed in [
        answer(&store, issued.key.expose()).await.map(drop),
        store.find(&Lookup::Id(id)).await.map(drop),
        store.lineage(&id).await.map(drop),
        store.usage(&id).await.map(drop),
        store.note_uses(&[(id, at(1))]).await,
        store
            .spend(&SpendRequest::new(&issued.record, usage, usage))
            .await
            .map(drop),
        store.events(None, 0, 9).await.map(drop),
        revoke(&store, &id, "leaked", at(1)).await.map(drop),
    ] {
        text_of(&failed.unwrap_err());
    }
    server.run();
    assert_eq!(cause(&store, issued.key.expose()).await, None);
    revoke(&store, &id, "leaked", at(1)).await.unwrap();
}
