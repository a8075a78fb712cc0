//! The service from its first start to its end.

use serde_json::{Value, json};

use crate::serving::{Serving, program};

#[test]
fn the_first_start_prints_an_admin_key_once() {
    let folder = tempfile::tempdir().unwrap();
    let serving = Serving::start(folder.path(), &["--prefix", "acme"]);
    let key = serving.first.clone().expect("a key");
    assert!(key.starts_with("acme_"), "the prefix is what was said");
    let asked = json!({ "client_name": "Acme", "permissions": ["read"] });
    let (status, issued) = serving.call(&key, "POST /v1/keys", Some(&asked));
    assert_eq!(status, 201, "{issued}");
    let (status, output, errors) = serving.stop("-TERM");
    assert_eq!((status.code(), output.as_str()), (Some(0), ""));
    assert!(
        !errors.contains(&key[20..]),
        "the key stands on standard output alone"
    );

    let again = Serving::start(folder.path(), &[]);
    assert_eq!(again.first, None, "it is printed once");
    assert_eq!(again.decision(&key), "allowed");
    let id = issued["key_id"].as_str().unwrap();
    let (status, _) = again.call(&key, &format!("POST /v1/keys/{id}/revoke"), None);
    assert_eq!(status, 200);
    assert_eq!(again.stop("-INT").0.code(), Some(0));

    // Its last use was written before the end, and the command line uses the same store.
    let shown = program(folder.path(), &["list", "--json"])
        .output()
        .unwrap();
    let lines = String::from_utf8(shown.stdout).unwrap();
    let records: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_ne!(records[0]["last_used_at"], Value::Null);
    assert_eq!(records[1]["status"], "revoked");
}

/// A revoked admin key counts too: the right to start the service is not that to manage keys.
#[test]
fn a_revoked_admin_key_brings_no_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let serving = Serving::start(folder.path(), &[]);
    let key = serving.first.clone().unwrap();
    let (_, list) = serving.call(&key, "GET /v1/keys", None);
    let id = list["keys"][0]["key_id"].as_str().unwrap().to_owned();
    let (status, _) = serving.call(&key, &format!("POST /v1/keys/{id}/revoke"), None);
    assert_eq!(status, 200);
    assert_eq!(serving.decision(&key), "key_revoked");
    serving.stop("-TERM");
    assert_eq!(Serving::start(folder.path(), &[]).first, None);
}

#[test]
fn of_two_first_starts_at_once_one_gets_a_key() {
    let folder = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        let start = || Serving::start(folder.path(), &[]);
        let both = [scope.spawn(start), scope.spawn(start)];
        let both = both.map(|one| one.join().unwrap());
        let keys: Vec<_> = both.iter().filter_map(|one| one.first.clone()).collect();
        assert_eq!(keys.len(), 1);
        assert_eq!(both[0].decision(&keys[0]), "allowed");
        assert_eq!(both[1].decision(&keys[0]), "allowed");
    });
}

/// The decision has the fields that the command line prints, with the same values.
#[test]
fn a_decision_is_the_same_here_and_there() {
    let folder = tempfile::tempdir().unwrap();
    let serving = Serving::start(folder.path(), &[]);
    let admin = serving.first.clone().unwrap();
    let asked = json!({ "client_name": "Acme", "permissions": ["read"] });
    let (_, issued) = serving.call(&admin, "POST /v1/keys", Some(&asked));
    let key = issued["key"].as_str().unwrap();
    for requires in ["read", "write AND audit"] {
        let body = json!({ "requires": requires });
        let (_, mut here) = serving.call(key, "POST /v1/verify", Some(&body));
        let there = program(folder.path(), &["verify", "--json", "--requires", requires])
            .env("KEYSTILE_KEY", key)
            .output()
            .unwrap();
        let mut there: Value = serde_json::from_slice(&there.stdout).unwrap();
        if requires != "read" {
            // Over HTTP, the client is named only if the key is allowed.
            assert_eq!(here["client_name"].take(), Value::Null);
            assert_eq!(there["client_name"].take(), json!("Acme"));
        }
        assert_eq!(here, there);
    }
    let shown = program(folder.path(), &["list", "--json"])
        .output()
        .unwrap();
    let lines = String::from_utf8(shown.stdout).unwrap();
    let there: Value = serde_json::from_str(lines.lines().nth(1).unwrap()).unwrap();
    let id = issued["key_id"].as_str().unwrap();
    let (_, mut here) = serving.call(&admin, &format!("GET /v1/keys/{id}"), None);
    // The last use may not have been written yet.
    here["last_used_at"] = there["last_used_at"].clone();
    assert_eq!(here, there);
}

/// Every line is an object with the fields of a log line, and each of these texts is a message.
fn assert_is_json_log(errors: &str, messages: &[&str]) {
    let mut missing = messages.to_vec();
    for line in errors.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        for field in ["timestamp", "level", "target"] {
            assert!(line[field].is_string(), "{line}");
        }
        let message = line["fields"]["message"].as_str().unwrap_or_default();
        assert!(!message.starts_with("keystile: "), "{line}");
        missing.retain(|wanted| !message.starts_with(wanted));
    }
    assert!(missing.is_empty(), "{missing:?} in {errors}");
}

