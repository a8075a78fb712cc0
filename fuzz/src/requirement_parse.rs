//! A requirement is satisfied exactly if a naive evaluation of the same text says so.

use std::collections::BTreeSet;

use keystile::{PermissionSet, Requirement};

pub fn run(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else {
        return;
    };
    permission(text);
    let expected = Formula::read(text);
    let Ok(asked) = Requirement::parse(text) else {
        assert!(expected.is_none());
        return;
    };
    let formula = expected.unwrap();
    assert_eq!(asked.as_str(), text);
    assert_eq!(text.parse::<Requirement>().as_ref(), Ok(&asked));

    let mut terms = BTreeSet::new();
    formula.terms(&mut terms);
    let terms: Vec<&str> = terms.into_iter().take(64).collect();
    // None, all, each by itself, all but one, and some that the text itself selects.
    let mut choices = vec![0, u64::MAX];
    choices.extend((0..terms.len().min(16)).flat_map(|at| [1 << at, !(1 << at)]));
    choices.extend(data.windows(8).take(8).map(|bytes| {
        bytes.iter().fold(0, |all: u64, byte| {
            all.wrapping_mul(0x0100_0000_01B3) ^ u64::from(*byte)
        })
    }));
    for choice in choices {
        let chosen = (0..terms.len()).filter(|at| choice >> at & 1 == 1);
        let held: Vec<&str> = chosen.map(|at| terms[at]).collect();
        let granted = PermissionSet::new(&held).unwrap();
        let met = formula.is_satisfied_by(&|term| held.contains(&term));
        assert_eq!(asked.is_satisfied_by(&granted), met);

        let missing: Vec<&str> = asked.missing(&granted).collect();
        assert_eq!(missing.is_empty(), met);
        assert!(missing.iter().all(|name| !held.contains(name)));
        let once: BTreeSet<_> = missing.iter().collect();
        assert_eq!(once.len(), missing.len(), "named twice");
        let enough: Vec<&str> = held.iter().chain(&missing).copied().collect();
        assert!(formula.is_satisfied_by(&|term| enough.contains(&term)));
    }
    if terms.len() < 64 {
        assert!(asked.is_satisfied_by(&PermissionSet::new(["*"]).unwrap()));
    }
}

/// A text that may be granted is returned unchanged, and is matched as by a naive
/// matcher.
fn permission(text: &str) {
    let (granted, wanted) = text.split_once(' ').unwrap_or((text, text));
    let legal = granted.len() <= 128
        && granted
            .split(':')
            .all(|segment| segment == "*" || is_segment(segment));
    let Ok(set) = PermissionSet::new([granted]) else {
        assert!(!legal);
        return;
    };
    assert!(legal);
    assert_eq!(set.iter().collect::<Vec<_>>(), [granted]);
    let pattern: Vec<&str> = granted.split(':').collect();
    let segments: Vec<&str> = wanted.split(':').collect();
    assert_eq!(
        set.grants(wanted),
        is_term(wanted) && covers(&pattern, &segments)
    );
}

fn covers(pattern: &[&str], wanted: &[&str]) -> bool {
    match (pattern, wanted) {
        (["*"], [_, ..]) => true,
        ([own, more @ ..], [segment, rest @ ..]) => {
            (own == segment || *own == "*") && covers(more, rest)
        }
        ([], []) => true,
        _ => false,
    }
}

fn is_term(text: &str) -> bool {
    text.len() <= 128 && text.split(':').all(is_segment)
}

fn is_segment(segment: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    !segment.is_empty() && segment.chars().all(legal)
}

enum Formula<'t> {
    Term(&'t str),
    All(Vec<Self>),
    Any(Vec<Self>),
}

impl<'t> Formula<'t> {
    fn read(text: &'t str) -> Option<Self> {
        if text.len() > 1_000 {
            return None;
        }
        let words = words(text);
        let terms = words.iter().filter(|word| Self::is_term(word)).count();
        let mut left = &words[..];
        let formula = Self::any(&mut left)?;
        (left.is_empty() && terms <= 100).then_some(formula)
    }

    fn any(words: &mut &[&'t str]) -> Option<Self> {
        let mut parts = vec![Self::all(words)?];
        while let ["OR", rest @ ..] = words {
            *words = rest;
            parts.push(Self::all(words)?);
        }
        Some(Self::Any(parts))
    }

    fn all(words: &mut &[&'t str]) -> Option<Self> {
        let mut parts = vec![Self::one(words)?];
        while let ["AND", rest @ ..] = words {
            *words = rest;
            parts.push(Self::one(words)?);
        }
        Some(Self::All(parts))
    }

    fn one(words: &mut &[&'t str]) -> Option<Self> {
        let (first, rest) = words.split_first()?;
        *words = rest;
        if *first == "(" {
            let inner = Self::any(words)?;
            let (close, rest) = words.split_first()?;
            *words = rest;
            return (*close == ")").then_some(inner);
        }
        Self::is_term(first).then_some(Self::Term(first))
    }

    fn is_term(word: &str) -> bool {
        !matches!(word, "AND" | "OR") && is_term(word)
    }

    fn terms(&self, into: &mut BTreeSet<&'t str>) {
        match self {
            Self::Term(term) => {
                into.insert(term);
            }
            Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|part| part.terms(into)),
        }
    }

    fn is_satisfied_by(&self, holds: &dyn Fn(&str) -> bool) -> bool {
        match self {
            Self::Term(term) => holds(term),
            Self::All(parts) => parts.iter().all(|part| part.is_satisfied_by(holds)),
            Self::Any(parts) => parts.iter().any(|part| part.is_satisfied_by(holds)),
        }
    }
}

/// Words between spaces; each parenthesis is a word.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    for word in text.split(' ') {
        for part in word.split_inclusive(['(', ')']) {
            let (name, parenthesis) = match part.strip_suffix(['(', ')']) {
                Some(name) => part.split_at(name.len()),
                None => (part, ""),
            };
            words.extend([name, parenthesis]);
        }
    }
    words.retain(|word| !word.is_empty());
    words
}
