//! Extraction equals an oracle that is written differently, over random headers in any order.

use std::collections::BTreeSet;

use keystile::{
    Cause, CredentialExtractor, CredentialSources, IssueRequest, Issuer, KeyFormat, Verifier,
};
use proptest::prelude::*;

use crate::common::service::at;
use crate::common::test_rng::TestRng;

/// What is sent in a header, before its bytes are made.
#[derive(Clone, Copy, Debug)]
enum Sent {
    Key(usize),
    Typo,
    Token(usize),
    Long,
    NotAscii,
    Empty,
}

/// How it is sent.
#[derive(Clone, Copy, Debug)]
enum Place {
    ApiKey,
    Custom,
    Bearer,
    Scheme,
    OtherScheme,
    OtherHeader,
}

fn sent() -> impl Strategy<Value = Sent> {
    prop_oneof![
        4 => (0..2usize).prop_map(Sent::Key),
        1 => Just(Sent::Typo),
        3 => (1..700usize).prop_map(Sent::Token),
        1 => Just(Sent::Long),
        1 => Just(Sent::NotAscii),
        1 => Just(Sent::Empty),
    ]
}

fn place() -> impl Strategy<Value = Place> {
    prop_oneof![
        Just(Place::ApiKey),
        Just(Place::Custom),
        Just(Place::Bearer),
        Just(Place::Scheme),
        Just(Place::OtherScheme),
        Just(Place::OtherHeader),
    ]
}

/// The name and value of a field.
fn field(place: Place, text: &[u8], blanks: &str) -> (&'static str, Vec<u8>) {
    let with = |scheme: &str| [scheme.as_bytes(), b" ", blanks.as_bytes(), text].concat();
    let bare = || [blanks.as_bytes(), text, blanks.as_bytes()].concat();
    match place {
        Place::ApiKey => ("x-API-key", bare()),
        Place::Custom => ("X-Acme-KEY", bare()),
        Place::Bearer => ("Authorization", with("BEARER")),
        Place::Scheme => ("authorization", with("api-key")),
        Place::OtherScheme => ("authorization", with("Negotiate")),
        Place::OtherHeader => ("x-other", bare()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn extraction_equals_the_oracle_in_any_order(
        fields in proptest::collection::vec((place(), sent(), "[ \t]{0,2}"), 0..6)
            .prop_flat_map(|fields| (Just(fields.clone()), Just(fields).prop_shuffle())),
        opaque: bool,
    ) {
        let format = if opaque { KeyFormat::opaque("acme") } else { KeyFormat::structured("acme") };
        let format = format.unwrap();
        let issuer = Issuer::new(format.clone());
        let mut rng = TestRng::seeded(7);
        let keys = [(); 2].map(|()| {
            let ask = IssueRequest::new("Acme").unwrap();
            issuer.issue(&ask, &mut rng, at(0)).unwrap().key.expose().as_bytes().to_vec()
        });
        let mut typo = keys[0].clone();
        let last = typo.last_mut().unwrap();
        *last = if *last == b'1' { b'2' } else { b'1' };
        let text = |sent| match sent {
            Sent::Key(which) => keys[which].clone(),
            Sent::Typo => typo.clone(),
            Sent::Token(length) => b"eyJh.".iter().copied().cycle().take(length).collect(),
            Sent::Long => [keys[0].clone(), vec![b' '; 600]].concat(),
            Sent::NotAscii => [&keys[0][..10], b"\xC3\xA9"].concat(),
            Sent::Empty => Vec::new(),
        };
        let sources = CredentialSources::new().with_header("X-Acme-Key").unwrap();
        let sources = sources.with_scheme("Api-Key").unwrap();
        let extractor = CredentialExtractor::new(sources.clone(), &Verifier::new(format));
        let (fields, shuffled) = fields;

        // The oracle asks what was sent, and never looks at bytes.
        let is_read = |place| !matches!(place, Place::OtherScheme | Place::OtherHeader);
        let read: Vec<_> = fields.iter().filter(|(place, ..)| is_read(*place)).collect();
        let is_key = |sent| matches!(sent, Sent::Key(_) | Sent::Typo);
        let found: BTreeSet<_> = read.iter().filter(|(_, sent, _)| is_key(*sent))
            .map(|(_, sent, _)| text(*sent)).collect();
        let aliens: Vec<Place> = read.iter()
            .filter(|(_, sent, _)| !is_key(*sent) && !matches!(sent, Sent::Empty))
            .map(|(place, ..)| *place).collect();
        let in_key_header = aliens.iter().any(|place| matches!(place, Place::ApiKey | Place::Custom));
        let expected = match (found.len(), in_key_header, aliens.is_empty()) {
            (1, ..) => Ok(found.first().unwrap().clone()),
            (2.., ..) => Err(Cause::ConflictingCredentials),
            (0, true, _) => Err(Cause::Malformed),
            (0, false, false) => Err(Cause::Alien),
            (0, false, true) => Err(Cause::MissingCredential),
        };
        let carrying: BTreeSet<&str> = read.iter().filter(|(_, sent, _)| is_key(*sent))
            .map(|(place, ..)| match place {
                Place::ApiKey => "X-API-Key",
                Place::Custom => "X-Acme-Key",
                _ => "Authorization",
            }).collect();

        for fields in [fields, shuffled] {
            let headers: Vec<_> = fields.iter()
                .map(|(place, sent, blanks)| (*sent, field(*place, &text(*sent), blanks)))
                .collect();
            let result = extractor.extract(
                headers.iter().map(|(_, (name, value))| (name.as_bytes(), value.as_slice())),
            );
            if let Ok(credential) = &result {
                let names = sources.names_of(credential.carriers());
                prop_assert_eq!(names.collect::<BTreeSet<_>>(), carrying.clone());
                for ((place, ..), (sent, (name, value))) in fields.iter().zip(&headers) {
                    let carries = extractor.carries_key(name.as_bytes(), value);
                    prop_assert_eq!(carries, is_read(*place) && is_key(*sent));
                }
            }
            let result = result.map(|credential| credential.as_bytes().to_vec());
            prop_assert_eq!(result.map_err(|denial| denial.cause()), expected.clone());
        }
    }
}
