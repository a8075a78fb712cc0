//! Requirements, compared with a recursive-descent evaluator that was written only from
//! the rules.

use keystile::{PermissionSet, Requirement};
use proptest::prelude::*;

/// A formula as the naive parser reads it.
enum Formula {
    Term(String),
    All(Vec<Self>),
    Any(Vec<Self>),
}

impl Formula {
    /// `any := all (OR all)*`, `all := one (AND one)*`, `one := term | ( any )`.
    fn read(words: &[&str]) -> Option<Self> {
        let (formula, rest) = Self::any(words)?;
        rest.is_empty().then_some(formula)
    }

    fn any<'w>(words: &'w [&'w str]) -> Option<(Self, &'w [&'w str])> {
        let (first, mut rest) = Self::all(words)?;
        let mut parts = vec![first];
        while rest.first() == Some(&"OR") {
            let (next, behind) = Self::all(&rest[1..])?;
            parts.push(next);
            rest = behind;
        }
        Some((Self::Any(parts), rest))
    }

    fn all<'w>(words: &'w [&'w str]) -> Option<(Self, &'w [&'w str])> {
        let (first, mut rest) = Self::one(words)?;
        let mut parts = vec![first];
        while rest.first() == Some(&"AND") {
            let (next, behind) = Self::one(&rest[1..])?;
            parts.push(next);
            rest = behind;
        }
        Some((Self::All(parts), rest))
    }

    fn one<'w>(words: &'w [&'w str]) -> Option<(Self, &'w [&'w str])> {
        match words {
            ["(", inner @ ..] => {
                let (formula, rest) = Self::any(inner)?;
                (rest.first() == Some(&")")).then(|| (formula, &rest[1..]))
            }
            [")" | "AND" | "OR", ..] | [] => None,
            [term, rest @ ..] => Some((Self::Term((*term).to_string()), rest)),
        }
    }

    fn is_met(&self, granted: &dyn Fn(&str) -> bool) -> bool {
        match self {
            Self::Term(term) => granted(term),
            Self::All(parts) => parts.iter().all(|part| part.is_met(granted)),
            Self::Any(parts) => parts.iter().any(|part| part.is_met(granted)),
        }
    }

    /// The terms of every part that is not satisfied, in the order in which they appear.
    fn missing(&self, granted: &dyn Fn(&str) -> bool, into: &mut Vec<String>) {
        if self.is_met(granted) {
            return;
        }
        match self {
            Self::Term(term) if !into.contains(term) => into.push(term.clone()),
            Self::Term(_) => {}
            Self::All(parts) | Self::Any(parts) => {
                parts.iter().for_each(|part| part.missing(granted, into));
            }
        }
    }
}

/// Compares a text's parse and, if it is a formula, its meaning for each set with the
/// naive reading. Returns whether it is a formula.
fn agree(text: &str, words: &[&str], sets: &[Vec<&str>]) -> bool {
    let naive = Formula::read(words);
    let parsed = Requirement::parse(text);
    assert_eq!(
        parsed.is_ok(),
        naive.is_some(),
        "whether {text:?} is a formula"
    );
    let (Some(naive), Ok(parsed)) = (naive, parsed) else {
        return false;
    };
    for set in sets {
        let permissions = PermissionSet::new(set).unwrap();
        let granted = |term: &str| set.contains(&term);
        let (mut expected, met) = (Vec::new(), naive.is_met(&granted));
        naive.missing(&granted, &mut expected);
        assert_eq!(
            parsed.is_satisfied_by(&permissions),
            met,
            "{text:?} with {set:?}"
        );
        let missing: Vec<_> = parsed.missing(&permissions).collect();
        assert_eq!(missing, expected, "{text:?} with {set:?}");
        assert_eq!(met, missing.is_empty());
    }
    true
}

fn subsets<'v>(vocabulary: &[&'v str]) -> Vec<Vec<&'v str>> {
    (0..1usize << vocabulary.len())
        .map(|bits| {
            let member = |at: &usize| bits >> at & 1 == 1;
            let members = (0..vocabulary.len()).filter(member);
            members.map(|at| vocabulary[at]).collect()
        })
        .collect()
}

