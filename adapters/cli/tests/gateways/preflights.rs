//! What a gateway does with CORS preflights, and with requests that resemble them.

use crate::abilities::{WEBSOCKET, shown};
use crate::client::ask;
use crate::gateway::{Gateway, Running};
use crate::setup::Setup;
use crate::upstream::{Seen, Upstream};

/// Whether a preflight without a key passes, or the answer to it. If it passes, nothing else does
/// so without a key.
pub(crate) fn preflight(setup: &Setup, upstream: &Upstream, gateway: &Running) -> String {
    upstream.seen();
    let lines = [
        "Origin: https://app.example",
        "Access-Control-Request-Method: PUT",
    ];
    let forged = ["X-Keystile-Owner: forged", "X-Keystile-Client: forged"];
    let answer = ask(
        gateway.address,
        "OPTIONS /things",
        &[&lines[..], &forged].concat(),
    );
    let seen = upstream.seen();
    if seen.is_empty() {
        return shown(&answer);
    }
    assert_eq!((answer.status, seen.len()), (200, 1));
    for name in ["x-keystile-owner", "x-keystile-client", "x-keystile-key-id"] {
        assert!(
            seen[0].values(name).iter().all(|value| value.is_empty()),
            "{seen:?}"
        );
    }
    // A key or a body changes nothing, and the key stays at the gateway.
    let key = format!("X-API-Key: {}", setup.words["reader"]);
    let with_key = [&lines[..], &[&key]].concat();
    let with_body = [&lines[..], &["Content-Length: 3", "", "a"]].concat();
    for lines in [with_key, with_body] {
        let answer = ask(gateway.address, "OPTIONS /things", &lines);
        let seen = upstream.seen();
        assert_eq!((answer.status, seen.len()), (200, 1), "{answer:?}");
        let text = format!("{seen:?}");
        assert!(!text.contains(&setup.words["reader"]), "{text}");
        assert!(!text.contains("globex"), "{text}");
    }
    // No connection is left open for what comes next.
    let upgrade = [&lines[..], &WEBSOCKET, &["Upgrade: websocket"]].concat();
    let answer = ask(gateway.address, "OPTIONS /things", &upgrade);
    let is_dropped = |one: &Seen| one.values("upgrade").concat().is_empty();
    let seen = upstream.seen();
    assert!(
        answer.status != 101 && seen.iter().all(is_dropped),
        "{answer:?} {seen:?}"
    );
    // Nothing else passes without a key.
    for (request, lines) in [
        ("OPTIONS /things", &lines[..1]),
        ("OPTIONS /things", &lines[1..]),
        ("GET /things", &lines[..]),
        ("OPTIONS //things/../admin/secret", &lines[..]),
    ] {
        let answer = ask(gateway.address, request, lines);
        let seen = upstream.seen();
        let is_cleaned = request.contains("..") && gateway.gateway == Gateway::Traefik;
        assert!(
            seen.is_empty() || is_cleaned,
            "{request}: {answer:?} {seen:?}"
        );
    }
    "passes".to_owned()
}
