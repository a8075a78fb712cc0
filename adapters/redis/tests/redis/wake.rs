//! Wake-ups: what one process changes is in force in the others before their next poll.

use core::time::Duration;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use keystile::{
    Cause, IssueRequest, Issued, Issuer, KeyFormat, Request, SysRng, UnixMillis, Verifier,
};
use keystile_redis::{RedisOptions, RedisWake};
use keystile_store::{Authenticator, SqliteStore, Wake};

use super::options;
use super::server::Server;

/// For what ends by itself, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);
/// Long beyond any test.
const NEVER: Duration = Duration::from_secs(3_000);

fn issuer() -> Issuer {
    Issuer::new(KeyFormat::structured("acme").unwrap())
}

/// A process of the service.
async fn process(
    file: &Path,
    poll: Duration,
    wake: Option<(&RedisOptions, &str)>,
) -> Authenticator<SqliteStore> {
    let store = SqliteStore::open(file).unwrap();
    store.migrate().await.unwrap();
    let verifier = Verifier::new(issuer().format().clone());
    let builder = Authenticator::builder(Arc::new(store), verifier)
        .revocation_bound(Duration::from_secs(86_400))
        .ttl(keystile::Millis::from_days(1))
        .poll_interval(poll);
    let Some((options, name)) = wake else {
        return builder.build().unwrap();
    };
    let wake = Arc::new(RedisWake::open(options, name).unwrap());
    let builder = builder.change_signal(wake.subscribe()).wakes(wake);
    builder.build().unwrap()
}

async fn issue(keys: &Authenticator<SqliteStore>) -> Issued {
    let request = IssueRequest::new("Acme").unwrap();
    let now = UnixMillis::now().unwrap();
    keys.issue(&issuer(), &request, &mut SysRng, now)
        .await
        .unwrap()
}

async fn denial(keys: &Authenticator<SqliteStore>, issued: &Issued) -> Option<Cause> {
    let now = UnixMillis::now().unwrap();
    let text = issued.key.expose().as_bytes();
    let answer = keys.check(text, &Request::new(), now).await;
    answer.decision.denial().map(keystile::Denial::cause)
}

/// Waits until the key is refused, which must be before `limit`.
async fn revoked_within(
    keys: &Authenticator<SqliteStore>,
    issued: &Issued,
    limit: Duration,
) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < limit {
        if denial(keys, issued).await == Some(Cause::Revoked) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    false
}

/// Waits until both processes are subscribed: a message reaches them.
fn subscribed(server: &Server, channel: &str, count: i64) {
    let begun = Instant::now();
    loop {
        let found: (String, i64) = server.command(&["PUBSUB", "NUMSUB", channel]);
        if found.1 >= count {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "no one subscribes to {channel}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_is_in_force_in_another_process_after_the_message() {
    let Some(mut server) = Server::start() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (file, options) = (folder.path().join("keys.db"), options(&server));
    let one = process(&file, NEVER, Some((&options, "keys"))).await;
    let other = process(&file, NEVER, Some((&options, "keys"))).await;
    let apart = process(&file, NEVER, Some((&options, "others"))).await;
    subscribed(&server, "keystile:wake:keys", 2);
    subscribed(&server, "keystile:wake:others", 1);
    // Also after the server was away.
    for round in 0..2 {
        // A subscription brings a read, also to the process that gets no message.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let issued = issue(&one).await;
        for keys in [&one, &other, &apart] {
            assert_eq!(denial(keys, &issued).await, None);
        }
        let now = UnixMillis::now().unwrap();
        one.revoke(&issued.record.id, "left", now).await.unwrap();
        assert!(
            revoked_within(&other, &issued, PATIENCE).await,
            "round {round}: the other process goes on"
        );
        assert_eq!(
            denial(&apart, &issued).await,
            None,
            "a process that gets no message polls in an hour, so it was the message"
        );
        if round == 0 {
            server.kill();
            server.run();
            subscribed(&server, "keystile:wake:keys", 2);
            subscribed(&server, "keystile:wake:others", 1);
            // A new subscription is a reason to read, too: so this is no test of the message
            // until that has been done.
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_server_a_revocation_is_in_force_by_the_poll() {
    let Some(mut server) = Server::start() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (file, options) = (folder.path().join("keys.db"), options(&server));
    let one = process(&file, NEVER, Some((&options, "keys"))).await;
    let poll = Duration::from_millis(200);
    let other = process(&file, poll, Some((&options, "keys"))).await;
    subscribed(&server, "keystile:wake:keys", 2);
    let issued = issue(&one).await;
    assert_eq!(denial(&other, &issued).await, None);
    server.kill();
    // A change does not wait for a message, and does not fail with it.
    let now = UnixMillis::now().unwrap();
    one.revoke(&issued.record.id, "left", now).await.unwrap();
    assert!(revoked_within(&other, &issued, PATIENCE).await);
}

/// A thousand changes are no thousand messages that wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_share_messages() {
    let Some(server) = Server::start() else {
        return;
    };
    let wake = RedisWake::open(&options(&server), "keys").unwrap();
    for _ in 0..1_000 {
        wake.wake();
    }
    let published = || {
        let stats: String = server.command(&["INFO", "commandstats"]);
        let line = stats
            .lines()
            .find(|line| line.contains("cmdstat_publish:"))?;
        let calls = line.split_once("calls=")?.1.split_once(',')?.0;
        calls.parse::<u32>().ok()
    };
    let begun = Instant::now();
    while published().is_none() {
        assert!(begun.elapsed() < PATIENCE, "nothing is published");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(published().unwrap() < 500, "{:?} messages", published());
}

#[tokio::test]
async fn a_name_that_would_be_another_channel_is_refused() {
    let options = RedisOptions::new("redis://127.0.0.1").unwrap();
    for name in ["", "a b", "a:b", "*", "ü", &"x".repeat(65)] {
        let refused = RedisWake::open(&options, name);
        let is_setting = matches!(refused, Err(keystile_store::StoreError::Setting(_)));
        assert!(is_setting, "{name:?}");
    }
}
