//! Attacks on the way from a credential to a lookup, and on distinguishing keys from
//! outside. Each test answers a flaw that was found elsewhere and has its number. B12 is
//! in `key_text.rs`.

use crate::common::service::{Service, at, client};
use keystile::{
    Cause, Checksum, CredentialExtractor, CredentialSources, Decision, Denial, DenialCode,
    EndpointRules, ErrorKind, IssueRequest, KeyFormat, KeyId, Lookup, Pepper, PermissionSet,
    Request, StatusPolicy, Usage, Verifier, respond, revoke,
};

#[test]
fn b2_cve_2020_36569_an_empty_or_short_secret_is_no_configuration() {
    for secret in [&b""[..], b"x", &[7; 31]] {
        assert_eq!(
            Pepper::new(1, secret).unwrap_err().kind(),
            ErrorKind::Digest
        );
    }
    for secret in [&b""[..], b"x", &[7; 15]] {
        assert_eq!(
            Checksum::keyed(secret).unwrap_err().kind(),
            ErrorKind::Format
        );
    }
    assert!(KeyFormat::structured("").is_err() && KeyFormat::opaque("").is_err());
    assert!(IssueRequest::new("").is_err());
    assert!(CredentialSources::new().with_header("").is_err());
}

#[test]
fn b7_cve_2026_42208_a_store_never_sees_what_was_presented() {
    let texts = [
        "' OR 1=1 --",
        "1' UNION SELECT '",
        "%'%%",
        "_'_",
        "x'); DROP TABLE api_keys; --",
    ];
    for (name, mut service) in Service::all() {
        for text in texts {
            let tail = &format!("acme_live_1AbCdEfGhIjKlMnO_{text}");
            for text in [text, tail] {
                let refused = service.verifier.parse(text.as_bytes()).unwrap_err();
                assert_eq!(refused.cause(), Cause::Malformed, "{name}");
                assert!(!format!("{refused:?}").contains(text));
            }
        }
        let issued = service.issue(&client());
        let secret = &issued.key.expose()[issued.key.expose().len() - 49..];
        let key = service
            .verifier
            .parse(issued.key.expose().as_bytes())
            .unwrap();
        match service.verifier.lookup(&key) {
            Lookup::Id(id) => {
                assert!(id.as_str().chars().all(|c| c.is_ascii_alphanumeric()));
                assert!(!secret.contains(id.as_str()));
            }
            Lookup::Digests(candidates) => {
                let texts = candidates.iter().map(ToString::to_string);
                let legal = |c: char| c.is_ascii_alphanumeric() || c == ':' || c == '-';
                texts.for_each(|text| assert!(text.chars().all(legal) && !text.contains(secret)));
            }
            _ => panic!("a third way to look up"),
        }
    }
}

#[test]
fn b8_sanctum_417_a_malformed_id_never_reaches_the_store() {
    let id = "1AbCdEfGhIjKlMnO";
    let bad = [
        "1|",
        "|x",
        "a|b",
        "1|x|y",
        "",
        "1",
        "1 OR 1",
        "１AbCdEfGhIjKlMn",
        "-1",
        "NaN",
    ];
    for text in bad {
        assert_eq!(
            text.parse::<KeyId>().unwrap_err().kind(),
            ErrorKind::KeyId,
            "{text:?}"
        );
        let service = Service::structured();
        let key = format!("acme_live_{text}_{}", "x".repeat(49));
        assert_eq!(
            service.verifier.parse(key.as_bytes()).unwrap_err().cause(),
            Cause::Malformed
        );
    }
    for (place, byte) in (0..16).flat_map(|place| (0..=u8::MAX).map(move |byte| (place, byte))) {
        let mut bytes = *id.as_bytes().first_chunk::<16>().unwrap();
        bytes[place] = byte;
        let legal = if place == 0 {
            byte == b'1'
        } else {
            byte.is_ascii_alphanumeric()
        };
        assert_eq!(
            KeyId::from_bytes(&bytes).is_ok(),
            legal,
            "{}",
            bytes.escape_ascii()
        );
    }
}

#[test]
fn b14_ghsa_r277_6w6q_xmqw_nothing_accepts_by_default() {
    let mut service = Service::structured();
    let issued = service.issue(&client());
    let key = issued.key.expose().as_bytes();
    // The defaults of everything that has one, and no record.
    let verifier = Verifier::new(KeyFormat::any_structured());
    let parsed = verifier.parse(key).unwrap();
    let (request, mut usage) = (Request::default(), Usage::default());
    let decision = keystile::verify(&verifier, &parsed, None, &request, &mut usage, at(1));
    assert!(!decision.is_allow());
    assert!(
        CredentialExtractor::any_text(CredentialSources::new())
            .extract([])
            .is_err()
    );
    assert!(PermissionSet::default().is_empty() && EndpointRules::default().is_empty());
    // The record of another key counts as none, and so does one with only the same id or
    // only the same digest.
    let other = service.issue(&client()).record;
    let mut same_id = other.clone();
    same_id.id = issued.record.id;
    let mut renamed = issued.record.clone();
    renamed.id = other.id;
    for record in [other, same_id, renamed] {
        assert!(
            !service
                .ask(key, Some(&record), &request, &mut usage, at(1))
                .is_allow()
        );
    }
}

