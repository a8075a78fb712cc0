//! A key parses back to what was issued, and nothing close to it does.

use crate::common::service::{Service, at};
use crate::common::test_rng::TestRng;
use keystile::{
    Checksum, Finding, IssueRequest, Issued, KeyFormat, Lookup, PepperRing, Request, Usage,
    Verifier, inspect, issue, verify,
};
use proptest::prelude::*;

const PREFIX: &str = "[a-z]([a-z0-9_]{0,14}[a-z0-9])?";
const ENVIRONMENT: &str = "[a-z0-9]{1,12}";

fn issued(format: &KeyFormat, environment: Option<&str>, seed: u64) -> Issued {
    let mut request = IssueRequest::new("Acme Ltd").unwrap();
    if let Some(environment) = environment {
        request = request.environment(environment).unwrap();
    }
    let none = PepperRing::none();
    issue(format, &none, &request, &mut TestRng::seeded(seed), at(0)).unwrap()
}

/// Whether a service with this format accepts `text` as the key of `issued`.
fn passes(verifier: &Verifier, issued: &Issued, text: &[u8]) -> bool {
    let Ok(key) = verifier.parse(text) else {
        return false;
    };
    let mut usage = Usage::of(&issued.record);
    let record = Some(&issued.record);
    verify(verifier, &key, record, &Request::new(), &mut usage, at(1)).is_allow()
}

proptest! {
    #[test]
    fn a_structured_key_parses_back(
        prefix in PREFIX,
        environment in proptest::option::of(ENVIRONMENT),
        keyed in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let mut format = KeyFormat::structured(&prefix).unwrap();
        if keyed {
            format = format.with_checksum(Checksum::keyed(&[9; 32]).unwrap()).unwrap();
        }
        let issued = issued(&format, environment.as_deref(), seed);
        let (text, id) = (issued.key.expose(), issued.record.id);

        let head = environment.as_ref().map_or(prefix.clone(), |e| format!("{prefix}_{e}"));
        let shown = format!("{head}_{}", &id.as_str()[..4]);
        let begins = format!("{head}_{}_", id.as_str());
        prop_assert!(text.starts_with(&begins));
        prop_assert_eq!(text.len(), head.len() + 1 + 16 + 1 + 43 + 6);
        prop_assert_eq!(&*issued.record.key_prefix, shown.as_str());

        let key = format.parse(text.as_bytes()).unwrap();
        prop_assert_eq!(key.claimed_id(), Some(&id));
        prop_assert!(matches!(key.lookup(&PepperRing::none()), Lookup::Id(found) if found == id));
        let inspection = inspect(&format, text.as_bytes());
        prop_assert_eq!(inspection.finding, Finding::WellFormed);
        prop_assert_eq!(inspection.environment, issued.record.environment);
        prop_assert!(passes(&Verifier::new(format), &issued, text.as_bytes()));

        // The formats that accept any prefix, with the same check.
        let mut others = [KeyFormat::any_structured(), KeyFormat::like(&issued.record).unwrap()];
        if keyed {
            others = others.map(|f| f.with_checksum(Checksum::keyed(&[9; 32]).unwrap()).unwrap());
        }
        for other in others {
            prop_assert!(passes(&Verifier::new(other), &issued, text.as_bytes()));
        }
    }

    #[test]
    fn an_opaque_key_parses_back(prefix in PREFIX, random_bytes in 16u8..=64, seed in any::<u64>()) {
        let format = KeyFormat::opaque(&prefix).unwrap().with_random_bytes(random_bytes).unwrap();
        let issued = issued(&format, Some("live"), seed);
        let text = issued.key.expose();
        let digits = text.strip_prefix(prefix.as_str()).unwrap().strip_prefix('_').unwrap();
        prop_assert_eq!(digits.len(), usize::from(random_bytes) * 2);
        prop_assert!(digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)));
        prop_assert_eq!(&*issued.record.key_prefix, &text[..prefix.len() + 8]);

        let ring = crate::common::service::ring();
        let key = format.parse(text.as_bytes()).unwrap();
        prop_assert!(key.claimed_id().is_none());
        let Lookup::Digests(candidates) = key.lookup(&ring) else { panic!("found by an id") };
        prop_assert!(candidates.iter().any(|digest| *digest == issued.record.digest));
        for format in [format, KeyFormat::any_opaque()] {
            prop_assert!(passes(&Verifier::new(format), &issued, text.as_bytes()));
        }
    }

    /// Several edits at once: replaced, inserted, removed or swapped bytes.
    #[test]
    fn a_key_with_several_edits_is_refused(
        seed in any::<u64>(),
        edits in proptest::collection::vec((0u8..4, any::<u16>(), any::<u8>()), 1..6),
    ) {
        let format = KeyFormat::structured("acme").unwrap();
        let issued = issued(&format, Some("live"), seed);
        let mut text = issued.key.expose().as_bytes().to_vec();
        for (how, place, byte) in edits {
            let place = usize::from(place) % text.len();
            match how {
                0 => text[place] = byte,
                1 => text.insert(place, byte),
                2 => drop(text.remove(place)),
                _ => text.swap(place, 0),
            }
        }
        let verifier = Verifier::new(format);
        prop_assert_eq!(passes(&verifier, &issued, &text), text == issued.key.expose().as_bytes());
    }

    /// The parser that reads from the end, compared with one that tries every way to read
    /// from the start.
    #[test]
    fn the_parser_agrees_with_a_naive_reading(
        prefix in "acme|acme_eu|a",
        middle in proptest::collection::vec("[a-z0-9]{1,13}|LIVE|acme|eu|", 0..3),
        id in "1[0-9A-Za-z]{15}|1[0-9A-Za-z]{14,16}|2[0-9A-Za-z]{15}",
        secret in "[0-9A-Za-z]{43}|[0-9A-Za-z]{42,44}|[0-9A-Za-z_-]{43}",
        sound in any::<bool>(),
    ) {
        let parts = [&[prefix][..], &middle, &[id, secret]].concat();
        let mut text = parts.join("_");
        let check = naive_check(text.as_bytes());
        text.push_str(if sound { &check } else { "000000" });
        for own in ["acme", "acme_eu", "a"] {
            let format = KeyFormat::structured(own).unwrap();
            prop_assert_eq!(
                format.parse(text.as_bytes()).is_some(),
                naive_reading(own, &text),
                "{} as a key of {}", text, own
            );
        }
    }

    #[test]
    fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for (_, service) in Service::all() {
            prop_assert!(service.verifier.parse(&bytes).is_err());
        }
    }
}

