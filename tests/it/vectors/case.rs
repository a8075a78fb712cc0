//! An entry of a vector file: it is read strictly, replayed and compared.

use core::fmt::Debug;
use std::fs;
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// The common form of a vector file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    description: String,
    cases: Vec<Map<String, Value>>,
}

/// An entry whose inputs and outcome have not been read yet.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) why: String,
    pub(crate) attack: Option<String>,
    inputs: Value,
    expected: Value,
}

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

/// The names of the vector files, in order.
pub(crate) fn files() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".json"))
        .collect();
    names.sort();
    names
}

/// The entries of a file.
pub(crate) fn read(file: &str) -> Vec<Case> {
    let text = fs::read_to_string(directory().join(file)).unwrap();
    let file: File = serde_json::from_str(&text).unwrap();
    assert!(!file.description.is_empty());
    file.cases.into_iter().map(Case::of).collect()
}

impl Case {
    fn of(mut fields: Map<String, Value>) -> Self {
        let text = |value: Value| value.as_str().map(str::to_owned).unwrap();
        Self {
            name: text(fields.remove("name").unwrap()),
            why: text(fields.remove("why").unwrap()),
            attack: fields.remove("attack").map(text),
            expected: fields.remove("expected").unwrap(),
            // The other fields are inputs; each topic's type refuses those that it does
            // not know.
            inputs: Value::Object(fields),
        }
    }

    /// The inputs and the expected outcome, in a topic's types.
    pub(crate) fn typed<I: DeserializeOwned, E: DeserializeOwned>(self) -> (String, I, E) {
        let inputs = serde_json::from_value(self.inputs)
            .unwrap_or_else(|error| panic!("{}, inputs: {error}", self.name));
        let expected = serde_json::from_value(self.expected)
            .unwrap_or_else(|error| panic!("{}, expected: {error}", self.name));
        (self.name, inputs, expected)
    }
}

/// Replays every entry of a file, compares, and reports all differences at once.
pub(crate) fn replay<I, E>(file: &str, act: impl Fn(&str, I) -> E)
where
    I: DeserializeOwned,
    E: DeserializeOwned + PartialEq + Debug,
{
    let cases = read(file);
    assert!(!cases.is_empty());
    let mut wrong = Vec::new();
    for case in cases {
        let why = case.why.clone();
        let (name, inputs, expected) = case.typed::<I, E>();
        let got = act(&name, inputs);
        if got != expected {
            wrong.push(format!(
                "{name} ({why})\n  expected {expected:?}\n       got {got:?}"
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {file} differ\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
