//! Canonical request paths: the path that is matched is the path that was sent.

/// Longest request path in bytes.
pub const PATH_BYTES_MAX: usize = 2_048;

/// Which request paths a service accepts. It is chosen by the service or by the configuration of
/// its gateway, never by a key or a client.
///
/// ```
/// use keystile::PathProfile;
/// let npm = "/@scope%2Fpackage".as_bytes();
/// assert!(!PathProfile::Strict.accepts(npm));
/// assert!(PathProfile::EncodedSlashIsData.accepts(npm));
/// for refused in ["/a%2F..%2Fb", "/a%2F%2Fb", "/a%2F", "/a%252Fb", "/a%5Cb"] {
///     assert!(!PathProfile::EncodedSlashIsData.accepts(refused.as_bytes()), "{refused}");
/// }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PathProfile {
    /// Only [canonical](is_canonical_path) paths.
    #[default]
    Strict,
    /// `%2F` too, as data inside a segment and never as a separator, for services whose names
    /// contain slashes, such as npm's scoped packages and GitLab's projects. A router after the
    /// check must not decode it before it splits the path.
    ///
    /// In case one does, no piece between such slashes may be empty, `.` or `..`.
    EncodedSlashIsData,
}

impl PathProfile {
    /// Whether a service with this profile accepts a path. Pass it without its query.
    #[must_use]
    #[inline]
    pub fn accepts(self, path: &[u8]) -> bool {
        if path.first() != Some(&b'/') || path.len() > PATH_BYTES_MAX {
            return false;
        }
        is_plain(path) || is_canonical_by_class(path, self)
    }
}

/// Whether a request path is canonical. Only canonical paths can match a rule, unless a service
/// has another [`PathProfile`].
///
/// A path is never decoded, folded or rewritten, so that no router after the check can
/// read the same bytes as another path. A path is canonical if it meets all of these:
///
/// - It starts with `/` and has at most 2,048 bytes.
/// - It has no `.` or `..` segment, and no empty segment except the last.
/// - All its bytes are allowed in a path by RFC 3986, and none is `;`.
/// - Each `%` is followed by two hex digits, and they encode a byte that is not
///   unreserved (so `%41` is refused), not a control character, and none of
///   `/ \ % ; ? #`. Bytes after 0x7F are well-formed UTF-8 (RFC 3629), so `%C0%AF` is refused.
///
/// Pass the path without its query.
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
    PathProfile::Strict.accepts(path)
}

/// Whether everything after the first slash is letters, digits, `-`, `_`, `:`, and
/// slashes and dots, no two of which are adjacent.
///
/// Most paths are that simple, and 16 of their bytes can be tested at a time. For a
/// shorter path the test is not worth it, and the answer is false.
fn is_plain(path: &[u8]) -> bool {
    const BYTES: usize = 16;
    let are_plain = |bytes: &[u8; BYTES], before: &[u8; BYTES]| {
        // `.` and `/` differ in their last bit.
        let parts = |byte: u8| byte | 1 == b'/';
        let pairs = bytes.iter().zip(before);
        pairs.fold(true, |all, (&byte, &before)| {
            let letter = byte.is_ascii_alphabetic() | (byte == b'_');
            let plain = letter | (b'-'..=b':').contains(&byte);
            all & plain & !(parts(byte) & parts(before))
        })
    };
    let (Some((_, bytes)), Some((_, before))) = (path.split_first(), path.split_last()) else {
        return false;
    };
    let (Some(last), Some(before_last)) = (bytes.last_chunk(), before.last_chunk()) else {
        return false;
    };
    let mut chunks = bytes.as_chunks().0.iter().zip(before.as_chunks().0);
    // The last chunk overlaps the one before it.
    are_plain(last, before_last) && chunks.all(|(bytes, before)| are_plain(bytes, before))
}

fn is_canonical_by_class(path: &[u8], profile: PathProfile) -> bool {
    // One pass, without a branch on any byte.
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
    (seen & DOT == 0 || !has_dot_segment(path))
        && (seen & PERCENT == 0 || has_data_escapes(path, profile))
}

fn has_dot_segment(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'/')
        .any(|segment| matches!(segment, b"." | b".."))
}

