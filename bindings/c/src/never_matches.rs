//! Endpoint rules that hardly any request matches, for a warning.

use core::mem::MaybeUninit;

use keystile::NeverMatches;

use crate::boundary::{guard, non_null};
use crate::endpoint::keystile_endpoints;
use crate::status::keystile_status::{self, *};
use crate::text::keystile_str;

/// Why an endpoint rule matches no request that it was meant for. It is legal all the same,
/// and grants what it says and nothing else.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum keystile_never_matches {
    /// Each of its methods is a word for all methods in some router, such as `ANY`, which no
    /// client sends.
    KEYSTILE_NEVER_MATCHES_METHOD = 1,
    /// A segment is written like the parameter of a router, such as `:id`. Here it stands for
    /// itself, and a path that is sent has a value in its place.
    KEYSTILE_NEVER_MATCHES_PARAMETER = 2,
    /// A reason that has no number in this version.
    KEYSTILE_NEVER_MATCHES_OTHER = 99,
}

use keystile_never_matches::*;

/// Reads the rule at an index among those of a list that hardly any request matches; borrowed
/// from the list. Use it for a warning when a person writes rules.
///
/// `out_why`: receives a `keystile_never_matches`.
///
/// Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_INDEX` past the last one: at index 0 if each rule
/// can match.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn keystile_endpoints_never_matching_at(
    endpoints: Option<&keystile_endpoints>,
    index: usize,
    out_rule: Option<&mut MaybeUninit<keystile_str>>,
    out_why: Option<&mut MaybeUninit<u32>>,
) -> keystile_status {
    guard(|| {
        let (endpoints, out_rule, out_why) = (
            non_null(endpoints)?,
            non_null(out_rule)?,
            non_null(out_why)?,
        );
        let found = endpoints.0.never_matching().nth(index);
        let (rule, why) = found.ok_or(KEYSTILE_ERROR_INDEX)?;
        out_rule.write(keystile_str::of(rule));
        out_why.write(keystile_never_matches::of(why) as u32);
        Ok(())
    })
}

/// Reads two texts for people: why such a rule matches nothing, and what to write instead. Both
/// are static.
///
/// `why`: a `keystile_never_matches`.
///
/// Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_VALUE` for a number that is not one with a text.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn keystile_never_matches_texts(
    why: u32,
    out_message: Option<&mut MaybeUninit<keystile_str>>,
    out_hint: Option<&mut MaybeUninit<keystile_str>>,
) -> keystile_status {
    guard(|| {
        let (out_message, out_hint) = (non_null(out_message)?, non_null(out_hint)?);
        let all = [NeverMatches::Method, NeverMatches::Parameter];
        let mut found = all.into_iter();
        let why = found.find(|own| keystile_never_matches::of(*own) as u32 == why);
        let why = why.ok_or(KEYSTILE_ERROR_VALUE)?;
        out_message.write(keystile_str::of(why.message()));
        out_hint.write(keystile_str::of(why.hint()));
        Ok(())
    })
}

impl keystile_never_matches {
    const fn of(why: NeverMatches) -> Self {
        match why {
            NeverMatches::Method => KEYSTILE_NEVER_MATCHES_METHOD,
            NeverMatches::Parameter => KEYSTILE_NEVER_MATCHES_PARAMETER,
            _ => KEYSTILE_NEVER_MATCHES_OTHER,
        }
    }
}
