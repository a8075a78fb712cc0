//! The methods and paths that a key may be used for.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use crate::error::{Error, ErrorKind};
use crate::policy::method::is_method;

/// Longest rule in bytes, including its methods.
pub const ENDPOINT_RULE_BYTES_MAX: usize = 512;
/// Most rules in a list.
pub const ENDPOINT_RULES_MAX: usize = 64;

/// A key's endpoint rules, each of the form `[METHODS ]/path/pattern`.
///
/// Methods are upper-case tokens separated by commas. A rule without methods applies to
/// all methods. Patterns match whole segments: a `*` in the middle matches exactly one
/// segment that is not empty, and a `*` at the end matches the rest of the path at any
/// depth, even if it is empty.
///
/// An empty list matches nothing. A record without a list is not restricted; the two are
/// different values.
///
/// ```
/// use keystile::EndpointRules;
/// let rules = EndpointRules::new(["GET,HEAD /api/metrics/*", "/api/users/*/name"])?;
/// assert!(rules.allows("GET", "/api/metrics/cpu/load"));
/// assert!(rules.allows("DELETE", "/api/users/7/name"));
/// assert!(!rules.allows("POST", "/api/metrics/cpu"));
/// assert!(!rules.allows("GET", "/api/metrics"), "the slash belongs to the pattern");
/// assert!(!rules.allows("GET", "/api/metrics/../users"), "not a canonical path");
/// assert!(EndpointRules::new(["/api/data*"]).is_err());
/// # Ok::<(), keystile::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct EndpointRules {
    /// Each rule follows its [`Head`]; the whole list is one allocation.
    packed: Box<[u8]>,
}

impl EndpointRules {
    /// Creates a list of rules; duplicates are dropped.
    ///
    /// # Errors
    /// [`ErrorKind::Endpoint`] if a rule is malformed or longer than 512 bytes, or if
    /// there are more than 64 rules.
    pub fn new<I>(rules: I) -> Result<Self, Error>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let mut packed = Vec::new();
        for (count, rule) in rules.into_iter().enumerate() {
            let rule = rule.as_ref();
            if count >= ENDPOINT_RULES_MAX {
                return Err(Error::new(
                    ErrorKind::Endpoint,
                    "a key must have at most 64 endpoint rules",
                )
                .in_field("allowed_endpoints"));
            }
            if rule.len() > ENDPOINT_RULE_BYTES_MAX {
                return Err(Error::new(
                    ErrorKind::Endpoint,
                    "an endpoint rule must have at most 512 bytes",
                )
                .in_field("allowed_endpoints")
                .at(count));
            }
            let (methods, pattern) = split_rule(rule);
            if !methods.is_none_or(|methods| methods.split(',').all(is_method)) {
                return Err(Error::new(
                    ErrorKind::Endpoint,
                    "an endpoint rule's methods must be upper-case tokens joined by commas, then one space",
                ).in_field("allowed_endpoints").at(count));
            }
            if !is_pattern(pattern) {
                return Err(Error::new(
                    ErrorKind::Endpoint,
                    "an endpoint pattern must be /segments, with * for one whole segment, or at the end for the rest",
                ).in_field("allowed_endpoints").at(count));
            }
            if !Rules(&packed)
                .iter()
                .any(|known| known.text == rule.as_bytes())
            {
                packed.extend_from_slice(&Head::of(rule).to_bytes());
                packed.extend_from_slice(rule.as_bytes());
            }
        }
        Ok(Self {
            packed: packed.into(),
        })
    }

    /// The rules, in order of first appearance.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        // Rules are ASCII.
        self.view()
            .iter()
            .filter_map(|rule| core::str::from_utf8(rule.text).ok())
    }

    /// Whether the list is empty and so allows nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.packed.is_empty()
    }

    /// Whether a rule matches the method and the path as they were sent.
    ///
    /// A path that is not [canonical](crate::is_canonical_path) matches nothing.
    #[must_use]
    pub fn allows(&self, method: &str, path: &str) -> bool {
        crate::policy::path::is_canonical_path(path.as_bytes())
            && self
                .view()
                .allows_canonical(method.as_bytes(), path.as_bytes())
    }

    /// The packed list, as decisions read it.
    #[inline]
    pub(crate) const fn view(&self) -> Rules<'_> {
        Rules(&self.packed)
    }

    /// Whether each rule of `other` is covered by a single rule of this list.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        other
            .view()
            .iter()
            .all(|rule| self.view().iter().any(|own| own.covers(&rule)))
    }
}

