//! The time of this machine, and instants as RFC 3339 spells them.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use keystile::UnixMillis;

/// The present instant; none where the machine's clock is far off.
pub(crate) fn now() -> Option<UnixMillis> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    UnixMillis::new(u64::try_from(since.as_millis()).ok()?).ok()
}

/// Always three digits behind the second, in UTC.
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
