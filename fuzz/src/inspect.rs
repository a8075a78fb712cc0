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
        // What stands around a key can have many forms, so a finding of a key is compared with all
        // parts of the text.
        match found.finding {
            Finding::WellFormed => assert!(parses(text)),
            Finding::Wrapped => assert!(!parses(text) && parts(text).any(parses)),
            Finding::WrongChecksum => {
                let is_wrong = |part: &[u8]| kind.has_shape(part) && !parses(part);
                assert!(!parses(text) && parts(text).any(is_wrong));
            }
            Finding::Empty => assert!(!kind.has_shape(text)),
            Finding::WrongLength | Finding::WrongCharacter | Finding::Foreign => {
                assert!(!kind.has_shape(text) && !text.is_empty());
            }
            _ => panic!("an unknown finding"),
        }
        assert!(!found.finding.hint().is_empty());
        if let (Some(id), Finding::WellFormed | Finding::Wrapped) = (found.key_id, found.finding) {
            let is_of = |part: &[u8]| {
                let claimed = format.parse(part).and_then(|key| key.claimed_id().copied());
                claimed == Some(id)
            };
            assert!(parts(text).any(is_of));
        }
        let printed = format!("{found:?} {}", found.finding);
        let secret = text.trim_ascii().last_chunk::<32>();
        let secret = secret.map(|end| str::from_utf8(end));
        assert!(!matches!(secret, Some(Ok(secret)) if printed.contains(secret)));
    }
}

/// All parts of a text that are as long as a key can be.
fn parts(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    (0..text.len()).flat_map(move |start| {
        let longest = text.len().min(start + keystile::KEY_TEXT_BYTES_MAX);
        (start + SHORTEST_KEY..=longest).map(move |end| &text[start..end])
    })
}

/// No format of this fuzzer has shorter keys.
const SHORTEST_KEY: usize = 32;