/// B12, ZITADEL CVE-2026-27840: a token cut to 80 characters was still accepted.
#[test]
fn b12_cve_2026_27840_each_edit_cut_and_extension_of_a_key_is_refused() {
    let keyed = KeyFormat::structured("acme_eu")
        .unwrap()
        .with_checksum(Checksum::keyed(&[9; 32]).unwrap())
        .unwrap();
    let opaque = |bytes| {
        let format = KeyFormat::opaque("dt").unwrap();
        format.with_random_bytes(bytes).unwrap()
    };
    let formats = [
        (KeyFormat::structured("acme").unwrap(), None),
        (KeyFormat::structured("acme").unwrap(), Some("live")),
        (KeyFormat::structured("a_b_c").unwrap(), Some("0")),
        (keyed, Some("test")),
        (opaque(16), None),
        (opaque(32), None),
        (opaque(64), None),
    ];
    let mut tried = 0u32;
    for (seed, (format, environment)) in (1..).zip(formats) {
        let issued = issued(&format, environment, seed);
        let key = issued.key.expose().as_bytes();
        // Besides the key's own format the two that accept any prefix, so that each text
        // has every chance to be taken for the key.
        let verifier = Verifier::new(format.clone())
            .with_format(KeyFormat::any_structured())
            .with_format(KeyFormat::any_opaque());
        assert!(passes(&verifier, &issued, key), "the key itself passes");
        let mut refused = |text: &[u8]| {
            tried += 1;
            // The check by itself refuses whatever is not as it was issued.
            let caught = format.is_structured() && format.parse(text).is_some();
            assert!(!caught, "{} passed the check", text.escape_ascii());
            let taken = passes(&verifier, &issued, text);
            assert!(!taken, "{} was taken", text.escape_ascii());
        };
        for (place, byte) in (0..key.len()).flat_map(|p| (0..=u8::MAX).map(move |b| (p, b))) {
            let mut text = key.to_vec();
            text.insert(place, byte);
            refused(&text);
            text.remove(place);
            if text[place] != byte {
                text[place] = byte;
                refused(&text);
            }
        }
        for start in 0..=key.len() {
            for end in start..=key.len() {
                if end - start < key.len() {
                    refused(&key[start..end]);
                }
            }
        }
        for byte in 0..=u8::MAX {
            refused(&[key, &[byte]].concat());
            refused(&[&[byte], key].concat());
        }
        for place in 1..key.len() {
            let mut text = key.to_vec();
            text.swap(place - 1, place);
            if text != key {
                refused(&text);
            }
        }
        refused(&key.repeat(2));
        refused(&key.to_ascii_uppercase());
    }
    assert!(tried > 250_000, "{tried} texts");
}

