//! Attacks on digests, row D. Each test answers a flaw that was found elsewhere and has
//! its number.

use std::collections::HashSet;

use crate::common::service::{Service, at, client, ring};
use crate::common::test_rng::TestRng;
use keystile::{
    Cause, Decision, Digest, DigestKind, ErrorKind, IssueRequest, KeyFormat, Pepper, PepperRing,
    Request, RotationPolicy, rehash, rotate,
};

#[test]
fn d1_okta_2024_10_30_the_digest_covers_the_last_byte_of_the_longest_key() {
    // There, a long user name left no room for the password before a cut at 72 bytes.
    let format = KeyFormat::structured("a_prefix_of_16_c").unwrap();
    let mut service = Service::new(format);
    let request = IssueRequest::new(&"n".repeat(255))
        .unwrap()
        .environment("environment1");
    let issued = service.issue(&request.unwrap());
    let key = issued.key.expose().as_bytes();
    assert!(key.len() > 90);
    for peppers in [PepperRing::none(), ring()] {
        let whole = peppers.digest(key);
        for place in 0..key.len() {
            let mut other = key.to_vec();
            other[place] ^= 1;
            assert!(
                peppers.digest(&other) != whole,
                "byte {place} does not count"
            );
        }
    }
}

#[test]
fn d2_bcrypt_72_bytes_nothing_is_cut_off() {
    let long = [b'k'; 256];
    for peppers in [PepperRing::none(), ring()] {
        let digests: HashSet<[u8; 32]> = (0..=256)
            .map(|length| *peppers.digest(&long[..length]).bytes())
            .collect();
        assert_eq!(digests.len(), 257, "each length has a digest of its own");
    }
    // A text longer than any key is refused, not cut.
    let format = KeyFormat::any_opaque();
    let text = |digits: usize| [b"dt_".to_vec(), vec![b'a'; digits]].concat();
    assert!(format.parse(&text(128)).is_some());
    assert!(format.parse(&text(130)).is_none() && format.parse(&text(300)).is_none());
}

#[test]
fn d3_rustsec_2026_0199_a_corrupted_row_is_an_error_and_no_panic() {
    let stored = [
        Digest::sha256(b"k").to_string(),
        ring().digest(b"k").to_string(),
    ];
    let digits = Digest::sha256(b"k").to_string()["sha256:".len()..].to_string();
    for text in stored.iter().chain([&digits]) {
        let read: Digest = text.parse().unwrap();
        assert!(text.contains(':') || read.to_string().ends_with(text.as_str()));
        for (place, c) in text
            .char_indices()
            .flat_map(|(at, _)| "é\0 :g-٣/".chars().map(move |c| (at, c)))
        {
            let mut corrupted = text.clone();
            corrupted.replace_range(place..=place, &c.to_string());
            if corrupted == *text {
                continue;
            }
            if let Ok(read) = corrupted.parse::<Digest>() {
                // Such as another pepper's version, which makes it another digest.
                assert!(read.to_string().ends_with(&corrupted));
                assert!(read != text.parse::<Digest>().unwrap());
            }
        }
        for end in 0..text.len() {
            assert!(text[..end].parse::<Digest>().is_err(), "{end} characters");
            assert!(
                format!("{text}{}", &text[..end + 1])
                    .parse::<Digest>()
                    .is_err()
            );
        }
    }
    for text in [
        "",
        "sha256",
        "sha256:",
        "md5:00",
        "$2b$10$x",
        "hmac-sha256::",
        "hmac-sha256:-1:",
    ] {
        let error = text.parse::<Digest>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Digest);
        let behind = format!("{text}{digits}");
        assert!(text.is_empty() || text == "sha256:" || behind.parse::<Digest>().is_err());
    }
    for version in ["+1", "01", " 1", "4294967296", "1.0", "٣"] {
        assert!(
            format!("hmac-sha256:{version}:{digits}")
                .parse::<Digest>()
                .is_err()
        );
    }
}

#[test]
fn d4_cve_2013_1895_many_threads_share_a_verifier_and_mix_nothing_up() {
    let mut service = Service::structured();
    let keys: Vec<_> = (0..8).map(|_| service.issue(&client())).collect();
    let service = &service;
    std::thread::scope(|scope| {
        for (own, issued) in keys.iter().enumerate() {
            let others = &keys;
            scope.spawn(move || {
                for round in 0..2_000 {
                    let other = &others[(own + 1 + round % 7) % 8];
                    let request = Request::new();
                    let right = service.ask_once(issued.key.expose(), &issued.record, &request);
                    let Decision::Allow(allowed) = right else {
                        panic!("the own key refused")
                    };
                    assert_eq!(allowed.key_id, issued.record.id);
                    // The other key's record under its own id: the wrong secret, at once.
                    let mut record = other.record.clone();
                    record.id = issued.record.id;
                    let wrong = service.ask_once(issued.key.expose(), &record, &request);
                    assert_eq!(wrong.denial().unwrap().cause(), Cause::WrongSecret);
                }
            });
        }
    });
}

