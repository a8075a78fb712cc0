//! An unavailable store: cached keys are decided until the revocation bound, and no other key
//! is allowed.

#[cfg(feature = "postgres")]
#[test]
fn without_its_store_it_allows_no_key_that_it_does_not_know() {
    use core::time::Duration;
    use std::time::Instant;

    use serde_json::json;

    use crate::serving::Serving;

    let Some(mut server) = crate::server::Server::start() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let url = server.url("postgres");
    let serving = Serving::start(folder.path(), &["--store", &url]);
    let admin = serving.first.clone().unwrap();
    let issue = || {
        let asked = json!({ "client_name": "Acme", "permissions": ["read"] });
        let (_, issued) = serving.call(&admin, "POST /v1/keys", Some(&asked));
        issued["key"].as_str().unwrap().to_owned()
    };
    let [cached, unseen] = [(); 2].map(|()| issue());
    assert_eq!(serving.decision(&cached), "allowed");
    // The event of its issue arrives through the store as well, and invalidates it once more.
    std::thread::sleep(Duration::from_millis(1_500));
    assert_eq!(serving.decision(&cached), "allowed");
    let ready = || serving.call("", "GET /readyz", None).0;
    assert_eq!(ready(), 200);

    server.kill();
    // The server's processes that have a connection notice it a moment later.
    let deadline = Instant::now() + Duration::from_secs(20);
    while ready() != 503 {
        assert!(Instant::now() < deadline, "it went away");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(
        serving.decision(&cached),
        "allowed",
        "its record is held, and has not run out"
    );
    assert_eq!(serving.decision(&unseen), "store_unavailable");
    let (status, answer) = serving.call(&unseen, "POST /v1/verify", None);
    assert_eq!(
        (status, &answer["code"]),
        (503, &json!("store_unavailable"))
    );
    let write = json!({ "requires": "write" });
    let (_, denied) = serving.call(&cached, "POST /v1/verify", Some(&write));
    assert_eq!(
        denied["code"], "permission_missing",
        "a record is held, and no decision"
    );
    let gate = "GET /v1/authorize/envoy/x";
    assert_eq!(serving.call(&unseen, gate, None).0, 503);
    assert_eq!(serving.call("", "GET /healthz", None).0, 200);
    let asked = json!({ "client_name": "Acme" });
    let (status, problem) = serving.call(&admin, "POST /v1/keys", Some(&asked));
    assert_eq!((status, &problem["code"]), (503, &json!("unavailable")));

    server.run();
    let deadline = Instant::now() + Duration::from_secs(20);
    while serving.decision(&unseen) != "allowed" {
        assert!(Instant::now() < deadline, "it came back");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(ready(), 200);
    assert_eq!(serving.stop("-TERM").0.code(), Some(0));
}

#[cfg(feature = "postgres")]
#[test]
fn after_the_revocation_bound_it_allows_no_key_unless_it_serves_stale_records() {
    use core::time::Duration;
    use std::time::Instant;

    use serde_json::json;

    use crate::serving::Serving;

    let Some(mut server) = crate::server::Server::start() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let url = server.url("postgres");
    let options = ["--store", &url, "--revocation-bound", "1s"];
    let bounded = Serving::start(folder.path(), &options);
    let stale = [&options[..], &["--serve-stale", "1h"]].concat();
    let stale = Serving::start_silent(folder.path(), &stale);
    let admin = bounded.first.clone().unwrap();
    let asked = json!({ "client_name": "Acme" });
    let (_, issued) = bounded.call(&admin, "POST /v1/keys", Some(&asked));
    let key = issued["key"].as_str().unwrap();
    // The event of its issue arrives through the store as well, and invalidates it once more.
    std::thread::sleep(Duration::from_millis(1_500));
    assert_eq!(bounded.decision(key), "allowed");
    assert_eq!(stale.decision(key), "allowed");

    server.kill();
    let deadline = Instant::now() + Duration::from_secs(60);
    while bounded.decision(key) == "allowed" {
        assert!(Instant::now() < deadline, "the bound is never over");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(bounded.decision(key), "store_unavailable");
    assert_eq!(stale.decision(key), "allowed");

    server.run();
    let deadline = Instant::now() + Duration::from_secs(60);
    while bounded.decision(key) != "allowed" {
        assert!(Instant::now() < deadline, "it came back");
        std::thread::sleep(Duration::from_millis(50));
    }
}
