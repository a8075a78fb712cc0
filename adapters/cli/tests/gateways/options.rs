//! The examples with a `keystile serve` that has other options: keys in other headers, and the
//! other forms of the fields about a rate limit.

use crate::client::{Answer, ask};
use crate::gateway::{ALL, Gateway, Running};
use crate::setup::Setup;
use crate::tokens;
use crate::upstream::Upstream;

/// Where keys are read from in the first of the two services.
const OTHER_SOURCES: [&str; 8] = [
    "--no-default-sources",
    "--key-header",
    "X-Acme-Key",
    "--scheme",
    "Api-Key",
    "--basic",
    "--rate-limit-fields",
    "8",
];

const FORM_X: [&str; 2] = ["--rate-limit-fields", "x"];

/// The text of an example, with the lines that its page asks for if there is another header.
fn with_header(text: &str) -> String {
    text.replace(
        "        auth_request_set $ks_api_key ",
        "        auth_request_set $ks_acme_key $upstream_http_x_acme_key;\n        \
         proxy_set_header X-Acme-Key $ks_acme_key;\n        auth_request_set $ks_api_key ",
    )
    .replace(
        "request_header -X-API-Key\n",
        "request_header -X-API-Key\n\t\t\t\trequest_header -X-Acme-Key\n\t\t\t\t\
         @ks_acme not vars {http.reverse_proxy.header.X-Acme-Key} \"\" <nil>\n\t\t\t\t\
         request_header @ks_acme X-Acme-Key {http.reverse_proxy.header.X-Acme-Key}\n",
    )
    .replace("&asked [", "&asked [X-Acme-Key, ")
    .replace("- X-API-Key\n", "- X-API-Key\n          - X-Acme-Key\n")
    .replace(
        "- { exact: x-api-key, ignore_case: true }\n",
        "- { exact: x-api-key, ignore_case: true }\n                          \
         - { exact: x-acme-key, ignore_case: true }\n",
    )
}

#[test]
fn the_examples_work_with_other_options_of_the_service() {
    let Some(setup) = Setup::start() else {
        return;
    };
    let (other, form_x) = (setup.another(&OTHER_SOURCES), setup.another(&FORM_X));
    let upstreams = Upstream::all(&setup.tools);
    for gateway in ALL {
        let upstream = &upstreams[0];
        let edit = |_: &str, text: String| with_header(&text);
        let start = |address| gateway.start_edited(&setup.tools, address, upstream.address, edit);
        let mut running = start(other.address);
        running.wait();
        keys_elsewhere(&setup, &running, upstream);
        // Two of the largest do not fit into what Hypercorn reads.
        let go = &upstreams[2];
        let edit = |_: &str, text: String| with_header(&text);
        let mut to_go = gateway.start_edited(&setup.tools, other.address, go.address, edit);
        to_go.wait();
        tokens_beside(&setup, &to_go, go);
        let fields = ["ratelimit", "ratelimit-policy"];
        limited(&setup, &running, "X-Acme-Key", "form 8", &fields);
        let mut running = start(form_x.address);
        running.wait();
        let fields = [
            "x-ratelimit-limit",
            "x-ratelimit-remaining",
            "x-ratelimit-reset",
        ];
        limited(&setup, &running, "X-API-Key", "form x", &fields);
        replaced(&setup, &running);
        upstream.seen();
    }
}

