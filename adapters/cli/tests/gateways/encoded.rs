//! The examples with a `keystile serve` that takes an encoded slash for data: it is sent as it was
//! judged, and separates nothing.

use crate::client::{Answer, ask};
use crate::gateway::{ALL, Gateway, Running};
use crate::setup::Setup;
use crate::upstream::{Seen, Upstream};

const PROFILE: [&str; 2] = ["--path-profile", "encoded-slash-is-data"];

#[test]
fn an_encoded_slash_is_sent_as_it_was_judged() {
    let Some(setup) = Setup::start() else {
        return;
    };
    let keystile = setup.another(&PROFILE);
    let upstream = Upstream::asgi(&setup.tools);
    let start = |gateway: Gateway, keystile, edit: (&str, &str)| {
        let edit = |_: &str, text: String| text.replace(edit.0, edit.1);
        let service = upstream.address;
        let mut running = gateway.start_edited(&setup.tools, keystile, service, edit);
        running.wait();
        running
    };
    let sent = |running: &Running, key: &str, path: &str| -> (Answer, Vec<Seen>) {
        let key = format!("X-API-Key: {}", setup.words[key]);
        let answer = ask(running.address, &format!("GET {path}"), &[&key]);
        (answer, upstream.seen())
    };
    for gateway in ALL {
        let running = start(gateway, keystile.address, ("", ""));
        let name = gateway.name();
        for (key, path) in [
            ("reader", "/files/a%2Fb"),
            ("reader", "/files/a%2Fb/c%2Fd"),
            ("metrics", "/api/metrics/a%2Fb"),
        ] {
            let (answer, seen) = sent(&running, key, path);
            let targets: Vec<_> = seen.iter().map(|one| one.target.clone()).collect();
            assert_eq!(answer.status, 200, "{name}, {path}: {answer:?}");
            assert_eq!(targets, [format!("{path}?")], "{name}");
        }
        for (key, path) in [
            ("reader", "/admin%2Fsecret"),
            ("reader", "/ADMIN%2fsecret"),
            ("reader", "/x%2F..%2Fadmin%2Fsecret"),
            ("reader", "/x/..%2Fadmin/secret"),
            ("reader", "/x/%2e%2e%2fadmin/secret"),
            ("reader", "/x%5C..%5Cadmin"),
            ("metrics", "/api%2Fmetrics/a"),
            ("metrics", "/api/metrics%2Fa"),
        ] {
            let (answer, seen) = sent(&running, key, path);
            assert!(
                (400..500).contains(&answer.status) && seen.is_empty(),
                "{name}, {path}: {answer:?} {seen:?}"
            );
        }
        // By default, it is refused.
        let strict = start(gateway, setup.keystile.address, ("", ""));
        let (answer, seen) = sent(&strict, "reader", "/files/a%2Fb");
        assert!((400..500).contains(&answer.status), "{name}: {answer:?}");
        assert!(seen.is_empty(), "{name}");
    }
    // The control: Envoy matches a path as it was sent, so the example names the other spelling.
    let running = start(Gateway::Envoy, keystile.address, ("(/|%2f)", "/"));
    let (answer, seen) = sent(&running, "reader", "/admin%2Fsecret");
    assert_eq!((answer.status, seen.len()), (200, 1), "{answer:?}");
}
