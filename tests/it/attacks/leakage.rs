//! Attacks that read what is printed, rows F and D9. Each test answers a flaw that was
//! found elsewhere and has its number. F10 is in `wiped_memory.rs`.

use core::error::Error as _;
use core::fmt::{Debug, Display};

use crate::common::service::{Service, at, client, ring};
use crate::common::test_rng::TestRng;
use keystile::{
    ApiKey, Cause, Checksum, ChecksumKey, Credential, CredentialExtractor, CredentialSources,
    Decision, Digest, EndpointRules, Environment, Error, IssueRequest, Issued, KeyFormat, KeyId,
    KeyRecord, Lookup, Millis, Pepper, PepperRing, PermissionSet, Prefix, PresentedKey, RateLimit,
    Request, Requirement, RotationPolicy, StatusPolicy, TemplateName, UnixMillis, Usage, delegate,
    inspect, issue, rehash, respond, resume, revoke, rotate, suspend,
};
use proptest::prelude::*;

/// Whether a type implements a trait, as the compiler sees it: the associated constant of
/// the type itself takes precedence over the trait's, and exists only if the trait is
/// implemented.
macro_rules! implements {
    ($type:ty: $($bound:tt)+) => {{
        struct Probe<T: ?Sized>(core::marker::PhantomData<T>);
        #[allow(dead_code, reason = "where the bound holds it is not asked")]
        trait Otherwise {
            const YES: bool = false;
        }
        impl<T: ?Sized> Otherwise for T {}
        #[allow(dead_code, reason = "for most types the bound does not hold")]
        impl<T: ?Sized + $($bound)+> Probe<T> {
            const YES: bool = true;
        }
        <Probe<$type>>::YES
    }};
}

/// Everything printable in a key's life, made with a key whose secret is known.
fn printed(service: &mut Service) -> (String, Vec<String>) {
    let issued = service.issue(&client());
    let text = issued.key.expose().to_string();
    let bytes = text.as_bytes();
    let key = service.verifier.parse(bytes).unwrap();
    let header = [(&b"x-api-key"[..], bytes)];
    let credential = CredentialExtractor::any_text(CredentialSources::new())
        .extract(header)
        .unwrap();
    let (policy, format) = (RotationPolicy::default(), service.format.clone());
    let peppers = service.verifier.peppers().clone();
    let rng = &mut service.rng;
    let rotated = rotate(&issued.record, &[], &policy, &format, &peppers, rng, at(0)).unwrap();
    let derived = delegate(&issued.record, &format, &peppers, &client(), rng, at(0)).unwrap();
    let mut all: Vec<String> = Vec::new();
    fn print(all: &mut Vec<String>, value: &dyn Debug) {
        all.extend([format!("{value:?}"), format!("{value:#?}")]);
    }
    print(&mut all, &issued);
    print(&mut all, &(&rotated, &derived));
    print(&mut all, &Some(vec![(&key, &credential)]));
    print(
        &mut all,
        &(
            service.verifier.lookup(&key),
            &service.verifier,
            &format,
            peppers,
        ),
    );
    print(&mut all, &inspect(&format, bytes));
    print(&mut all, &(client(), &service.verifier, &policy));
    print(&mut all, &issued.record.public());
    for change in [
        revoke(&issued.record, "a reason", at(0)),
        suspend(&issued.record, at(0)),
    ] {
        print(&mut all, &change.unwrap());
    }
    print(&mut all, &rehash(&issued.record, &key, &ring(), at(0)));
    for record in [None, Some(&issued.record), Some(&derived.record)] {
        for cut in [0, 1, 20] {
            let request = Request::new();
            let mut usage = Usage::default();
            let decision = service.ask(&bytes[cut..], record, &request, &mut usage, at(1));
            print(&mut all, &decision);
            if let Decision::Deny(denial) = decision {
                print(&mut all, &respond(&denial, StatusPolicy::Rfc9110, None));
            }
        }
    }
    (text.clone(), all)
}

/// Whether any eight consecutive characters of the secret part appear in `output`.
fn leaks(key: &str, secret_from: usize, output: &str) -> bool {
    key.as_bytes()[secret_from..]
        .windows(8)
        .any(|part| output.contains(core::str::from_utf8(part).unwrap()))
}

