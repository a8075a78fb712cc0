//! Rules that several targets need, written as slowly and plainly as possible.

use keystile::KeyFormat;

const BASE62: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Which keys a format accepts.
#[derive(Clone, Copy)]
pub enum Kind {
    Structured(&'static str),
    AnyStructured,
    Opaque(&'static str, usize),
    AnyOpaque,
}

/// A format of each kind, and some with similar prefixes.
pub fn formats() -> [(KeyFormat, Kind); 6] {
    let structured = |prefix| KeyFormat::structured(prefix).unwrap();
    let opaque = |prefix| KeyFormat::opaque(prefix).unwrap();
    [
        (structured("acme"), Kind::Structured("acme")),
        (structured("acme_eu"), Kind::Structured("acme_eu")),
        (KeyFormat::any_structured(), Kind::AnyStructured),
        (opaque("dt"), Kind::Opaque("dt", 64)),
        (
            opaque("acme").with_random_bytes(16).unwrap(),
            Kind::Opaque("acme", 32),
        ),
        (KeyFormat::any_opaque(), Kind::AnyOpaque),
    ]
}

impl Kind {
    pub const fn is_structured(self) -> bool {
        matches!(self, Self::Structured(_) | Self::AnyStructured)
    }

    /// Whether a text has the shape of a key of this kind, apart from its check.
    pub fn has_shape(self, text: &[u8]) -> bool {
        let Ok(text) = core::str::from_utf8(text) else {
            return false;
        };
        if text.len() > 256 || !text.is_ascii() {
            return false;
        }
        if !self.is_structured() {
            let Some((prefix, digits)) = text.rsplit_once('_') else {
                return false;
            };
            let hex = digits.chars().all(|c| "0123456789abcdef".contains(c));
            return hex
                && match self {
                    Self::Opaque(own, count) => prefix == own && digits.len() == count,
                    _ => {
                        is_prefix(prefix)
                            && digits.len() % 2 == 0
                            && (32..=128).contains(&digits.len())
                    }
                };
        }
        let parts: Vec<&str> = text.split('_').collect();
        let [head @ .., id, tail] = &parts[..] else {
            return false;
        };
        let head = head.join("_");
        let of_alphabet = |text: &str| text.bytes().all(|b| BASE62.contains(&b));
        let body = id.len() == 16 && id.starts_with('1') && tail.len() == 49;
        body && of_alphabet(id)
            && of_alphabet(tail)
            && match self {
                Self::Structured(own) => {
                    head == own
                        || head
                            .strip_prefix(own)
                            .and_then(|rest| rest.strip_prefix('_'))
                            .is_some_and(is_environment)
                }
                _ => is_any_head(&head),
            }
    }
}

/// Any valid prefix, with or without a valid environment after it.
fn is_any_head(text: &str) -> bool {
    let parts = text.rsplit_once('_');
    is_prefix(text) || parts.is_some_and(|(prefix, last)| is_prefix(prefix) && is_environment(last))
}

fn is_prefix(text: &str) -> bool {
    (1..=16).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && !text.ends_with('_')
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

fn is_environment(text: &str) -> bool {
    (1..=12).contains(&text.len())
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
}

/// The check of a text: CRC-32 bit by bit, in six digits.
pub fn check(text: &[u8]) -> [u8; 6] {
    let mut crc = u32::MAX;
    for &byte in text {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 {
                crc >> 1 ^ 0xEDB8_8320
            } else {
                crc >> 1
            };
        }
    }
    let mut rest = !crc;
    let mut digits = [0; 6];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62[rest as usize % 62];
        rest /= 62;
    }
    digits
}

/// Whether a structured key's text ends in the check of the text before it.
pub fn has_check(text: &[u8]) -> bool {
    text.split_last_chunk()
        .is_some_and(|(covered, digits)| check(covered) == *digits)
}

/// Whether a path can be matched, as the rule is worded.
pub fn is_canonical(path: &str) -> bool {
    let Some(segments) = path.strip_prefix('/') else {
        return false;
    };
    let segments: Vec<&str> = segments.split('/').collect();
    path.len() <= 2_048
        && segments.iter().enumerate().all(|(at, segment)| {
            !matches!(*segment, "." | "..")
                && (!segment.is_empty() || at == segments.len() - 1)
                && has_legal_characters(segment)
        })
}

fn has_legal_characters(segment: &str) -> bool {
    let unreserved = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    let mut bytes = segment.bytes();
    let mut meant = Vec::new();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let mut digit = || char::from(bytes.next()?).to_digit(16);
            let (Some(high), Some(low)) = (digit(), digit()) else {
                return false;
            };
            let decoded = (high * 16 + low) as u8;
            if unreserved(decoded) || decoded.is_ascii_control() || b"/\\%;?#".contains(&decoded) {
                return false;
            }
            meant.push(decoded);
        } else if unreserved(byte) || b"!$&'()*+,=:@".contains(&byte) {
            meant.push(byte);
        } else {
            return false;
        }
    }
    String::from_utf8(meant).is_ok()
}
