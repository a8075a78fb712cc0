//! Which paths are canonical, written literally from the rule and without regard to
//! speed.

/// Splits into segments, and each segment into bytes and escapes.
pub(crate) fn is_canonical(path: &[u8]) -> bool {
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
