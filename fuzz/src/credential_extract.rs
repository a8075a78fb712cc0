//! One credential is read from any headers, or none, and never one that was not sent.
//!
//! The first byte holds options: Basic, a header, whether only keys of a format are read. The rest are lines, each a header: a name, a colon, a
//! value.

use keystile::{
    Cause, CredentialExtractor, CredentialSources, Denial, DenialCode, KeyFormat, Verifier,
};

pub fn run(data: &[u8]) {
    let (options, lines) = data.split_first().unwrap_or((&0, &[]));
    let (basic, own) = (options & 1 == 1, options & 2 == 2);
    let mut sources = CredentialSources::new();
    if basic {
        sources = sources.with_basic();
    }
    if own {
        sources = sources.with_header("Own-Key").unwrap();
    }
    let format = (options & 4 == 4).then(|| KeyFormat::opaque("k").unwrap().with_random_bytes(16));
    let format = format.map(Result::unwrap);
    let rules = match &format {
        Some(format) => CredentialExtractor::new(sources, &Verifier::new(format.clone())),
        None => CredentialExtractor::any_text(sources),
    };
    let headers: Vec<(&[u8], &[u8])> = lines
        .split(|byte| *byte == b'\n')
        .map(|line| {
            let colon = line.iter().position(|byte| *byte == b':');
            let (name, value) = line.split_at(colon.unwrap_or(line.len()));
            (name, value.get(1..).unwrap_or_default())
        })
        .collect();

    let found = extract(&rules, &headers);
    // Every credential in the headers, one by one.
    let each: Vec<_> = headers
        .iter()
        .map(|header| extract(&rules, &[*header]))
        .collect();
    let mut whole: Vec<&Vec<u8>> = each.iter().flatten().collect();
    whole.dedup();
    let alien = |cause| each.contains(&Err(cause));
    match &found {
        Ok(key) => {
            assert!(whole.iter().all(|other| *other == key) && !whole.is_empty());
            assert!((1..=256).contains(&key.len()));
            assert!(key.iter().all(u8::is_ascii_graphic));
            assert!(
                format.is_none_or(|format| format.parse(key).is_some()),
                "it has no check"
            );
            agrees_with_any_source(&rules, key);
        }
        Err(Cause::ConflictingCredentials) => assert!(whole.len() > 1),
        Err(cause) => {
            assert!(whole.is_empty());
            let expected = match (alien(Cause::Malformed), alien(Cause::Alien)) {
                (true, _) => Cause::Malformed,
                (false, true) => Cause::Alien,
                (false, false) => Cause::MissingCredential,
            };
            assert_eq!(*cause, expected);
        }
    }
    // The order of headers makes no difference.
    let reversed: Vec<_> = headers.iter().rev().copied().collect();
    assert_eq!(extract(&rules, &reversed), found);
    if !basic && options & 4 == 0 {
        each.iter().zip(&headers).for_each(|(read, header)| {
            assert_eq!(*read, naive(own, *header));
        });
    }
}

fn extract(rules: &CredentialExtractor, headers: &[(&[u8], &[u8])]) -> Result<Vec<u8>, Cause> {
    let found = rules.extract(headers.iter().copied());
    let cause = |denial: Denial| {
        assert!(denial.key_id().is_none() && denial.quota().is_none());
        assert!(matches!(
            denial.code(),
            DenialCode::MissingCredential
                | DenialCode::ConflictingCredentials
                | DenialCode::InvalidKey
        ));
        denial.cause()
    };
    found
        .map(|credential| {
            assert_eq!(format!("{credential:?}"), "Credential(..)");
            credential.as_bytes().to_vec()
        })
        .map_err(cause)
}

/// The same key from another header is the same key.
fn agrees_with_any_source(rules: &CredentialExtractor, key: &[u8]) {
    let bearer = [b"BEARER \t ", key].concat();
    let sources: [(&[u8], &[u8]); 2] = [(b"x-api-key", key), (b"Authorization", &bearer)];
    for headers in [&sources[..1], &sources[1..], &sources] {
        assert_eq!(extract(rules, headers).as_deref(), Ok(key));
    }
}

/// The credential in one header, without HTTP Basic.
fn naive(own: bool, (name, value): (&[u8], &[u8])) -> Result<Vec<u8>, Cause> {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let (value, alien) = match name.to_ascii_lowercase().as_slice() {
        b"x-api-key" => (value, Cause::Malformed),
        b"own-key" if own => (value, Cause::Malformed),
        b"authorization" => {
            let start = value.iter().take(512).take_while(|b| blank(b)).count();
            let value = &value[start..];
            match value.get(..6) {
                Some(scheme)
                    if scheme.eq_ignore_ascii_case(b"bearer") && value.get(6).is_none_or(blank) =>
                {
                    (value.get(7..).unwrap_or_default(), Cause::Alien)
                }
                _ => return Err(Cause::MissingCredential),
            }
        }
        _ => return Err(Cause::MissingCredential),
    };
    if value.len() > 512 {
        return Err(alien);
    }
    let start = value.iter().take_while(|b| blank(b)).count();
    let end = value.iter().rev().take_while(|b| blank(b)).count();
    match value.get(start..value.len() - end).unwrap_or_default() {
        [] => Err(Cause::MissingCredential),
        key if key.len() <= 256 && key.iter().all(|b| (0x21..=0x7E).contains(b)) => {
            Ok(key.to_vec())
        }
        _ => Err(alien),
    }
}