/// Whether each `%` begins an escape that every parser reads as data.
// Not inlined: most paths have no escape.
#[inline(never)]
fn has_data_escapes(path: &[u8], profile: PathProfile) -> bool {
    let slash_is_data = profile == PathProfile::EncodedSlashIsData;
    let (mut rest, mut character) = (path, Utf8::default());
    // Where a piece between slashes begins, encoded ones included.
    let mut piece = path;
    let mut has_encoded_slash = false;
    while let [first, after @ ..] = rest {
        if *first == b'/' {
            if has_encoded_slash && !is_piece(piece, rest) {
                return false;
            }
            (piece, has_encoded_slash) = (after, false);
        }
        if *first != b'%' {
            if !character.is_whole() {
                return false;
            }
            rest = after;
            continue;
        }
        let [high, low, after @ ..] = after else {
            return false;
        };
        let Some(byte) = decoded(*high, *low) else {
            return false;
        };
        if slash_is_data && byte == b'/' {
            if !is_piece(piece, rest) {
                return false;
            }
            (piece, has_encoded_slash) = (after, true);
        } else if !is_data(byte) {
            return false;
        }
        if !character.takes(byte) {
            return false;
        }
        rest = after;
    }
    character.is_whole() && (!has_encoded_slash || is_piece(piece, rest))
}

/// Whether what is from the start of `piece` up to `rest` may be a segment, should a router decode
/// the slash beside it.
fn is_piece(piece: &[u8], rest: &[u8]) -> bool {
    let length = piece.len().saturating_sub(rest.len());
    let text = piece.get(..length).unwrap_or_default();
    !matches!(text, b"" | b"." | b"..")
}

/// The byte of two hex digits.
const fn decoded(high: u8, low: u8) -> Option<u8> {
    match ((high as char).to_digit(16), (low as char).to_digit(16)) {
        (Some(high), Some(low)) => Some((high << 4 | low).to_le_bytes()[0]),
        _ => None,
    }
}

/// Whether an escape of this byte is data to every parser.
const fn is_data(byte: u8) -> bool {
    match byte {
        // Control characters, and what some parsers treat as a separator.
        0..=0x1F | 0x7F | 0x2F | 0x5C | 0x25 | 0x3B | 0x3F | 0x23 => false,
        // Unreserved characters must not be escaped.
        0x2D | 0x2E | 0x5F | 0x7E | 0x30..=0x39 | 0x41..=0x5A | 0x61..=0x7A => false,
        _ => true,
    }
}

/// The bytes of one character, as far as they have been read.
#[derive(Default)]
struct Utf8 {
    bytes: [u8; 4],
    length: usize,
}

impl Utf8 {
    /// Whether a character may end here.
    const fn is_whole(&self) -> bool {
        self.length == 0
    }

    /// Takes the next byte, unless no character has it here.
    fn takes(&mut self, byte: u8) -> bool {
        let Some(slot) = self.bytes.get_mut(self.length) else {
            return false;
        };
        *slot = byte;
        let length = self.length.saturating_add(1);
        let read = self.bytes.get(..length).unwrap_or_default();
        self.length = match core::str::from_utf8(read) {
            Ok(_) => 0,
            Err(error) if error.error_len().is_none() => length,
            Err(_) => return false,
        };
        true
    }
}

/// Byte classes; a byte of no class is plain.
const SLASH: u8 = 1;
const DOT: u8 = 2;
const PERCENT: u8 = 4;
const REFUSED: u8 = 8;

/// RFC 3986, section 3.3: pchar = unreserved / pct-encoded / sub-delims / ":" / "@".
#[expect(
    clippy::indexing_slicing,
    reason = "evaluated at compile time: a bad index fails the build"
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

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    /// `middle` in a path of plain letters, `at` bytes after its first slash.
    fn path(middle: &[u8], at: usize, length: usize) -> Vec<u8> {
        let mut path = Vec::from(b"/");
        path.resize(at.saturating_add(1), b'a');
        path.extend_from_slice(middle);
        path.resize(length.saturating_add(1), b'a');
        path
    }

    #[test]
    fn testing_many_bytes_at_once_agrees_with_one_at_a_time() {
        let alphabet = b"/.a%;2F";
        let (mut plain, mut canonical) = (0, 0);
        for number in 0..alphabet.len().pow(5) {
            let middle: Vec<u8> = (0..5)
                .map(|position| alphabet[number / alphabet.len().pow(position) % alphabet.len()])
                .collect();
            for (at, length) in [(0, 16), (0, 17), (12, 17), (12, 33), (14, 37), (30, 35)] {
                let path = path(&middle, at, length);
                let by_class = is_canonical_by_class(&path, PathProfile::Strict);
                assert_eq!(is_canonical_path(&path), by_class, "{path:?}");
                plain += u32::from(is_plain(&path));
                canonical += u32::from(by_class);
            }
        }
        assert!(0 < plain && plain < canonical, "{plain} of {canonical}");
    }

    #[test]
    fn each_byte_belongs_to_its_class_at_each_position() {
        for (byte, at) in (0..=u8::MAX).flat_map(|byte| (0..35).map(move |at| (byte, at))) {
            let path = path(&[byte], at, 35);
            assert_eq!(
                is_canonical_path(&path),
                is_canonical_by_class(&path, PathProfile::Strict)
            );
        }
        assert!(is_plain(&path(b"-_.:09AZaz/", 3, 35)));
    }
}
