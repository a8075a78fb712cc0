//! The one view of a request path: what is matched is what was sent.

/// Longest request path in bytes.
pub const PATH_BYTES_MAX: usize = 2_048;

/// Whether a request path can be matched at all.
///
/// Nothing is decoded, folded or rewritten, so that no router behind can read another
/// path out of the same bytes. Canonical is: it starts with `/`; at most 2,048 bytes; no
/// `.` or `..` segment and no empty one but a last; bytes that RFC 3986 allows in a path,
/// without `;`; and `%XX` only with two hex digits, and only where it stands for a byte
/// that is not unreserved (so `%41` is refused), not a control, and none of `/ \ % ; ? #`.
/// The path comes without its query.
///
/// ```
/// use keystile::is_canonical_path;
/// assert!(is_canonical_path(b"/api/data/caf%C3%A9"));
/// for refused in ["/api/../admin", "/api//x", "/api/%2e%2e/x", "/a%2Fb", "api", "/a;v=1"] {
///     assert!(!is_canonical_path(refused.as_bytes()), "{refused}");
/// }
/// ```
#[must_use]
pub fn is_canonical_path(path: &[u8]) -> bool {
    if path.first() != Some(&b'/') || path.len() > PATH_BYTES_MAX {
        return false;
    }
    // One pass without a branch on any byte settles most paths.
    let (mut seen, mut before, mut empty_segment) = (0, 0, 0);
    for &byte in path {
        let class = CLASS.get(usize::from(byte)).copied().unwrap_or(REFUSED);
        empty_segment |= class & before & SLASH;
        seen |= class;
        before = class;
    }
    if seen & REFUSED != 0 || empty_segment != 0 {
        return false;
    }
    (seen & DOT == 0 || !has_dot_segment(path)) && (seen & PERCENT == 0 || has_data_escapes(path))
}

fn has_dot_segment(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'/')
        .any(|segment| matches!(segment, b"." | b".."))
}

/// Whether what follows each `%` makes it an escape that is data to every reader.
fn has_data_escapes(path: &[u8]) -> bool {
    let mut behind = path.split(|byte| *byte == b'%').skip(1);
    behind.all(|text| matches!(text, &[high, low, ..] if escape_is_data(high, low)))
}

/// Whether `%` with these two digits is data to every reader.
const fn escape_is_data(high: u8, low: u8) -> bool {
    let (Some(high), Some(low)) = ((high as char).to_digit(16), (low as char).to_digit(16)) else {
        return false;
    };
    match high << 4 | low {
        // Controls, and what some reader takes for a separator.
        0..=0x1F | 0x7F | 0x2F | 0x5C | 0x25 | 0x3B | 0x3F | 0x23 => false,
        // Unreserved: written plainly, or not at all.
        0x2D | 0x2E | 0x5F | 0x7E | 0x30..=0x39 | 0x41..=0x5A | 0x61..=0x7A => false,
        _ => true,
    }
}

/// Classes of bytes; a byte of none is plain.
const SLASH: u8 = 1;
const DOT: u8 = 2;
const PERCENT: u8 = 4;
const REFUSED: u8 = 8;

/// RFC 3986, section 3.3: pchar = unreserved / pct-encoded / sub-delims / ":" / "@".
#[expect(
    clippy::indexing_slicing,
    reason = "worked out by the compiler: a bad index fails the build"
)]
const CLASS: [u8; 256] = {
    let mut table = [REFUSED; 256];
    let mut plain: &[u8] = b"-_~!$&'()*+,=:@0123456789\
        ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    while let [byte, rest @ ..] = plain {
        table[*byte as usize] = 0;
        plain = rest;
    }
    table[b'.' as usize] = DOT;
    table[b'/' as usize] = SLASH;
    table[b'%' as usize] = PERCENT;
    table
};
