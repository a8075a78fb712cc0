//! `/v1/authorize`, as each gateway asks it.

use keystile::Networks;

use crate::driver::Answer;
use crate::head::values;
use crate::service::Running;

async fn ask(running: &Running, request: &str, key: &str, lines: &[&str]) -> Answer {
    let mut headers = vec![format!("X-API-Key: {}", running.keys[key])];
    headers.extend(lines.iter().map(|line| (*line).to_owned()));
    running.ask(request, &headers, None).await
}

#[tokio::test]
async fn the_original_request_has_one_source() {
    let running = Running::start().await;
    let nginx = [
        "X-Original-Method: GET",
        "X-Original-URI: /api/metrics/cpu?a=/../",
    ];
    let other = [
        "X-Forwarded-Method: GET",
        "X-Forwarded-Uri: /api/metrics/cpu?a=/../",
    ];
    let both = [nginx, other].concat();
    let twice = [nginx[0], nginx[1], "X-Original-URI: /api/profile"];
    let twice_the_same = [nginx[0], nginx[1], nginx[1]];
    let two_methods = [nginx[0], nginx[1], "X-Original-Method: DELETE"];
    let half = [nginx[1], other[0]];
    let table: [(&str, &[&str], u16); 19] = [
        ("/v1/authorize", &nginx, 200),
        ("/v1/authorize", &other, 200),
        ("/v1/authorize/nginx", &nginx, 200),
        ("/v1/authorize/forwarded", &other, 200),
        // Those of the other family are the client's, and are not read.
        ("/v1/authorize/nginx", &both, 200),
        ("/v1/authorize/forwarded", &both, 200),
        ("/v1/authorize", &both, 400),
        ("/v1/authorize", &half, 400),
        ("/v1/authorize", &[], 400),
        ("/v1/authorize", &nginx[..1], 403),
        ("/v1/authorize", &nginx[1..], 403),
        ("/v1/authorize/nginx", &other, 403),
        ("/v1/authorize/forwarded", &nginx, 400),
        ("/v1/authorize/nginx", &twice, 403),
        ("/v1/authorize/nginx", &twice_the_same, 403),
        ("/v1/authorize/nginx", &two_methods, 403),
        ("/v1/authorize/nginx", &[nginx[0], "X-Original-URI: "], 403),
        (
            "/v1/authorize/nginx",
            &[nginx[0], "X-Original-URI: api/metrics/cpu"],
            403,
        ),
        (
            "/v1/authorize/nginx",
            &[nginx[0], "X-Original-URI: ?/api/metrics/cpu"],
            403,
        ),
    ];
    for (path, lines, status) in table {
        let answer = ask(&running, &format!("GET {path}"), "metrics", lines).await;
        assert_eq!(answer.status, status, "{path} {lines:?}: {answer:?}");
    }
    // Envoy sends the original path after the prefix, with the original method.
    for (request, status) in [
        (
            "GET /v1/authorize/envoy/api/metrics/cpu?requires=nothing",
            200,
        ),
        ("POST /v1/authorize/envoy/api/metrics/cpu", 403),
        ("GET /v1/authorize/envoy/api/metrics/../profile", 403),
        ("GET /v1/authorize/envoy//api/metrics/cpu", 403),
        (
            "GET /v1/authorize/envoy/api/metrics%2f..%2f..%2fprofile",
            403,
        ),
        ("GET /v1/authorize/envoy/", 403),
        ("GET /v1/authorize/envoy", 404),
        ("GET /v1/authorize/envoyapi/metrics/cpu", 404),
        ("GET /v1/authorize/../authorize/envoy/api/metrics/cpu", 404),
    ] {
        let answer = ask(&running, request, "metrics", &other).await;
        assert_eq!(answer.status, status, "{request}: {answer:?}");
    }
    running.stop().await;
}

