//! How routers and backends read a path; each way was a flaw in one of them.

/// The path that a router dispatches.
pub(crate) type Router = fn(&str) -> String;

pub(crate) const ROUTERS: [(&str, Router); 7] = [
    ("merges slashes", merged),
    ("resolves dots", resolved),
    ("decodes dots and letters, then resolves", |path| {
        resolved(&unescaped(path, is_plain))
    }),
    ("decodes all, then resolves", |path| {
        resolved(&unescaped(path, |_| true))
    }),
    ("decodes twice, then resolves", |path| {
        resolved(&unescaped(&unescaped(path, |_| true), |_| true))
    }),
    ("drops matrix parameters", |path| {
        resolved(&without_parameters(path))
    }),
    ("takes a backslash for a slash", |path| {
        resolved(&unescaped(path, |b| b == b'\\').replace('\\', "/"))
    }),
];

/// The bytes with each escape decoded once.
pub(crate) fn decoded_once(path: &[u8]) -> Vec<u8> {
    decoded(path, |_| true)
}

/// The bytes with the escapes of some bytes decoded.
fn decoded(path: &[u8], which: fn(u8) -> bool) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut at = 0;
    while let Some(&byte) = path.get(at) {
        let escaped = path
            .get(at + 1..at + 3)
            .filter(|_| byte == b'%')
            .and_then(|digits| core::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            .filter(|byte| which(*byte));
        decoded.push(escaped.unwrap_or(byte));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    decoded
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

fn unescaped(path: &str, which: fn(u8) -> bool) -> String {
    String::from_utf8_lossy(&decoded(path.as_bytes(), which)).into_owned()
}

fn merged(path: &str) -> String {
    let mut text = path.to_string();
    while text.contains("//") {
        text = text.replace("//", "/");
    }
    text
}

/// RFC 3986, section 5.2.4, with empty segments dropped.
fn resolved(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    let mut end = "";
    while let Some(segment) = segments.next() {
        match segment {
            ".." => drop(kept.pop()),
            "" | "." => {}
            other => kept.push(other),
        }
        let dots = matches!(segment, "" | "." | "..");
        if segments.peek().is_none() && dots && !kept.is_empty() {
            end = "/";
        }
    }
    format!("/{}{end}", kept.join("/"))
}

fn without_parameters(path: &str) -> String {
    let bare = |segment: &str| segment.split(';').next().unwrap_or_default().to_string();
    path.split('/').map(bare).collect::<Vec<_>>().join("/")
}
