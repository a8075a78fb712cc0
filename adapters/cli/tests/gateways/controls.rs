//! Each control of the examples: without it, a request does what it must not.

use crate::client;
use crate::gateway::Gateway::{self, Caddy, CaddyOld, Envoy, Nginx, Traefik};
use crate::matrix::{judged, outcomes};
use crate::setup::Setup;
use crate::shapes::shapes;
use crate::upstream::Upstream;

const ASGI: usize = 0;
const WSGI: usize = 1;

/// A gateway, what is removed from its example (a line, or a text that is replaced), the
/// service, and the shape that then does harm.
type Control = (Gateway, &'static str, &'static str, usize, &'static str);

#[rustfmt::skip]
const CONTROLS: &[Control] = &[
    (Nginx, "proxy_set_header X-Original-URI $request_uri;", "proxy_set_header X-Original-URI /;", ASGI, "path /admin;/secret"),
    (Nginx, "proxy_set_header X-Keystile-Owner $ks_owner;", "", ASGI, "forged X-Keystile-Owner"),
    (Nginx, "proxy_set_header X-Keystile-Key-Id $ks_key_id;", "", WSGI, "forged X-Keystile-Key-Id"),
    (Nginx, "proxy_set_header X-API-Key $ks_api_key;", "", ASGI, "plain"),
    (Nginx, "proxy_set_header Authorization $ks_authorization;", "", ASGI, "the key as Bearer"),
    (Nginx, "proxy_set_header X-Forwarded-For $remote_addr;\n        proxy_set_header X-Forwarded-Proto", "proxy_set_header X-Forwarded-Proto", ASGI, "client's X-Forwarded-For: 203.0.113.66"),
    (Nginx, "proxy_set_header X-HTTP-Method-Override \"\";", "", ASGI, "override by X-HTTP-Method-Override"),
    (Nginx, "proxy_set_header X-Original-URL \"\";\n        proxy_set_header X-Rewrite-URL \"\";", "proxy_set_header X-Original-URL \"\";", ASGI, "client's X-Rewrite-URL"),
    (Nginx, "location ~* ^/admin(/|$)", "location ~ ^/admin(/|$)", ASGI, "path /ADMIN/secret"),
    (Nginx, "proxy_set_header Upgrade $ks_upgrade;", "proxy_set_header Upgrade $http_upgrade;", ASGI, "Upgrade: h2c (Connection: Upgrade, HTTP2-Settings)"),
    (CaddyOld, "request_header -Connection\n", "", ASGI, "Upgrade: h2c (Connection: Upgrade, HTTP2-Settings)"),
    (Caddy, "request_header -Connection\n", "", ASGI, "Upgrade: h2c (Connection: Upgrade, HTTP2-Settings)"),
    (Caddy, "request_header -Connection\n", "", ASGI, "Connection names X-Keystile-Owner"),
    (CaddyOld, "request_header @websocket Upgrade websocket\n", "", ASGI, "Upgrade: h2c in a first line"),
    (CaddyOld, "request_header -*keystile*\n", "", WSGI, "forged X~Keystile~Owner"),
    (CaddyOld, "request_header -*_*\n", "", WSGI, "client's X_Original_URL"),
    (Caddy, "request_header -X-API-Key\n", "", ASGI, "plain"),
    (Caddy, "request_header -*override*\n", "", ASGI, "override by X-HTTP-Method-Override"),
    (Caddy, "request_header -*forwarded*\n", "", ASGI, "client's Forwarded: for=203.0.113.66;host=forged"),
    (Caddy, "request_header -HTTP2-Settings\n", "", ASGI, "Upgrade without Connection"),
    (Caddy, "header_up X-Forwarded-Uri {http.request.uri}", "header_up X-Forwarded-Uri /", ASGI, "path /admin;/secret"),
    (Traefik, "aliasHeadersStrategy: delete", "aliasHeadersStrategy: keep", WSGI, "forged X_Keystile_Owner"),
    (Traefik, "          - X-Keystile-Owner\n", "", ASGI, "forged X-Keystile-Owner"),
    (Traefik, "          - X-API-Key\n", "", ASGI, "plain"),
    (Traefik, "          - Authorization\n", "", ASGI, "the key as Bearer"),
    (Traefik, "          X-HTTP-Method-Override: \"\"\n", "", ASGI, "override by X-HTTP-Method-Override"),
    (Traefik, "middlewares: [refused]", "middlewares: [without-claims, keystile-read]", ASGI, "Upgrade: h2 (Connection: Upgrade)"),
    (Traefik, "(?i)^/admin", "^/admin", ASGI, "path /ADMIN/secret"),
    (Envoy, "- remove_on_match: { key_matcher: { contains: keystile, ignore_case: true } }", "", ASGI, "preflight that asks for leave"),
    (Envoy, "- remove_on_match: { key_matcher: { safe_regex: { regex: \".*[^A-Za-z0-9:-].*\" } } }", "", WSGI, "client's X_Original_URL"),
    (Envoy, "- remove_on_match: { key_matcher: { contains: forwarded, ignore_case: true } }", "", ASGI, "client's X-Forwarded-For: 203.0.113.66"),
    (Envoy, "- remove_on_match: { key_matcher: { suffix: override, ignore_case: true } }", "", ASGI, "override by X-HTTP-Method-Override"),
    (Envoy, "regex: \"(?i)/admin(/.*)?\"", "regex: \"/admin(/.*)?\"", ASGI, "path /ADMIN/secret"),
    (Envoy, "header: { key: connection, value: upgrade }", "header: { key: x-nothing, value: upgrade }", ASGI, "WebSocket whose Connection names the owner"),
];

#[test]
fn without_a_control_a_request_does_what_it_must_not() {
    let Some(setup) = Setup::start() else {
        return;
    };
    let (upstreams, shapes) = (Upstream::all(&setup.tools), shapes());
    let mut gateways = Vec::new();
    for (gateway, text, instead, upstream, name) in CONTROLS {
        let keystile = setup.keystile.address;
        let found = gateway
            .files()
            .iter()
            .any(|file| crate::gateway::example(file).contains(text));
        assert!(found, "{}: {text}", gateway.name());
        let edit = |_: &str, example: String| example.replace(text, instead);
        let service = upstreams[*upstream].address;
        let started = gateway.start_edited(&setup.tools, keystile, service, edit);
        let shape = shapes.iter().position(|shape| shape.name == *name);
        let shape = shape.unwrap_or_else(|| panic!("no shape {name}"));
        gateways.push((started, vec![shape]));
    }
    let outcomes = outcomes(&setup, &upstreams, &mut gateways, &shapes);
    let mut failures = Vec::new();
    for ((number, at), outcome) in &outcomes {
        let (gateway, text, ..) = CONTROLS[*number];
        if judged(gateway, &shapes[*at], outcome, &setup).is_empty() {
            let name = &shapes[*at].name;
            failures.push(format!("{}, without `{text}`: {name}", gateway.name()));
        }
    }
    assert!(
        failures.is_empty(),
        "they do nothing:\n{}",
        failures.join("\n")
    );
}

/// A mistake in the configuration refuses, and does not open.
#[test]
fn a_path_that_no_location_asks_about_is_refused() {
    let Some(setup) = Setup::start() else {
        return;
    };
    let upstream = Upstream::asgi(&setup.tools);
    for (gateway, text) in [
        (Nginx, "set $ks_requires read;"),
        (CaddyOld, "import keystile read"),
        (Caddy, "import keystile read"),
    ] {
        let edit = |_: &str, example: String| {
            assert!(example.contains(text));
            example.replace(text, "")
        };
        let keystile = setup.keystile.address;
        let mut started = gateway.start_edited(&setup.tools, keystile, upstream.address, edit);
        started.wait();
        let key = format!("X-API-Key: {}", setup.words["reader"]);
        let answer = client::ask(started.address, "GET /things", &[&key]);
        assert!(answer.status >= 400, "{}: {answer:?}", gateway.name());
        let seen = upstream.seen();
        assert!(seen.is_empty(), "{}: {seen:?}", gateway.name());
    }
}
