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
/// service, the shape that then does harm, and what the oracle must say of it.
type Control = (
    Gateway,
    &'static str,
    &'static str,
    usize,
    &'static str,
    &'static str,
);

const OTHER_PATH: &str = "a path that the key may not reach";
const KEY: &str = "the text of a key";
const CLAIM: &str = "a value that only the client sent";
const ADDRESS: &str = "an address that the client invented";
const UPGRADE: &str = "upgrade";
const OWNER: &str = "x-keystile-owner";
const LOST: &str = "a header is lost";
const TOLD: &str = "an internal header in the answer";
const PASSES: &str = "it must pass once";
const REFUSED: &str = "it must be refused";

#[rustfmt::skip]
const CONTROLS: &[Control] = &[
    (Nginx, "proxy_set_header X-Original-URI $request_uri;", "proxy_set_header X-Original-URI /;", ASGI, "path /admin;/secret", OTHER_PATH),
    (Nginx, "proxy_set_header X-Keystile-Owner $ks_owner;", "", ASGI, "forged X-Keystile-Owner", OWNER),
    (Nginx, "proxy_set_header X-Keystile-Key-Id $ks_key_id;", "", WSGI, "forged X-Keystile-Key-Id", "x-keystile-key-id"),
    (Nginx, "proxy_set_header X-API-Key $ks_api_key;", "", ASGI, "plain", KEY),
    (Nginx, "proxy_set_header Authorization $ks_authorization;", "", ASGI, "the key as Bearer", KEY),
    (Nginx, "proxy_set_header X-Forwarded-For $remote_addr;\n        proxy_set_header X-Forwarded-Proto", "proxy_set_header X-Forwarded-Proto", ASGI, "client's X-Forwarded-For: 203.0.113.66", ADDRESS),
    (Nginx, "proxy_set_header X-HTTP-Method-Override \"\";", "", ASGI, "override by X-HTTP-Method-Override", CLAIM),
    (Nginx, "proxy_set_header X-Rewrite-URL \"\";", "", ASGI, "client's X-Rewrite-URL", CLAIM),
    (Nginx, "location ~* ^/admin(/|$)", "location ~ ^/admin(/|$)", ASGI, "path /ADMIN/secret", OTHER_PATH),
    (Nginx, "{ default \"\"; \"GET websocket\" ", "{ default $http_upgrade; \"GET websocket\" ", ASGI, "Upgrade: h2c (Connection: Upgrade, HTTP2-Settings)", OTHER_PATH),
    (CaddyOld, "request_header -Connection\n", "", ASGI, "Upgrade: h2c (Connection: Upgrade, HTTP2-Settings)", OTHER_PATH),
    (Caddy, "request_header -Connection\n", "", ASGI, "Upgrade: h2c (Connection: Upgrade, HTTP2-Settings)", OTHER_PATH),
    (Caddy, "request_header -Connection\n", "", ASGI, "Connection names X-Keystile-Owner", OWNER),
    (CaddyOld, "request_header @websocket Upgrade websocket\n", "", ASGI, "Upgrade: h2c in a first line", UPGRADE),
    (CaddyOld, "request_header -*keystile*\n", "", WSGI, "forged requirement that names less", "another header of ours"),
    (CaddyOld, "request_header -*_*\n", "", WSGI, "client's X_Original_URL", CLAIM),
    (Caddy, "request_header -X-API-Key\n", "", ASGI, "plain", KEY),
    (Caddy, "request_header -*override*\n", "", ASGI, "override by X-HTTP-Method-Override", CLAIM),
    (Caddy, "request_header -*forwarded*\n", "", ASGI, "client's Forwarded: for=203.0.113.66;host=forged", CLAIM),
    (Caddy, "request_header -HTTP2-Settings\n", "", ASGI, "Upgrade without Connection", "http2-settings"),
    (Caddy, "header_up X-Forwarded-Uri {http.request.uri}", "header_up X-Forwarded-Uri /", ASGI, "path /admin;/secret", OTHER_PATH),
    (Traefik, "aliasHeadersStrategy: delete", "aliasHeadersStrategy: keep", WSGI, "forged X_Keystile_Owner", OWNER),
    (Traefik, "          - X-Keystile-Owner\n", "", ASGI, "forged X-Keystile-Owner", OWNER),
    (Traefik, "          - X-API-Key\n", "", ASGI, "plain", KEY),
    (Traefik, "          - Authorization\n", "", ASGI, "the key as Bearer", KEY),
    (Traefik, "          X-HTTP-Method-Override: \"\"\n", "", ASGI, "override by X-HTTP-Method-Override", CLAIM),
    (Traefik, "[without-upgrade, without-claims, keystile-read]", "[without-claims, keystile-read]", ASGI, "Upgrade: h2 (Connection: Upgrade)", UPGRADE),
    (Traefik, "(?i)^/admin", "^/admin", ASGI, "path /ADMIN/secret", OTHER_PATH),
    (Envoy, "- remove_on_match: { key_matcher: { contains: keystile, ignore_case: true } }", "", ASGI, "preflight that asks for leave", "it had no key"),
    (Envoy, "- remove_on_match: { key_matcher: { safe_regex: { regex: \".*[^A-Za-z0-9:-].*\" } } }", "", WSGI, "client's X_Original_URL", CLAIM),
    (Envoy, "- remove_on_match: { key_matcher: { contains: forwarded, ignore_case: true } }", "", ASGI, "client's X-Forwarded-For: 203.0.113.66", ADDRESS),
    (Envoy, "- remove_on_match: { key_matcher: { suffix: override, ignore_case: true } }", "", ASGI, "override by X-HTTP-Method-Override", CLAIM),
    (Envoy, "regex: \"(?i)/admin((/|%2f).*)?\"", "regex: \"/admin((/|%2f).*)?\"", ASGI, "path /ADMIN/secret", OTHER_PATH),
    (Envoy, "header: { key: connection, value: upgrade }", "header: { key: x-nothing, value: upgrade }", ASGI, "WebSocket whose Connection names the owner", "the client's Connection"),
    (Nginx, "proxy_set_header X-Keystile-Client $ks_client;", "", ASGI, "forged X-Keystile-Client", "x-keystile-client"),
    (Nginx, "proxy_set_header X-Keystile-Environment $ks_environment;", "", ASGI, "forged X-Keystile-Environment", "x-keystile-environment"),
    (Nginx, "proxy_set_header X-Forwarded-Email \"\";", "", ASGI, "claim X-Forwarded-Email", CLAIM),
    (Caddy, "request_header -*~*\n", "", WSGI, "claim X~Original~URL", CLAIM),
    (CaddyOld, "request_header -*.*\n", "", ASGI, "claim X.Original.URL", CLAIM),
    (Traefik, "          X-Auth-Request-User: \"\"\n", "", ASGI, "claim X-Auth-Request-User", CLAIM),
    (Envoy, "- remove_on_match: { key_matcher: { prefix: x-original-, ignore_case: true } }", "", ASGI, "client's X-Original-Method", CLAIM),
    (Envoy, "- remove_on_match: { key_matcher: { suffix: client-ip, ignore_case: true } }", "", ASGI, "claim Fastly-Client-IP", ADDRESS),
    (Nginx, "add_header RateLimit-Limit $ks_limit always;", "add_header X-Keystile-Owner $ks_owner always;", ASGI, "plain", TOLD),
    (Envoy, "allowed_client_headers_on_success:\n                            patterns:\n", "allowed_client_headers_on_success:\n                            patterns:\n                              - { prefix: x-keystile-, ignore_case: true }\n", ASGI, "plain, HTTP/2", TOLD),
    (Envoy, "- { exact: x-api-key, ignore_case: true }\n", "- { exact: x-nothing, ignore_case: true }\n", ASGI, "token of 60 bytes as Bearer, HTTP/2", PASSES),
    (Nginx, "proxy_set_header Connection $ks_connection;", "proxy_set_header Connection $ks_connection;\n        proxy_pass_request_body off;\n        proxy_set_header Content-Length \"\";", ASGI, "plain, POST", "another body"),
    (Traefik, "aliasHeadersStrategy: delete", "aliasHeadersStrategy: keep", WSGI, "spelling X|Keystile|Environment", "x-keystile-environment"),
    (Nginx, "large_client_header_buffers 4 16k;", "", ASGI, "token of 12000 bytes as Bearer", PASSES),
    (Nginx, "large_client_header_buffers 4 16k;", "large_client_header_buffers 4 32k;", WSGI, "token, too large for nginx", REFUSED),
    (Nginx, "proxy_buffer_size 40k;\n            proxy_buffers 4 40k;\n", "", ASGI, "token of 6000 bytes as Bearer", PASSES),
    (Nginx, "proxy_set_header Authorization $ks_authorization;", "proxy_set_header Authorization \"\";", ASGI, "token of 60 bytes as Bearer", LOST),
    (CaddyOld, "request_header @ks_user Authorization {http.reverse_proxy.header.Authorization}\n", "", ASGI, "token of 8000 bytes as Bearer", LOST),
    (Caddy, "request_header @ks_other X-API-Key {http.reverse_proxy.header.X-Api-Key}\n", "", ASGI, "token of 8000 bytes in X-API-Key, the key as Bearer", LOST),
    (Caddy, "max_header_size 64KB", "max_header_size 4KB", ASGI, "token of 12000 bytes as Bearer", PASSES),
    (Traefik, "    address: \"127.0.0.1:8000\"\n    http:\n", "    address: \"127.0.0.1:8000\"\n    http:\n      maxHeaderBytes: 1024\n", ASGI, "token of 8000 bytes as Bearer", PASSES),
    (Envoy, "stat_prefix: main\n", "stat_prefix: main\n                max_request_headers_kb: 4\n", ASGI, "token of 8000 bytes as Bearer", PASSES),
];

