//! Instants as text in the one form that is written.

use keystile::UnixMillis;

pub(crate) const DAY_MILLIS: u64 = 86_400_000;

/// `2026-09-21T14:13:20.000Z`: RFC 3339, in UTC, to the millisecond.
pub(crate) fn format(instant: UnixMillis) -> String {
    let millis = instant.get();
    let (year, month, day) = date_of(millis.div_euclid(DAY_MILLIS));
    let in_day = millis.rem_euclid(DAY_MILLIS);
    let (seconds, millis) = (in_day.div_euclid(1_000), in_day.rem_euclid(1_000));
    let (minutes, second) = (seconds.div_euclid(60), seconds.rem_euclid(60));
    let (hour, minute) = (minutes.div_euclid(60), minutes.rem_euclid(60));
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// Year, month and day of the date that is this many days after 1970-01-01.
///
/// A year is counted from March on, so that the leap day is its last; 400 of them have
/// 146,097 days. Howard Hinnant, "chrono-compatible low-level date algorithms".
#[expect(
    clippy::arithmetic_side_effects,
    reason = "the days of an instant are below 3 million, and each step makes them fewer"
)]
pub(crate) const fn date_of(days: u64) -> (u64, u64, u64) {
    let since_march = days + 719_468;
    let (era, day_of_era) = (since_march / 146_097, since_march % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let (month, next) = if from_march < 10 {
        (from_march + 3, 0)
    } else {
        (from_march - 9, 1)
    };
    (year_of_era + era * 400 + next, month, day)
}
