//! An instant as HTTP and RFC 3339 spell it.

use alloc::string::String;

use crate::time::UnixMillis;

/// RFC 9110, section 5.6.7: `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(crate) fn http_date(instant: UnixMillis) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let name = |names: &[&'static str], at: u64| {
        usize::try_from(at)
            .ok()
            .and_then(|at| names.get(at).copied())
            .unwrap_or_default()
    };
    let days = instant.get() / 86_400_000;
    let (year, month, day) = date(days);
    alloc::format!(
        "{}, {day:02} {} {year:04} {} GMT",
        name(&DAYS, days % 7),
        name(&MONTHS, month.saturating_sub(1)),
        time_of_day(instant),
    )
}

/// RFC 3339 in UTC, with milliseconds: `1994-11-06T08:49:37.000Z`.
pub(crate) fn rfc3339(instant: UnixMillis) -> String {
    let (year, month, day) = date(instant.get() / 86_400_000);
    let time = time_of_day(instant);
    let millis = instant.get() % 1_000;
    alloc::format!("{year:04}-{month:02}-{day:02}T{time}.{millis:03}Z")
}

fn time_of_day(instant: UnixMillis) -> String {
    let clock = instant.get() / 1_000 % 86_400;
    let (hours, minutes) = (clock / 3_600, clock / 60 % 60);
    alloc::format!("{hours:02}:{minutes:02}:{:02}", clock % 60)
}

/// Year, month and day, from the days since 1970: the proleptic Gregorian calendar, from years
/// of 400 that begin on a first of March (Howard Hinnant, "chrono-compatible low-level date
/// algorithms").
fn date(days: u64) -> (u64, u64, u64) {
    let since = days.saturating_add(719_468);
    let (era, of_era) = (since / 146_097, since % 146_097);
    let year_of_era = of_era
        .saturating_sub(of_era / 1_460)
        .saturating_add(of_era / 36_524)
        .saturating_sub(of_era / 146_096)
        / 365;
    let day_of_year = of_era.saturating_sub(
        year_of_era
            .saturating_mul(365)
            .saturating_add(year_of_era / 4)
            .saturating_sub(year_of_era / 100),
    );
    // March is month 0 here; January and February belong to the next year.
    let month = day_of_year.saturating_mul(5).saturating_add(2) / 153;
    let day = day_of_year
        .saturating_sub(month.saturating_mul(153).saturating_add(2) / 5)
        .saturating_add(1);
    let year = era
        .saturating_mul(400)
        .saturating_add(year_of_era)
        .saturating_add(u64::from(month >= 10));
    let month = (month.saturating_add(2) % 12).saturating_add(1);
    (year, month, day)
}
