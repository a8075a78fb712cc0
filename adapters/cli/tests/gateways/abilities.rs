//! What each gateway can do with its example and what it cannot: each cell of the table in the
//! README of `keystile-serve` is seen here.

use core::net::SocketAddr;
use std::net::TcpListener;
use std::path::Path;

use serde_json::Value;

use crate::client::{Answer, ask, send};
use crate::gateway::{ALL, Gateway, Running};
use crate::preflights::preflight;
use crate::process::free_address;
use crate::setup::Setup;
use crate::shapes::shapes;
use crate::tokens::{TOO_LARGE, jwt};
use crate::upstream::{Seen, Upstream};

/// A gateway in front of a service, and beside it one that asks a keystile that has ended, one
/// that asks a keystile that does not answer, one whose service has ended, and one that lets
/// preflights pass.
struct Stand<'s> {
    setup: &'s Setup,
    upstream: &'s Upstream,
    gateway: Running,
    dead: Running,
    silent: Running,
    deserted: Running,
    preflights: Running,
}

/// What is looked at, and how.
type Row = (&'static str, fn(&Stand<'_>) -> String);

/// What a client sends to open a WebSocket, without `Upgrade`.
pub(crate) const WEBSOCKET: [&str; 3] = [
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];

/// The rows of the table.
const ROWS: &[Row] = &[
    ("a refusal", refusal),
    ("`RateLimit-*` of an allowed request", limit_of_an_allow),
    ("keystile answers 503", unavailable),
    ("keystile has ended", |stand| {
        shown(&asked(&stand.dead, &[stand.key("reader")]))
    }),
    ("keystile does not answer", |stand| {
        shown(&asked(&stand.silent, &[stand.key("reader")]))
    }),
    ("the service has ended", |stand| {
        let answer = asked(&stand.deserted, &[stand.key("reader")]);
        answer.status.to_string()
    }),
    ("101 headers", many_headers),
    ("a trailer of the client's", trailer),
    ("WebSocket with a key", websocket),
    ("a user's token beside the key", |stand| token(stand, 200)),
    ("one of 12,000 bytes", |stand| token(stand, 12_000)),
    ("one of 1.2 MB", |stand| token(stand, TOO_LARGE)),
    ("an empty identity header", empty),
    ("a path with `//`", slashes),
    ("the client's address, as the service sees it", address),
    ("a preflight without a key", |stand| {
        preflight(stand.setup, stand.upstream, &stand.gateway)
    }),
    ("the same with `preflight=pass`", |stand| {
        preflight(stand.setup, stand.upstream, &stand.preflights)
    }),
    ("HTTP/2 without TLS", |stand| {
        let shapes = shapes();
        let plain = shapes.iter().find(|shape| shape.name == "plain, HTTP/2");
        let (address, words) = (stand.gateway.address, &stand.setup.words);
        stand.seen();
        send(address, plain.expect("the shape"), words, "h2");
        yes(stand.seen().len() == 1)
    }),
];

