//! A text parses as a key exactly if it has the format of one.

use keystile::{Checksum, KeyFormat, Lookup, PepperRing, Verifier};

use super::rules::{Kind, check, formats, has_check};

pub fn run(data: &[u8]) {
    for (format, kind) in formats() {
        judge(&format, kind, data);
        // A fuzzer cannot guess a check, so the same text is tried with the right one.
        if kind.is_structured()
            && let Some((covered, _)) = data.split_last_chunk::<6>()
        {
            let mended = [covered, &check(covered)].concat();
            judge(&format, kind, &mended);
            if kind.has_shape(&mended) {
                refuses_neighbours(&format, &mended);
            }
        }
    }
}

fn judge(format: &KeyFormat, kind: Kind, text: &[u8]) {
    let spelled = kind.has_shape(text) && (!kind.is_structured() || has_check(text));
    let read = format.parse(text);
    assert_eq!(read.is_some(), spelled);
    let verifier = Verifier::new(format.clone());
    assert_eq!(verifier.parse(text).is_ok(), spelled);
    // A server's own checksum key gives the same text another check.
    if kind.is_structured() {
        let keyed = Checksum::keyed(&[7; 32]).unwrap();
        let keyed = format.clone().with_checksum(keyed).unwrap();
        assert!(keyed.parse(text).is_none() || kind.has_shape(text));
    }
    let Some(key) = read else { return };

    let printed = format!("{key:?}");
    let secret = core::str::from_utf8(&text[text.len() - 32..]).unwrap();
    assert!(!printed.contains(secret), "a key was printed");
    match key.lookup(&PepperRing::none()) {
        Lookup::Id(id) => {
            assert_eq!(Some(&id), key.claimed_id());
            assert_eq!(id.as_bytes()[..], text[text.len() - 66..][..16]);
        }
        Lookup::Digests(digests) => {
            assert!(key.claimed_id().is_none());
            let made: Vec<_> = digests.iter().copied().collect();
            assert_eq!(made, [keystile::Digest::sha256(text)]);
        }
        _ => panic!("a third kind of lookup"),
    }
}

/// CRC-32 finds every change of up to 32 adjacent bits, and so every change of one
/// character.
fn refuses_neighbours(format: &KeyFormat, key: &[u8]) {
    let mut text = key.to_vec();
    for at in 0..text.len() {
        let own = text[at];
        for other in [own ^ 1, own ^ 0x20, b'0', b'z', b'_', 0, 0xFF] {
            text[at] = other;
            assert!(format.parse(&text).is_none() || other == own);
        }
        text[at] = own;
    }
}
