//! Whether a text contains a whole key.

use crate::key::format::KeyFormat;

/// Hex digits of an opaque key, as keystile issues them.
const OPAQUE_DIGITS: usize = 64;

/// Whether a text contains a whole key, of any prefix. What is stored or shown has many
/// readers, so such a text is refused as a name, a note or metadata.
///
/// ```
/// use keystile::contains_key;
/// assert!(contains_key(&format!("from dt_{}.", "0123456789abcdef".repeat(4))));
/// assert!(!contains_key("from key 1AbCdEfGhIjKlMnO"));
/// ```
#[must_use]
pub fn contains_key(text: &str) -> bool {
    let part_of_key = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let (structured, opaque) = (KeyFormat::any_structured(), KeyFormat::any_opaque());
    let is_key = |word: &str| {
        let word = word.as_bytes();
        let digits = word.rsplit(|&byte| byte == b'_').next().unwrap_or_default();
        structured.parse(word).is_some()
            || (digits.len() == OPAQUE_DIGITS && opaque.parse(word).is_some())
    };
    text.split(|c| !part_of_key(c)).any(is_key)
}
