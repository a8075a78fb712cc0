//! Attacks on the headers that carry a key. Each test answers a flaw that was found
//! elsewhere and has its number.

use crate::common::service::{Service, at, client};
use keystile::{Cause, CredentialExtractor, CredentialSources, Denial, DenialCode, Request, Usage};

/// The result for some headers: a credential, or why there is none.
fn read(rules: &CredentialExtractor, headers: &[(&str, &[u8])]) -> Result<Vec<u8>, Cause> {
    let headers = headers
        .iter()
        .map(|(name, value)| (name.as_bytes(), *value));
    let read = rules.extract(headers);
    read.map(|credential| credential.as_bytes().to_vec())
        .map_err(|denial| denial.cause())
}

fn read_one(name: &str, value: &str) -> Result<Vec<u8>, Cause> {
    read(
        &CredentialExtractor::any_text(CredentialSources::new()),
        &[(name, value.as_bytes())],
    )
}

#[test]
fn b1_cve_2023_48312_an_empty_token_is_a_missing_one() {
    let blanks = ["", " ", "\t", "  \t ", "\t\t"];
    for blank in blanks {
        assert_eq!(
            read_one("X-API-Key", blank),
            Err(Cause::MissingCredential),
            "{blank:?}"
        );
        let bearer = format!("Bearer{blank}");
        let read = read_one("Authorization", &bearer);
        assert_eq!(read, Err(Cause::MissingCredential), "{bearer:?}");
    }
    // An empty text that comes by another way is not a key and is not looked up.
    for (_, service) in Service::all() {
        assert_eq!(
            service.verifier.parse(b"").unwrap_err().cause(),
            Cause::Malformed
        );
    }
}

type Headers<'h> = &'h [(&'h str, &'h str)];

