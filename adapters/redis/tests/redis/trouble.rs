//! Servers that are killed, flushed, paused, or replaced by a replica: each loss of what is
//! counted lets at most one burst more pass, and nothing waits for long.

use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

use keystile_redis::{RedisLimits, RedisOptions};
use keystile_store::{Limits, StoreError, Take, UnavailableKind};

use super::server::Server;
use super::{connect, daily, lineage, options, take};

/// For what ends by itself, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a call may take by the limits' own measure of 250 ms, on a machine that is busy.
const BOUNDED: Duration = Duration::from_secs(20);

fn kind(error: &StoreError) -> Option<UnavailableKind> {
    error.unavailable_kind()
}

/// Takes until it works again; a call that fails does so in bounded time.
async fn granted_after(limits: &RedisLimits, limit: u32) -> u32 {
    let begun = Instant::now();
    loop {
        let call = Instant::now();
        let taken = take(limits, daily(limit), limit).await;
        assert!(call.elapsed() < BOUNDED, "{:?}", call.elapsed());
        match taken {
            Ok(taken) => return taken.tokens,
            Err(error) => assert!(begun.elapsed() < PATIENCE, "{error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flush_or_a_restart_lets_one_burst_more_pass() {
    let Some(mut server) = Server::start() else {
        return;
    };
    let limits = connect(&server).await;
    assert_eq!(granted_after(&limits, 10).await, 10);
    assert_eq!(granted_after(&limits, 10).await, 0);
    server.command::<()>(&["FLUSHALL"]);
    assert_eq!(granted_after(&limits, 10).await, 10);
    assert_eq!(granted_after(&limits, 10).await, 0);
    // Without the script, but with the data.
    server.command::<()>(&["SCRIPT", "FLUSH"]);
    assert_eq!(granted_after(&limits, 10).await, 0);
    for _ in 0..3 {
        server.kill();
        let refused = take(&limits, daily(10), 1).await;
        assert!(refused.is_err(), "{refused:?}");
        server.run();
        assert_eq!(
            granted_after(&limits, 10).await,
            10,
            "the same limits go on"
        );
        assert_eq!(granted_after(&limits, 10).await, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_server_is_away_calls_fail_at_once_and_one_task_tries_again() {
    let Some(mut server) = Server::start() else {
        return;
    };
    let limits = connect(&server).await;
    server.kill();
    let begun = Instant::now();
    let mut kinds = Vec::new();
    while !kinds.contains(&Some(UnavailableKind::Unreachable)) {
        kinds.push(kind(&take(&limits, daily(10), 1).await.unwrap_err()));
        assert!(begun.elapsed() < PATIENCE, "{kinds:?}");
    }
    // A thousand calls do not wait for a server that is known to be away: 250 s otherwise.
    let begun = Instant::now();
    for _ in 0..1_000 {
        assert!(take(&limits, daily(10), 1).await.is_err());
    }
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    server.run();
    assert_eq!(granted_after(&limits, 10).await, 10);
}

/// Answers that come after their call has ended are not taken for those of later calls.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_answer_is_no_other_calls() {
    let Some(server) = Server::start() else {
        return;
    };
    let limits = Arc::new(connect(&server).await);
    let other: keystile::KeyId = "1ZbCdEfGhIjKlMnO".parse().unwrap();
    for round in 0..5 {
        let mut late = 0;
        let begun = Instant::now();
        while late == 0 {
            assert!(begun.elapsed() < PATIENCE, "nothing is late");
            let pause = std::thread::spawn({
                let mut connection = server.connection();
                move || {
                    let mut sleep = redis::cmd("DEBUG");
                    sleep.arg("SLEEP").arg("0.6").exec(&mut connection).unwrap();
                }
            });
            while !pause.is_finished() {
                // All of these give up before the server answers.
                let calls = (0..20).map(|_| {
                    let limits = Arc::clone(&limits);
                    tokio::spawn(async move { take(&limits, daily(1_000), 7).await })
                });
                let calls: Vec<_> = calls.collect();
                for call in calls {
                    match call.await.unwrap() {
                        Ok(taken) => assert!([0, 6, 7].contains(&taken.tokens)),
                        Err(error) => {
                            late += u32::from(kind(&error) == Some(UnavailableKind::Late))
                        }
                    }
                }
            }
            pause.join().unwrap();
        }
        let begun = Instant::now();
        loop {
            match limits.take(&Take::new(other, daily(5), 3)).await {
                Ok(taken) => {
                    let expected = if round == 0 {
                        3
                    } else {
                        [2, 0][(round > 1) as usize]
                    };
                    assert_eq!(taken.tokens, expected, "round {round}");
                    break;
                }
                Err(error) => assert!(begun.elapsed() < PATIENCE, "{error:?}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_server_costs_the_timeout_and_not_more() {
    let Some(server) = Server::start() else {
        return;
    };
    let limits = connect(&server).await;
    assert_eq!(granted_after(&limits, 10).await, 10);
    server.command::<()>(&["CLIENT", "PAUSE", "1000", "ALL"]);
    let begun = Instant::now();
    let late = take(&limits, daily(10), 1).await.unwrap_err();
    assert_eq!(kind(&late), Some(UnavailableKind::Late), "{late:?}");
    assert!(begun.elapsed() >= Duration::from_millis(250));
    assert_eq!(granted_after(&limits, 10).await, 0, "nothing was forgotten");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_refuses_and_as_the_primary_adds_one_burst_at_most() {
    let Some(mut primary) = Server::start() else {
        return;
    };
    let leader = format!("replicaof 127.0.0.1 {}", primary.port);
    let replica = Server::with(&[&leader], &[]).unwrap();
    let before = connect(&primary).await;
    assert_eq!(granted_after(&before, 10).await, 10);
    // It has what was spent, when the primary says so.
    let key = format!("keystile:{{{}}}:l", lineage());
    let begun = Instant::now();
    while replica.command::<Option<String>>(&["GET", &key]).is_none() {
        assert!(begun.elapsed() < PATIENCE, "the replica has nothing");
        std::thread::sleep(Duration::from_millis(10));
    }
    let refused = RedisLimits::connect(options(&replica)).await.unwrap_err();
    assert_eq!(
        kind(&refused),
        Some(UnavailableKind::ReadOnly),
        "{refused:?}"
    );
    let after = RedisLimits::open(options(&replica)).unwrap();
    // By another limit, so that there is something to write.
    assert!(take(&after, daily(20), 1).await.is_err());
    primary.kill();
    replica.command::<()>(&["REPLICAOF", "NO", "ONE"]);
    assert_eq!(
        granted_after(&after, 10).await,
        0,
        "what was replicated is spent"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_becomes_a_replica_is_left_for_the_next_one() {
    let Some(server) = Server::start() else {
        return;
    };
    let other = Server::start().unwrap();
    let limits = connect(&server).await;
    server.command::<()>(&["REPLICAOF", "127.0.0.1", &other.port.to_string()]);
    let refused = take(&limits, daily(10), 1).await.unwrap_err();
    assert_eq!(
        kind(&refused),
        Some(UnavailableKind::ReadOnly),
        "{refused:?}"
    );
    server.command::<()>(&["REPLICAOF", "NO", "ONE"]);
    assert_eq!(granted_after(&limits, 10).await, 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_server_that_removes_nothing_refuses() {
    let Some(server) = Server::start() else {
        return;
    };
    let limits = connect(&server).await;
    assert_eq!(limits.eviction_policy().await, None);
    server.command::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
    let refused = take(&limits, daily(10), 1).await.unwrap_err();
    assert_eq!(kind(&refused), Some(UnavailableKind::Full), "{refused:?}");
    server.command::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(granted_after(&limits, 10).await, 10);
    server.command::<()>(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    let policy = limits.eviction_policy().await;
    assert_eq!(policy.as_deref(), Some("allkeys-lru"));
}

/// No more than so many calls are under way; the others wait, and give up in time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_at_once_are_bounded() {
    let Some(server) = Server::start() else {
        return;
    };
    let few = RedisOptions::new(&server.url()).unwrap().calls_at_once(2);
    let limits = Arc::new(RedisLimits::connect(few).await.unwrap());
    // Not by a pause: what a client sent that has left is carried out after a sleep.
    let mut probe = server.connection();
    let soon = Some(Duration::from_millis(50));
    probe.set_read_timeout(soon).unwrap();
    let asleep = std::thread::spawn({
        let mut connection = server.connection();
        move || {
            let mut sleep = redis::cmd("DEBUG");
            sleep.arg("SLEEP").arg("1.5").exec(&mut connection).unwrap();
        }
    });
    while redis::cmd("PING").exec(&mut probe).is_ok() {}
    let calls = (0..50).map(|_| {
        let limits = Arc::clone(&limits);
        tokio::spawn(async move { take(&limits, daily(1_000), 1).await })
    });
    let calls: Vec<_> = calls.collect();
    for call in calls {
        let late = call.await.unwrap().unwrap_err();
        assert_eq!(kind(&late), Some(UnavailableKind::Late));
    }
    asleep.join().unwrap();
    assert!(
        granted_after(&limits, 1_000).await >= 998,
        "two were sent at most"
    );
}