/// A packed list of rules, wherever it is stored.
#[derive(Clone, Copy)]
pub(crate) struct Rules<'s>(pub(crate) &'s [u8]);

impl<'s> Rules<'s> {
    #[inline]
    fn iter(self) -> impl Iterator<Item = Rule<'s>> {
        let mut rest = self.0;
        core::iter::from_fn(move || {
            let (head, behind) = rest.split_first_chunk()?;
            let head = Head::from_bytes(*head);
            let (text, behind) = behind.split_at_checked(head.length.into())?;
            rest = behind;
            Some(Rule { text, head })
        })
    }

    /// Whether a rule matches `path`, which is known to be canonical.
    #[inline]
    pub(crate) fn allows_canonical(self, method: &[u8], path: &[u8]) -> bool {
        let bit = common_method(method);
        self.iter()
            .any(|rule| rule.allows_canonical(bit, method, path))
    }

    /// The first rule that matches `path`, which is known to be canonical.
    pub(crate) fn matching(self, method: &[u8], path: &[u8]) -> Option<&'s [u8]> {
        let bit = common_method(method);
        let mut rules = self.iter();
        let rule = rules.find(|rule| rule.allows_canonical(bit, method, path));
        rule.map(|rule| rule.text)
    }
}

/// One rule of a packed list.
struct Rule<'s> {
    text: &'s [u8],
    head: Head,
}

/// What a decision reads of a rule before its text.
#[derive(Clone, Copy)]
struct Head {
    length: u16,
    /// Where the pattern begins: after the methods and a space, or at 0 if there are no
    /// methods.
    pattern_at: u16,
    wildcards: Wildcards,
    /// The common methods that the rule names, one bit each; all of them if it names
    /// none.
    common_methods: u8,
}

/// The bit of a common method; 0 for any other.
#[inline]
fn common_method(method: &[u8]) -> u8 {
    match method {
        b"GET" => 1,
        b"HEAD" => 2,
        b"POST" => 4,
        b"PUT" => 8,
        b"PATCH" => 16,
        b"DELETE" => 32,
        b"OPTIONS" => 64,
        _ => 0,
    }
}

/// Which wildcards a pattern has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wildcards {
    None = 0,
    /// One, at the end.
    Rest = 1,
    /// Any others.
    Inner = 2,
}

impl Head {
    /// The head of a rule that is known to be well formed, and so is short.
    fn of(rule: &str) -> Self {
        let narrow = |length: usize| u16::try_from(length).unwrap_or(u16::MAX);
        let wildcards = match rule.find('*') {
            None => Wildcards::None,
            Some(first) if first.saturating_add(1) == rule.len() => Wildcards::Rest,
            Some(_) => Wildcards::Inner,
        };
        let methods = rule.split_once(' ').map(|(methods, _)| methods);
        let pattern_at = methods.map_or(0, |methods| methods.len().saturating_add(1));
        let common_methods = methods.map_or(u8::MAX, |methods| {
            methods
                .split(',')
                .fold(0, |bits, method| bits | common_method(method.as_bytes()))
        });
        Self {
            length: narrow(rule.len()),
            pattern_at: narrow(pattern_at),
            wildcards,
            common_methods,
        }
    }

    const fn to_bytes(self) -> [u8; 6] {
        let ([a, b], [c, d]) = (self.length.to_le_bytes(), self.pattern_at.to_le_bytes());
        [a, b, c, d, self.wildcards as u8, self.common_methods]
    }

