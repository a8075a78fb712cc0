//! The permissions that a route requires, joined by AND, OR and parentheses.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use crate::error::{Error, ErrorKind};
use crate::policy::permission::{Granted, PermissionSet, is_required_form};

/// Longest requirement in bytes.
pub const REQUIREMENT_BYTES_MAX: usize = 1_000;
/// Most permissions that a requirement names, counting repetitions.
pub const REQUIREMENT_TERMS_MAX: usize = 100;

/// Which of a requirement's terms are missing, one bit each, the low half first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Missing([u64; 2]);

/// What a route requires, such as `read`, `invoices:read AND invoices:write` or
/// `admin OR (read AND audit)`.
///
/// AND binds tighter than OR. The keywords are upper case. Terms are permissions without
/// wildcards.
///
/// ```
/// use keystile::{PermissionSet, Requirement};
/// let asks = Requirement::parse("admin OR (read AND audit)")?;
/// assert!(asks.is_satisfied_by(&PermissionSet::new(["read", "audit"])?));
/// let lacking = PermissionSet::new(["read"])?;
/// assert!(!asks.is_satisfied_by(&lacking));
/// assert_eq!(asks.missing(&lacking).collect::<Vec<_>>(), ["admin", "audit"]);
/// assert!(Requirement::parse("read and write").is_err());
/// # Ok::<(), keystile::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Requirement {
    text: Box<str>,
    terms: Box<[Range<u16>]>,
    /// The formula in postfix order, so that it is evaluated without recursion.
    formula: Box<[Step]>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Step {
    Term(u8),
    And,
    Or,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Token {
    Term,
    And,
    Or,
    Open,
    Close,
}

impl Requirement {
    /// Parses a requirement.
    ///
    /// # Errors
    /// [`ErrorKind::Permission`] if the text is not such a formula, is longer than 1,000
    /// bytes or names more than 100 permissions.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.len() > REQUIREMENT_BYTES_MAX {
            return Err(Error::new(
                ErrorKind::Permission,
                "a requirement must have at most 1000 bytes",
            )
            .in_field("requirement"));
        }
        let mut terms = Vec::new();
        let mut formula = Vec::new();
        let mut waiting: Vec<Token> = Vec::new();
        let mut operand_due = true;
        for word in words(text) {
            let token = match text.get(word.clone()).unwrap_or_default() {
                "AND" => Token::And,
                "OR" => Token::Or,
                "(" => Token::Open,
                ")" => Token::Close,
                term if is_required_form(term) => Token::Term,
                _ => return Err(not_a_formula()),
            };
            if operand_due != matches!(token, Token::Term | Token::Open) {
                return Err(not_a_formula());
            }
            operand_due = matches!(token, Token::And | Token::Or | Token::Open);
            match token {
                Token::Term => {
                    if terms.len() >= REQUIREMENT_TERMS_MAX {
                        return Err(Error::new(
                            ErrorKind::Permission,
                            "a requirement must name at most 100 permissions",
                        )
                        .in_field("requirement"));
                    }
                    formula.push(Step::Term(u8::try_from(terms.len()).unwrap_or(u8::MAX)));
                    terms.push(narrow(&word));
                }
                Token::Open => waiting.push(Token::Open),
                Token::And | Token::Or => {
                    while let Some(step) = waiting.last().and_then(|&top| binds_before(top, token))
                    {
                        formula.push(step);
                        waiting.pop();
                    }
                    waiting.push(token);
                }
                Token::Close => loop {
                    match waiting.pop() {
                        Some(Token::And) => formula.push(Step::And),
                        Some(Token::Or) => formula.push(Step::Or),
                        Some(Token::Open) => break,
                        _ => return Err(not_a_formula()),
                    }
                },
            }
        }
        if operand_due {
            return Err(not_a_formula());
        }
        while let Some(token) = waiting.pop() {
            formula.push(match token {
                Token::And => Step::And,
                Token::Or => Step::Or,
                _ => return Err(not_a_formula()),
            });
        }
        Ok(Self {
            text: text.into(),
            terms: terms.into(),
            formula: formula.into(),
        })
    }

    /// The text that the requirement was parsed from.
    #[must_use]
    pub const fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the permissions satisfy the requirement.
    #[must_use]
    pub fn is_satisfied_by(&self, granted: &PermissionSet) -> bool {
        self.check(granted.view()).is_none()
    }

    /// The permissions that are missing, each once; none if the requirement is satisfied.
    ///
    /// Terms of a part that is satisfied are left out: if `a` is granted, only `c` is
    /// missing from `(a OR b) AND c`.
    pub fn missing(&self, granted: &PermissionSet) -> impl Iterator<Item = &str> {
        self.named(self.check(granted.view()).unwrap_or_default())
    }

    /// The missing terms, or `None` if the requirement is satisfied.
    #[inline(always)]
    pub(crate) fn check(&self, granted: Granted<'_>) -> Option<Missing> {
        // One term is the usual case; it needs no stack.
        if let [only] = &*self.terms {
            let met = granted.grants(self.term(only));
            return (!met).then_some(Missing([1, 0]));
        }
        self.check_formula(granted)
    }

    #[inline]
    fn term(&self, range: &Range<u16>) -> &[u8] {
        self.text.as_bytes().get(wide(range)).unwrap_or_default()
    }

    // Not inlined, so that not every decision reserves its stack.
    #[inline(never)]
    fn check_formula(&self, granted: Granted<'_>) -> Option<Missing> {
        // Each entry is the set of terms that a sub-formula misses; it is empty if the
        // sub-formula is satisfied. There are never more entries than terms.
        let mut stack = [0u128; REQUIREMENT_TERMS_MAX];
        let mut height = 0usize;
        for step in &*self.formula {
            let entry = match step {
                Step::Term(term) => {
                    let range = self.terms.get(usize::from(*term));
                    let met = range.is_some_and(|range| granted.grants(self.term(range)));
                    if met { 0 } else { 1 << u32::from(*term) }
                }
                Step::And | Step::Or => {
                    height = height.saturating_sub(2);
                    let pair = stack.get(height..).and_then(|rest| rest.first_chunk::<2>());
                    // An unbalanced formula cannot be made; if there were one, it would
                    // not be satisfied.
                    let [a, b] = pair.copied().unwrap_or([u128::MAX; 2]);
                    let met = *step == Step::Or && (a == 0 || b == 0);
                    if met { 0 } else { a | b }
                }
            };
            if let Some(slot) = stack.get_mut(height) {
                *slot = entry;
            }
            height = height.saturating_add(1);
        }
        let [missing, ..] = stack;
        (missing != 0).then_some(Missing::of(missing))
    }

    /// The names of the terms in a [`Missing`] of this requirement.
    pub(crate) fn named(&self, missing: Missing) -> impl Iterator<Item = &str> {
        let bits = missing.bits();
        let term = move |at: usize| {
            let bit = u32::try_from(at).ok().and_then(|at| bits.checked_shr(at))? & 1;
            let range = self.terms.get(at).filter(|_| bit == 1)?;
            self.text.get(wide(range))
        };
        (0..self.terms.len()).filter_map(move |at| {
            let name = term(at)?;
            let named_before = (0..at).any(|earlier| term(earlier) == Some(name));
            (!named_before).then_some(name)
        })
    }
}

