//! Instants as RFC 3339.

use jiff::Timestamp;
use keystile::UnixMillis;

/// An instant in UTC as RFC 3339, always with milliseconds, as the JSON views have it.
///
/// ```
/// use keystile::UnixMillis;
/// use keystile_serve::rfc3339;
/// assert_eq!(rfc3339(UnixMillis::new(1_790_000_000_000)?), "2026-09-21T14:13:20.000Z");
/// assert_eq!(rfc3339(UnixMillis::MAX), "9999-12-31T23:59:59.999Z");
/// # Ok::<(), keystile::Error>(())
/// ```
#[must_use]
pub fn rfc3339(instant: UnixMillis) -> String {
    let time = i64::try_from(instant.get())
        .ok()
        .and_then(|millis| Timestamp::from_millisecond(millis).ok());
    time.map_or_else(
        || on_the_last_days(instant.get()),
        |time| format!("{time:.3}"),
    )
}

/// An instant from its text in RFC 3339, or the start of a day in UTC from its date. `None` if
/// the text is neither, or is before 1973 or after 9999. Fractions of a millisecond are
/// ignored.
///
/// ```
/// use keystile_serve::{parse_rfc3339, rfc3339};
/// let instant = parse_rfc3339("2026-09-21T16:13:20+02:00").map(rfc3339);
/// assert_eq!(instant.as_deref(), Some("2026-09-21T14:13:20.000Z"));
/// let day = parse_rfc3339("2026-09-21").map(rfc3339);
/// assert_eq!(day.as_deref(), Some("2026-09-21T00:00:00.000Z"));
/// assert_eq!(parse_rfc3339("2026-02-30"), None);
/// assert_eq!(parse_rfc3339("2026-09-21T16:13:20"), None, "of no time zone");
/// ```
#[must_use]
pub fn parse_rfc3339(text: &str) -> Option<UnixMillis> {
    const DATE_BYTES: usize = "2026-09-21".len();
    let time: Timestamp = if text.len() == DATE_BYTES {
        format!("{text}T00:00:00Z").parse().ok()?
    } else {
        text.parse().ok()?
    };
    let millis = u64::try_from(time.as_millisecond()).ok()?;
    UnixMillis::new(millis).ok()
}

/// The calendar ends on 30 December 9999 at 22:00, so that each of its instants exists in every
/// time zone.
fn on_the_last_days(millis: u64) -> String {
    /// 31 December 9999, in days since 1970.
    const LAST_DAY: u64 = 2_932_896;
    let date = match millis.div_euclid(86_400_000) {
        LAST_DAY => "9999-12-31",
        _ => "9999-12-30",
    };
    let in_day = millis.rem_euclid(86_400_000);
    let (seconds, millis) = (in_day.div_euclid(1_000), in_day.rem_euclid(1_000));
    let (minutes, second) = (seconds.div_euclid(60), seconds.rem_euclid(60));
    let (hour, minute) = (minutes.div_euclid(60), minutes.rem_euclid(60));
    format!("{date}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_texts_are_no_instants() {
        for text in [
            "",
            "never",
            "1790000000",
            "2026-9-21",
            "20260921",
            "2026-09-21T",
            "2026-13-01",
            "1972-01-01",
            "9999-12-31T23:59:60Z",
            "+002026-09",
            "2026-09-21 ",
            "0000000000",
        ] {
            assert_eq!(parse_rfc3339(text), None, "{text}");
        }
        for text in ["2026-09-21T14:13:20.987Z", "2026-09-21T14:13:20.9879Z"] {
            let instant = parse_rfc3339(text).unwrap();
            assert_eq!(instant.get(), 1_790_000_000_987, "{text}");
        }
    }

    /// Of the first and the last instant of the two days, and of those around the calendar's end.
    #[test]
    fn the_last_days_are_spelled() {
        let last = UnixMillis::MAX.get();
        for (before_the_end, expected) in [
            (0, "9999-12-31T23:59:59.999Z"),
            (86_399_999, "9999-12-31T00:00:00.000Z"),
            (86_400_000, "9999-12-30T23:59:59.999Z"),
            (93_598_999, "9999-12-30T22:00:01.000Z"),
            (93_599_999, "9999-12-30T22:00:00.000Z"),
            (93_600_000, "9999-12-30T21:59:59.999Z"),
            (172_799_999, "9999-12-30T00:00:00.000Z"),
            (172_800_000, "9999-12-29T23:59:59.999Z"),
        ] {
            let instant = UnixMillis::new(last - before_the_end).unwrap();
            assert_eq!(rfc3339(instant), expected);
        }
    }
}
