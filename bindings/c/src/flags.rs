//! Flags, and the values that they belong to. A struct that was not zeroed, or a flag that was
//! forgotten, must not take a restriction away.

use keystile::RateLimit;

use crate::error::Failure;
use crate::limit::keystile_rate_limit;
use crate::status::keystile_status::*;

/// Whether a flag is set.
pub(crate) const fn flag(value: u8, field: &'static str) -> Result<bool, Failure> {
    match value {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Failure::new(KEYSTILE_ERROR_VALUE, "a flag must be 0 or 1").in_field(field)),
    }
}

/// A value, if its flag is set. One without its flag was meant to be set.
pub(crate) fn flagged<T>(
    value: T,
    is_zero: bool,
    has: u8,
    field: &'static str,
) -> Result<Option<T>, Failure> {
    match (flag(has, field)?, is_zero) {
        (true, _) => Ok(Some(value)),
        (false, true) => Ok(None),
        (false, false) => {
            let expected = "a value must be set together with its has_ flag";
            Err(Failure::new(KEYSTILE_ERROR_VALUE, expected).in_field(field))
        }
    }
}

/// A number, if its flag is set.
pub(crate) fn number(value: u64, has: u8, field: &'static str) -> Result<Option<u64>, Failure> {
    flagged(value, value == 0, has, field)
}

/// A rate limit, if its flag is set.
pub(crate) fn rate_limit(
    value: keystile_rate_limit,
    has: u8,
) -> Result<Option<RateLimit>, Failure> {
    let is_zero = value.limit == 0 && value.burst == 0 && value.window_millis == 0;
    let limit = flagged(value, is_zero, has, "rate_limit")?;
    limit.map(|limit| Ok(limit.core()?)).transpose()
}

/// What happens to an optional field: `None` if it stays, `Some(None)` if it is cleared.
pub(crate) fn edit<T>(
    value: Option<T>,
    clear: u8,
    field: &'static str,
) -> Result<Option<Option<T>>, Failure> {
    match (value, flag(clear, field)?) {
        (None, false) => Ok(None),
        (None, true) => Ok(Some(None)),
        (Some(value), false) => Ok(Some(Some(value))),
        (Some(_), true) => Err(both(field)),
    }
}

/// Two values that contradict each other: the caller's intention is not known.
pub(crate) const fn both(field: &'static str) -> Failure {
    let expected = "a field must not be both set and cleared, nor have an end and never expire";
    Failure::new(KEYSTILE_ERROR_VALUE, expected).in_field(field)
}
