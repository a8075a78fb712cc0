//! A digest's text is parsed back to the same digest, and only one form is accepted.

use keystile::{Digest, DigestKind};

pub fn run(data: &[u8]) {
    let made = Digest::sha256(data);
    assert_eq!(made.to_string().parse::<Digest>(), Ok(made));

    let Ok(text) = core::str::from_utf8(data) else {
        return;
    };
    let expected = naive(text);
    let read = text.parse::<Digest>();
    let Ok(digest) = read else {
        assert_eq!(expected, None);
        return;
    };
    assert_eq!(Some((digest.kind(), *digest.bytes())), expected);
    assert_eq!(Digest::new(digest.kind(), *digest.bytes()), digest);

    // One form: the text is written as it was read, except for a bare value and for case.
    let written = digest.to_string();
    let same = text.to_lowercase();
    assert!(written == same || written == format!("sha256:{same}"));
    assert_eq!(written.parse::<Digest>(), Ok(digest));

    let mut other = *digest.bytes();
    other[text.len() % 32] ^= 1;
    assert_ne!(Digest::new(digest.kind(), other), digest);
    let hex = written.rsplit(':').next().unwrap();
    assert!(!format!("{digest:?}").contains(hex));
}

fn naive(text: &str) -> Option<(DigestKind, [u8; 32])> {
    let (kind, hex) = match text.split(':').collect::<Vec<_>>()[..] {
        [hex] | ["sha256", hex] => (DigestKind::Sha256, hex),
        ["hmac-sha256", version, hex] => {
            let pepper: u32 = version.parse().ok()?;
            // A number is accepted only in its shortest form.
            (version == pepper.to_string()).then_some((DigestKind::HmacSha256 { pepper }, hex))?
        }
        _ => return None,
    };
    if hex.len() != 64 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let byte = |at: usize| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap();
    Some((kind, core::array::from_fn(byte)))
}
