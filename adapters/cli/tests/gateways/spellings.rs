//! Other spellings of the identity headers, by each character that a name may have (RFC 9110,
//! section 5.6.2) and that a service could read as a hyphen.

use serde_json::json;

use crate::shapes::Shape;

const NAMES: [&str; 4] = [
    "X-Keystile-Key-Id",
    "X-Keystile-Client",
    "X-Keystile-Owner",
    "X-Keystile-Environment",
];

const CHARACTERS: &str = "!#$%&'*+.^_`|~";

/// Each name with all hyphens replaced, and with only the last one.
pub(crate) fn shapes() -> Vec<Shape> {
    let mut spellings = Vec::new();
    for name in NAMES {
        let (before, after) = name.rsplit_once('-').expect("a hyphen");
        for character in CHARACTERS.chars() {
            let separator = character.to_string();
            spellings.push(name.replace('-', &separator));
            spellings.push(format!("{before}{separator}{after}"));
        }
    }
    let shape = |spelling: String| {
        let shape = json!({ "name": format!("spelling {spelling}"), "request": "GET /things",
            "headers": [format!("{spelling}: forged")], "expect": "pass" });
        serde_json::from_value(shape).expect("a shape")
    };
    spellings.into_iter().map(shape).collect()
}
