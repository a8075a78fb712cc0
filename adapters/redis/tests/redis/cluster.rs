//! A cluster of three servers, and a master with three sentinels: the limits go on after a server
//! was killed. They take longer than other tests: `cargo xtask test --only redis-cluster`.

use core::time::Duration;
use std::time::Instant;

use keystile::KeyId;
use keystile_redis::{RedisLimits, RedisOptions, RedisWake};
use keystile_store::{Limits, Rest, Take, Wake};

use super::daily;
use super::server::Server;

const PATIENCE: Duration = Duration::from_secs(120);
/// Slots of a cluster.
const SLOTS: u32 = 16_384;

fn lineages(count: u32) -> Vec<KeyId> {
    let id = |number: u32| format!("1AbCdEfGhIjKl{number:03}").parse().unwrap();
    (0..count).map(id).collect()
}

/// Takes a burst of each lineage until it works; how many each of them got.
async fn granted(limits: &RedisLimits, lineages: &[KeyId]) -> Vec<u32> {
    let begun = Instant::now();
    let mut all = Vec::new();
    for lineage in lineages {
        let take = Take::new(*lineage, daily(10), 10);
        all.push(loop {
            match limits.take(&take).await {
                Ok(taken) => break taken.tokens,
                Err(error) => assert!(begun.elapsed() < PATIENCE, "{error:?}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        });
    }
    all
}

/// Waits until a server's answer contains a text.
fn until(server: &Server, words: &[&str], text: &str) {
    let begun = Instant::now();
    loop {
        let answer = format!("{:?}", server.command::<redis::Value>(words));
        if answer.contains(text) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{words:?}: {answer}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Servers that form a cluster; each of the first three has a third of the slots, and the fourth
/// is a replica of the first.
fn cluster() -> Option<Vec<Server>> {
    let settings = [
        "cluster-enabled yes",
        "cluster-config-file FOLDER/nodes",
        "cluster-node-timeout 1000",
        "cluster-port 0",
    ];
    let mut servers = Vec::new();
    for _ in 0..4 {
        // A cluster talks on a second port, which is the first and 10,000 by default.
        let bus = format!("cluster-port {}", super::server::free_port());
        let with: Vec<&str> = settings[..3].iter().copied().chain([&*bus]).collect();
        servers.push((Server::with(&with, &[])?, bus));
    }
    let first = servers[0].0.port.to_string();
    let bus = servers[0].1.split_once(' ').unwrap().1.to_owned();
    for (at, (server, _)) in servers.iter().enumerate().take(3) {
        let (from, to) = (SLOTS * at as u32 / 3, SLOTS * (at as u32 + 1) / 3 - 1);
        let (from, to) = (from.to_string(), to.to_string());
        server.command::<()>(&["CLUSTER", "ADDSLOTSRANGE", &from, &to]);
        // Not the same one for all, so that none has to give way.
        server.command::<()>(&["CLUSTER", "SET-CONFIG-EPOCH", &(at + 1).to_string()]);
    }
    for (server, _) in &servers[1..] {
        server.command::<()>(&["CLUSTER", "MEET", "127.0.0.1", &first, &bus]);
    }
    for (server, _) in &servers {
        until(server, &["CLUSTER", "INFO"], "cluster_state:ok");
        until(server, &["CLUSTER", "INFO"], "cluster_known_nodes:4");
    }
    let id: String = servers[0].0.command(&["CLUSTER", "MYID"]);
    servers[3].0.command::<()>(&["CLUSTER", "REPLICATE", &id]);
    until(
        &servers[3].0,
        &["INFO", "replication"],
        "master_link_status:up",
    );
    Some(servers.into_iter().map(|(server, _)| server).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes longer; cargo xtask test --only redis-cluster"]
async fn a_cluster_counts_each_lineage_on_one_server_and_goes_on_after_a_failover() {
    let Some(mut servers) = cluster() else {
        return;
    };
    let urls: Vec<String> = servers[1..].iter().map(Server::url).collect();
    let options = RedisOptions::cluster(urls.iter().map(String::as_str)).unwrap();
    let options = options.timeout(Duration::from_secs(2));
    let limits = RedisLimits::connect(options.clone()).await.unwrap();
    let all = lineages(60);
    assert_eq!(granted(&limits, &all).await, vec![10; 60]);
    assert_eq!(granted(&limits, &all).await, vec![0; 60]);
    for server in &servers[..3] {
        let keys: u32 = server.command(&["DBSIZE"]);
        assert!(keys > 0, "the lineages are on all servers");
    }
    // Rests of several servers at once.
    let take = |lineage: &KeyId| Take::new(*lineage, daily(10), 0);
    let mut rests = Vec::new();
    for lineage in &all {
        let taken = limits.take(&take(lineage)).await.unwrap();
        rests.push(Rest::new(
            &take(lineage),
            &taken,
            4,
            keystile::Millis::from_hours(1),
        ));
    }
    limits.give_back(&rests).await.unwrap();
    assert_eq!(granted(&limits, &all).await, vec![4; 60]);
    assert_eq!(limits.eviction_policy().await, None);
    // A message from one process reaches another through any server.
    let [one, other] = [(); 2].map(|()| RedisWake::open(&options, "keys").unwrap());
    let heard = other.subscribe();
    let begun = Instant::now();
    heard.notified().await;
    let woken = async {
        loop {
            one.wake();
            let wait = Duration::from_millis(200);
            if tokio::time::timeout(wait, heard.notified()).await.is_ok() {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, woken).await.unwrap();
    assert!(begun.elapsed() < PATIENCE);

    let id: String = servers[0].command(&["CLUSTER", "MYID"]);
    until(&servers[3], &["CLUSTER", "INFO"], "cluster_state:ok");
    let synced: i64 = servers[0].command(&["WAIT", "1", "10000"]);
    assert_eq!(synced, 1, "{id} has a replica");
    servers[0].kill();
    let after = granted(&limits, &all).await;
    let sum: u32 = after.iter().sum();
    assert!(
        sum <= 10 * 60 / 2,
        "only what was on the killed server: {after:?}"
    );
    assert_eq!(granted(&limits, &all).await, vec![0; 60]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes longer; cargo xtask test --only redis-cluster"]
async fn sentinels_lead_to_the_next_master() {
    let Some(mut master) = Server::start() else {
        return;
    };
    let leader = format!("replicaof 127.0.0.1 {}", master.port);
    let replica = Server::with(&[&leader], &[]).unwrap();
    let sentinels: Vec<Server> = (0..3)
        .map(|_| Server::sentinel("keys", master.port).unwrap())
        .collect();
    for sentinel in &sentinels {
        let words = ["SENTINEL", "MASTER", "keys"];
        until(
            sentinel,
            &words,
            "num-other-sentinels\"'), bulk-string('\"2\"')",
        );
        until(sentinel, &words, "num-slaves\"'), bulk-string('\"1\"')");
    }
    until(&replica, &["INFO", "replication"], "master_link_status:up");
    let urls: Vec<String> = sentinels.iter().map(Server::url).collect();
    let options = RedisOptions::sentinel(urls.iter().map(String::as_str), "keys").unwrap();
    let limits = RedisLimits::connect(options).await.unwrap();
    let all = lineages(20);
    assert_eq!(granted(&limits, &all).await, vec![10; 20]);
    let synced: i64 = master.command(&["WAIT", "1", "10000"]);
    assert_eq!(synced, 1);
    master.kill();
    let after = granted(&limits, &all).await;
    assert_eq!(after, vec![0; 20], "the replica had all of it");
    let role = format!("{:?}", replica.command::<redis::Value>(&["ROLE"]));
    assert!(role.contains("master"), "{role}");

    let unknown = RedisOptions::sentinel(urls.iter().map(String::as_str), "other").unwrap();
    assert!(RedisLimits::connect(unknown).await.is_err());
}
