//! Parts that several topics share: bytes, key formats, peppers, names of errors.

use core::fmt::Debug;

use keystile::{Checksum, Error, KeyFormat, Pepper, PepperRing};
use serde::Deserialize;

/// A long text in few bytes: `before`, followed by `text` `times` times.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Repeat {
    before: String,
    text: String,
    times: usize,
}

/// The bytes of a field that is given as text, as hex or as a repetition.
pub(crate) fn bytes(text: Option<String>, hex: Option<String>, repeat: Option<Repeat>) -> Vec<u8> {
    match (text, hex, repeat) {
        (Some(text), None, None) => text.into_bytes(),
        (None, Some(hex), None) => unhex(&hex),
        (None, None, Some(repeat)) => {
            let mut bytes = repeat.before.into_bytes();
            bytes.extend(repeat.text.repeat(repeat.times).bytes());
            bytes
        }
        _ => panic!("bytes are given in one way"),
    }
}

pub(crate) fn unhex(hex: &str) -> Vec<u8> {
    assert!(hex.len().is_multiple_of(2));
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `CamelCase` of a kind, a cause or a decision as `snake_case`.
pub(crate) fn snake(name: impl Debug) -> String {
    let mut snake = String::new();
    for character in format!("{name:?}").chars() {
        if character.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(character.to_lowercase());
    }
    snake
}

/// The name of an error's kind, or none.
pub(crate) fn error_of<T>(result: Result<T, Error>) -> Option<String> {
    result.err().map(|error| snake(error.kind()))
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Format {
    Structured {
        prefix: String,
        checksum_key_hex: Option<String>,
    },
    AnyStructured {},
    Opaque {
        prefix: String,
        random_bytes: Option<u8>,
    },
    AnyOpaque {},
}

impl Format {
    pub(crate) fn made(&self) -> KeyFormat {
        match self {
            Self::AnyStructured {} => KeyFormat::any_structured(),
            Self::AnyOpaque {} => KeyFormat::any_opaque(),
            Self::Structured {
                prefix,
                checksum_key_hex,
            } => {
                let format = KeyFormat::structured(prefix).unwrap();
                match checksum_key_hex {
                    None => format,
                    Some(key) => format.with_checksum(checksum(Some(key))).unwrap(),
                }
            }
            Self::Opaque {
                prefix,
                random_bytes,
            } => {
                let format = KeyFormat::opaque(prefix).unwrap();
                match random_bytes {
                    None => format,
                    Some(count) => format.with_random_bytes(*count).unwrap(),
                }
            }
        }
    }
}

pub(crate) fn checksum(key_hex: Option<&String>) -> Checksum {
    key_hex.map_or(Checksum::Crc32, |hex| Checksum::keyed(&unhex(hex)).unwrap())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PepperForm {
    version: u32,
    secret_hex: String,
}

/// A ring of peppers, the current one first; an empty list means no pepper. `None` in the
/// place of the current one means that none is current.
pub(crate) fn ring(peppers: &[Option<PepperForm>]) -> Result<PepperRing, Error> {
    let made = |pepper: &PepperForm| Pepper::new(pepper.version, &unhex(&pepper.secret_hex));
    let mut known = peppers.iter().flatten();
    let Some(first) = known.next() else {
        return Ok(PepperRing::none());
    };
    let ring = known.try_fold(PepperRing::new(made(first)?), |ring, pepper| {
        ring.with_retired(made(pepper)?)
    })?;
    Ok(match peppers.first() {
        Some(None) => ring.without_current(),
        _ => ring,
    })
}
