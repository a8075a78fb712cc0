//! Permissions with wildcards, compared with a backtracking matcher written only from the
//! rules.

use keystile::PermissionSet;
use proptest::prelude::*;

/// Tries every way to match the granted segments with the required ones.
fn naive(granted: &[&str], wanted: &[&str]) -> bool {
    match granted {
        [] => wanted.is_empty(),
        // At the end: one segment or more.
        ["*"] => !wanted.is_empty(),
        ["*", rest @ ..] => !wanted.is_empty() && naive(rest, &wanted[1..]),
        [own, rest @ ..] => wanted.first() == Some(own) && naive(rest, &wanted[1..]),
    }
}

/// All sequences of one to `longest` of these segments.
fn sequences<'s>(segments: &[&'s str], longest: usize) -> Vec<Vec<&'s str>> {
    let mut all: Vec<Vec<&str>> = vec![vec![]];
    let mut from = 0;
    for _ in 0..longest {
        let to = all.len();
        for at in from..to {
            for segment in segments {
                let longer = [&all[at][..], &[segment]].concat();
                all.push(longer);
            }
        }
        from = to;
    }
    all.remove(0);
    all
}

#[test]
fn every_pattern_over_a_small_alphabet_matches_as_specified() {
    let patterns = sequences(&["a", "b", "aa", "*"], 5);
    let wanted = sequences(&["a", "b", "aa"], 5);
    let mut pairs = 0u32;
    for pattern in &patterns {
        let set = PermissionSet::new([pattern.join(":")]).unwrap();
        for wanted in &wanted {
            pairs += 1;
            assert_eq!(
                set.grants(&wanted.join(":")),
                naive(pattern, wanted),
                "{pattern:?} and {wanted:?}"
            );
        }
    }
    assert!(pairs > 400_000, "{pairs} pairs");
}

#[test]
fn a_set_grants_what_one_of_its_members_grants() {
    let patterns = sequences(&["a", "b", "*"], 2);
    let wanted = sequences(&["a", "b", "c"], 3);
    for one in &patterns {
        for other in &patterns {
            let set = PermissionSet::new([one.join(":"), other.join(":")]).unwrap();
            for wanted in &wanted {
                let expected = naive(one, wanted) || naive(other, wanted);
                assert_eq!(
                    set.grants(&wanted.join(":")),
                    expected,
                    "{set:?} and {wanted:?}"
                );
            }
            // Duplicates are dropped, and the order of appearance is kept.
            let text: Vec<_> = set.iter().map(String::from).collect();
            let mut named = vec![one.join(":"), other.join(":")];
            named.dedup();
            assert_eq!(text, named);
        }
    }
}

#[test]
fn a_permission_is_valid_exactly_as_specified() {
    let mut texts: Vec<String> = (0..=u8::MAX)
        .flat_map(|a| (0..=u8::MAX).map(move |b| [a, b]))
        .filter_map(|pair| String::from_utf8(pair.to_vec()).ok())
        .collect();
    texts.extend(
        sequences(&["a", "*", ":", "-", "A", " ", "é"], 5)
            .iter()
            .map(|s| s.concat()),
    );
    texts.extend((0..140).map(|length| "p".repeat(length)));
    for text in &texts {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        let segment = |s: &str| !s.is_empty() && s.chars().all(plain);
        let granted = text.len() <= 128 && text.split(':').all(|s| s == "*" || segment(s));
        let made = PermissionSet::new([text]);
        assert_eq!(made.is_ok(), granted, "granted {text:?}");
        if let Ok(made) = made {
            assert_eq!(made.iter().collect::<Vec<_>>(), [text]);
            assert_eq!(made.grants(text), !text.contains('*'), "{text:?} itself");
        }
        let required = text.len() <= 128 && text.split(':').all(segment);
        let keyword = matches!(text.as_str(), "AND" | "OR");
        // There may be spaces around a requirement.
        if text.trim_matches(' ') == text {
            let asked = keystile::Requirement::parse(text);
            assert_eq!(asked.is_ok(), required && !keyword, "required {text:?}");
        }
    }
}

#[test]
fn a_set_is_limited_in_size() {
    let names = |count: usize| (0..count).map(|at| format!("p{at}"));
    assert!(PermissionSet::new(names(64)).is_ok());
    assert!(PermissionSet::new(names(65)).is_err());
}

proptest! {
    #[test]
    fn random_patterns_match_as_specified(
        pattern in "(([a-c]|ab|[*]):){0,8}([a-c]|ab|[*])",
        wanted in "(([a-c]|ab):){0,8}([a-c]|ab)",
    ) {
        let set = PermissionSet::new([&pattern]).unwrap();
        let own: Vec<&str> = pattern.split(':').collect();
        let asked: Vec<&str> = wanted.split(':').collect();
        prop_assert_eq!(set.grants(&wanted), naive(&own, &asked));
        // Matching texts are made from the pattern by filling in each wildcard.
        let filled: Vec<&str> = own.iter().map(|s| if *s == "*" { "x" } else { s }).collect();
        prop_assert!(set.grants(&filled.join(":")));
    }

    /// A text that is not a permission is never granted, not even by `*`.
    #[test]
    fn a_text_that_is_not_a_permission_is_not_granted(text in "[a:* é.]{0,6}") {
        let everything = PermissionSet::new(["*", "*:*", "a:*:a"]).unwrap();
        let plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        let legal = text.split(':').all(|s| !s.is_empty() && s.chars().all(plain));
        prop_assert_eq!(everything.grants(&text), legal, "{:?}", text);
    }
}
