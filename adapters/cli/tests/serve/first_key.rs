//! The first admin key: exactly one, however many processes start at once, and in a file if
//! that is asked for.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::serving::{Serving, program};

const PROCESSES: usize = 6;
const ROUNDS: usize = 3;

/// Starts all processes at once on an empty store; returns the keys that they printed.
fn first_keys(folder: &Path, store: &str) -> Vec<String> {
    std::thread::scope(|scope| {
        let start = || Serving::start(folder, &["--store", store]);
        let all = [(); PROCESSES].map(|()| scope.spawn(start));
        let all = all.map(|one| one.join().unwrap());
        let keys: Vec<_> = all.iter().filter_map(|one| one.first.clone()).collect();
        for (process, key) in all.iter().zip(keys.iter().cycle()) {
            assert_eq!(process.decision(key), "allowed");
        }
        keys
    })
}

/// Every key that the store ever had.
fn stored(folder: &Path, store: &str) -> usize {
    let listed = program(folder, &["list", "--json", "--store", store]).output();
    listed.unwrap().stdout.split(|byte| *byte == b'\n').count() - 1
}

#[test]
fn of_six_processes_on_a_file_one_gets_a_key() {
    for _ in 0..ROUNDS {
        let folder = tempfile::tempdir().unwrap();
        let store = "sqlite:keystile.db";
        assert_eq!(first_keys(folder.path(), store).len(), 1);
        assert_eq!(
            stored(folder.path(), store),
            1,
            "and no other was ever saved"
        );
    }
}

#[cfg(feature = "postgres")]
#[test]
fn of_six_processes_on_a_server_one_gets_a_key() {
    let Some(server) = crate::server::Server::start() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    for round in 0..ROUNDS {
        let store = database(&server, &format!("round{round}"));
        assert_eq!(first_keys(folder.path(), &store).len(), 1);
        assert_eq!(
            stored(folder.path(), &store),
            1,
            "and no other was ever saved"
        );
    }
}

#[cfg(feature = "postgres")]
fn sql(url: &str, statement: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(async {
        let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls)
            .await
            .unwrap();
        let connection = tokio::spawn(connection);
        client.batch_execute(statement).await.unwrap();
        drop(client);
        connection.await.unwrap().unwrap();
    });
}

/// A new database on the server.
#[cfg(feature = "postgres")]
fn database(server: &crate::server::Server, name: &str) -> String {
    sql(&server.url("postgres"), &format!("CREATE DATABASE {name}"));
    server.url(name)
}

/// The holder of the row with the lower number commits later: each process sees its own key
/// as the first row, so a rule that goes by the rows leaves two keys.
#[cfg(feature = "postgres")]
#[test]
fn the_order_of_commits_decides_and_not_that_of_rows() {
    use keystile::{KeyFormat, PepperRing, UnixMillis};
    use keystile_store::PostgresStore;

    let Some(server) = crate::server::Server::start() else {
        return;
    };
    let slow_first_row = "CREATE FUNCTION slow() RETURNS TRIGGER LANGUAGE plpgsql AS \
         'BEGIN IF NEW.id = 1 THEN PERFORM pg_sleep(2); END IF; RETURN NULL; END'; \
         CREATE TRIGGER slow AFTER INSERT ON api_keys FOR EACH ROW EXECUTE FUNCTION slow()";
    let format = KeyFormat::structured("ks").unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = runtime.unwrap();
    let mut kept = Vec::new();
    for (name, by_rows) in [("rows", true), ("commits", false)] {
        let url = database(&server, name);
        let store = PostgresStore::open(&url).unwrap();
        runtime.block_on(store.migrate()).unwrap();
        sql(&url, slow_first_row);
        let start = |wait| {
            let (store, format) = (PostgresStore::open(&url).unwrap(), format.clone());
            runtime.spawn(async move {
                tokio::time::sleep(core::time::Duration::from_millis(wait)).await;
                let (none, now) = (PepperRing::none(), UnixMillis::now().unwrap());
                match by_rows {
                    true => by_order_of_rows(&store, &format, now).await,
                    false => keystile_serve::first_admin_key(&store, &format, &none, now)
                        .await
                        .unwrap()
                        .is_some(),
                }
            })
        };
        let both = [start(0), start(500)];
        let both = both.map(|one| runtime.block_on(one).unwrap());
        kept.push(both.iter().filter(|kept| **kept).count());
    }
    assert_eq!(kept, [2, 1], "by the order of rows both keep a key");
}

/// The rule that is shown to fail: the key of the first row is the first.
#[cfg(feature = "postgres")]
async fn by_order_of_rows(
    store: &keystile_store::PostgresStore,
    format: &keystile::KeyFormat,
    now: keystile::UnixMillis,
) -> bool {
    use keystile::{IssueRequest, PepperRing, SysRng, issue};
    use keystile_store::{Filter, Page, Store, save_issued};

    let request = IssueRequest::new("first admin key").unwrap();
    let issued = issue(format, &PepperRing::none(), &request, &mut SysRng, now).unwrap();
    save_issued(store, &issued).await.unwrap();
    let rows = store.list(&Filter::default(), Page::first(1)).await;
    rows.unwrap().records[0].id == issued.record.id
}

