//! Sends requests byte by byte as they stand in `shapes.json`, and holds the answers
//! against what is expected there. Any server that guards some routes can be driven.
//!
//! A shape is what is sent over one connection. In it, each character is a byte (up to
//! U+00FF); `{route}` is a path that a good key gets a 200 for, `{long:9}` is 9 letters,
//! `{headers:9}` 9 header lines, and any other name in braces a key that the server knows by
//! that name: `{KEY}` in upper case, `{key-1}` and `{-1key}` without its last and first
//! character. An expectation is `status`, `status/status` where the policies differ, and a
//! code; `|` is "or", and `closed` no answer at all.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test's fixture"
)]

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{Read, Write};
use std::net::TcpStream;

use serde::Deserialize;

const SHAPES: &str = include_str!("shapes.json");

/// Longest wait for an answer; only a server that hangs gets there.
const PATIENCE: Duration = Duration::from_secs(20);

/// Which of two statuses is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    Rfc9110,
    Express,
}

/// What is sent over one connection, and what for.
#[derive(Debug, Deserialize)]
pub(crate) struct Shape {
    pub(crate) name: String,
    pub(crate) send: String,
    pub(crate) expect: Vec<String>,
}

/// An answer as it came.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// All shapes.
pub(crate) fn shapes() -> Vec<Shape> {
    serde_json::from_str(SHAPES).expect("shapes.json")
}

/// Sends a shape and judges the answers; nothing where it needs a key that there is none
/// of. `word` gives the text of a name in braces.
pub(crate) fn drive(
    shape: &Shape,
    server: SocketAddr,
    policy: Policy,
    word: &dyn Fn(&str) -> Option<String>,
) -> Option<Result<(), String>> {
    let bytes = spelled(&shape.send, word)?;
    let is_head = bytes.starts_with(b"HEAD ");
    let mut connection = Connection::open(server, &bytes, is_head);
    for expected in &shape.expect {
        let answer = connection.next();
        if let Err(problem) = fits(expected, answer.as_ref(), policy) {
            return Some(Err(format!("{}: {problem}", shape.name)));
        }
    }
    // Nothing is left over: a request behind it gets its own answer, or none.
    let last =
        "GET {route} HTTP/1.1\r\nHost: a.example\r\nX-API-Key: {key}\r\nConnection: close\r\n\r\n";
    connection.send(&spelled(last, word)?);
    let rest: Vec<_> = core::iter::from_fn(|| connection.next()).collect();
    let statuses: Vec<_> = rest.iter().map(|answer| answer.status).collect();
    let unread = matches!(statuses[..], [] | [200 | 400]);
    Some(match unread {
        true => Ok(()),
        false => Err(format!("{}: left over: {rest:?}", shape.name)),
    })
}

/// The one answer to some bytes.
pub(crate) fn answer(server: SocketAddr, bytes: &[u8]) -> Option<Answer> {
    Connection::open(server, bytes, bytes.starts_with(b"HEAD ")).next()
}

/// A shape's text as bytes, with all names in braces replaced.
fn spelled(text: &str, word: &dyn Fn(&str) -> Option<String>) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').expect("a closing brace");
        bytes.extend(latin1(before));
        bytes.extend(latin1(&replaced(name, word)?));
        rest = after;
    }
    bytes.extend(latin1(rest));
    Some(bytes)
}

fn latin1(text: &str) -> impl Iterator<Item = u8> {
    text.chars()
        .map(|c| u8::try_from(u32::from(c)).expect("at most U+00FF"))
}

fn replaced(name: &str, word: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    if let Some(count) = name.strip_prefix("long:") {
        return Some("a".repeat(count.parse().unwrap()));
    }
    if let Some(count) = name.strip_prefix("headers:") {
        let count = 0..count.parse::<u32>().unwrap();
        return Some(count.map(|number| format!("X-{number}: a\r\n")).collect());
    }
    if let Some(name) = name.strip_suffix("-1") {
        let mut key = word(name)?;
        key.pop();
        return Some(key);
    }
    if let Some(name) = name.strip_prefix("-1") {
        return Some(word(name)?[1..].to_owned());
    }
    if name == "KEY" {
        return Some(word("key")?.to_uppercase());
    }
    word(name)
}

fn fits(expected: &str, answer: Option<&Answer>, policy: Policy) -> Result<(), String> {
    let mut problems = Vec::new();
    for choice in expected.split('|') {
        match fits_one(choice, answer, policy) {
            Ok(()) => return Ok(()),
            Err(problem) => problems.push(problem),
        }
    }
    Err(problems.join("; "))
}

fn fits_one(expected: &str, answer: Option<&Answer>, policy: Policy) -> Result<(), String> {
    let answer = match (expected, answer) {
        ("closed", None) => return Ok(()),
        ("closed", Some(answer)) => return Err(format!("an answer: {answer:?}")),
        (_, None) => return Err(format!("expected {expected}, and got no answer")),
        (_, Some(answer)) => answer,
    };
    let (status, code) = expected.split_once(' ').unwrap_or((expected, ""));
    let (rfc9110, express) = status.split_once('/').unwrap_or((status, status));
    let status = match policy {
        Policy::Rfc9110 => rfc9110,
        Policy::Express => express,
    };
    if answer.status.to_string() != status {
        return Err(format!("expected {status} {code}, and got {answer:?}"));
    }
    let has = |name: &str| answer.head.contains(&format!("\r\n{name}: "));
    if answer.status == 401 && !has("www-authenticate") {
        return Err(format!("a 401 without a challenge: {answer:?}"));
    }
    if code == "rate_limited" && !(has("retry-after") && has("ratelimit-limit")) {
        return Err(format!("a limit that does not say so: {answer:?}"));
    }
    if code.is_empty() {
        return Ok(());
    }
    let body: serde_json::Value =
        serde_json::from_str(&answer.body).map_err(|_| format!("no JSON: {answer:?}"))?;
    let texts = ["error", "message"]
        .iter()
        .all(|name| body[name].is_string());
    if body["code"] != code || !texts || !has("cache-control") {
        return Err(format!("expected {code}, and got {answer:?}"));
    }
    Ok(())
}

/// A connection that is written to and read from at once.
struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    is_head: bool,
}

impl Connection {
    fn open(server: SocketAddr, bytes: &[u8], is_head: bool) -> Self {
        let stream = TcpStream::connect(server).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let mut connection = Self {
            stream,
            buffer: Vec::new(),
            is_head,
        };
        connection.send(bytes);
        connection
    }

    /// Sends what the server is still willing to take.
    fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    fn next(&mut self) -> Option<Answer> {
        let end = loop {
            match find(&self.buffer, b"\r\n\r\n") {
                Some(at) => break at + 4,
                None => self.read()?,
            }
        };
        let head = String::from_utf8(self.buffer[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            let is_length = name.eq_ignore_ascii_case("content-length");
            is_length.then(|| value.parse::<usize>().unwrap())
        });
        let length = if self.is_head { 0 } else { length.unwrap_or(0) };
        self.is_head = false;
        while self.buffer.len() < end + length {
            self.read()?;
        }
        let rest = self.buffer.split_off(end + length);
        let body = String::from_utf8(self.buffer[end..].to_vec()).unwrap();
        self.buffer = rest;
        Some(Answer { status, head, body })
    }

    fn read(&mut self) -> Option<()> {
        let mut bytes = [0; 16_384];
        match self.stream.read(&mut bytes) {
            Ok(0) => None,
            Ok(count) => {
                self.buffer.extend(&bytes[..count]);
                Some(())
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => None,
            Err(error) => panic!("a server that hangs: {error}"),
        }
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}