#[test]
fn the_table_says_what_each_gateway_does() {
    let Some(setup) = Setup::start() else {
        return;
    };
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_address = silent.local_addr().unwrap();
    let columns: Vec<Vec<String>> = std::thread::scope(|scope| {
        let column = |gateway: Gateway| {
            let setup = &setup;
            scope.spawn(move || cells(setup, gateway, silent_address))
        };
        let threads: Vec<_> = ALL.into_iter().map(column).collect();
        threads.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let mut table = String::from("| with the example |");
    ALL.iter()
        .for_each(|gateway| table += &format!(" {} |", gateway.name()));
    table += &format!("\n|---|{}\n", "---|".repeat(ALL.len()));
    for (at, (name, _)) in ROWS.iter().enumerate() {
        let cells: Vec<&str> = columns.iter().map(|column| column[at].as_str()).collect();
        table += &format!("| {name} | {} |\n", cells.join(" | "));
    }
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../serve/README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    assert!(
        readme.contains(&table),
        "the README must have this table:\n{table}"
    );
}

fn cells(setup: &Setup, gateway: Gateway, silent: SocketAddr) -> Vec<String> {
    let upstream = &Upstream::asgi(&setup.tools);
    let start = |keystile| gateway.start(&setup.tools, keystile, upstream.address);
    let mut stand = Stand {
        setup,
        upstream,
        gateway: start(setup.keystile.address),
        dead: start(free_address()),
        silent: start(silent),
        deserted: gateway.start(&setup.tools, setup.keystile.address, free_address()),
        preflights: gateway.start_edited(
            &setup.tools,
            setup.keystile.address,
            upstream.address,
            |_, text| with_preflights(text),
        ),
    };
    for one in [
        &mut stand.gateway,
        &mut stand.dead,
        &mut stand.silent,
        &mut stand.deserted,
        &mut stand.preflights,
    ] {
        one.wait();
    }
    if gateway == Gateway::Nginx {
        // The question itself is not to be asked from outside.
        let admin = format!("X-API-Key: {}", setup.words["admin"]);
        let answer = ask(stand.gateway.address, "GET /_keystile", &[&admin]);
        assert_eq!(answer.status, 404, "{answer:?}");
    }
    stand.upstream.seen();
    ROWS.iter().map(|(_, cell)| cell(&stand)).collect()
}

/// The example as its comments explain it for CORS.
fn with_preflights(text: String) -> String {
    text.replace("?requires=$ks_requires", "?requires=$ks_requires&preflight=pass")
        .replace("?requires={args.0}", "?requires={args.0}&preflight=pass")
        .replace("?requires=read", "?requires=read&preflight=pass")
        .replace(
            "[X-API-Key, Authorization]",
            "[X-API-Key, Authorization, Origin, Access-Control-Request-Method]",
        )
        .replace(
            "value: read }\n",
            "value: read }\n                              append_action: OVERWRITE_IF_EXISTS_OR_ADD\n                          - append:\n                              header: { key: x-keystile-preflight, value: pass }\n",
        )
}

impl Stand<'_> {
    fn key(&self, name: &str) -> String {
        format!("X-API-Key: {}", self.setup.words[name])
    }

    /// The key with a limit of one request, which no other gateway uses.
    fn limited(&self, what: &str) -> String {
        self.key(&format!("{what} at {}", self.gateway.gateway.name()))
    }

    fn seen(&self) -> Vec<Seen> {
        self.upstream.seen()
    }
}

fn asked(gateway: &Running, lines: &[String]) -> Answer {
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    ask(gateway.address, "GET /things", &lines)
}

fn yes(is: bool) -> String {
    if is { "yes" } else { "no" }.to_owned()
}

/// The status of an answer, and whether its body is JSON with a code.
pub(crate) fn shown(answer: &Answer) -> String {
    let body: Option<Value> = serde_json::from_str(&answer.body).ok();
    let code = body.as_ref().and_then(|body| body["code"].as_str());
    let is_json = answer
        .values("content-type")
        .first()
        .is_some_and(|kind| kind.split(';').next() == Some("application/json"));
    let kind = match code {
        Some(_) if is_json => "JSON",
        Some(_) => "JSON as another type",
        None if answer.body.is_empty() => "empty",
        None => "no JSON",
    };
    format!("{}, {kind}", answer.status)
}

/// Each denial with its status, code and headers.
fn refusal(stand: &Stand<'_>) -> String {
    let jwt = format!("Authorization: Bearer {}", stand.setup.words["jwt"]);
    let bearer = format!("Authorization: Bearer {}", stand.setup.words["bare"]);
    let limited = stand.limited("refused");
    asked(&stand.gateway, core::slice::from_ref(&limited));
    let mut whole = Vec::new();
    for (lines, status, code, fields) in [
        (vec![], 401, "missing_credential", &["www-authenticate"][..]),
        (vec![jwt], 401, "invalid_key", &["www-authenticate"]),
        (vec![stand.key("metrics")], 403, "endpoint_not_allowed", &[]),
        (
            vec![stand.key("reader"), bearer],
            400,
            "conflicting_credentials",
            &[],
        ),
        (
            vec![limited],
            429,
            "rate_limited",
            &["retry-after", "ratelimit-limit"],
        ),
    ] {
        let answer = asked(&stand.gateway, &lines);
        let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
        let has = |name: &&str| answer.values(name).len() == 1;
        let is_whole = answer.status == status
            && body["code"] == code
            && shown(&answer).ends_with(", JSON")
            && fields.iter().all(has);
        whole.push(is_whole.then_some(()).ok_or(answer));
    }
    let missing: Vec<_> = whole.into_iter().filter_map(Result::err).collect();
    assert!(
        missing.is_empty(),
        "{}: {missing:?}",
        stand.gateway.gateway.name()
    );
    assert!(stand.seen().len() == 1, "only the first of the limited key");
    "whole".to_owned()
}

fn limit_of_an_allow(stand: &Stand<'_>) -> String {
    let answer = asked(&stand.gateway, &[stand.limited("allowed")]);
    assert_eq!(answer.status, 200, "{answer:?}");
    let names = ["ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"];
    let counts = names.map(|name| answer.values(name).len());
    yes(counts == [1; 3])
}

fn unavailable(stand: &Stand<'_>) -> String {
    let answer = asked(&stand.gateway, &[stand.key("peppered")]);
    shown(&answer)
}

fn many_headers(stand: &Stand<'_>) -> String {
    let mut lines: Vec<String> = (0..101).map(|number| format!("X-{number}: a")).collect();
    lines.push(stand.key("reader"));
    let answer = asked(&stand.gateway, &lines);
    if answer.status == 200 {
        "passed".to_owned()
    } else {
        shown(&answer)
    }
}

fn trailer(stand: &Stand<'_>) -> String {
    stand.seen();
    let chunked = "Transfer-Encoding: chunked";
    let key = stand.key("reader");
    let lines = [key.as_str(), chunked, "Trailer: X-Keystile-Owner"];
    let body = "1\r\na\r\n0\r\nX-Keystile-Owner: forged\r\n";
    // The line that ends the headers comes before the body, and the one after it ends both.
    let with_body = [&lines[..], &["", body.trim_end()]].concat();
    ask(stand.gateway.address, "POST /things", &with_body);
    let seen = stand.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].values("x-keystile-owner"), ["globex"]);
    match seen[0].values("trailer").is_empty() {
        true => "dropped".to_owned(),
        false => "passed on as a trailer".to_owned(),
    }
}

