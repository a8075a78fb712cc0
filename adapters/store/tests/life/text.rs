//! Texts that look like keys: the check of a structured key, computed bit by bit.

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const CHECK_CHARS: usize = 6;
const SECRET_CHARS: usize = 43;

/// The same id with another secret, and the check that belongs to it.
pub(crate) fn with_wrong_secret(text: &str, at: usize) -> String {
    let end = text.len() - CHECK_CHARS;
    with_check(&changed(
        &text[..end],
        end - SECRET_CHARS + at % SECRET_CHARS,
    ))
}

/// The same secret with an id that no key has, and the check that belongs to it.
pub(crate) fn with_unknown_id(text: &str) -> String {
    let end = text.len() - CHECK_CHARS;
    with_check(&changed(&text[..end], end - SECRET_CHARS - 2))
}

/// One wrong character, and the check of the right one.
pub(crate) fn with_typo(text: &str, at: usize) -> String {
    changed(text, text.len() - CHECK_CHARS - 1 - at % SECRET_CHARS)
}

fn changed(text: &str, at: usize) -> String {
    let mut bytes = text.as_bytes().to_vec();
    bytes[at] = if bytes[at] == b'7' { b'3' } else { b'7' };
    String::from_utf8(bytes).unwrap()
}

fn with_check(text: &str) -> String {
    let mut crc = u32::MAX;
    for byte in text.bytes() {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 * (crc & 1));
        }
    }
    let mut rest = !crc;
    let mut check = [b'0'; CHECK_CHARS];
    for digit in check.iter_mut().rev() {
        *digit = DIGITS[(rest % 62) as usize];
        rest /= 62;
    }
    format!("{text}{}", str::from_utf8(&check).unwrap())
}