#[test]
fn f1_rustsec_2022_0062_no_output_holds_eight_characters_of_a_secret() {
    for (name, mut service) in Service::all() {
        let (key, outputs) = printed(&mut service);
        // After the id and its separator; for an opaque key, after the part that may be
        // shown.
        let secret_from = if service.format.is_structured() {
            key.len() - 49
        } else {
            10
        };
        for output in &outputs {
            assert!(!leaks(&key, secret_from, output), "{name}: {output}");
        }
        assert!(outputs.len() > 30);
        // The control: a derived print of the text would be caught.
        assert!(leaks(
            &key,
            secret_from,
            &format!("{:?}", Some(key.as_str()))
        ));
    }
}

#[test]
fn f2_rustsec_2024_0358_no_error_repeats_its_input() {
    let canary = "Canary:Of*The/Mine";
    let mut service = Service::structured();
    let record = service.issue(&client()).record;
    let mut broken = record.clone();
    broken.client_name = format!("{canary}\n").into();
    broken.key_prefix = canary.into();
    let mut revoked = revoke(&record, canary, at(0)).unwrap().record;
    revoked.client_name = canary.into();
    let limit = RateLimit::new(1, Millis::ZERO);
    let errors: Vec<Error> = [
        KeyFormat::structured(canary).err(),
        KeyFormat::opaque(canary).err(),
        KeyFormat::like(&broken).err(),
        canary.parse::<KeyId>().err(),
        canary.parse::<Digest>().err(),
        canary.parse::<Requirement>().err(),
        PermissionSet::new([canary]).err(),
        EndpointRules::new([canary]).err(),
        Prefix::new(canary).err(),
        Environment::new(canary).err(),
        TemplateName::new(canary).err(),
        IssueRequest::new(&format!("{canary}\u{7}")).err(),
        client().metadata(canary.repeat(2_000).as_str()).err(),
        CredentialSources::new().with_header(canary).err(),
        Pepper::new(1, canary.as_bytes()).err(),
        Checksum::keyed(&canary.as_bytes()[..9]).err(),
        revoke(&record, &canary.repeat(20), at(0)).err(),
        revoke(&revoked, canary, at(0)).err(),
        resume(&revoked, at(0)).err(),
        broken.check().err(),
        limit.err(),
        UnixMillis::new(1).err(),
    ]
    .into_iter()
    .map(Option::unwrap)
    .collect();
    for error in errors {
        assert!(error.source().is_none(), "no source is attached");
        for text in [
            error.to_string(),
            format!("{error:?}"),
            error.message().to_string(),
        ] {
            assert!(!text.contains("Canary") && !text.contains("Mine"), "{text}");
        }
        let message = error.message();
        assert!(!message.ends_with('.') && message.len() > 10, "{message}");
        assert!(
            !message.starts_with(|c: char| c.is_ascii_uppercase() && c != 'A'),
            "{message}"
        );
    }
}

