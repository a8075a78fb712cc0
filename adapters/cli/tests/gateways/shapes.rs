//! The shapes of requests in `shapes.json` and `claims.txt`, and what is sent for each.
//!
//! A shape is sent with the key named `key` in `X-API-Key`, unless it is `bare` or the key is
//! `none`. In the texts each character is a byte. `{reader}` and the like are keys, `{jwt}` a
//! token of another kind, `{jwt:90}` one of 90 bytes, `{long:9}` is 9 letters and `{headers:9}`
//! 9 header lines. With
//! `tunnel`, another request follows as HTTP/2 on the same connection, whatever the answer
//! was; with `at_once`, it follows before any answer; with `pipelined`, another one follows in
//! the same bytes.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::json;

/// One request that a client sends.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shape {
    pub(crate) name: String,
    pub(crate) request: String,
    #[serde(default)]
    headers: Vec<String>,
    #[serde(default = "reader")]
    pub(crate) key: String,
    /// The key's header is not added.
    #[serde(default)]
    bare: bool,
    #[serde(default)]
    pub(crate) body: String,
    /// The body has its own framing, and no length is added.
    #[serde(default)]
    pub(crate) raw_body: bool,
    #[serde(default)]
    no_length: bool,
    #[serde(default)]
    no_host: bool,
    #[serde(default = "version")]
    version: String,
    #[serde(default)]
    pub(crate) h2: bool,
    #[serde(default)]
    pub(crate) tunnel: bool,
    /// The bytes of a tunnel follow in the same write.
    #[serde(default)]
    pub(crate) at_once: bool,
    #[serde(default)]
    pub(crate) pipelined: Option<String>,
    #[serde(default)]
    pub(crate) expect: Option<Expected>,
    /// The gateways that refuse it by themselves, or because of what they made of it.
    #[serde(default)]
    refused_by: Vec<String>,
    /// A header line that the service must get.
    #[serde(default)]
    pub(crate) keeps: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Expected {
    /// It must reach the service.
    Pass,
    /// It must not.
    Refuse,
}

fn reader() -> String {
    "reader".to_owned()
}

fn version() -> String {
    "1.1".to_owned()
}

/// All shapes: those of the file, and one for each name in `claims.txt`. Some program reads who
/// the client is, or another method or path, from each of these headers. The list is kept apart
/// from the examples, so that it shows what they lack.
pub(crate) fn shapes() -> Vec<Shape> {
    let mut shapes: Vec<Shape> =
        serde_json::from_str(include_str!("shapes.json")).expect("shapes.json");
    shapes.extend(include_str!("claims.txt").lines().map(|name| {
        let claim = json!({
            "name": format!("claim {name}"),
            "request": "GET /things",
            "headers": [format!("{name}: forged, 203.0.113.66")],
            "expect": "pass",
        });
        serde_json::from_value(claim).expect("a shape")
    }));
    shapes.extend(crate::tokens::shapes());
    shapes.extend(crate::spellings::shapes());
    shapes
}

/// The texts of the keys and other words, by their names in braces.
pub(crate) type Words = HashMap<String, String>;

impl Shape {
    /// The method and the target of the request.
    pub(crate) fn line(&self) -> (&str, &str) {
        self.request.split_once(' ').unwrap_or((&self.request, ""))
    }

    /// What must come of it through the gateway of this name.
    pub(crate) fn expect_of(&self, gateway: &str) -> Option<Expected> {
        let is_refused = self.refused_by.iter().any(|name| name == gateway);
        is_refused.then_some(Expected::Refuse).or(self.expect)
    }

    /// The header lines after the version, the names as they are sent. `id` marks the request.
    pub(crate) fn lines(&self, words: &Words, id: &str) -> Vec<String> {
        let mut lines = Vec::new();
        if !self.no_host && !self.h2 {
            lines.push("Host: a.example".to_owned());
        }
        lines.push(format!("x-shape: {id}"));
        if !self.bare && self.key != "none" {
            let name = if self.h2 { "x-api-key" } else { "X-API-Key" };
            lines.push(format!("{name}: {}", words[&self.key]));
        }
        lines.extend(self.headers.iter().map(|line| spelled(line, words)));
        if !self.h2 && !self.body.is_empty() && !self.raw_body && !self.no_length {
            lines.push(format!("Content-Length: {}", self.body.len()));
        }
        lines
    }

    /// The request in HTTP/1.1.
    pub(crate) fn bytes(&self, words: &Words, id: &str) -> Vec<u8> {
        let request = spelled(&self.request, words);
        if self.version.is_empty() {
            return latin1(&format!("{request}\r\n\r\n"));
        }
        let lines = self.lines(words, id).join("\r\n");
        let (version, body) = (&self.version, spelled(&self.body, words));
        let mut bytes = latin1(&format!(
            "{request} HTTP/{version}\r\n{lines}\r\n\r\n{body}"
        ));
        if let Some(second) = &self.pipelined {
            bytes.extend(latin1(&format!(
                "{second} HTTP/1.1\r\nHost: a.example\r\nx-shape: {id}\r\nX-API-Key: {}\r\n\
                 Connection: close\r\n\r\n",
                words["reader"]
            )));
        }
        bytes
    }
}

/// A text with all words in braces replaced.
pub(crate) fn spelled(text: &str, words: &Words) -> String {
    let mut whole = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').expect("a closing brace");
        whole.push_str(before);
        if let Some(count) = name.strip_prefix("jwt:") {
            whole.push_str(&crate::tokens::jwt(count.parse().unwrap()));
        } else if let Some(count) = name.strip_prefix("long:") {
            whole.push_str(&"a".repeat(count.parse().unwrap()));
        } else if let Some(count) = name.strip_prefix("headers:") {
            let lines: Vec<_> = (0..count.parse::<u32>().unwrap())
                .map(|number| format!("X-{number}: a"))
                .collect();
            whole.push_str(&lines.join("\r\n"));
        } else {
            whole.push_str(&words[name]);
        }
        rest = after;
    }
    whole + rest
}

/// A text as bytes, of which each is a character up to U+00FF.
pub(crate) fn latin1(text: &str) -> Vec<u8> {
    text.chars()
        .map(|c| u8::try_from(u32::from(c)).expect("at most U+00FF"))
        .collect()
}