#[test]
fn every_sequence_of_up_to_nine_words_parses_by_the_grammar() {
    let words = ["a", "b:c", "(", ")", "AND", "OR"];
    let sets = subsets(&words[..2]);
    let (mut formulas, mut tried) = (0u32, 0u32);
    let mut sequence = Vec::new();
    for length in 0..=9u32 {
        for number in 0..6usize.pow(length) {
            sequence.clear();
            let mut rest = number;
            for _ in 0..length {
                sequence.push(words[rest % 6]);
                rest /= 6;
            }
            tried += 1;
            formulas += u32::from(agree(&sequence.join(" "), &sequence, &sets));
        }
    }
    assert!(
        tried > 10_000_000 && formulas > 2_000,
        "{formulas} of {tried}"
    );
}

/// A random formula's words.
fn words_of_a_formula() -> impl Strategy<Value = Vec<String>> {
    let term = "[a-f]|read|AN|ORDER|and|x:[ab]:y|a[.]b-c_d".prop_map(|term| vec![term]);
    term.prop_recursive(6, 90, 5, |inner| {
        (
            proptest::collection::vec(inner, 2..5),
            "AND|OR",
            any::<bool>(),
        )
            .prop_map(|(parts, joint, enclosed)| {
                let mut words = parts.join(&joint);
                if enclosed {
                    words.insert(0, "(".into());
                    words.push(")".into());
                }
                words
            })
    })
}

proptest! {
    #[test]
    fn a_random_formula_is_evaluated_by_the_grammar(
        words in words_of_a_formula(),
        spaces in proptest::collection::vec(1usize..3, 200),
        granted in proptest::collection::vec("[a-f]|read|x:[ab]:y|a[.]b-c_d", 0..8),
    ) {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        // Any number of spaces between words; none are needed next to parentheses.
        let mut text = String::new();
        for (word, spaces) in words.iter().zip(spaces.iter().cycle()) {
            let parenthesis = matches!(*word, "(" | ")") || text.ends_with(['(', ')']);
            let spaces = if text.is_empty() || parenthesis { spaces - 1 } else { *spaces };
            text.push_str(&" ".repeat(spaces));
            text.push_str(word);
        }
        let terms = words.iter().filter(|w| !matches!(**w, "(" | ")" | "AND" | "OR")).count();
        prop_assume!(text.len() <= 1_000 && terms <= 100);
        let granted: Vec<&str> = granted.iter().map(String::as_str).collect();
        prop_assert!(agree(&text, &words, &[vec![], granted]), "{} is a formula", text);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "[ab():ANDOR *\\PC]{0,60}") {
        if let Ok(parsed) = Requirement::parse(&text) {
            prop_assert_eq!(parsed.as_str(), text.as_str());
            let nothing = PermissionSet::default();
            prop_assert!(!parsed.is_satisfied_by(&nothing), "met by nothing at all");
            let missing: Vec<_> = parsed.missing(&nothing).collect();
            // A key that is granted everything that was missing is allowed.
            let all = PermissionSet::new(&missing).unwrap();
            prop_assert!(parsed.is_satisfied_by(&all));
        }
    }
}

#[test]
fn a_requirement_is_limited_in_bytes_and_terms() {
    let terms = |count: usize| vec!["a"; count].join(" OR ");
    assert!(Requirement::parse(&terms(100)).is_ok());
    assert!(Requirement::parse(&terms(101)).is_err());
    let padded = |length: usize| format!("{}a", " ".repeat(length - 1));
    assert!(Requirement::parse(&padded(1_000)).is_ok());
    assert!(Requirement::parse(&padded(1_001)).is_err());
    // The greatest depth that fits into a thousand bytes, without recursion.
    let deep = format!("{}a{}", "(".repeat(499), ")".repeat(499));
    assert!(Requirement::parse(&deep).is_ok());
    assert!(Requirement::parse(&deep[1..]).is_err());
}

#[test]
fn the_hundredth_term_is_checked_too() {
    let names: Vec<String> = (0..100).map(|at| format!("p{at}")).collect();
    let all = Requirement::parse(&names.join(" AND ")).unwrap();
    for absent in 0..100 {
        let others = (0..100).filter(|at| *at != absent);
        // Wildcards, since a set holds at most 64: all but one of the hundred.
        let some: Vec<_> = others.clone().take(64).map(|at| &names[at]).collect();
        let rest: Vec<_> = others.skip(64).map(|at| names[at].as_str()).collect();
        let missing: Vec<_> = (0..100)
            .map(|at| names[at].as_str())
            .filter(|name| rest.contains(name) || *name == names[absent])
            .collect();
        let granted = PermissionSet::new(some).unwrap();
        assert_eq!(all.missing(&granted).collect::<Vec<_>>(), missing);
    }
}
