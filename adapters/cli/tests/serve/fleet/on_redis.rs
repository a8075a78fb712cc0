//! The same with a Redis server, which counts the limits.

use crate::redis_server::Server;
use crate::serving::{Serving, program};

use super::{Fleet, metric, wait_until};

const PASSWORD: &str = "secret17";

fn url(server: &Server) -> String {
    format!("redis://:{PASSWORD}@127.0.0.1:{}", server.port)
}

#[test]
fn three_services_have_one_limit_on_a_redis_server_and_refuse_without_it() {
    let Some(mut server) = Server::with(&[&format!("requirepass {PASSWORD}")], &[]) else {
        return;
    };
    let url = url(&server);
    let Some(fleet) = Fleet::start(&["--redis", &url, "--lease", "0s"]) else {
        return;
    };
    let line = "keystile: rate limits are counted on the Redis server, for all processes; without \
                it, keys with a rate limit get 503\n";
    for service in &fleet.services {
        assert!(service.errors().contains(line));
        assert!(!service.errors().contains(PASSWORD));
    }
    assert_eq!(fleet.passed_of_thirty(), 30);
    let (counted, _) = fleet.issue(&serde_json::json!({ "client_name": "Acme", "uses": 20 }));
    assert_eq!(fleet.passed(&counted, 60, "uses_spent"), 20);

    let (limited, _) = fleet.limited(30);
    let (free, _) = fleet.issue(&serde_json::json!({ "client_name": "Acme" }));
    let before = fleet.passed(&limited, 12, "rate_limited");
    assert_eq!(before, 12);
    server.kill();
    for service in &fleet.services {
        assert_eq!(service.decision(&limited), "store_unavailable");
        assert_eq!(service.decision(&free), "allowed", "it has no limit");
        assert!(metric(service, "keystile_limits_degraded_total") > 0);
    }
    // It has kept nothing on its disk: one burst more.
    server.run();
    for service in &fleet.services {
        wait_until(|| service.decision(&limited) != "store_unavailable");
    }
    let after = fleet.passed(&limited, 60, "rate_limited");
    assert!((1..=30).contains(&after), "{after}");
}

#[test]
fn the_url_may_come_from_the_environment_or_a_file_and_is_never_printed() {
    let Some(server) = Server::with(&[&format!("requirepass {PASSWORD}")], &[]) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("url"), format!("{}\n", url(&server))).unwrap();
    let share = ["--on-redis-loss", "share=2"];
    let serving = Serving::start(
        folder.path(),
        &[&["--redis-file", "url"], &share[..]].concat(),
    );
    let line = "counted on the Redis server, for all processes, with leases of 1s for 4 \
                processes; without it, this process lets one of 2 parts of each limit pass\n";
    assert!(serving.errors().contains(line), "{}", serving.errors());
    let (status, output, errors) = serving.stop("-TERM");
    assert!(status.success());
    assert!(!output.contains(PASSWORD) && !errors.contains(PASSWORD));

    let wrong = format!("redis://:{PASSWORD}18@127.0.0.1:{}", server.port);
    let arguments = ["serve", "--listen", "127.0.0.1:0"];
    let refused = program(folder.path(), &arguments)
        .env("KEYSTILE_REDIS_URL", &wrong)
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(2));
    let errors = String::from_utf8(refused.stderr).unwrap();
    let line = "keystile: the Redis server rejected the user or the password\n";
    assert!(errors.ends_with(line), "{errors}");
    assert!(!errors.contains(PASSWORD));
}
