//! The promises about input and output, P7 to P9, each by its number.

use core::hint::black_box;

use crate::common::service::{Service, at, client};
use keystile::{
    CredentialExtractor, CredentialSources, Decision, Digest, EndpointRules, Environment,
    KeyFormat, KeyId, Millis, PermissionSet, RateLimit, RateState, Request, Requirement,
    StatusPolicy, UnixMillis, Usage, inspect, respond, revoke,
};
use proptest::prelude::*;

#[test]
fn p7_the_decision_does_not_depend_on_where_the_key_was_read_from() {
    let sources = CredentialSources::new().with_header("X-Own").unwrap();
    #[cfg(feature = "basic")]
    let sources = sources.with_basic();
    let rules = CredentialExtractor::any_text(sources);
    let read = Requirement::parse("read").unwrap();
    for (name, mut service) in Service::all() {
        let issued = service.issue(&client());
        let revoked = revoke(&issued.record, "", at(0)).unwrap().record;
        let key = issued.key.expose();
        let wrong = service.issue(&client()).key;
        let mut mistyped = key.to_string().into_bytes();
        mistyped[key.len() - 9] ^= 1;
        let mistyped = String::from_utf8(mistyped).unwrap();
        for record in [None, Some(&issued.record), Some(&revoked)] {
            for text in [key, wrong.expose(), &mistyped, "nonsense"] {
                let bearer = format!("Bearer {text}");
                let spaced = format!("  bEARER   {text} ");
                let mut sources = vec![
                    ("X-API-Key", text),
                    ("x-api-key", text),
                    ("Authorization", &bearer),
                    ("AUTHORIZATION", &spaced),
                    ("x-own", text),
                ];
                #[cfg(feature = "basic")]
                let basic = format!("Basic {}", base64(format!("{text}:any").as_bytes()));
                #[cfg(feature = "basic")]
                sources.push(("Authorization", &basic));
                let decisions: Vec<Decision> = sources
                    .drain(..)
                    .map(|(header, value)| {
                        let header = [(header.as_bytes(), value.as_bytes())];
                        let credential = rules.extract(header).unwrap();
                        let mut usage = Usage::default();
                        let request = Request::new().requires(&read);
                        let bytes = credential.as_bytes();
                        service.ask(bytes, record, &request, &mut usage, at(1))
                    })
                    .collect();
                assert!(decisions.iter().all(|d| *d == decisions[0]), "{name}");
                let allowed = text == key && record == Some(&issued.record);
                assert_eq!(decisions[0].is_allow(), allowed, "{name}");
            }
        }
    }
}

/// RFC 4648, section 4, one bit group after another.
#[cfg(feature = "basic")]
fn base64(bytes: &[u8]) -> String {
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut group = [0; 3];
        group[..chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes([0, group[0], group[1], group[2]]);
        for place in 0..4 {
            let digit = (bits >> (18 - 6 * place) & 63) as usize;
            text.push(if place > chunk.len() {
                '='
            } else {
                char::from(alphabet.as_bytes()[digit])
            });
        }
    }
    text
}

#[test]
fn p8_nothing_secret_stands_in_any_output() {
    for (name, mut service) in Service::all() {
        let issued = service.issue(&client());
        let key = issued.key.expose().to_string();
        // Only the prefix may be shown; everything after the id is secret, and so are a
        // digest's digits.
        let secret = &key[key.len() - 30..];
        let digest = issued.record.digest.to_string();
        let digits = &digest[digest.len() - 64..];
        let parsed = service.verifier.parse(key.as_bytes()).unwrap();
        let header = [(&b"x-api-key"[..], key.as_bytes())];
        let mut usage = Usage::of(&issued.record);
        let mut outputs = vec![
            format!("{issued:?}"),
            format!("{:#?}", issued.record),
            format!("{:?}", issued.record.public()),
            format!("{:?} {:?}", issued.event, issued.key),
            format!("{parsed:?} {:?}", service.verifier.lookup(&parsed)),
            format!(
                "{:?}",
                CredentialExtractor::any_text(CredentialSources::new())
                    .extract(header)
                    .unwrap()
            ),
            format!("{:?} {:?}", service.verifier, service.format),
            format!("{:?}", inspect(&service.format, key.as_bytes())),
        ];
        let requirement = Requirement::parse("read AND write").unwrap();
        let request = Request::new().requires(&requirement);
        for record in [None, Some(&issued.record)] {
            for bytes in [key.as_bytes(), &key.as_bytes()[1..], &key.as_bytes()[..60]] {
                for request in [&Request::new(), &request] {
                    let decision = service.ask(bytes, record, request, &mut usage, at(1));
                    outputs.push(format!("{decision:?} {request:?}"));
                    if let Decision::Deny(denial) = decision {
                        let policy = StatusPolicy::Rfc9110;
                        outputs.push(format!(
                            "{:?}",
                            respond(&denial, policy, Some(&requirement))
                        ));
                    }
                }
            }
        }
        for output in outputs {
            assert!(!output.contains(secret), "{name}: {output}");
            assert!(!output.contains(&key[key.len() - 8..]), "{name}: {output}");
            assert!(!output.contains(digits), "{name}: {output}");
        }
    }
}