#[test]
fn the_key_goes_to_a_file_that_only_its_owner_may_read() {
    let folder = tempfile::tempdir().unwrap();
    let asked = ["--admin-key-file", "admin.key", "--log-format", "json"];
    let serving = Serving::start_silent(folder.path(), &asked);
    let file = folder.path().join("admin.key");
    let key = fs::read_to_string(&file).unwrap();
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(serving.decision(key.trim()), "allowed");
    let (status, output, errors) = serving.stop("-TERM");
    assert_eq!((status.code(), output.as_str()), (Some(0), ""));
    assert!(errors.contains("issued the admin key"), "{errors}");
    assert!(
        errors.contains(r#""message":"issued the first admin key""#),
        "{errors}"
    );
    assert!(
        !errors.contains(&key[20..50]),
        "no part of the key is in the log"
    );

    // There is a key now, so the file is neither needed nor refused.
    let again = Serving::start_silent(folder.path(), &asked);
    assert_eq!(again.stop("-TERM").0.code(), Some(0));
    assert_eq!(fs::read_to_string(&file).unwrap(), key);
}

#[test]
fn a_file_that_exists_is_refused_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("admin.key");
    fs::write(&file, "mine").unwrap();
    let asked = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--admin-key-file",
        "admin.key",
    ];
    let refused = program(folder.path(), &asked).output().unwrap();
    let errors = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{errors}");
    assert!(
        errors.contains("--admin-key-file: the file exists"),
        "{errors}"
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    assert_eq!(stored(folder.path(), "sqlite:keystile.db"), 0);
}

/// The file is whole before the key is saved. A process that is killed in between leaves a
/// text that is no key, and the next start reports it.
#[cfg(feature = "postgres")]
#[test]
fn the_file_is_written_before_the_key_is_saved() {
    let Some(server) = crate::server::Server::start() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let store = database(&server, "killed");
    // Creates the tables.
    assert_eq!(stored(folder, &store), 0);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = runtime.unwrap();
    let (blocker, connection) = runtime
        .block_on(tokio_postgres::connect(&store, tokio_postgres::NoTls))
        .unwrap();
    runtime.spawn(connection);
    // The lock that numbers events: no one can write one.
    let lock = "SELECT pg_advisory_lock(1800697188, hashtext('public'))";
    runtime.block_on(blocker.batch_execute(lock)).unwrap();

    let asked = ["serve", "--listen", "127.0.0.1:0", "--store", &store];
    let asked = [&asked[..], &["--admin-key-file", "admin.key"]].concat();
    let mut process = program(folder, &asked).spawn().unwrap();
    let file = folder.join("admin.key");
    let start = std::time::Instant::now();
    while !fs::read_to_string(&file).is_ok_and(|key| key.ends_with('\n')) {
        assert!(start.elapsed() < core::time::Duration::from_secs(10));
        std::thread::sleep(core::time::Duration::from_millis(5));
    }
    assert_eq!(stored(folder, &store), 0, "not saved yet");
    process.kill().unwrap();
    process.wait().unwrap();
    drop(blocker);

    let refused = program(folder, &asked).output().unwrap();
    let errors = String::from_utf8(refused.stderr).unwrap();
    assert!(errors.contains("remove the file first"), "{errors}");
    assert_eq!(stored(folder, &store), 0);
    fs::remove_file(&file).unwrap();
    let options = ["--store", &store, "--admin-key-file", "admin.key"];
    let serving = Serving::start_silent(folder, &options);
    let key = fs::read_to_string(&file).unwrap();
    assert_eq!(serving.decision(key.trim()), "allowed");
}

/// All name the same file: one creates it, and the others find that there is a key.
#[test]
fn six_processes_may_name_the_same_file() {
    let folder = tempfile::tempdir().unwrap();
    let asked = ["--admin-key-file", "admin.key"];
    std::thread::scope(|scope| {
        let start = || Serving::start_silent(folder.path(), &asked);
        let all = [(); PROCESSES].map(|()| scope.spawn(start));
        let all = all.map(|one| one.join().unwrap());
        let key = fs::read_to_string(folder.path().join("admin.key")).unwrap();
        for process in &all {
            assert_eq!(process.decision(key.trim()), "allowed");
        }
    });
    assert_eq!(stored(folder.path(), "sqlite:keystile.db"), 1);
}

/// Each names its own: the losers remove theirs again.
#[test]
fn a_process_that_loses_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let names = [1, 2, 3, 4, 5, 6].map(|number| format!("admin{number}.key"));
    std::thread::scope(|scope| {
        let folder = folder.path();
        let all = names.each_ref().map(|name| {
            scope.spawn(move || Serving::start_silent(folder, &["--admin-key-file", name]))
        });
        let all = all.map(|one| one.join().unwrap());
        let there = names.iter().filter(|name| folder.join(name).exists());
        let there: Vec<_> = there.collect();
        assert_eq!(there.len(), 1, "one wins");
        let key = fs::read_to_string(folder.join(there[0])).unwrap();
        assert_eq!(all[0].decision(key.trim()), "allowed");
    });
}
