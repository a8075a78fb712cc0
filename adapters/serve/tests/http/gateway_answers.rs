//! What gateways learn beside yes and no: bodies for nginx, the path for ingress-nginx, the
//! headers that carried the key, and preflights.

use crate::driver::Answer;
use crate::head::values;
use crate::service::Running;

const NGINX: &str = "GET /v1/authorize/nginx";

async fn ask(running: &Running, request: &str, key: &str, lines: &[&str]) -> Answer {
    let mut headers: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
    if !key.is_empty() {
        headers.push(format!("X-API-Key: {}", running.keys[key]));
    }
    running.ask(request, &headers, None).await
}

fn status(answer: &Answer) -> String {
    values(&answer.head, "x-auth-status").join(",")
}

/// ingress-nginx sends the whole URL, in which the host is what the client says.
#[tokio::test]
async fn the_path_of_a_url_is_what_follows_its_host() {
    let running = Running::start().await;
    for (lines, expected) in [
        (
            &["X-Original-URL: http://a.example/api/metrics/cpu"][..],
            "200",
        ),
        (
            &["X-Original-URL: https://a.example:8443/api/metrics/cpu?a=/../"],
            "200",
        ),
        (&["X-Original-URL: http://[::1]:80/api/metrics/cpu"], "200"),
        (&["X-Original-URL: http://a.example/api/profile"], "403"),
        (
            &["X-Original-URL: http://a.example/api/metrics/../profile"],
            "403",
        ),
        (
            &["X-Original-URL: http://a.example//api/metrics/cpu"],
            "403",
        ),
        // The host cannot move the start of the path.
        (
            &["X-Original-URL: http://a.example?/api/profile/api/metrics/cpu"],
            "400",
        ),
        (
            &["X-Original-URL: http://a.example#/api/metrics/cpu"],
            "400",
        ),
        (&["X-Original-URL: http://a@b/api/metrics/cpu"], "400"),
        (&["X-Original-URL: http://a\\b/api/metrics/cpu"], "400"),
        (&["X-Original-URL: http:///api/metrics/cpu"], "400"),
        (&["X-Original-URL: //a.example/api/metrics/cpu"], "400"),
        (&["X-Original-URL: /api/metrics/cpu"], "400"),
        (&["X-Original-URL: HTTP://a.example/api/metrics/cpu"], "400"),
        (&["X-Original-URL: ftp://a.example/api/metrics/cpu"], "400"),
        (&["X-Original-URL: http://a.example"], "400"),
        (&["X-Original-URL: "], "400"),
        // If both are sent, one may be the client's.
        (
            &[
                "X-Original-URL: http://a/api/metrics/cpu?b",
                "X-Original-URI: /api/metrics/cpu?b",
            ],
            "200",
        ),
        (
            &[
                "X-Original-URL: http://a/api/profile",
                "X-Original-URI: /api/metrics/cpu",
            ],
            "400",
        ),
        (
            &[
                "X-Original-URL: http://a/api/metrics/cpu",
                "X-Original-URI: /api/profile",
            ],
            "400",
        ),
        (
            &[
                "X-Original-URL: http://a/api/metrics/cpu?b",
                "X-Original-URI: /api/metrics/cpu",
            ],
            "400",
        ),
        (
            &[
                "X-Original-URL: http://a/api/metrics/cpu",
                "X-Original-URL: http://a/api/metrics/cpu",
            ],
            "400",
        ),
    ] {
        let lines = [lines, &["X-Original-Method: GET"]].concat();
        let answer = ask(&running, NGINX, "metrics", &lines).await;
        assert_eq!(status(&answer), expected, "{lines:?}: {answer:?}");
    }
    running.stop().await;
}

/// nginx drops bodies, so they are in a header too.
#[tokio::test]
async fn nginx_gets_the_body_of_a_refusal_in_a_header() {
    let running = Running::start().await;
    let original = ["X-Original-Method: POST", "X-Original-URI: /api/data"];
    for (key, query, code, expected) in [
        ("", "", "missing_credential", "401"),
        ("unknown", "", "invalid_key", "401"),
        ("metrics", "", "endpoint_not_allowed", "403"),
        ("reader", "?requires=write", "permission_missing", "403"),
        ("reader", "?requires=read%20and%20write", "invalid", "422"),
        ("reader", "?require=write", "malformed", "400"),
    ] {
        let answer = ask(&running, &format!("{NGINX}{query}"), key, &original).await;
        let body = values(&answer.head, "x-auth-body");
        assert_eq!(body, [answer.body.as_str()], "{answer:?}");
        assert!(
            body[0].contains(&format!("\"code\":\"{code}\"")),
            "{body:?}"
        );
        assert!(body[0].len() <= 1024);
        assert_eq!(status(&answer), expected);
        assert!([401, 403].contains(&answer.status), "{answer:?}");
    }
    let names: Vec<String> = (0..45)
        .map(|at| format!("{at}-{}", "a".repeat(15)))
        .collect();
    let requires = names.join("%20OR%20");
    let answer = ask(
        &running,
        &format!("{NGINX}?requires={requires}"),
        "reader",
        &original,
    )
    .await;
    assert!(answer.body.len() > 1024, "{answer:?}");
    let body = values(&answer.head, "x-auth-body");
    assert!(
        body[0].contains("permission_missing") && body[0].len() <= 1024,
        "{body:?}"
    );
    let allowed = ask(&running, NGINX, "key", &original).await;
    assert!(values(&allowed.head, "x-auth-body").is_empty());
    running.stop().await;
}

