//! Instants formatted as RFC 3339.

use jiff::Timestamp;
use keystile::UnixMillis;

/// An instant in UTC as RFC 3339, always with milliseconds, as the JSON views have it.
///
/// The calendar has no last day of the year 9999, so that every instant exists in every time
/// zone: an instant on that day is `@` and its milliseconds since 1970.
///
/// ```
/// use keystile::UnixMillis;
/// use keystile_serve::rfc3339;
/// assert_eq!(rfc3339(UnixMillis::new(1_790_000_000_000)?), "2026-09-21T14:13:20.000Z");
/// assert_eq!(rfc3339(UnixMillis::MAX), "@253402300799999ms");
/// # Ok::<(), keystile::Error>(())
/// ```
#[must_use]
pub fn rfc3339(instant: UnixMillis) -> String {
    let time = i64::try_from(instant.get())
        .ok()
        .and_then(|millis| Timestamp::from_millisecond(millis).ok());
    time.map_or_else(
        || format!("@{}ms", instant.get()),
        |time| format!("{time:.3}"),
    )
}
