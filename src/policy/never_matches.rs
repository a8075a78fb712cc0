//! Endpoint rules that hardly any request matches, which is rarely what was meant.

use core::fmt;

use crate::policy::endpoint::EndpointRules;

/// Why an endpoint rule matches no request that it was meant for. The rule is legal all the same, and
/// grants what it says and nothing else: `/api/users/:id` the path with these very characters.
///
/// ```
/// use keystile::{EndpointRules, NeverMatches};
/// let rules = EndpointRules::new(["ANY /api/data", "/api/users/:id", "GET /api/metrics/*"])?;
/// let found: Vec<_> = rules.never_matching().collect();
/// assert_eq!(found[0], ("ANY /api/data", NeverMatches::Method));
/// assert_eq!(found[1], ("/api/users/:id", NeverMatches::Parameter));
/// assert_eq!(found.len(), 2, "the third rule can match");
/// assert!(!rules.allows("GET", "/api/data") && !rules.allows("GET", "/api/users/7"));
/// # Ok::<(), keystile::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NeverMatches {
    /// Each of its methods is a word for all methods in some router, such as `ANY`, which no
    /// client sends.
    Method,
    /// A segment is written like the parameter of a router, such as `:id`. Here it stands for
    /// itself, and a path that is sent has a value in its place.
    Parameter,
}

impl NeverMatches {
    /// Why it matches nothing, in a few words.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::Method => "no client sends this method",
            Self::Parameter => "a parameter of a router stands for itself here",
        }
    }

    /// What to write instead, in one sentence.
    #[must_use]
    pub const fn hint(self) -> &'static str {
        match self {
            Self::Method => "leave the method out if the rule is for all methods",
            Self::Parameter => "write * in place of the parameter, for one whole segment",
        }
    }
}

impl fmt::Display for NeverMatches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl EndpointRules {
    /// The rules that hardly any request matches, for a warning where a person writes them.
    pub fn never_matching(&self) -> impl Iterator<Item = (&str, NeverMatches)> {
        self.iter()
            .filter_map(|rule| Some((rule, never_matches(rule)?)))
    }
}

fn never_matches(rule: &str) -> Option<NeverMatches> {
    let (methods, pattern) = match rule.split_once(' ') {
        Some((methods, pattern)) => (Some(methods), pattern),
        None => (None, rule),
    };
    let is_word = |method: &str| matches!(method, "ANY" | "ALL");
    if methods.is_some_and(|methods| methods.split(',').all(is_word)) {
        return Some(NeverMatches::Method);
    }
    let is_parameter = |segment: &str| {
        let name = segment.strip_prefix(':');
        name.is_some_and(|name| name.starts_with(|first: char| first.is_ascii_alphabetic()))
    };
    pattern
        .split('/')
        .any(is_parameter)
        .then_some(NeverMatches::Parameter)
}