#[test]
fn a_failed_start_is_a_line_of_the_log_too() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = ["serve", "--log-format", "json", "--revocation-bound", "2d"];
    let ended = program(folder.path(), &wrong).output().unwrap();
    let errors = String::from_utf8(ended.stderr).unwrap();
    assert_eq!((ended.status.code(), errors.lines().count()), (Some(2), 1));
    assert_is_json_log(&errors, &["--revocation-bound: must be"]);
}

/// F1, F6: at the most verbose level, in either format, no line contains a key.
#[test]
fn no_line_of_the_log_holds_a_key() {
    for format in ["text", "json"] {
        let folder = tempfile::tempdir().unwrap();
        let levels = ["--log-level", "debug", "--log-format", format];
        let serving = Serving::start(folder.path(), &levels);
        let admin = serving.first.clone().unwrap();
        let (_, issued) = serving.call(
            &admin,
            "POST /v1/keys",
            Some(&json!({ "client_name": "Acme" })),
        );
        let key = issued["key"].as_str().unwrap().to_owned();
        let id = issued["key_id"].as_str().unwrap();
        let (_, rotated) = serving.call(&admin, &format!("POST /v1/keys/{id}/rotate"), None);
        let successor = rotated["key"].as_str().unwrap().to_owned();
        let wrong = format!("{}x", &key[..key.len() - 1]);
        for text in [&key, &wrong, &successor] {
            serving.decision(text);
            for request in [
                format!("GET /v1/keys/{text}"),
                format!("GET /v1/keys?owner={text}"),
                format!("GET /{text}"),
                format!("GET /v1/authorize/envoy/{text}?key={text}"),
                format!("POST /v1/keys/{text}/revoke"),
            ] {
                let answer = crate::serving::call(serving.address, &admin, &request, None);
                let body = answer.map(|(_, body)| body.to_string());
                assert!(!body.unwrap_or_default().contains(&text[30..]), "{request}");
            }
            let as_name = json!({ text.as_str(): 1, "reason": text });
            let (_, answer) = serving.call(
                &admin,
                &format!("POST /v1/keys/{id}/revoke"),
                Some(&as_name),
            );
            assert!(!answer.to_string().contains(&text[30..]), "{answer}");
        }
        let (_, _, errors) = serving.stop("-TERM");
        assert!(errors.lines().count() > 20, "it talks: {errors}");
        if format == "json" {
            assert_is_json_log(
                &errors,
                &["serving at http", "issued the admin key", "stopped"],
            );
        }
        for text in [&admin, &key, &wrong, &successor] {
            for part in [&text[30..], &text[text.len() - 40..text.len() - 20]] {
                assert!(!errors.contains(part), "{format}");
            }
        }
        if format == "json" {
            let own = errors.lines().filter(|line| line.starts_with('{'));
            let lines: Vec<Value> = own.map(|l| serde_json::from_str(l).unwrap()).collect();
            assert!(lines.len() > 20);
        }
    }
}

#[test]
fn invalid_keys_are_bounded_as_it_is_said() {
    for (arguments, last) in [
        (&["--invalid-keys", "2/1h"][..], 429),
        (&["--invalid-keys", "off"], 401),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let serving = Serving::start(folder.path(), arguments);
        let admin = serving.first.clone().unwrap();
        let ask = |key: &str| serving.call(key, "GET /v1/keys", None).0;
        assert_eq!([ask("a"), ask("b"), ask("c")], [401, 401, last]);
        assert_eq!(ask(&admin), 200, "{arguments:?}");
    }
}

#[test]
fn bad_arguments_are_said_in_a_line_and_leave_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for arguments in [
        &["--listen", "localhost"][..],
        &["--listen", "127.0.0.1"],
        &["--listen", &taken],
        &["--trusted-proxy", "everybody"],
        &["--status-policy", "other"],
        &["--prefix", "Acme"],
        &["--connections", "0"],
        &["--invalid-keys", "60"],
        &["--request-timeout", "soon"],
        &["--revocation-bound", "999ms"],
        &["--revocation-bound", "2d"],
        &["--serve-stale", "60s"],
        &["--serve-stale", "2d"],
        &["--limits", "elsewhere"],
        &["--redis", "https://redis.internal"],
        &["--limits", "store", "--lease", "11s"],
        &["--limits", "store", "--lease", "soon"],
        &["--limits", "store", "--processes", "0"],
        &["--limits", "store", "--on-limits-loss", "open"],
        &["--limits", "store", "--on-limits-loss", "share=0"],
    ] {
        let ran = program(folder.path(), &[&["serve"], arguments].concat());
        let ran = { ran }.output().unwrap();
        assert_eq!(ran.status.code(), Some(2), "{arguments:?}");
        assert!(
            ran.stdout.is_empty() && !ran.stderr.is_empty(),
            "{arguments:?}"
        );
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
