//! The spelling of HTTP methods.

/// Longest method in bytes.
const METHOD_BYTES_MAX: usize = 32;

/// Whether `method` is spelled as in endpoint rules: 1 to 32 characters of `A-Z`, `0-9`, `-`
/// or `_`, starting with a letter.
///
/// Methods are case-sensitive (RFC 9110, section 9.1), and no rule can match one that is not
/// spelled like this.
///
/// ```
/// use keystile::is_method;
/// assert!(is_method("GET") && is_method("M-SEARCH"));
/// assert!(!is_method("get") && !is_method("GET,PUT") && !is_method("-"));
/// ```
#[must_use]
pub fn is_method(method: &str) -> bool {
    let [first, ..] = method.as_bytes() else {
        return false;
    };
    first.is_ascii_uppercase()
        && method.len() <= METHOD_BYTES_MAX
        && method
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'))
}
