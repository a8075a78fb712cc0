//! Credentials in header fields.

use keystile::{Carriers, CredentialExtractor, CredentialSources, Denial, Verifier};
use serde::Deserialize;

use crate::vectors::case::replay;
use crate::vectors::form::{Format, Repeat, bytes, hex, snake};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rules {
    defaults: bool,
    headers: Vec<String>,
    schemes: Vec<String>,
    basic: bool,
    formats: Option<Vec<Format>>,
}

impl Rules {
    pub(super) fn made(&self) -> CredentialExtractor {
        let mut sources = match self.defaults {
            true => CredentialSources::new(),
            false => CredentialSources::none(),
        };
        for name in &self.headers {
            sources = sources.with_header(name).unwrap();
        }
        for name in &self.schemes {
            sources = sources.with_scheme(name).unwrap();
        }
        if self.basic {
            sources = sources.with_basic();
        }
        let Some(formats) = &self.formats else {
            return CredentialExtractor::any_text(sources);
        };
        let (first, others) = formats.split_first().unwrap();
        let others = others.iter().map(Format::made);
        let verifier = others.fold(Verifier::new(first.made()), Verifier::with_format);
        CredentialExtractor::new(sources, &verifier)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Field {
    name: String,
    value: Option<String>,
    value_hex: Option<String>,
    value_repeat: Option<Repeat>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    rules: Rules,
    headers: Vec<Field>,
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
struct Presented {
    credential: Option<String>,
    carriers: Option<Vec<String>>,
    mixed: bool,
    guess: bool,
    cause: Option<String>,
    code: Option<String>,
}

#[test]
fn credentials() {
    replay("credentials.json", |_, input: Input| {
        let headers: Vec<(String, Vec<u8>)> = input
            .headers
            .into_iter()
            .map(|field| {
                let value = bytes(field.value, field.value_hex, field.value_repeat);
                (field.name, value)
            })
            .collect();
        let fields = headers
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_slice()));
        let rules = input.rules.made();
        let found = rules.extract(fields);
        let (denial, carriers) = (found.as_ref().err(), found.as_ref().ok());
        let carriers = carriers.map(|credential| credential.carriers());
        let names = |carriers| {
            rules
                .sources()
                .names_of(carriers)
                .map(str::to_owned)
                .collect()
        };
        Presented {
            carriers: carriers.map(names),
            mixed: carriers.is_some_and(Carriers::are_mixed),
            guess: denial.is_some_and(Denial::is_guess),
            cause: denial.map(|denial| snake(denial.cause())),
            code: denial.map(|denial| denial.code().as_str().to_owned()),
            credential: found
                .ok()
                .map(|credential| String::from_utf8(credential.as_bytes().to_vec()).unwrap()),
        }
    });
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SweepInput {
    header: String,
    before: String,
    behind: String,
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
struct Swept {
    part_hex: String,
    around_hex: String,
}

#[test]
fn b5_credential_sweeps() {
    replay("credential_sweeps.json", |name, input: SweepInput| {
        let (mut part, mut around) = (Vec::new(), Vec::new());
        let token = input.before.trim_start_matches("Bearer ").as_bytes();
        for byte in 0..=255 {
            let filled = [input.before.as_bytes(), &[byte], input.behind.as_bytes()].concat();
            let header = (input.header.as_bytes(), filled.as_slice());
            match CredentialExtractor::any_text(CredentialSources::new()).extract([header]) {
                Err(denial) => assert_eq!(denial.code().as_str(), "invalid_key", "{name}, {byte}"),
                Ok(found) if found.as_bytes() == [token, input.behind.as_bytes()].concat() => {
                    around.push(byte);
                }
                Ok(found) => {
                    let whole = [token, &[byte], input.behind.as_bytes()].concat();
                    assert_eq!(found.as_bytes(), whole, "{name}, {byte}");
                    part.push(byte);
                }
            }
        }
        Swept {
            part_hex: hex(&part),
            around_hex: hex(&around),
        }
    });
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NameInput {
    header: String,
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
struct Legal {
    legal: bool,
}

#[test]
fn header_names() {
    replay("header_names.json", |_, input: NameInput| Legal {
        legal: CredentialSources::new().with_header(&input.header).is_ok(),
    });
}

#[test]
fn p7_every_source_of_a_credential_gives_the_same_answer() {
    // The decision is a function of the bytes, so equal bytes give equal decisions.
    let basic = b"Basic YWNtZTp4".as_slice();
    let sources: [(&[u8], &[u8]); 4] = [
        (b"x-api-key", b"acme"),
        (b"authorization", b"Bearer acme"),
        (b"x-acme-key", b"acme"),
        (b"authorization", basic),
    ];
    let rules = CredentialExtractor::any_text(
        CredentialSources::new()
            .with_header("X-Acme-Key")
            .unwrap()
            .with_basic(),
    );
    for source in sources {
        let found: Result<_, Denial> = rules.extract([source]);
        assert_eq!(found.unwrap().as_bytes(), b"acme");
    }
}