#[test]
fn d5_cve_2026_10814_each_of_the_256_bits_of_a_digest_counts() {
    for (name, mut service) in Service::all() {
        let issued = service.issue(&client());
        for bit in 0..256 {
            let mut record = issued.record.clone();
            let mut bytes = *record.digest.bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            record.digest = Digest::new(record.digest.kind(), bytes);
            let decision = service.ask_once(issued.key.expose(), &record, &Request::new());
            let cause = decision.denial().unwrap().cause();
            assert_eq!(cause, Cause::WrongSecret, "{name}, bit {bit}");
        }
    }
}

#[test]
fn d6_rustsec_2020_0075_a_character_outside_the_alphabet_is_refused_in_every_place() {
    let mut service = Service::structured();
    let issued = service.issue(&client());
    let key = issued.key.expose().as_bytes();
    let body = key.len() - 66;
    let separator = body + 16;
    for (place, byte) in (body..key.len()).flat_map(|p| (0..=u8::MAX).map(move |b| (p, b))) {
        let in_alphabet = byte.is_ascii_alphanumeric();
        if place != separator && !in_alphabet {
            let mut text = key.to_vec();
            text[place] = byte;
            assert!(
                service.format.parse(&text).is_none(),
                "{}",
                text.escape_ascii()
            );
        }
    }
}

#[test]
fn d7_the_dmz_322_each_kind_of_digest_verifies_in_each_state_of_a_key() {
    let old_ring = PepperRing::new(Pepper::new(1, &[1; 32]).unwrap());
    for issued_under in [PepperRing::none(), old_ring, ring()] {
        let mut service = Service::structured();
        service.verifier = service.verifier.with_peppers(issued_under.clone());
        let issued = service.issue(&client());
        let text = issued.key.expose();
        // The ring has moved on. Existing keys still verify, and the decision asks for a
        // new digest.
        service.verifier = service.verifier.clone().with_peppers(ring());
        let outdated = issued.record.digest.kind() != DigestKind::HmacSha256 { pepper: 2 };
        let check = |text: &str, record: &_, outdated: bool| {
            let decision = service.ask_once(text, record, &Request::new());
            let Decision::Allow(allowed) = decision else {
                panic!("refused")
            };
            assert_eq!(allowed.needs_rehash, outdated);
        };
        check(text, &issued.record, outdated);
        let policy = RotationPolicy::default();
        let (format, rng) = (&service.format, &mut TestRng::seeded(9));
        let rotated = rotate(&issued.record, &[], &policy, format, &ring(), rng, at(0)).unwrap();
        check(text, &rotated.changed[0], outdated);
        check(rotated.key.expose(), &rotated.successor, false);
        let key = service.verifier.parse(text.as_bytes()).unwrap();
        let again = rehash(&issued.record, &key, &ring(), at(0));
        assert_eq!(again.is_ok(), outdated);
        if let Ok(change) = again {
            check(text, &change.record, false);
            assert_eq!(change.record.version, issued.record.version + 1);
        }
        // Another key's text does not give this record a digest.
        let other = rotated.key.expose().as_bytes();
        let other = service.verifier.parse(other).unwrap();
        assert!(rehash(&issued.record, &other, &ring(), at(0)).is_err());
    }
}

#[test]
fn d10_digests_of_different_kinds_are_never_equal() {
    let kinds = [
        DigestKind::Sha256,
        DigestKind::HmacSha256 { pepper: 0 },
        DigestKind::HmacSha256 { pepper: 1 },
        DigestKind::HmacSha256 { pepper: 2 },
    ];
    for (one, other) in kinds.iter().flat_map(|a| kinds.iter().map(move |b| (a, b))) {
        let same = Digest::new(*one, [7; 32]) == Digest::new(*other, [7; 32]);
        assert_eq!(same, one == other, "{one:?} and {other:?}");
    }
    // The right bytes under the wrong name prove nothing.
    let mut service = Service::structured();
    service.verifier = service.verifier.with_peppers(ring());
    let issued = service.issue(&client());
    for kind in kinds {
        let mut record = issued.record.clone();
        record.digest = Digest::new(kind, *issued.record.digest.bytes());
        let allowed = service
            .ask_once(issued.key.expose(), &record, &Request::new())
            .is_allow();
        assert_eq!(allowed, kind == issued.record.digest.kind(), "{kind:?}");
        record.digest = Digest::new(
            kind,
            *Digest::sha256(issued.key.expose().as_bytes()).bytes(),
        );
        let allowed = service
            .ask_once(issued.key.expose(), &record, &Request::new())
            .is_allow();
        assert_eq!(allowed, kind == DigestKind::Sha256, "{kind:?}");
    }
}
