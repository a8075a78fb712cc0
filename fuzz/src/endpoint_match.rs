//! A rule matches a path exactly if a naive segment matcher does.
//!
//! The bytes are lines: a method, a path, and the rules.

use keystile::{EndpointRules, is_canonical_path};

use super::rules::is_canonical;

pub fn run(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else {
        assert!(!is_canonical_path(data));
        return;
    };
    let mut lines = text.split('\n');
    let method = lines.next().unwrap_or_default();
    let path = lines.next().unwrap_or_default();
    let rules: Vec<&str> = lines.collect();

    let canonical = is_canonical(path);
    assert_eq!(is_canonical_path(path.as_bytes()), canonical);

    let legal = rules.len() <= 64 && rules.iter().all(|rule| is_rule(rule));
    let Ok(list) = EndpointRules::new(&rules) else {
        assert!(!legal);
        return;
    };
    assert!(legal);
    assert_eq!(list.is_empty(), rules.is_empty());
    assert_eq!(EndpointRules::new(list.iter()).as_ref(), Ok(&list));
    assert!(rules.iter().all(|rule| list.iter().any(|own| own == *rule)));
    assert_eq!(
        list.allows(method, path),
        canonical && rules.iter().any(|rule| matches(rule, method, path))
    );
    // Another rule never takes anything away.
    if rules.len() < 64 {
        let more = EndpointRules::new(rules.iter().chain(&["/*"])).unwrap();
        assert_eq!(more.allows(method, path), canonical);
    }
}

fn parts(rule: &str) -> (Option<Vec<&str>>, &str) {
    match rule.split_once(' ') {
        Some((methods, pattern)) => (Some(methods.split(',').collect()), pattern),
        None => (None, rule),
    }
}

fn is_rule(rule: &str) -> bool {
    let (methods, pattern) = parts(rule);
    let is_method = |method: &&str| {
        let legal = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || "-_".contains(c);
        method.starts_with(|c: char| c.is_ascii_uppercase())
            && method.len() <= 32
            && method.chars().all(legal)
    };
    rule.len() <= 512
        && methods.is_none_or(|methods| methods.iter().all(is_method))
        && is_canonical(pattern)
        && !pattern.contains('%')
        && pattern
            .split('/')
            .all(|segment| segment == "*" || !segment.contains('*'))
}

fn matches(rule: &str, method: &str, path: &str) -> bool {
    let (methods, pattern) = parts(rule);
    let pattern: Vec<&str> = pattern.split('/').collect();
    let path: Vec<&str> = path.split('/').collect();
    methods.is_none_or(|methods| methods.contains(&method)) && covers(&pattern, &path)
}

fn covers(pattern: &[&str], path: &[&str]) -> bool {
    match (pattern, path) {
        (["*"], [_, ..]) => true,
        (["*", more @ ..], [segment, rest @ ..]) => !segment.is_empty() && covers(more, rest),
        ([own, more @ ..], [segment, rest @ ..]) => own == segment && covers(more, rest),
        ([], []) => true,
        _ => false,
    }
}
