//! Endpoint rules, compared with a matcher that tries every split: all rules and all
//! paths over a small alphabet, tens of millions of pairs.

use keystile::EndpointRules;
use proptest::prelude::*;

/// Matches a pattern byte by byte, backtracking wherever a `*` could have ended
/// elsewhere.
fn naive(pattern: &[u8], path: &[u8]) -> bool {
    match pattern {
        [] => path.is_empty(),
        // The last one: the rest of the path.
        [b'*'] => true,
        // One segment that is not empty, of any length.
        [b'*', rest @ ..] => (1..=path.len())
            .take_while(|&end| path[end - 1] != b'/')
            .any(|end| naive(rest, &path[end..])),
        [own, rest @ ..] => path.first() == Some(own) && naive(rest, &path[1..]),
    }
}

/// Which patterns are valid, read literally from the rule.
fn is_pattern(text: &str) -> bool {
    let Some(rest) = text.strip_prefix('/') else {
        return false;
    };
    let segments: Vec<&str> = rest.split('/').collect();
    segments
        .iter()
        .enumerate()
        .all(|(at, segment)| match *segment {
            "" => at + 1 == segments.len(),
            "." | ".." => false,
            "*" => true,
            other => other
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-._~!$&'()+,=:@".contains(c)),
        })
}

/// All texts of one to `longest` characters of the alphabet that start with `first`.
fn texts(first: &str, alphabet: &str, longest: usize) -> Vec<String> {
    let mut all = vec![first.to_string()];
    let mut from = 0;
    for _ in first.len()..longest {
        let to = all.len();
        for at in from..to {
            for c in alphabet.chars() {
                all.push(format!("{}{c}", all[at]));
            }
        }
        from = to;
    }
    all
}

/// Compares every valid pattern with every path, and counts the pairs.
fn hold_all(patterns: &[String], paths: &[String]) -> u64 {
    let paths: Vec<(&str, bool)> = paths
        .iter()
        .map(|path| {
            (
                path.as_str(),
                crate::common::naive_path::is_canonical(path.as_bytes()),
            )
        })
        .collect();
    let (mut pairs, mut matches) = (0u64, 0u64);
    for pattern in patterns {
        let made = EndpointRules::new([pattern]);
        assert_eq!(
            made.is_ok(),
            is_pattern(pattern),
            "whether {pattern:?} is a rule"
        );
        let Ok(rules) = made else { continue };
        for &(path, canonical) in &paths {
            pairs += 1;
            let expected = canonical && naive(pattern.as_bytes(), path.as_bytes());
            matches += u64::from(expected);
            assert_eq!(
                rules.allows("GET", path),
                expected,
                "{pattern:?} on {path:?}"
            );
        }
    }
    assert!(matches > pairs / 1_000, "{matches} of {pairs} match");
    pairs
}

#[test]
fn every_short_rule_matches_every_short_path_as_specified() {
    let pairs = hold_all(&texts("/", "/a*", 9), &texts("/", "/ab.*", 8));
    assert!(pairs > 20_000_000, "{pairs} pairs");
}

#[test]
fn longer_rules_match_longer_canonical_paths_as_specified() {
    // Segments instead of characters: deeper, and few paths are refused.
    let trees = |segments: &[&str], depth: usize| {
        let mut all = vec![String::new()];
        let mut level = all.clone();
        for _ in 0..depth {
            level = level
                .iter()
                .flat_map(|stem| segments.iter().map(move |s| format!("{stem}/{s}")))
                .collect();
            all.extend(level.iter().cloned());
        }
        all
    };
    let pairs = hold_all(
        &trees(&["*", "a", "ab", ""], 5),
        &trees(&["a", "ab", "*", ""], 6),
    );
    assert!(pairs > 2_500_000, "{pairs} pairs");
}

#[test]
fn a_rule_without_a_leading_slash_is_an_error() {
    for text in texts("", "/a* G,", 5) {
        if !text.starts_with('/') {
            // With methods before the space it may be a rule.
            let behind = text.split_once(' ').map(|(methods, pattern)| {
                let method = |m: &str| !m.is_empty() && m.chars().all(|c| c == 'G');
                methods.split(',').all(method) && is_pattern(pattern)
            });
            let made = EndpointRules::new([&text]);
            assert_eq!(made.is_ok(), behind == Some(true), "{text:?}");
        }
    }
}

#[test]
fn methods_are_compared_in_full_and_byte_by_byte() {
    let asked = [
        "GET", "HEAD", "get", "GE", "GETS", "", "*", "GET,HEAD", " GET", "Get",
    ];
    let listed = [
        "GET", "HEAD", "GET,HEAD", "HEAD,GET", "GETS", "GE,TS", "M-SEARCH",
    ];
    for own in listed {
        let rules = EndpointRules::new([format!("{own} /a/*")]).unwrap();
        for method in asked {
            let named = own.split(',').any(|m| m == method);
            assert_eq!(rules.allows(method, "/a/b"), named, "{own} and {method:?}");
            assert!(!rules.allows(method, "/b"));
        }
    }
    let any_method = EndpointRules::new(["/a/*"]).unwrap();
    assert!(asked.iter().all(|method| any_method.allows(method, "/a/b")));
    for illegal in [
        "get /a", "GET, /a", ",GET /a", "GET  /a", " /a", "GET\t/a", "1 /a", "* /a",
    ] {
        assert!(EndpointRules::new([illegal]).is_err(), "{illegal:?}");
    }
}

#[test]
fn rules_are_limited_and_an_empty_list_allows_nothing() {
    let rule = |length: usize| format!("/{}", "a".repeat(length - 1));
    assert!(EndpointRules::new([rule(512)]).is_ok());
    assert!(EndpointRules::new([rule(513)]).is_err());
    // A rule is found, however long the rules before it are.
    let long: Vec<String> = [512, 256, 255, 300, 512 - 4].map(rule).to_vec();
    let list = EndpointRules::new(&long).unwrap();
    assert!(long.iter().all(|path| list.allows("GET", path)));
    assert!(!list.allows("GET", &rule(257)));
    let many = |count: usize| (0..count).map(|at| format!("/a{at}"));
    assert!(EndpointRules::new(many(64)).is_ok());
    assert!(EndpointRules::new(many(65)).is_err());
    let nothing = EndpointRules::new([""; 0]).unwrap();
    assert!(nothing.is_empty() && nothing.iter().count() == 0);
    for path in texts("/", "/a*", 5) {
        assert!(!nothing.allows("GET", &path));
    }
}

proptest! {
    #[test]
    fn a_list_allows_what_one_of_its_rules_allows(
        rules in proptest::collection::vec("((GET|PUT|GET,PUT) )?(/([a-c]|ab|[*])){1,4}/?", 0..6),
        path in "(/([a-c]|ab|[.]|%2F|x)){1,5}/?",
        method in "GET|PUT|POST",
    ) {
        let list = EndpointRules::new(&rules).unwrap();
        let canonical = crate::common::naive_path::is_canonical(path.as_bytes());
        let expected = canonical && rules.iter().any(|rule| {
            let (methods, pattern) = rule.split_once(' ').unwrap_or(("GET,PUT,POST", rule));
            methods.split(',').any(|m| m == method) && naive(pattern.as_bytes(), path.as_bytes())
        });
        prop_assert_eq!(list.allows(&method, &path), expected);
        // Written and read again, it is the same list.
        let again = EndpointRules::new(list.iter()).unwrap();
        prop_assert_eq!(again, list);
    }
}