#[test]
fn labels_are_accepted_exactly_as_specified() {
    // All texts of up to three of these bytes, compared with the rule written as loops.
    let bytes = b"az09_A-. \xC3";
    let mut texts = vec![String::new()];
    for length in 0..3 {
        let longer: Vec<_> = texts
            .iter()
            .filter(|text| text.chars().count() == length)
            .flat_map(|text| {
                bytes
                    .iter()
                    .map(move |&b| format!("{text}{}", char::from(b)))
            })
            .collect();
        texts.extend(longer);
    }
    texts.extend((0..40).map(|length| "a".repeat(length)));
    for text in &texts {
        let low = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let (first, last) = (text.bytes().next(), text.bytes().last());
        let begins = first.is_some_and(|b| b.is_ascii_lowercase());
        let inner = text.bytes().all(|b| low(b) || b == b'_');
        let prefix = begins && inner && last != Some(b'_') && text.len() <= 16;
        assert_eq!(
            keystile::Prefix::new(text).is_ok(),
            prefix,
            "prefix {text:?}"
        );
        let environment = (1..=12).contains(&text.len()) && text.bytes().all(low);
        let made = keystile::Environment::new(text);
        assert_eq!(made.is_ok(), environment, "environment {text:?}");
        if let Ok(made) = made {
            assert_eq!(made.as_str(), text);
        }
    }
}

/// Tries to read a key as `prefix _ [environment _] id _ secret check`, from its start.
fn naive_reading(prefix: &str, text: &str) -> bool {
    let Some(rest) = text.strip_prefix(prefix).and_then(|r| r.strip_prefix('_')) else {
        return false;
    };
    let after_environment = (1..=12).filter_map(|length| {
        let (environment, behind) = rest.split_at_checked(length)?;
        let low = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        behind
            .strip_prefix('_')
            .filter(|_| environment.chars().all(low))
    });
    core::iter::once(rest).chain(after_environment).any(|rest| {
        let parts: Vec<&str> = rest.split('_').collect();
        let [id, tail] = parts[..] else { return false };
        let all_base62 = rest.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        all_base62
            && id.len() == 16
            && id.starts_with('1')
            && tail.len() == 49
            && naive_check(&text.as_bytes()[..text.len() - 6]).as_bytes()
                == &text.as_bytes()[text.len() - 6..]
    })
}

/// CRC-32 bit by bit, then base62 by division.
fn naive_check(text: &[u8]) -> String {
    let mut crc = u32::MAX;
    for byte in text {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 {
                crc >> 1 ^ 0xEDB8_8320
            } else {
                crc >> 1
            };
        }
    }
    let mut rest = !crc;
    let mut digits = Vec::new();
    for _ in 0..6 {
        let digit = (rest % 62) as u8;
        digits.push(match digit {
            0..=9 => b'0' + digit,
            10..=35 => b'A' + digit - 10,
            _ => b'a' + digit - 36,
        });
        rest /= 62;
    }
    digits.reverse();
    String::from_utf8(digits).unwrap()
}