#[test]
fn f3_ai_memory_mcp_1454_a_secret_type_has_no_way_out_by_accident() {
    // The probe itself, both ways.
    assert!(implements!(String: Display) && implements!(String: Clone));
    assert!(!implements!(Vec<u8>: Display) && !implements!(dyn Debug: Clone));

    assert!(!implements!(ApiKey: Display) && !implements!(ApiKey: Clone));
    assert!(!implements!(ApiKey: PartialEq) && !implements!(ApiKey: core::hash::Hash));
    assert!(!implements!(ApiKey: AsRef<str>) && !implements!(ApiKey: AsRef<[u8]>));
    assert!(!implements!(ApiKey: core::ops::Deref) && !implements!(ApiKey: Into<String>));
    assert!(!implements!(ApiKey: core::borrow::Borrow<str>) && !implements!(ApiKey: ToString));
    assert!(!implements!(Issued: Clone) && !implements!(Issued: Display));
    assert!(!implements!(keystile::Rotated: Clone) && !implements!(keystile::Rotated: Display));
    assert!(!implements!(Credential<'static>: Display) && !implements!(Credential<'static>: Clone));
    assert!(!implements!(Credential<'static>: PartialEq));
    assert!(!implements!(PresentedKey<'static>: Display));
    assert!(!implements!(PresentedKey<'static>: PartialEq));
    assert!(!implements!(PresentedKey<'static>: AsRef<[u8]>));
    for shows in [
        implements!(Pepper: Display),
        implements!(Pepper: PartialEq),
        implements!(PepperRing: Display),
        implements!(ChecksumKey: Display),
        implements!(ChecksumKey: PartialEq),
        implements!(KeyRecord: Display),
    ] {
        assert!(!shows);
    }
    #[cfg(feature = "serde")]
    {
        assert!(
            implements!(KeyRecord: serde::Serialize),
            "the probe sees serde"
        );
        assert!(!implements!(ApiKey: serde::Serialize) && !implements!(Issued: serde::Serialize));
        assert!(!implements!(Pepper: serde::Serialize) && !implements!(Checksum: serde::Serialize));
        assert!(!implements!(PepperRing: serde::Serialize));
        assert!(!implements!(Credential<'static>: serde::Serialize));
        assert!(!implements!(PresentedKey<'static>: serde::Serialize));
    }
}

proptest! {
    #[test]
    fn f4_trusty_tools_4632_what_is_printed_does_not_depend_on_the_secret(
        seeds in any::<[u64; 2]>(),
        secrets in any::<[[u8; 32]; 2]>(),
    ) {
        let format = KeyFormat::structured("acme").unwrap();
        let none = PepperRing::none();
        let keys = seeds.map(|seed| {
            issue(&format, &none, &client(), &mut TestRng::seeded(seed), at(0)).unwrap()
        });
        for issued in &keys {
            prop_assert_eq!(format!("{:?}", issued.key), "ApiKey(..)");
            prop_assert_eq!(format!("{:#?}", issued.key), "ApiKey(..)");
            let header = [(&b"x-api-key"[..], issued.key.expose().as_bytes())];
            let credential = CredentialExtractor::any_text(CredentialSources::new()).extract(header).unwrap();
            prop_assert_eq!(format!("{credential:?}"), "Credential(..)");
            // Of a presented key only the id, which is public.
            let key = format.parse(issued.key.expose().as_bytes()).unwrap();
            let id = issued.record.id;
            let expected = format!("PresentedKey {{ claimed_id: Some(KeyId({id})), .. }}");
            prop_assert_eq!(format!("{key:?}"), expected);
        }
        let digests = keys.each_ref().map(|key| format!("{:?}", key.record.digest));
        prop_assert_eq!(&digests[0], &digests[1]);
        let peppers = secrets.map(|secret| format!("{:?}", Pepper::new(1, &secret).unwrap()));
        prop_assert_eq!(&peppers[0], &peppers[1]);
        let checks = secrets.map(|secret| format!("{:?}", Checksum::keyed(&secret).unwrap()));
        prop_assert_eq!(&checks[0], &checks[1]);
        let opaque = KeyFormat::opaque("dt").unwrap();
        let lookups = seeds.map(|seed| {
            let issued = issue(&opaque, &none, &client(), &mut TestRng::seeded(seed), at(0)).unwrap();
            let key = opaque.parse(issued.key.expose().as_bytes()).unwrap();
            format!("{key:?} {:?}", key.lookup(&ring()))
        });
        prop_assert_eq!(&lookups[0], &lookups[1]);
    }
}

#[test]
fn f6_cve_2024_8365_an_event_or_a_failure_names_a_key_by_its_id_alone() {
    let mut service = Service::structured();
    let issued = service.issue(&client());
    let id = issued.record.id;
    let events = [
        issued.event.clone(),
        revoke(&issued.record, "leaked", at(0)).unwrap().event,
        suspend(&issued.record, at(0)).unwrap().event,
    ];
    for event in events {
        assert_eq!(event.key_id, Some(id));
        let printed = format!("{event:?}");
        assert!(printed.contains(id.as_str()) && !leaks(issued.key.expose(), 27, &printed));
    }
    // A failure before the proof names no key, not even the id that was claimed.
    let mut record = issued.record.clone();
    record.digest = Digest::sha256(b"another key");
    let wrong = service.ask_once(issued.key.expose(), &record, &Request::new());
    let denial = wrong.denial().unwrap();
    assert_eq!(
        (denial.cause(), denial.key_id()),
        (Cause::WrongSecret, None)
    );
    assert!(!format!("{denial:?}").contains(id.as_str()));
    // A failure after it names the id.
    let revoked = revoke(&issued.record, "", at(0)).unwrap().record;
    let refused = service.ask_once(issued.key.expose(), &revoked, &Request::new());
    assert_eq!(refused.denial().unwrap().key_id(), Some(&id));
    // The key's state and rights are not part of what the sender can read.
    let body = respond(refused.denial().unwrap(), StatusPolicy::Rfc9110, None).body;
    assert!(!body.contains(id.as_str()) && !body.contains("Acme"));
}

#[test]
fn f8_cve_2026_64859_a_listing_shows_neither_key_nor_digest() {
    for (name, mut service) in Service::all() {
        let request = client().metadata(r#"{"note":"internal"}"#).unwrap();
        let issued = service.issue(&request);
        let digest = issued.record.digest.to_string();
        let digits = &digest[digest.len() - 64..];
        for shown in [
            format!("{:?}", issued.record.public()),
            format!("{:#?}", issued.record),
        ] {
            assert!(shown.contains(issued.record.id.as_str()), "{name}");
            assert!(
                !shown.contains(&digits[..8]) && !shown.contains("internal"),
                "{name}"
            );
            // The 32 bytes are not printed as a list either.
            let bytes = issued.record.digest.bytes();
            let list = format!("{}, {}, {}", bytes[0], bytes[1], bytes[2]);
            assert!(!shown.contains(&list), "{name}");
        }
        // The part of a key that may be shown is too short to guess the rest from.
        let rest = issued.key.expose().len() - issued.record.key_prefix.len();
        assert!(rest >= 49, "{name}");
    }
}

#[test]
fn f9_pypi_a_key_is_found_in_a_binary_and_told_from_what_is_none() {
    // A scanner that knows the prefix finds candidates in any file, and discards those
    // whose check is wrong.
    let mut service = Service::structured();
    let keys: Vec<_> = (0..20).map(|_| service.issue(&client()).key).collect();
    let mut rng = TestRng::seeded(11);
    let mut file: Vec<u8> = Vec::new();
    for key in &keys {
        file.extend((0..997).map(|_| rng.next_u64() as u8));
        file.extend_from_slice(key.expose().as_bytes());
        // A placeholder in the right shape, as in documentation.
        file.extend_from_slice(b"\0acme_live_1AbCdEfGhIjKlMnO_");
        file.extend([b'x'; 49]);
    }
    let found: Vec<&[u8]> = (0..file.len())
        .filter(|start| file[*start..].starts_with(b"acme_"))
        .filter_map(|start| {
            let candidate = file.get(start..start + 76)?;
            service.format.parse(candidate).map(|_| candidate)
        })
        .collect();
    assert!(
        found
            .iter()
            .copied()
            .eq(keys.iter().map(|key| key.expose().as_bytes()))
    );
}

#[test]
fn d9_cve_2026_53603_a_record_has_no_field_for_a_key() {
    for (name, mut service) in Service::all() {
        let issued = service.issue(&client());
        // Every text of a record, and the one value that is derived from the key: its
        // digest.
        let record = &issued.record;
        let texts = [
            record.id.to_string(),
            record.digest.to_string(),
            record.key_prefix.to_string(),
            record.client_name.to_string(),
            format!("{:?}", record.permissions),
        ];
        let from = if service.format.is_structured() {
            issued.key.expose().len() - 49
        } else {
            10
        };
        for text in texts {
            assert!(!leaks(issued.key.expose(), from, &text), "{name}: {text}");
        }
        let lookup = service
            .verifier
            .parse(issued.key.expose().as_bytes())
            .unwrap();
        match service.verifier.lookup(&lookup) {
            Lookup::Id(id) => assert_eq!(id, record.id),
            Lookup::Digests(digests) => assert!(digests.iter().any(|d| *d == record.digest)),
            _ => panic!("a third way to look up"),
        }
    }
}
