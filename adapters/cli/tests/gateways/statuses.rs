//! Statuses that few requests end with: what the service answers passes as it is, and what
//! keystile answers reaches the client with its body.

use crate::abilities::shown;
use crate::client::ask;
use crate::gateway::{ALL, Gateway, example};
use crate::setup::Setup;
use crate::tokens::jwt;
use crate::upstream::Upstream;

const INTERCEPT: (&str, &str) = (
    "large_client_header_buffers",
    "proxy_intercept_errors on;\n        large_client_header_buffers",
);

/// What the service answers with is not taken for a refusal of keystile's.
#[test]
fn a_status_of_the_service_is_passed_on() {
    let Some(setup) = Setup::start() else {
        return;
    };
    let upstream = Upstream::asgi(&setup.tools);
    let key = format!("X-API-Key: {}", setup.words["reader"]);
    let keystile = setup.keystile.address;
    let answers = |gateway: Gateway, (text, instead): (&str, &str)| {
        let edit = |_: &str, example: String| example.replace(text, instead);
        let mut running = gateway.start_edited(&setup.tools, keystile, upstream.address, edit);
        running.wait();
        let statuses = [400, 401, 403, 404, 422, 429, 431, 500, 502, 503];
        let passed = statuses.map(|status| {
            let request = format!("GET /things?answer={status}");
            let answer = ask(running.address, &request, &[&key]);
            answer.status == status && answer.body.contains(r#""upstream": "asgi""#)
        });
        passed.iter().filter(|passed| **passed).count()
    };
    for gateway in ALL {
        assert_eq!(answers(gateway, ("", "")), 10, "{}", gateway.name());
    }
    // The control: then nginx takes four of them for refusals, and answers three of these with
    // statuses of its own.
    let changed = answers(Gateway::Nginx, INTERCEPT);
    assert!(changed < 10, "{changed}");
}

/// keystile does not read such a question, and answers it without a body.
#[test]
fn nginx_names_both_limits_of_headers() {
    let Some(setup) = Setup::start() else {
        return;
    };
    let upstream = Upstream::asgi(&setup.tools);
    let keystile = setup.keystile.address;
    let mut nginx = Gateway::Nginx.start(&setup.tools, keystile, upstream.address);
    nginx.wait();
    let many = (0..101).map(|number| format!("X-{number}: a")).collect();
    // Each is small enough for nginx, and together they are more than keystile reads. It compares
    // after each read, so a little more than 32 KiB can pass.
    let large = [1, 2, 3, 4].map(|number| format!("X-Token-{number}: {}", jwt(15_000)));
    for mut lines in [many, large.to_vec()] {
        lines.push(format!("X-API-Key: {}", setup.words["reader"]));
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let answer = ask(nginx.address, "GET /things", &lines);
        assert_eq!(answer.status, 431, "{answer:?}");
        let body: serde_json::Value = serde_json::from_str(&answer.body).expect("JSON");
        assert_eq!(body["code"], "headers_too_large");
        assert_eq!(body["message"], "Send at most 100 headers, and 32 KiB.");
    }
    assert!(upstream.seen().is_empty());
}

/// A requirement that is none, and a record that is damaged: both are mistakes of the operator's.
#[test]
fn a_rare_status_of_keystile_reaches_the_client() {
    let Some(mut setup) = Setup::start() else {
        return;
    };
    setup.damage();
    let upstream = Upstream::asgi(&setup.tools);
    let asked = |gateway: Gateway, edits: &[(&str, &str)], key: &str| {
        let edit = |_: &str, mut example: String| {
            for (text, instead) in edits {
                example = example.replace(text, instead);
            }
            example
        };
        let keystile = setup.keystile.address;
        let mut running = gateway.start_edited(&setup.tools, keystile, upstream.address, edit);
        running.wait();
        let key = format!("X-API-Key: {}", setup.words[key]);
        shown(&ask(running.address, "GET /things", &[&key]))
    };
    // A requirement ends with AND.
    let odd = [
        ("set $ks_requires read;", "set $ks_requires read%20AND;"),
        ("import keystile read\n", "import keystile read%20AND\n"),
        ("requires=read", "requires=read%20AND"),
        ("value: read }", "value: read AND }"),
    ];
    for gateway in ALL {
        let name = gateway.name();
        assert_eq!(asked(gateway, &odd, "reader"), "422, JSON", "{name}");
        // Envoy takes each 5xx for no answer.
        let damaged = match gateway {
            Gateway::Envoy => "503, JSON",
            _ => "500, JSON",
        };
        assert_eq!(asked(gateway, &[], "damaged"), damaged, "{name}");
    }
    // The controls: without these lines, nginx answers with another status.
    for (line, key, edits) in [
        (
            "if ($ks_status = 422) { return 422 $ks_body; }",
            "reader",
            &odd[..],
        ),
        (
            "if ($ks_status = 500) { return 500 $ks_body; }",
            "damaged",
            &[],
        ),
    ] {
        assert!(example("nginx.conf").contains(line));
        let edits = [edits, &[(line, "")]].concat();
        assert_eq!(asked(Gateway::Nginx, &edits, key), "403, JSON");
    }
    assert!(upstream.seen().is_empty());
}
