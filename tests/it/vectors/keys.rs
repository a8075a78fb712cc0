//! Names, instants, key texts, checks, digests, and what a text is.

use keystile::{
    Digest, Environment, KeyFormat, KeyId, Lookup, Millis, Prefix, TemplateName, UnixMillis,
    Verifier, inspect,
};
use serde::Deserialize;

use crate::vectors::case::{read, replay};
use crate::vectors::form::{Format, PepperForm, Repeat, bytes, checksum, error_of, ring, snake};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LabelInput {
    kind: String,
    text: String,
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
struct Legal {
    legal: bool,
}

#[test]
fn labels() {
    replay("labels.json", |_, input: LabelInput| {
        let text = input.text.as_str();
        let legal = match input.kind.as_str() {
            "prefix" => Prefix::new(text).is_ok(),
            "environment" => Environment::new(text).is_ok(),
            "template_name" => TemplateName::new(text).is_ok(),
            "key_id" => text.parse::<KeyId>().is_ok(),
            other => panic!("no such kind: {other}"),
        };
        Legal { legal }
    });
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TimeInput {
    millis: String,
    plus_ms: String,
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
struct Sum {
    sum: Option<String>,
}

#[test]
fn times() {
    replay("times.json", |_, input: TimeInput| {
        let plus = Millis::new(input.plus_ms.parse().unwrap());
        let sum = UnixMillis::new(input.millis.parse().unwrap()).and_then(|at| at.plus(plus));
        Sum {
            sum: sum.ok().map(|sum| sum.get().to_string()),
        }
    });
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TextInput {
    format: Format,
    text: Option<String>,
    text_hex: Option<String>,
    text_repeat: Option<Repeat>,
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
struct Parsed {
    accepted: bool,
    key_id: Option<String>,
    environment: Option<String>,
}

#[test]
fn keys() {
    replay("keys.json", |name, input: TextInput| {
        let format = input.format.made();
        let text = bytes(input.text, input.text_hex, input.text_repeat);
        let key = format.parse(&text);
        let verifier = Verifier::new(format.clone());
        assert_eq!(verifier.parse(&text).is_ok(), key.is_some(), "{name}");
        // A parsed key does not expose its environment; `inspect` does.
        let found = inspect(&format, &text);
        Parsed {
            accepted: key.is_some(),
            key_id: key.and_then(|key| key.claimed_id().map(ToString::to_string)),
            environment: key
                .and(found.environment)
                .map(|environment| environment.to_string()),
        }
    });
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EditInput {
    format: Format,
    text: String,
    edit: String,
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
struct Edited {
    variants: usize,
    accepted: usize,
}

#[test]
fn b12_key_edits() {
    replay("key_edits.json", |_, input: EditInput| {
        let format = input.format.made();
        assert!(format.parse(input.text.as_bytes()).is_some());
        let (mut variants, mut accepted) = (0, 0);
        edits(input.text.as_bytes(), &input.edit, |changed| {
            variants += 1;
            accepted += usize::from(format.parse(changed).is_some());
        });
        Edited { variants, accepted }
    });
}

/// Every text that `text` becomes by one edit of this kind.
fn edits(text: &[u8], edit: &str, mut each: impl FnMut(&[u8])) {
    for at in 0..text.len() {
        let (before, behind) = (&text[..at], &text[at + 1..]);
        let own = text[at];
        match edit {
            "substitute" => (0..=255)
                .filter(|byte| *byte != own)
                .for_each(|byte| each(&[before, &[byte], behind].concat())),
            "delete" => each(&[before, behind].concat()),
            "truncate" => each(before),
            "behead" => each(if at == 0 { &[] } else { &text[at..] }),
            "flip_case" if own.is_ascii_alphabetic() => {
                each(&[before, &[own ^ 0x20], behind].concat());
            }
            "swap" => {
                if let Some((&next, rest)) = behind.split_first()
                    && next != own
                {
                    each(&[before, &[next, own], rest].concat());
                }
            }
            "insert" | "flip_case" => {}
            other => panic!("no such edit: {other}"),
        }
    }
    if edit == "insert" {
        for at in 0..=text.len() {
            let (before, behind) = text.split_at(at);
            (0..=255).for_each(|byte| each(&[before, &[byte], behind].concat()));
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChecksumInput {
    covered: String,
    checksum_key_hex: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Check {
    value: u64,
    check: String,
}

#[test]
fn checksums() {
    let alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    for case in read("checksums.json") {
        let (name, input, expected) = case.typed::<ChecksumInput, Check>();
        let value = expected.check.chars().fold(0, |value, digit| {
            value * 62 + u64::try_from(alphabet.find(digit).unwrap()).unwrap()
        });
        assert_eq!(value, expected.value, "{name}");
        let checksum = checksum(input.checksum_key_hex.as_ref());
        let format = KeyFormat::any_structured().with_checksum(checksum).unwrap();
        let reads = |check: &str| {
            let text = format!("{}{check}", input.covered);
            format.parse(text.as_bytes()).is_some()
        };
        assert!(reads(&expected.check), "{name}");
        // Of all texts near it, only the right check is accepted.
        for (at, digit) in expected.check.char_indices() {
            for other in alphabet.chars().filter(|other| *other != digit) {
                let mut wrong = expected.check.clone();
                wrong.replace_range(at..=at, &other.to_string());
                assert!(!reads(&wrong), "{name}, {wrong}");
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DigestInput {
    text: Option<String>,
    text_hex: Option<String>,
    peppers: Vec<Option<PepperForm>>,
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
struct Digested {
    digest: Option<String>,
    error: Option<String>,
}

#[test]
fn digests() {
    replay("digests.json", |_, input: DigestInput| {
        let text = bytes(input.text, input.text_hex, None);
        let digest = ring(&input.peppers).map(|ring| ring.digest(&text));
        Digested {
            digest: digest.ok().map(String::from),
            error: error_of(digest),
        }
    });
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredInput {
    text: String,
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
struct Stored {
    digest: Option<String>,
}

#[test]
fn digest_texts() {
    replay("digest_texts.json", |name, input: StoredInput| {
        let digest = input.text.parse::<Digest>().ok();
        if let Some(digest) = digest {
            assert!(digest.to_string().parse() == Ok(digest), "{name}");
        }
        Stored {
            digest: digest.map(|digest| digest.to_string()),
        }
    });
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LookupInput {
    format: Format,
    text: String,
    peppers: Vec<Option<PepperForm>>,
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
struct LookedUp {
    key_id: Option<String>,
    digests: Vec<String>,
}

#[test]
fn lookups() {
    replay("lookups.json", |_, input: LookupInput| {
        let format = input.format.made();
        let key = format.parse(input.text.as_bytes()).unwrap();
        match key.lookup(&ring(&input.peppers).unwrap()) {
            Lookup::Id(id) => LookedUp {
                key_id: Some(id.to_string()),
                digests: Vec::new(),
            },
            Lookup::Digests(candidates) => LookedUp {
                key_id: None,
                digests: candidates.iter().map(ToString::to_string).collect(),
            },
            other => panic!("another kind of lookup: {other:?}"),
        }
    });
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
struct Inspected {
    finding: String,
    environment: Option<String>,
    key_id: Option<String>,
}

#[test]
fn inspections() {
    replay("inspections.json", |name, input: TextInput| {
        let text = bytes(input.text, input.text_hex, input.text_repeat);
        let found = inspect(&input.format.made(), &text);
        assert!(!found.finding.hint().is_empty(), "{name}");
        Inspected {
            finding: snake(found.finding),
            environment: found.environment.map(|environment| environment.to_string()),
            key_id: found.key_id.map(|id| id.to_string()),
        }
    });
}