impl Missing {
    pub(crate) const fn from_halves(halves: [u64; 2]) -> Self {
        Self(halves)
    }

    pub(crate) const fn halves(self) -> [u64; 2] {
        self.0
    }

    /// Two halves, since a `u128` would align every decision to 16 bytes.
    const fn of(bits: u128) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = bits.to_le_bytes();
        Self([
            u64::from_le_bytes([a, b, c, d, e, f, g, h]),
            u64::from_le_bytes([i, j, k, l, m, n, o, p]),
        ])
    }

    const fn bits(self) -> u128 {
        let [low, high] = self.0;
        (high as u128) << 64 | low as u128
    }
}

impl core::str::FromStr for Requirement {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

impl fmt::Debug for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Requirement").field(&self.text).finish()
    }
}

/// The step for `top` if it is evaluated before `next`.
fn binds_before(top: Token, next: Token) -> Option<Step> {
    match (top, next) {
        (Token::And, _) => Some(Step::And),
        (Token::Or, Token::Or) => Some(Step::Or),
        _ => None,
    }
}

/// The byte ranges of words and parentheses. Only spaces separate words.
fn words(text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0usize;
    core::iter::from_fn(move || {
        let rest = text.get(at..)?;
        let start = at.saturating_add(
            rest.len()
                .saturating_sub(rest.trim_start_matches(' ').len()),
        );
        let rest = text.get(start..).filter(|rest| !rest.is_empty())?;
        let length = match rest.find([' ', '(', ')']) {
            // A parenthesis is a word by itself.
            Some(0) => 1,
            Some(length) => length,
            None => rest.len(),
        };
        at = start.saturating_add(length);
        Some(start..at)
    })
}

fn narrow(range: &Range<usize>) -> Range<u16> {
    let narrow = |at: usize| u16::try_from(at).unwrap_or(u16::MAX);
    narrow(range.start)..narrow(range.end)
}

fn wide(range: &Range<u16>) -> Range<usize> {
    usize::from(range.start)..usize::from(range.end)
}

const fn not_a_formula() -> Error {
    Error::new(
        ErrorKind::Permission,
        "a requirement must be permissions without a wildcard, joined by AND, OR and parentheses",
    )
    .in_field("requirement")
}