fn websocket(stand: &Stand<'_>) -> String {
    stand.seen();
    // In any case of letters (RFC 6455, section 4.2.1).
    let opens = ["websocket", "WebSocket"].map(|name| {
        let mut lines: Vec<String> = WEBSOCKET.iter().map(|line| (*line).to_owned()).collect();
        lines.extend([format!("Upgrade: {name}"), stand.key("reader")]);
        let answer = asked(&stand.gateway, &lines);
        answer.status == 101 && stand.seen().len() == 1
    });
    yes(opens == [true; 2])
}

/// What becomes of a token of this many bytes.
fn token(stand: &Stand<'_>, bytes: usize) -> String {
    let line = format!("Authorization: Bearer {}", jwt(bytes));
    stand.seen();
    let answer = asked(&stand.gateway, &[stand.key("reader"), line.clone()]);
    let seen = stand.seen();
    if seen.is_empty() {
        return shown(&answer);
    }
    let reached = seen.iter().any(|one| {
        let values = one.values("authorization");
        values.len() == 1 && line.ends_with(values[0])
    });
    if reached {
        "reaches the service"
    } else {
        "stays at the gateway"
    }
    .to_owned()
}

fn empty(stand: &Stand<'_>) -> String {
    asked(&stand.gateway, &[stand.key("bare")]);
    let seen = stand.seen();
    assert_eq!(seen.len(), 1);
    match seen[0].values("x-keystile-owner")[..] {
        [] => "left out".to_owned(),
        [""] => "empty".to_owned(),
        ref other => panic!("{other:?}"),
    }
}

fn slashes(stand: &Stand<'_>) -> String {
    let key = stand.key("reader");
    let answer = ask(stand.gateway.address, "GET /a//b", &[&key]);
    let seen = stand.seen();
    match seen.first() {
        None => {
            assert_eq!(answer.status, 403, "{answer:?}");
            "refused".to_owned()
        }
        Some(one) => {
            assert_eq!(one.target, "/a/b?");
            "cleaned, then judged".to_owned()
        }
    }
}

fn address(stand: &Stand<'_>) -> String {
    asked(
        &stand.gateway,
        &[stand.key("reader"), "X-Forwarded-For: 192.0.2.1".to_owned()],
    );
    let seen = stand.seen();
    match seen[0].values("x-forwarded-for")[..] {
        ["127.0.0.1"] => "the client's".to_owned(),
        [other] if !other.contains("192.0.2.1") => {
            "the client's; of loopback, the machine's".to_owned()
        }
        ref other => panic!("{other:?}"),
    }
}