/// Bytes and texts that are close to what the parsers accept.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..600),
        "(Bearer |Basic |bearer\t)?acme_(live_)?1[0-9A-Za-z]{15}_[0-9A-Za-z]{49}"
            .prop_map(String::into_bytes),
        "dt_[0-9a-f]{64}".prop_map(String::into_bytes),
        "((GET,)*PUT )?(/([a-z]|[*.%;]|%2[eEfF])){0,6}/?".prop_map(String::into_bytes),
        "[()ANDOR a:*]{0,40}".prop_map(String::into_bytes),
        "((hmac-)?sha256:)?([0-9]{1,11}:)?[0-9a-fA-F]{60,66}".prop_map(String::into_bytes),
        "[0-9:.a-f]{0,20}/[0-9]{0,3}".prop_map(String::into_bytes),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    /// P9 is a promise of the C layer; this is what it is based on.
    #[test]
    fn p9_no_bytes_make_the_core_panic(
        names in proptest::collection::vec("(?i)x-api-key|authorization|x_api_key|[a-z]{0,8}", 3),
        values in proptest::collection::vec(nearly(), 3),
        texts in proptest::collection::vec(nearly(), 4),
        instant in any::<u64>(),
        bits in any::<u64>(),
    ) {
        let mut service = Service::structured();
        service.verifier = service.verifier.with_format(KeyFormat::any_opaque()).with_peppers(crate::common::service::ring());
        let issued = service.issue(&client());
        let sources = CredentialSources::new();
        #[cfg(feature = "basic")]
        let sources = sources.with_basic();
        let rules = CredentialExtractor::any_text(sources);
        let headers = names.iter().zip(&values).map(|(n, v)| (n.as_bytes(), v.as_slice()));
        let text: Vec<String> =
            texts.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect();
        let requirement = Requirement::parse(&text[0]).or_else(|_| Requirement::parse("a"));
        let requirement = requirement.unwrap();
        let mut record = issued.record.clone();
        record.permissions = PermissionSet::new([&text[1]]).unwrap_or_default();
        record.allowed_endpoints = EndpointRules::new([&text[2]]).ok();
        record.client_name = text[3].as_str().into();
        black_box(text[1].parse::<Digest>().is_ok());
        let (id, environment) = (text[2].parse::<KeyId>(), Environment::new(&text[3]));
        black_box(keystile::Networks::new([&text[2]]).is_ok());
        black_box((record.check().is_ok(), id.is_ok(), KeyFormat::structured(&text[0]).is_ok()));
        black_box(KeyFormat::like(&record).is_ok());
        let limit = RateLimit::with_burst(bits as u32, Millis::new(instant >> 20), bits as u32 / 3);
        record.rate_limit = limit.ok();
        let now = UnixMillis::new(instant).unwrap_or(at(0));
        let mut usage = Usage::new(RateState::from_bits(bits), Some(bits));

        let mut request = Request::new()
            .requires(&requirement)
            .endpoint_bytes(&texts[0], &texts[2]);
        if let Ok(environment) = &environment {
            request = request.environment(environment);
        }
        let mut answers = Vec::new();
        match rules.extract(headers) {
            Err(denial) => answers.push(Decision::Deny(denial)),
            Ok(credential) => {
                let bytes = credential.as_bytes();
                prop_assert!(bytes.len() <= 256 && bytes.is_ascii());
                answers.push(service.ask(bytes, Some(&record), &request, &mut usage, now));
            }
        }
        for bytes in &texts {
            black_box(inspect(&service.format, bytes));
            let decision = service.ask(bytes, Some(&record), &request, &mut usage, now);
            prop_assert!(!decision.is_allow());
            answers.push(decision);
        }
        // The key itself, so that the code after the proof is reached as well.
        let own = issued.key.expose().as_bytes();
        let key = service.verifier.parse(own).unwrap();
        black_box(service.verifier.lookup(&key));
        for permissions in [record.permissions.clone(), PermissionSet::new(["*"]).unwrap()] {
            record.permissions = permissions;
            record.allowed_endpoints = record.allowed_endpoints.filter(|_| bits % 2 == 0);
            answers.push(service.ask(own, Some(&record), &request, &mut usage, now));
        }
        for answer in answers {
            match answer {
                Decision::Allow(allowed) => {
                    black_box(keystile::allowed_headers(&allowed, now));
                }
                Decision::Deny(denial) => {
                    let response = respond(&denial, StatusPolicy::Express, Some(&requirement));
                    prop_assert!(response.status >= 400);
                }
            }
        }
    }
}
