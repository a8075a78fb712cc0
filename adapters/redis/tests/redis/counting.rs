//! What is counted, and what is kept on the server.

use core::cell::Cell;
use core::time::Duration;
use std::sync::Arc;

use keystile::{Millis, RateLimit};
use keystile_redis::RedisLimits;
use keystile_store::conformance::limits;
use keystile_store::{Limits, Rest, Take};

use super::server::Server;
use super::{connect, daily, lineage, options, take};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn limits_conform() {
    let Some(server) = Server::start() else {
        return;
    };
    let count = Cell::new(0);
    limits::run(async |_| {
        count.set(count.get() + 1);
        let options = options(&server).timeout(Duration::from_secs(60));
        let options = options.prefix(&format!("test{}", count.get())).unwrap();
        RedisLimits::connect(options).await.unwrap()
    })
    .await;
    no_key_is_without_lifetime(&server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_tasks_on_two_connections_share_one_burst() {
    let Some(server) = Server::start() else {
        return;
    };
    let processes = [
        Arc::new(connect(&server).await),
        Arc::new(connect(&server).await),
    ];
    let tasks = (0..8).map(|task| {
        let limits = Arc::clone(&processes[task % 2]);
        tokio::spawn(async move {
            let mut sum = 0;
            for _ in 0..100 {
                let options = take(&limits, daily(100), 1).await;
                sum += options.unwrap().tokens;
            }
            sum
        })
    });
    let tasks: Vec<_> = tasks.collect();
    let mut sum = 0;
    for task in tasks {
        sum += task.await.unwrap();
    }
    assert_eq!(sum, 100);
    no_key_is_without_lifetime(&server);
}

#[tokio::test]
async fn a_state_is_kept_for_as_long_as_it_matters_and_a_minute() {
    let Some(server) = Server::start() else {
        return;
    };
    let limits = connect(&server).await;
    let ten = RateLimit::new(10, Millis::from_secs(1_000)).unwrap();
    let key = format!("keystile:{{{}}}:l", lineage());
    let lifetime = || server.command::<i64>(&["PTTL", &key]);
    // One takes 100 s to be free again.
    for (tokens, before_spent, spent) in [(1, 0, 100_000), (3, 100_000, 400_000)] {
        let taken = take(&limits, ten, tokens).await.unwrap();
        assert_eq!(taken.tokens, tokens);
        let kept = lifetime();
        let range = before_spent + 60_000..=spent + 60_001;
        assert!(range.contains(&kept), "{kept} is not in {range:?}");
    }
    // What is given back shortens it, and a refusal or a look does not prolong it.
    let ask = Take::new(lineage(), ten, 6);
    let taken = limits.take(&ask).await.unwrap();
    let rest = Rest::new(&ask, &taken, 5, Millis::from_hours(1));
    limits.give_back(&[rest]).await.unwrap();
    assert!(lifetime() <= 560_001);
    let before = lifetime();
    assert_eq!(take(&limits, ten, 0).await.unwrap().tokens, 0);
    assert!(lifetime() <= before);
    // A state that is as new is kept for a minute, for readings of the clock that come late.
    let rest = Rest::new(&ask, &taken, 10, Millis::from_hours(1));
    limits.give_back(&[rest]).await.unwrap();
    let range = 50_000..=60_001;
    assert!(
        range.contains(&lifetime()),
        "{} is not in {range:?}",
        lifetime()
    );
}

#[tokio::test]
async fn a_damaged_state_is_an_error_and_no_grant() {
    let Some(server) = Server::start() else {
        return;
    };
    let limits = connect(&server).await;
    let key = format!("keystile:{{{}}}:l", lineage());
    let damaged = [
        "",
        "1",
        "10:86400000:10",
        "10:86400000:10:1790000000000",
        "10:86400000:10:1790000000000:",
        "10:86400000:10:1790000000000:x",
        "10:86400000:10:1790000000000:0,",
        ",10:86400000:10:1790000000000:0",
        "10:86400000:10:1790000000000:0 ",
        "10:86400000:10:1790000000000:0\n",
        "10:86400000:10:-1:0",
        "10:86400000:10:1e12:0",
        "10:86400000:10:1790000000000.5:0",
        "10:86400000:10:nan:0",
        "10:86400000:10:17592186044416:0",
        "10:86400000:10:99999999999999999999:0",
        "10:86400000:10:1790000000000:1048576",
        "0:86400000:10:1790000000000:0",
        "10:0:10:1790000000000:0",
        "10:86400000:0:1790000000000:0",
        "1:31622400000:4294967295:1790000000000:0",
        "1:1:1:0:0,1:1:1:0:0,1:1:1:0:0,1:1:1:0:0,1:1:1:0:0",
    ];
    for text in damaged {
        server.command::<()>(&["SET", &key, text]);
        let refused = take(&limits, daily(10), 1).await;
        assert!(refused.is_err(), "{text:?}: {refused:?}");
        let kept: String = server.command(&["GET", &key]);
        assert_eq!(kept, text, "it is left for someone to look at");
    }
    server.command::<()>(&["DEL", &key]);
    server.command::<()>(&["LPUSH", &key, "10:86400000:10:1790000000000:0"]);
    let refused = take(&limits, daily(10), 1).await;
    assert!(refused.is_err(), "a list: {refused:?}");
    server.command::<()>(&["DEL", &key]);
    assert_eq!(take(&limits, daily(10), 1).await.unwrap().tokens, 1);
}

fn no_key_is_without_lifetime(server: &Server) {
    let keys: Vec<String> = server.command(&["KEYS", "*"]);
    assert!(!keys.is_empty());
    for key in keys {
        let lifetime: i64 = server.command(&["PTTL", &key]);
        assert!(lifetime > 0, "{key}: {lifetime}");
    }
}