/// A key in a header of its own, or as a user's name, stays at the gateway, and what was beside
/// it reaches the service.
fn keys_elsewhere(setup: &Setup, running: &Running, upstream: &Upstream) {
    let (words, name) = (&setup.words, running.gateway.name());
    let key = format!("X-Acme-Key: {}", words["reader"]);
    let jwt = format!("Bearer {}", words["jwt"]);
    let token = format!("Authorization: {jwt}");
    let basic = format!("Authorization: Basic {}", words["basic"]);
    for (lines, kept) in [
        (vec![key.as_str()], None),
        (vec![&key, &token, "X-API-Key: other"], Some(jwt.as_str())),
        (vec![&basic], None),
        (vec![&key, &basic], None),
    ] {
        let answer = ask(running.address, "GET /things", &lines);
        assert_eq!(answer.status, 200, "{name}: {lines:?} {answer:?}");
        let seen = upstream.seen();
        let [one] = &seen[..] else {
            panic!("{name}: {seen:?}");
        };
        let text = format!("{one:?}");
        let hidden = [&words["reader"], &words["basic"]];
        assert!(
            !hidden.iter().any(|key| text.contains(*key)),
            "{name}: {text}"
        );
        let values = one.values("authorization");
        let values: Vec<_> = values
            .into_iter()
            .filter(|value| !value.is_empty())
            .collect();
        assert_eq!(values.first().copied(), kept, "{name}: {text}");
        if kept.is_some() {
            assert_eq!(one.values("x-api-key"), ["other"], "{name}: {text}");
        }
    }
    let plain = format!("X-API-Key: {}", words["reader"]);
    let answer = ask(running.address, "GET /things", &[&plain]);
    assert_eq!(
        answer.status, 401,
        "{name}: no key is read there: {answer:?}"
    );
    assert!(upstream.seen().is_empty(), "{name}");
}

/// A token of each size beside a key in each other source changes nothing: the service gets it,
/// and who the key belongs to. With a key in `X-Acme-Key`, there can be two.
fn tokens_beside(setup: &Setup, running: &Running, upstream: &Upstream) {
    let (words, name) = (&setup.words, running.gateway.name());
    let acme = format!("X-Acme-Key: {}", words["reader"]);
    let scheme = format!("Authorization: Api-Key {}", words["reader"]);
    let basic = format!("Authorization: Basic {}", words["basic"]);
    for size in tokens::SIZES {
        let jwt = tokens::jwt(size);
        let bearer = format!("Bearer {jwt}");
        let api_key = format!("Api-Key {jwt}");
        let kept = |header: &'static str, value: &str| (header, value.to_owned());
        for (key, kept) in [
            (&acme, vec![kept("authorization", &bearer)]),
            (&acme, vec![kept("authorization", &api_key)]),
            (
                &acme,
                vec![kept("authorization", &bearer), kept("x-api-key", &jwt)],
            ),
            (&scheme, vec![kept("x-acme-key", &jwt)]),
            (&basic, vec![kept("x-acme-key", &jwt)]),
        ] {
            let lines = kept.iter().map(|(name, value)| format!("{name}: {value}"));
            let lines: Vec<_> = lines.chain([key.clone()]).collect();
            let lines: Vec<_> = lines.iter().map(String::as_str).collect();
            let answer = ask(running.address, "GET /things", &lines);
            assert_eq!(answer.status, 200, "{name}, {size} bytes: {answer:?}");
            let seen = upstream.seen();
            let [one] = &seen[..] else {
                panic!("{name}, {size} bytes: {seen:?}");
            };
            let owner = one.values("x-keystile-owner");
            assert_eq!(owner, ["globex"], "{name}, {size} bytes");
            for (header, value) in &kept {
                assert_eq!(one.values(header), [value], "{name}, {size} bytes");
            }
        }
    }
}

/// Both an allowed request and a refused one have the fields of this form.
fn limited(setup: &Setup, running: &Running, header: &str, form: &str, fields: &[&str]) {
    let gateway = running.gateway;
    let key = &setup.words[&format!("{form} at {}", gateway.name())];
    let key = format!("{header}: {key}");
    for status in [200, 429] {
        let answer = ask(running.address, "GET /things", &[&key]);
        assert_eq!(answer.status, status, "{}: {answer:?}", gateway.name());
        // Traefik copies nothing of an allowed request to the client.
        let count = usize::from(gateway != Gateway::Traefik || status == 429);
        for field in fields {
            let name = gateway.name();
            assert_eq!(
                answer.values(field).len(),
                count,
                "{name} {field}: {answer:?}"
            );
        }
    }
}

/// The client learns that its key is being replaced.
fn replaced(setup: &Setup, running: &Running) {
    let key = format!("X-API-Key: {}", setup.words["old"]);
    let answer: Answer = ask(running.address, "GET /things", &[&key]);
    let name = running.gateway.name();
    assert_eq!(answer.status, 200, "{name}: {answer:?}");
    let count = usize::from(running.gateway != Gateway::Traefik);
    for field in ["deprecation", "sunset"] {
        assert_eq!(
            answer.values(field).len(),
            count,
            "{name} {field}: {answer:?}"
        );
    }
}