/// A preflight never has a key, and never gets the name of one.
#[tokio::test]
async fn a_preflight_passes_only_where_the_location_says_so() {
    let running = Running::start().await;
    let origin = "Origin: https://app.example";
    let method = "Access-Control-Request-Method: PUT";
    let pass = "?preflight=pass";
    for (query, request, lines, expected) in [
        (pass, "OPTIONS /x", &[origin, method][..], 200),
        (
            "?preflight=pass&requires=admin",
            "OPTIONS /x",
            &[origin, method],
            200,
        ),
        ("", "OPTIONS /x", &[origin, method], 401),
        (pass, "OPTIONS /x", &[origin], 401),
        (pass, "OPTIONS /x", &[method], 401),
        (pass, "OPTIONS /x", &["Origin: ", method], 401),
        (pass, "OPTIONS /x", &[origin, origin, method], 401),
        (pass, "OPTIONS /x", &[origin, method, method], 401),
        (
            pass,
            "OPTIONS /x",
            &[origin, "Access-Control-Request-Method: two words"],
            401,
        ),
        (pass, "options /x", &[origin, method], 401),
        (pass, "GET /x", &[origin, method], 401),
        (
            pass,
            "POST /x",
            &[origin, method, "X-HTTP-Method-Override: OPTIONS"],
            401,
        ),
        (pass, "OPTIONS /x/../y", &[origin, method], 401),
        (pass, "OPTIONS x", &[origin, method], 401),
        ("?preflight=true", "OPTIONS /x", &[origin, method], 422),
        ("?preflight=", "OPTIONS /x", &[origin, method], 422),
        (
            "?preflight=pass&preflight=pass",
            "OPTIONS /x",
            &[origin, method],
            400,
        ),
        // What it says itself has no effect.
        ("", "OPTIONS /x?preflight=pass", &[origin, method], 401),
        (
            "",
            "OPTIONS /x",
            &[origin, method, "X-Keystile-Preflight: pass"],
            401,
        ),
    ] {
        let (own, path) = request.split_once(' ').unwrap();
        let original = [
            format!("X-Forwarded-Method: {own}"),
            format!("X-Forwarded-Uri: {path}"),
        ];
        let lines: Vec<&str> = original
            .iter()
            .map(String::as_str)
            .chain(lines.to_vec())
            .collect();
        let asked = format!("GET /v1/authorize/forwarded{query}");
        let answer = ask(&running, &asked, "", &lines).await;
        assert_eq!(answer.status, expected, "{asked} {lines:?}: {answer:?}");
        assert!(!answer.head.contains("x-keystile"), "{answer:?}");
    }
    for (lines, expected) in [
        (&[origin, method, "X-Keystile-Preflight: pass"][..], 200),
        (&[origin, method], 401),
        (&[origin, method, "X-Keystile-Preflight: true"], 422),
        (&[origin, "X-Keystile-Preflight: pass"], 401),
    ] {
        let answer = ask(&running, "OPTIONS /v1/authorize/envoy/x", "", lines).await;
        assert_eq!(answer.status, expected, "{lines:?}: {answer:?}");
    }
    // With a key too, it is not told apart from one without.
    let lines = [
        "X-Forwarded-Method: OPTIONS",
        "X-Forwarded-Uri: /x",
        origin,
        method,
        "Authorization: Basic dTpw",
    ];
    let asked = "GET /v1/authorize/forwarded?preflight=pass";
    let answer = ask(&running, asked, "key", &lines).await;
    assert_eq!(answer.status, 200);
    assert!(!answer.head.contains("x-keystile"), "{answer:?}");
    assert!(
        values(&answer.head, "authorization").is_empty(),
        "{answer:?}"
    );
    running.stop().await;
}
