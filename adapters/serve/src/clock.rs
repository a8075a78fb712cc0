//! Instants as RFC 3339 spells them.

use jiff::Timestamp;
use keystile::UnixMillis;

/// In UTC, always with three digits after the second.
pub(crate) fn spell(instant: UnixMillis) -> String {
    let time = i64::try_from(instant.get())
        .ok()
        .and_then(|millis| Timestamp::from_millisecond(millis).ok());
    // The calendar leaves out the last day of the year 9999.
    time.map_or_else(
        || format!("@{}ms", instant.get()),
        |time| format!("{time:.3}"),
    )
}
