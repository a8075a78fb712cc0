//! Which paths are canonical, written literally from the rule and without regard to
//! speed.

/// Splits into segments, and each segment into bytes and escapes.
pub(crate) fn is_canonical(path: &[u8]) -> bool {
    is_text(path) && is_canonical_in_bytes(path)
}

/// Whether a service for which an encoded slash is data accepts a path: if it is the path of a
/// router that splits there, it has the same segments as a canonical path.
pub(crate) fn is_canonical_with_slash(path: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(path) else {
        return false;
    };
    let segments: Vec<String> = text
        .split('/')
        .map(|segment| segment.replace("%2f", "%2F"))
        .collect();
    let has_edge = |segment: &str| segment.starts_with("%2F") || segment.ends_with("%2F");
    let split = segments.join("/").replace("%2F", "/");
    path.len() <= 2_048
        && !segments.iter().any(|segment| has_edge(segment))
        && is_canonical(split.as_bytes())
}

/// Whether the bytes of all escapes, decoded in place, are UTF-8.
fn is_text(path: &[u8]) -> bool {
    let text = String::from_utf8_lossy(path).replace('%', " %");
    let mut decoded = Vec::new();
    for part in text.split(' ') {
        match part.strip_prefix('%').map(|part| part.split_at_checked(2)) {
            Some(Some((digits, rest))) if u8::from_str_radix(digits, 16).is_ok() => {
                decoded.push(u8::from_str_radix(digits, 16).unwrap());
                decoded.extend_from_slice(rest.as_bytes());
            }
            _ => decoded.extend_from_slice(part.as_bytes()),
        }
    }
    String::from_utf8(decoded).is_ok()
}

fn is_canonical_in_bytes(path: &[u8]) -> bool {
    if path.first() != Some(&b'/') || path.len() > 2_048 {
        return false;
    }
    let mut segments = path.split(|b| *b == b'/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        let legal = if segment.is_empty() {
            last
        } else {
            segment != b"." && segment != b".." && is_data(segment)
        };
        if !legal {
            return false;
        }
    }
    true
}

fn is_data(mut segment: &[u8]) -> bool {
    while let Some(&first) = segment.first() {
        let width = if first == b'%' {
            if !is_plain_escape(segment) {
                return false;
            }
            3
        } else if is_unreserved(first) || b"!$&'()*+,=:@".contains(&first) {
            1
        } else {
            return false;
        };
        segment = &segment[width..];
    }
    true
}

/// An escape of a byte that must be escaped, and that no parser reads as more than data.
fn is_plain_escape(text: &[u8]) -> bool {
    let Some(digits) = text.get(1..3) else {
        return false;
    };
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return false;
    }
    let digits = String::from_utf8(digits.to_vec()).unwrap();
    let byte = u8::from_str_radix(&digits, 16).unwrap();
    !is_unreserved(byte) && !byte.is_ascii_control() && !b"/\\%;?#".contains(&byte)
}

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}