#[test]
fn c1_fastify_bearer_auth_7_a_key_is_found_by_its_digest_or_id_and_never_by_its_text() {
    let mut service = Service::opaque();
    let issued = service.issue(&client());
    let key = service
        .verifier
        .parse(issued.key.expose().as_bytes())
        .unwrap();
    let Lookup::Digests(digests) = service.verifier.lookup(&key) else {
        panic!("an id")
    };
    assert!(digests.iter().eq([&issued.record.digest]));
    // A near miss finds nothing near: the whole digest is different.
    let mut near = issued.key.expose().to_string();
    let last = if near.ends_with('0') { '1' } else { '0' };
    near.pop();
    near.push(last);
    let key = service.verifier.parse(near.as_bytes()).unwrap();
    let Lookup::Digests(others) = service.verifier.lookup(&key) else {
        panic!("an id")
    };
    let other = others.iter().next().unwrap().bytes();
    let pairs = other.iter().zip(issued.record.digest.bytes());
    let bits: u32 = pairs.map(|(a, b)| (a ^ b).count_ones()).sum();
    assert!((64..192).contains(&bits), "{bits} bits differ");
}

#[test]
fn c8_unknown_wrong_and_malformed_keys_are_one_outcome_outside() {
    let mut service = Service::structured();
    let issued = service.issue(&client());
    let impostor = service.issue(&client()).key;
    let mut usage = Usage::default();
    let revoked = revoke(&issued.record, "leaked", at(0)).unwrap().record;
    let mut expired = issued.record.clone();
    expired.expires_at = Some(at(0));
    let mut peppered = issued.record.clone();
    peppered.digest = crate::common::service::ring().digest(issued.key.expose().as_bytes());
    // A wrong secret gets the same answer whatever the key's state.
    let parsed = service.verifier.parse(impostor.expose().as_bytes());
    let impostor_id = *parsed.unwrap().claimed_id().unwrap();
    let mut wrong = Vec::new();
    for record in [&issued.record, &revoked, &expired] {
        let mut record = record.clone();
        record.id = impostor_id;
        wrong.push((impostor.expose().to_string(), Some(record)));
    }
    wrong.push((issued.key.expose().to_string(), None));
    wrong.push((
        issued.key.expose()[1..].to_string(),
        Some(issued.record.clone()),
    ));
    let mut causes = Vec::new();
    let mut bodies = Vec::new();
    for (text, record) in wrong {
        let request = Request::new();
        let bytes = text.as_bytes();
        let decision = service.ask(bytes, record.as_ref(), &request, &mut usage, at(1));
        let Decision::Deny(denial) = decision else {
            panic!("allowed")
        };
        assert_eq!(
            denial.key_id(),
            None,
            "nothing is disclosed before the secret is verified"
        );
        causes.push(denial.cause());
        bodies.push(
            [StatusPolicy::Rfc9110, StatusPolicy::Express].map(|p| respond(&denial, p, None)),
        );
    }
    assert!(bodies.iter().all(|body| *body == bodies[0]));
    // The audit log distinguishes them.
    let distinct = [Cause::WrongSecret, Cause::UnknownKey, Cause::Malformed];
    assert!(
        distinct.iter().all(|cause| causes.contains(cause)),
        "{causes:?}"
    );

    // If the pepper is missing, no one can know whether the secret is right: that is no
    // denial of the key, and the same answer for any secret and state.
    let mut peppered_and_revoked = peppered.clone();
    peppered_and_revoked.status = revoked.status.clone();
    let mut claimed = peppered.clone();
    claimed.id = impostor_id;
    let unknown = [
        (issued.key.expose(), &peppered),
        (issued.key.expose(), &peppered_and_revoked),
        (impostor.expose(), &claimed),
    ];
    for (text, record) in unknown {
        let (bytes, request) = (text.as_bytes(), Request::new());
        let decision = service.ask(bytes, Some(record), &request, &mut usage, at(1));
        let denial = decision.denial().expect("never allowed");
        assert_eq!(*denial, Denial::new(Cause::PepperUnavailable));
        assert_eq!(denial.code(), DenialCode::PepperUnavailable);
        for policy in [StatusPolicy::Rfc9110, StatusPolicy::Express] {
            let response = respond(denial, policy, None);
            assert_eq!(response.status, 503);
            assert!(
                !response
                    .headers
                    .iter()
                    .any(|(name, _)| *name == "retry-after")
            );
        }
    }
}
