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
    let Some((b'/', mut rest)) = path.split_first() else {
        return false;
    };
    if path.len() > PATH_BYTES_MAX {
        return false;
    }
    // The dots that the current segment consists of, or more than two for any other.
    let mut dots = 0u8;
    let mut length = 0usize;
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        match CLASS.get(usize::from(byte)) {
            Some(Class::Plain) => dots = OTHER,
            Some(Class::Dot) => dots = dots.saturating_add(1),
            Some(Class::Slash) => {
                if length == 0 || is_dot_segment(dots, length) {
                    return false;
                }
                (dots, length) = (0, 0);
                continue;
            }
            Some(Class::Percent) => {
                let Some((&[high, low], behind)) = rest.split_first_chunk() else {
                    return false;
                };
                if !escape_is_data(high, low) {
                    return false;
                }
                rest = behind;
                dots = OTHER;
            }
            _ => return false,
        }
        length = length.saturating_add(1);
    }
    !is_dot_segment(dots, length)
}

const OTHER: u8 = 3;

const fn is_dot_segment(dots: u8, length: usize) -> bool {
    dots != 0 && dots < OTHER && dots as usize == length
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

#[derive(Clone, Copy)]
enum Class {
    Refused,
    Plain,
    Dot,
    Slash,
    Percent,
}

/// RFC 3986, section 3.3: pchar = unreserved / pct-encoded / sub-delims / ":" / "@".
#[expect(
    clippy::indexing_slicing,
    reason = "worked out by the compiler: a bad index fails the build"
)]
const CLASS: [Class; 256] = {
    let mut table = [Class::Refused; 256];
    let mut plain: &[u8] = b"-_~!$&'()*+,=:@0123456789\
        ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    while let [byte, rest @ ..] = plain {
        table[*byte as usize] = Class::Plain;
        plain = rest;
    }
    table[b'.' as usize] = Class::Dot;
    table[b'/' as usize] = Class::Slash;
    table[b'%' as usize] = Class::Percent;
    table
};
