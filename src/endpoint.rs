//! Which methods and paths a key may be used on.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;

use crate::error::{Error, ErrorKind};

/// Longest rule in bytes, its methods included.
pub const ENDPOINT_RULE_BYTES_MAX: usize = 512;
/// Most rules in a list.
pub const ENDPOINT_RULES_MAX: usize = 64;

/// A key's endpoint rules, `[METHODS ]/path/pattern` each.
///
/// Methods are upper-case tokens joined by commas; without any, all are meant. Patterns
/// match whole segments: `*` in the middle is exactly one segment that is not empty, `*`
/// at the end is any remainder of any depth, the empty one after the slash too.
///
/// An empty list matches nothing. A record without any list is not restricted; the two
/// are different values.
///
/// ```
/// use keystile::EndpointRules;
/// let rules = EndpointRules::new(["GET,HEAD /api/metrics/*", "/api/users/*/name"])?;
/// assert!(rules.allow("GET", "/api/metrics/cpu/load"));
/// assert!(rules.allow("DELETE", "/api/users/7/name"));
/// assert!(!rules.allow("POST", "/api/metrics/cpu"));
/// assert!(!rules.allow("GET", "/api/metrics"), "the slash belongs to the pattern");
/// assert!(!rules.allow("GET", "/api/metrics/../users"), "not a canonical path");
/// assert!(EndpointRules::new(["/api/data*"]).is_err());
/// # Ok::<(), keystile::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct EndpointRules {
    /// Joined by line feeds, which no rule contains: one allocation for the whole list.
    text: Box<str>,
}

impl EndpointRules {
    /// A checked list; what stands in it twice is kept once.
    ///
    /// # Errors
    /// [`ErrorKind::Endpoint`] if a rule is not spelled as one, is longer than 512 bytes,
    /// or if there are more than 64.
    pub fn new<I>(rules: I) -> Result<Self, Error>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let mut text = String::new();
        for (count, rule) in rules.into_iter().enumerate() {
            let rule = rule.as_ref();
            if count >= ENDPOINT_RULES_MAX {
                return Err(Error::new(
                    ErrorKind::Endpoint,
                    "a key has at most 64 endpoint rules",
                ));
            }
            if rule.len() > ENDPOINT_RULE_BYTES_MAX {
                return Err(Error::new(
                    ErrorKind::Endpoint,
                    "an endpoint rule has at most 512 bytes",
                ));
            }
            let (methods, pattern) = split_rule(rule);
            if !methods.is_none_or(|methods| methods.split(',').all(is_method)) {
                return Err(Error::new(
                    ErrorKind::Endpoint,
                    "an endpoint rule's methods are upper-case tokens joined by commas, then one space",
                ));
            }
            if !is_pattern(pattern) {
                return Err(Error::new(
                    ErrorKind::Endpoint,
                    "an endpoint pattern is /segments, with * for one whole segment, or at the end for the rest",
                ));
            }
            if !text.split('\n').any(|known| known == rule) {
                if !text.is_empty() {
                    text.push('\n');
                }
                text.push_str(rule);
            }
        }
        Ok(Self { text: text.into() })
    }

    /// Each rule, in the order of the first mention.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.view().iter()
    }

    /// Whether the list is empty, and so allows nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Whether a rule matches the method and the path as they were sent.
    ///
    /// A path that is not [canonical](crate::is_canonical_path) matches nothing.
    #[must_use]
    pub fn allow(&self, method: &str, path: &str) -> bool {
        crate::path::is_canonical_path(path.as_bytes()) && self.view().allow_canonical(method, path)
    }

    /// The list as it lies in memory, for a verdict.
    #[inline]
    pub(crate) const fn view(&self) -> Rules<'_> {
        Rules(&self.text)
    }

    /// Whether each rule of `other` lies within one rule here.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        other
            .iter()
            .map(split_rule)
            .all(|(wanted_methods, wanted)| {
                self.iter().map(split_rule).any(|(methods, pattern)| {
                    let methods_within = match (methods, wanted_methods) {
                        (None, _) => true,
                        (Some(_), None) => false,
                        (Some(own), Some(wanted)) => wanted
                            .split(',')
                            .all(|method| own.split(',').any(|own| own == method)),
                    };
                    methods_within && covers(pattern, wanted)
                })
            })
    }
}

/// A list's rules joined by line feeds, wherever that text lies.
#[derive(Clone, Copy)]
pub(crate) struct Rules<'s>(pub(crate) &'s str);

impl<'s> Rules<'s> {
    #[inline]
    fn iter(self) -> impl Iterator<Item = &'s str> {
        self.0.split('\n').filter(|rule| !rule.is_empty())
    }

    /// Whether a rule matches a path that was found to be canonical.
    #[inline]
    pub(crate) fn allow_canonical(self, method: &str, path: &str) -> bool {
        self.iter().any(|rule| {
            let (methods, pattern) = split_rule(rule);
            methods.is_none_or(|methods| methods.split(',').any(|own| own == method))
                && covers(pattern, path)
        })
    }
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

/// Whether `pattern` covers all that `path`, a canonical path or a pattern, stands for.
#[inline]
fn covers(pattern: &str, path: &str) -> bool {
    // `/*` at the end takes any remainder after the slash, the empty one too. A path that
    // ends in `*` and is a pattern stands for the empty remainder, and so is never
    // covered by less.
    if let Some(stem) = pattern.strip_suffix('*') {
        if !stem.contains('*') {
            return path.as_bytes().starts_with(stem.as_bytes());
        }
    } else if !pattern.contains('*') {
        return pattern == path;
    }
    let (mut own, mut other) = (pattern.split('/').peekable(), path.split('/').peekable());
    loop {
        match (own.next(), other.next()) {
            (Some("*"), Some(segment)) => {
                if own.peek().is_none() {
                    return true;
                }
                // A last `*` of a pattern is a remainder, not the one segment.
                if segment.is_empty() || (segment == "*" && other.peek().is_none()) {
                    return false;
                }
            }
            (Some(segment), Some(same)) if segment == same => {}
            (None, None) => return true,
            _ => return false,
        }
    }
}

/// RFC 9110, section 9.1: a method is a case-sensitive token.
fn is_method(method: &str) -> bool {
    method
        .bytes()
        .next()
        .is_some_and(|b| b.is_ascii_uppercase())
        && method.len() <= 32
        && method
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'))
}

/// Whether `pattern` is made of canonical segments without `%`, and whole-segment `*`.
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
