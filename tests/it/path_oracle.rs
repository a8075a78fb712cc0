//! Which paths are canonical, compared with the rule written as loops over strings, for
//! every short path.

use crate::common::naive_path::{is_canonical, is_canonical_with_slash};
use keystile::{PATH_BYTES_MAX, PathProfile, is_canonical_path};
use proptest::prelude::*;

/// Calls `check` with each byte string of this length over the alphabet.
fn each(alphabet: &[u8], length: usize, check: &mut impl FnMut(&[u8])) {
    let mut places = vec![0usize; length];
    let mut text = vec![alphabet[0]; length];
    loop {
        check(&text);
        let Some(place) = places.iter().rposition(|&p| p + 1 < alphabet.len()) else {
            return;
        };
        places[place] += 1;
        places[place + 1..].fill(0);
        for (byte, &at) in text.iter_mut().zip(&places).skip(place) {
            *byte = alphabet[at];
        }
    }
}

fn agree(path: &[u8]) {
    let (ours, naive) = (is_canonical_path(path), is_canonical(path));
    assert_eq!(ours, naive, "{}", path.escape_ascii());
}

#[test]
fn every_path_of_three_bytes_after_the_slash_follows_the_rule() {
    let all: Vec<u8> = (0..=u8::MAX).collect();
    let mut tried = 0u32;
    let mut path = vec![b'/'];
    for length in 0..=3 {
        each(&all, length, &mut |behind| {
            tried += 1;
            path.truncate(1);
            path.extend_from_slice(behind);
            agree(&path);
        });
    }
    assert_eq!(tried, 1 + 256 + 65_536 + 16_777_216);
    // Without the slash no path is canonical.
    each(&all, 2, &mut agree);
    agree(b"");
}

#[test]
fn every_path_of_six_pieces_follows_the_rule_of_each_profile() {
    const PIECES: [&[u8]; 9] = [
        b"/", b".", b"%2F", b"%2f", b"a", b"%C0", b"%AF", b"%C3", b"%A9",
    ];
    let numbers: Vec<u8> = (0..9).collect();
    let (mut tried, mut strict, mut with_slash) = (0u32, 0u32, 0u32);
    for length in 0..=6 {
        each(&numbers, length, &mut |pieces| {
            let pieces = pieces.iter().map(|number| PIECES[usize::from(*number)]);
            let path = [b"/", pieces.collect::<Vec<_>>().concat().as_slice()].concat();
            agree(&path);
            let accepted = PathProfile::EncodedSlashIsData.accepts(&path);
            assert_eq!(
                accepted,
                is_canonical_with_slash(&path),
                "{}",
                path.escape_ascii()
            );
            // What one profile accepts, the other accepts too.
            assert!(
                accepted || !is_canonical_path(&path),
                "{}",
                path.escape_ascii()
            );
            tried += 1;
            strict += u32::from(is_canonical_path(&path));
            with_slash += u32::from(accepted);
        });
    }
    assert!(tried > 500_000 && 0 < strict && strict < with_slash && with_slash < tried / 2);
}

#[test]
fn every_path_of_seven_bytes_that_matter_follows_the_rule() {
    let mut tried = 0u32;
    for length in 0..=7 {
        each(b"/.%2eF5;a", length, &mut |path| {
            tried += 1;
            agree(path);
        });
    }
    assert!(tried > 5_000_000, "{tried} paths");
}

#[test]
fn every_escape_in_both_cases_follows_the_rule() {
    for byte in 0..=u8::MAX {
        for escape in [format!("%{byte:02x}"), format!("%{byte:02X}")] {
            for path in ["/?", "/?/b", "/a?b", "/a/?", "/a/?.", "/a/.?", "/a/?/"] {
                agree(path.replace('?', &escape).as_bytes());
            }
        }
    }
}

#[test]
fn a_path_is_limited_in_bytes() {
    let path = |length: usize| format!("/{}", "a".repeat(length - 1));
    assert!(is_canonical_path(path(PATH_BYTES_MAX).as_bytes()));
    assert!(!is_canonical_path(path(PATH_BYTES_MAX + 1).as_bytes()));
}

proptest! {
    #[test]
    fn random_paths_follow_the_rule(
        segments in proptest::collection::vec("[a-z]{1,4}|[.]{1,3}|%[0-9a-fA-F]{2}|%|[!-~]{0,3}|é|", 0..8),
    ) {
        agree(format!("/{}", segments.join("/")).as_bytes());
    }
}