    #[inline]
    const fn from_bytes([a, b, c, d, wildcards, common_methods]: [u8; 6]) -> Self {
        let wildcards = match wildcards {
            0 => Wildcards::None,
            1 => Wildcards::Rest,
            _ => Wildcards::Inner,
        };
        Self {
            length: u16::from_le_bytes([a, b]),
            pattern_at: u16::from_le_bytes([c, d]),
            wildcards,
            common_methods,
        }
    }
}

impl<'s> Rule<'s> {
    /// The methods, and the pattern.
    #[inline]
    fn parts(&self) -> (Option<&'s [u8]>, &'s [u8]) {
        let (methods, pattern) = self
            .text
            .split_at_checked(self.head.pattern_at.into())
            .unwrap_or_default();
        (
            methods.split_last().map(|(_space, methods)| methods),
            pattern,
        )
    }

    /// Whether the rule allows a method and a canonical path.
    #[inline(always)]
    fn allows_canonical(&self, bit: u8, method: &[u8], path: &[u8]) -> bool {
        self.allows(bit, method) && self.matches(path)
    }

    /// Whether a method may be used; `bit` is that of [`common_method`].
    #[inline]
    fn allows(&self, bit: u8, method: &[u8]) -> bool {
        self.head.common_methods & bit != 0 || (bit == 0 && is_named(self.parts().0, method))
    }

    /// Whether the pattern covers everything that `path`, a canonical path or a pattern,
    /// matches.
    #[inline]
    fn matches(&self, path: &[u8]) -> bool {
        let (_, pattern) = self.parts();
        match (self.head.wildcards, pattern) {
            (Wildcards::None, pattern) => pattern == path,
            // Anything after the slash, even nothing. It covers a `path` that is a
            // pattern ending in `*` too.
            (Wildcards::Rest, [stem @ .., _star]) => path.starts_with(stem),
            (_, pattern) => matches_by_segment(pattern, path),
        }
    }

    fn covers(&self, other: &Rule<'_>) -> bool {
        let (other_methods, other_pattern) = other.parts();
        let methods_within = match other_methods {
            Some(methods) => methods
                .split(is_comma)
                .all(|method| self.allows(common_method(method), method)),
            None => self.parts().0.is_none(),
        };
        methods_within && self.matches(other_pattern)
    }
}

/// Whether the rule names this method, or names none.
#[inline(never)]
fn is_named(methods: Option<&[u8]>, method: &[u8]) -> bool {
    methods.is_none_or(|methods| methods.split(is_comma).any(|own| own == method))
}

const fn is_comma(byte: &u8) -> bool {
    *byte == b','
}

impl fmt::Debug for EndpointRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

fn split_rule(rule: &str) -> (Option<&str>, &str) {
    match rule.split_once(' ') {
        Some((methods, pattern)) => (Some(methods), pattern),
        None => (None, rule),
    }
}

// Not inlined: most patterns do not need the walk.
#[inline(never)]
fn matches_by_segment(pattern: &[u8], path: &[u8]) -> bool {
    let slash = |byte: &u8| *byte == b'/';
    let (mut own, mut other) = (
        pattern.split(slash).peekable(),
        path.split(slash).peekable(),
    );
    loop {
        match (own.next(), other.next()) {
            (Some(b"*"), Some(segment)) => {
                if own.peek().is_none() {
                    return true;
                }
                // A `*` at the end of a pattern is the rest of the path, not one segment.
                if segment.is_empty() || (segment == b"*" && other.peek().is_none()) {
                    return false;
                }
            }
            (Some(segment), Some(same)) if segment == same => {}
            (None, None) => return true,
            _ => return false,
        }
    }
}

/// Whether `pattern` consists of canonical segments without `%` and of whole-segment `*`.
fn is_pattern(pattern: &str) -> bool {
    let Some(segments) = pattern.strip_prefix('/') else {
        return false;
    };
    let last = segments.split('/').count().saturating_sub(1);
    segments
        .split('/')
        .enumerate()
        .all(|(at, segment)| match segment {
            "*" => true,
            // The empty segment after a trailing slash.
            "" => at == last,
            "." | ".." => false,
            _ => segment
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-._~!$&'()+,=:@".contains(&b)),
        })
}