#[test]
fn b3_forty_headers_are_read_as_the_rules_say() {
    const KEY: &str = "acme_live_key";
    let key = || Ok(KEY.as_bytes().to_vec());
    let missing = || Err(Cause::MissingCredential);
    let malformed = || Err(Cause::Malformed);
    let alien = || Err(Cause::Alien);
    let conflict = || Err(Cause::ConflictingCredentials);
    let bearer = "Authorization";
    let own = "X-API-Key";
    let long = "k".repeat(257);
    let table: [(Headers<'_>, Result<Vec<u8>, Cause>); 45] = [
        (&[], missing()),
        (&[(own, KEY)], key()),
        (&[("x-api-key", KEY)], key()),
        (&[("X-Api-KEY", KEY)], key()),
        (&[(own, " acme_live_key")], key()),
        (&[(own, "\tacme_live_key \t")], key()),
        (&[(own, "Bearer acme_live_key")], malformed()),
        (&[(own, "acme_live_key acme_live_key")], malformed()),
        (&[(own, "acme_live\u{0}_key")], malformed()),
        (&[(own, "acmé_live_key")], malformed()),
        (&[(own, &long)], malformed()),
        (&[(own, &long[1..])], Ok(long.as_bytes()[1..].to_vec())),
        (&[("X_API_Key", KEY)], missing()),
        (&[("X-API-Keys", KEY)], missing()),
        (&[("XX-API-Key", KEY)], missing()),
        (&[("X-API-Key ", KEY)], missing()),
        (&[("", KEY)], missing()),
        (&[("Cookie", KEY)], missing()),
        (&[("X-Auth-Token", KEY)], missing()),
        (
            &[("Proxy-Authorization", "Bearer acme_live_key")],
            missing(),
        ),
        (&[(bearer, "Bearer acme_live_key")], key()),
        (&[(bearer, "bearer acme_live_key")], key()),
        (&[(bearer, "BEARER acme_live_key")], key()),
        (&[(bearer, "bEaReR\tacme_live_key")], key()),
        (&[(bearer, "Bearer    acme_live_key  ")], key()),
        (&[(bearer, "  Bearer acme_live_key")], key()),
        (&[(bearer, "Bearer: acme_live_key")], missing()),
        (&[(bearer, "Beareracme_live_key")], missing()),
        (&[(bearer, "Bearer")], missing()),
        (&[(bearer, "Bearer Bearer acme_live_key")], alien()),
        (&[(bearer, "Bearer acme_live_key, Bearer other")], alien()),
        (&[(bearer, "Token acme_live_key")], missing()),
        (&[(bearer, "acme_live_key")], missing()),
        (&[(bearer, "Digest username=\"Bearer x\"")], missing()),
        (&[(bearer, "")], missing()),
        (&[(own, KEY), (bearer, "Bearer acme_live_key")], key()),
        (&[(own, KEY), (own, KEY), (own, KEY)], key()),
        (&[(own, KEY), (bearer, "Bearer other")], conflict()),
        (&[(bearer, "Bearer other"), (own, KEY)], conflict()),
        (&[(own, KEY), (own, "other")], conflict()),
        (&[(own, KEY), (own, "ACME_LIVE_KEY")], conflict()),
        (&[(own, KEY), (bearer, "Token other")], key()),
        (&[(own, KEY), (own, "")], key()),
        (&[(own, KEY), (bearer, "Bearer é")], key()),
        (&[(own, "é"), (bearer, "Bearer é")], malformed()),
    ];
    for (headers, expected) in table {
        let bytes: Vec<_> = headers.iter().map(|(n, v)| (*n, v.as_bytes())).collect();
        assert_eq!(
            read(
                &CredentialExtractor::any_text(CredentialSources::new()),
                &bytes
            ),
            expected,
            "{headers:?}"
        );
    }
}

#[test]
fn b4_owncast_3376_the_scheme_is_read_in_any_case_and_the_token_as_it_is() {
    for bits in 0..64u32 {
        let scheme: String = "bearer"
            .char_indices()
            .map(|(at, c)| {
                if bits >> at & 1 == 1 {
                    c.to_ascii_uppercase()
                } else {
                    c
                }
            })
            .collect();
        for spaces in 1..4 {
            let value = format!("{scheme}{}aBc_1", " ".repeat(spaces));
            assert_eq!(
                read_one("authorization", &value),
                Ok(b"aBc_1".to_vec()),
                "{value:?}"
            );
        }
    }
}

#[test]
fn b5_rustsec_2026_0174_no_byte_of_a_header_does_harm() {
    let mut service = Service::structured();
    let issued = service.issue(&client());
    let key = issued.key.expose().as_bytes();
    let bearer = [b"Bearer ", key].concat();
    for (name, value) in [("X-API-Key", key), ("Authorization", &bearer)] {
        for (place, byte) in (0..value.len()).flat_map(|p| (0..=u8::MAX).map(move |b| (p, b))) {
            let mut changed = value.to_vec();
            changed[place] = byte;
            // Only what reads as the key itself passes: the key unchanged, the scheme in
            // another case, or a tab instead of the space after it.
            let outcome = read(
                &CredentialExtractor::any_text(CredentialSources::new()),
                &[(name, &changed)],
            );
            let same = outcome.as_deref() == Ok(key);
            let spelled = changed.eq_ignore_ascii_case(&bearer) || changed[6] == b'\t';
            let expected = changed == value || (name == "Authorization" && place < 7 && spelled);
            assert_eq!(same, expected, "{}", changed.escape_ascii());
            if let Ok(credential) = outcome {
                assert!(credential.iter().all(u8::is_ascii_graphic));
                let record = Some(&issued.record);
                let mut usage = Usage::of(&issued.record);
                let request = Request::new();
                let decision = service.ask(&credential, record, &request, &mut usage, at(1));
                assert_eq!(decision.is_allow(), same);
            }
            changed.insert(place, byte);
            let longer = read(
                &CredentialExtractor::any_text(CredentialSources::new()),
                &[(name, &changed)],
            );
            if longer.is_ok_and(|credential| credential == key) {
                assert!(byte.is_ascii_whitespace(), "{}", changed.escape_ascii());
            }
        }
    }
}

#[test]
fn b6_rustsec_2026_0229_a_long_value_is_refused_before_it_is_looked_through() {
    // A key follows so much white space, and no one gets to see it.
    let long = [vec![b' '; 16 << 20], b"Bearer acme_live_key".to_vec()].concat();
    assert_eq!(
        read(
            &CredentialExtractor::any_text(CredentialSources::new()),
            &[("X-API-Key", &long)]
        ),
        Err(Cause::Malformed)
    );
    let missing = read(
        &CredentialExtractor::any_text(CredentialSources::new()),
        &[("Authorization", &long)],
    );
    assert_eq!(
        missing,
        Err(Cause::MissingCredential),
        "no scheme within reach"
    );
    let token = [b"Bearer ".to_vec(), vec![b'k'; 16 << 20]].concat();
    let malformed = read(
        &CredentialExtractor::any_text(CredentialSources::new()),
        &[("Authorization", &token)],
    );
    assert_eq!(malformed, Err(Cause::Alien));
    for (_, service) in Service::all() {
        assert!(service.verifier.parse(&token).is_err());
    }
}

#[test]
fn b9_cve_2026_52845_an_underscore_in_a_header_name_is_no_hyphen() {
    for name in [
        "X_API_Key",
        "X-API_Key",
        "X_API-Key",
        "HTTP_X_API_KEY",
        "x.api.key",
    ] {
        assert_eq!(
            read_one(name, "k1"),
            Err(Cause::MissingCredential),
            "{name}"
        );
        let both = [("X-API-Key", &b"k2"[..]), (name, b"k1")];
        assert_eq!(
            read(
                &CredentialExtractor::any_text(CredentialSources::new()),
                &both
            ),
            Ok(b"k2".to_vec())
        );
    }
    let doubled = [("X-API-Key", &b"k1"[..]), ("x-api-key", b"k2")];
    assert_eq!(
        read(
            &CredentialExtractor::any_text(CredentialSources::new()),
            &doubled
        ),
        Err(Cause::ConflictingCredentials)
    );
}

#[cfg(feature = "basic")]
#[test]
fn b11_cve_2026_28699_basic_is_one_more_source_and_no_way_round_the_scopes() {
    let rules = CredentialExtractor::any_text(CredentialSources::new().with_basic());
    let basic = |value: &str| read(&rules, &[("Authorization", value.as_bytes())]);
    // `k1:` and `k1:secret`, as a command-line client sends them.
    assert_eq!(basic("Basic azE6"), Ok(b"k1".to_vec()));
    assert_eq!(basic("bASIC azE6c2VjcmV0"), Ok(b"k1".to_vec()));
    assert_eq!(basic("Basic azE="), Err(Cause::Alien), "no colon");
    assert_eq!(basic("Basic !!"), Err(Cause::Alien));
    assert_eq!(
        basic("Basic Og=="),
        Err(Cause::MissingCredential),
        "an empty name"
    );
    assert_eq!(
        read_one("Authorization", "Basic azE6"),
        Err(Cause::MissingCredential),
        "not asked for"
    );
    let both = [("Authorization", &b"Basic azE6"[..]), ("X-API-Key", b"k2")];
    assert_eq!(read(&rules, &both), Err(Cause::ConflictingCredentials));
    let same = [("Authorization", &b"Basic azE6"[..]), ("X-API-Key", b"k1")];
    assert_eq!(read(&rules, &same), Ok(b"k1".to_vec()));
}

#[test]
fn b15_cve_2026_33620_a_key_in_a_query_is_never_read() {
    for name in [
        ":path",
        "Referer",
        "X-Original-URI",
        "X-Forwarded-Uri",
        "Host",
        "Cookie",
    ] {
        let value = "/api/data?api_key=acme_live_key&access_token=acme_live_key";
        assert_eq!(
            read_one(name, value),
            Err(Cause::MissingCredential),
            "{name}"
        );
    }
    let mut service = Service::structured();
    let issued = service.issue(&client());
    let path = format!("/api/data?api_key={}", issued.key.expose());
    let request = Request::new().endpoint("GET", &path);
    let decision = service.ask_once(issued.key.expose(), &issued.record, &request);
    assert_eq!(
        decision.denial().map(Denial::code),
        Some(DenialCode::PathNotCanonical)
    );
    assert!(CredentialSources::new().with_header("Cookie").is_err());
}

#[test]
fn b16_two_different_credentials_are_refused_in_whatever_order_and_place() {
    let one = [
        ("X-API-Key", "k1"),
        ("Authorization", "Bearer k1"),
        ("X-Own", "k1"),
    ];
    let two = [
        ("X-API-Key", "k2"),
        ("Authorization", "Bearer k2"),
        ("X-Own", "k2"),
    ];
    let rules =
        CredentialExtractor::any_text(CredentialSources::new().with_header("X-Own").unwrap());
    for (first, second) in one.iter().flat_map(|a| two.iter().map(move |b| (a, b))) {
        for pair in [[first, second], [second, first]] {
            let headers = pair.map(|(name, value)| (*name, value.as_bytes()));
            assert_eq!(read(&rules, &headers), Err(Cause::ConflictingCredentials));
        }
    }
    for (first, second) in one.iter().flat_map(|a| one.iter().map(move |b| (a, b))) {
        let headers = [first, second].map(|(name, value)| (*name, value.as_bytes()));
        assert_eq!(read(&rules, &headers), Ok(b"k1".to_vec()));
    }
    // A list is not a credential: `k1,k2` is one text, and no key has it.
    let service = Service::structured();
    assert_eq!(read_one("X-API-Key", "k1,k2"), Ok(b"k1,k2".to_vec()));
    assert!(service.verifier.parse(b"k1,k2").is_err());
}