#[tokio::test]
async fn a_location_asks_what_its_gateway_says() {
    let running = Running::start().await;
    let original = ["X-Forwarded-Method: POST", "X-Forwarded-Uri: /api/data"];
    let mine = [original[0], original[1], "X-Keystile-Requires: read"];
    for (query, lines, status, code) in [
        ("?requires=read", &original[..], 200, ""),
        (
            "?requires=read%20AND%20write",
            &original,
            403,
            "permission_missing",
        ),
        (
            "?requires=read+AND+write",
            &original,
            403,
            "permission_missing",
        ),
        ("?requires=read%20OR%20write", &original, 200, ""),
        // A header of the client's is ignored.
        ("?requires=write", &mine, 403, "permission_missing"),
        ("?environment=live", &original, 403, "wrong_environment"),
        // What is misspelt must not be left out.
        ("?require=write", &original, 400, "malformed"),
        ("?requires=write&requires=read", &original, 400, "malformed"),
        ("?requires=", &original, 422, "invalid"),
        ("?requires=read%20and%20write", &original, 422, "invalid"),
    ] {
        let request = format!("GET /v1/authorize/forwarded{query}");
        let answer = ask(&running, &request, "reader", lines).await;
        assert_eq!(answer.status, status, "{query}: {answer:?}");
        assert!(answer.body.contains(code), "{query}: {answer:?}");
    }
    for (lines, status) in [
        (&["X-Keystile-Requires: read"][..], 200),
        (&["X-Keystile-Requires: write"], 403),
        (
            &["X-Keystile-Requires: read", "X-Keystile-Requires: read"],
            400,
        ),
        (&["X-Keystile-Requires: "], 422),
    ] {
        let request = "GET /v1/authorize/envoy/api/data?requires=write";
        let answer = ask(&running, request, "reader", lines).await;
        assert_eq!(answer.status, status, "{lines:?}: {answer:?}");
    }
    running.stop().await;
}

#[tokio::test]
async fn who_passes_is_named_and_each_name_is_always_there() {
    let running = Running::start().await;
    let request = "GET /v1/authorize/envoy/api/data";
    let answer = ask(&running, request, "key", &["X-Keystile-Owner: root"]).await;
    assert_eq!(values(&answer.head, "x-keystile-client"), ["Acme"]);
    assert_eq!(values(&answer.head, "x-keystile-key-id")[0].len(), 16);
    assert_eq!(values(&answer.head, "x-keystile-owner"), [""]);
    assert_eq!(values(&answer.head, "x-keystile-environment"), [""]);
    assert!(!answer.head.contains(&running.keys["key"]));

    let limited = ask(&running, request, "limited", &[]).await;
    assert_eq!(values(&limited.head, "ratelimit-remaining"), ["0"]);
    assert_eq!(ask(&running, request, "limited", &[]).await.status, 429);
    let original = ["X-Original-Method: GET", "X-Original-URI: /"];
    let for_nginx = ask(&running, "GET /v1/authorize", "limited", &original).await;
    assert_eq!(for_nginx.status, 403);
    assert_eq!(values(&for_nginx.head, "x-auth-status"), ["429"]);
    assert_eq!(values(&for_nginx.head, "retry-after").len(), 1);
    let unknown = ask(&running, "GET /v1/authorize", "unknown", &original).await;
    assert_eq!(unknown.status, 401);
    running.stop().await;
}

/// I10: what a stranger says of an address, a method or a path is not believed.
#[tokio::test]
async fn a_stranger_is_no_gateway() {
    let running = Running::with(|settings| {
        settings.trusted_proxies = Networks::new(["192.0.2.0/24"]).unwrap();
    })
    .await;
    let lines = [
        "X-Original-Method: GET",
        "X-Original-URI: /api/metrics/cpu",
        "X-Forwarded-For: 192.0.2.1",
    ];
    for path in [
        "/v1/authorize",
        "/v1/authorize/nginx",
        "/v1/authorize/envoy/x",
    ] {
        let answer = ask(&running, &format!("GET {path}"), "key", &lines).await;
        assert_eq!(answer.status, 403, "{path}: {answer:?}");
        assert!(answer.body.contains("untrusted_peer"), "{answer:?}");
    }
    running.stop().await;

    let running = Running::start().await;
    let original = ["X-Original-Method: GET", "X-Original-URI: /x"];
    for (forwarded, status) in [
        ("X-Forwarded-For: 192.0.2.9", 200),
        ("X-Forwarded-For: 192.0.2.9, 203.0.113.1", 403),
        ("X-Forwarded-For: 203.0.113.1, 192.0.2.9", 200),
        ("X-Forwarded-For: unknown", 403),
        ("X-Real-IP: 192.0.2.9", 403),
    ] {
        let lines = [original[0], original[1], forwarded];
        let answer = ask(&running, "GET /v1/authorize", "elsewhere", &lines).await;
        assert_eq!(answer.status, status, "{forwarded}: {answer:?}");
    }
    running.stop().await;
}