#[test]
fn without_a_control_a_request_does_what_it_must_not() {
    let Some(setup) = Setup::start() else {
        return;
    };
    let (upstreams, shapes) = (Upstream::all(&setup.tools), shapes());
    let mut gateways = Vec::new();
    for (gateway, text, instead, upstream, name, _) in CONTROLS {
        let keystile = setup.keystile.address;
        let found = gateway
            .files()
            .iter()
            .any(|file| crate::gateway::example(file).contains(text));
        assert!(found, "{}: {text}", gateway.name());
        // keystile refuses upgrades that it sees in the question of Caddy: what the example does
        // against them is looked at without that.
        let question = (
            "method GET\n\t\trewrite",
            "method GET\n\t\theader_up -Upgrade\n\t\trewrite",
        );
        let edit = |_: &str, example: String| {
            let example = example.replace(text, instead);
            example.replace(question.0, question.1)
        };
        let service = upstreams[*upstream].address;
        let started = gateway.start_edited(&setup.tools, keystile, service, edit);
        let shape = shapes.iter().position(|shape| shape.name == *name);
        let shape = shape.unwrap_or_else(|| panic!("no shape {name}"));
        gateways.push((started, vec![shape]));
    }
    let outcomes = outcomes(&setup, &upstreams, &mut gateways, &shapes);
    let mut failures = Vec::new();
    for ((number, at), outcome) in &outcomes {
        let (gateway, text, _, _, name, expected) = CONTROLS[*number];
        let found = judged(gateway, &shapes[*at], outcome, &setup);
        // A gateway that the change has broken is not what is meant.
        let is_expected = |problem: &String| {
            let what = problem.split_once(": ").map_or("", |(what, _)| what);
            what == expected
        };
        if !found.iter().any(is_expected) {
            let gateway = gateway.name();
            failures.push(format!(
                "{gateway}, without `{text}`: {name}: not `{expected}`, but {found:?}"
            ));
        }
    }
    assert!(
        failures.is_empty(),
        "they do not do what they are for:\n{}",
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
