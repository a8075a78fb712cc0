//! The finding about a text agrees with whether the text parses as a key.

use keystile::Finding;

use super::rules::{check, formats};

pub fn run(data: &[u8]) {
    judge(data);
    if let Some((covered, _)) = data.split_last_chunk::<6>() {
        let mended = [covered, &check(covered)].concat();
        judge(&mended);
        judge(&[b"  bearer \"", &mended[..], b"\"\n"].concat());
    }
}

fn judge(text: &[u8]) {
    for (format, kind) in formats() {
        let found = keystile::inspect(&format, text);
        let parses = |text: &[u8]| format.parse(text).is_some();
        // Wrappings are removed one at a time, from the outside to the inside.
        let text = text.trim_ascii();
        let bare = match text.get(..7) {
            Some(scheme) if scheme.eq_ignore_ascii_case(b"bearer ") => text[7..].trim_ascii(),
            _ => text,
        };
        let bare = match (bare.first(), bare.last()) {
            (Some(b'"' | b'\'' | b'`'), end) if bare.len() > 1 && bare.first() == end => {
                bare[1..bare.len() - 1].trim_ascii()
            }
            _ => bare,
        };
        match found.finding {
            Finding::WellFormed => assert!(parses(text)),
            Finding::Wrapped => assert!(parses(bare)),
            Finding::WrongChecksum => assert!(kind.has_shape(bare) && !parses(bare)),
            Finding::Empty => assert!(bare.is_empty()),
            Finding::WrongLength | Finding::WrongCharacter | Finding::Foreign => {
                assert!(!kind.has_shape(bare) && !bare.is_empty());
            }
            _ => panic!("an unknown finding"),
        }
        assert!(!found.finding.hint().is_empty());
        if let Some(id) = found.key_id {
            let claimed = format.parse(bare).and_then(|key| key.claimed_id().copied());
            assert!(claimed.is_none_or(|claimed| claimed == id));
        }
        let printed = format!("{found:?} {}", found.finding);
        let secret = bare.last_chunk::<32>().map(|end| str::from_utf8(end));
        assert!(!matches!(secret, Some(Ok(secret)) if printed.contains(secret)));
    }
}
