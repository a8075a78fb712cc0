//! Instants that are parsed from each form that other code writes.

use keystile::UnixMillis;

use crate::instant::{DAY_MILLIS, date_of};

const MINUTE_MILLIS: u64 = 60_000;

/// Accepts `YYYY-MM-DD`, `T` or a space, `HH:MM:SS`, then optionally a fraction of one to
/// nine digits, and optionally `Z`, `+HH:MM` or `+HH`.
///
/// Without an offset it is UTC, as SQLite's `CURRENT_TIMESTAMP` is. Fractions of a
/// millisecond are truncated: a key never ends later than the stored time.
pub(super) fn parse(text: &str) -> Option<UnixMillis> {
    let mut rest = Rest(text);
    let year = rest.number(4)?;
    let month = rest.after(&["-"])?.number(2)?;
    let day = rest.after(&["-"])?.number(2)?;
    let hour = rest
        .after(&["T", " "])?
        .number(2)
        .filter(|hour| *hour < 24)?;
    let minute = rest
        .after(&[":"])?
        .number(2)
        .filter(|minute| *minute < 60)?;
    let second = rest
        .after(&[":"])?
        .number(2)
        .filter(|second| *second < 60)?;
    let fraction = rest.fraction()?;
    let offset = rest.offset()?;
    let local = days_to(year, month, day)?
        .checked_mul(DAY_MILLIS)?
        .checked_add(
            hour.checked_mul(60)?
                .checked_add(minute)?
                .checked_mul(MINUTE_MILLIS)?,
        )?
        .checked_add(second.checked_mul(1_000)?.checked_add(fraction)?)?;
    UnixMillis::new(local.checked_add_signed(offset.checked_neg()?)?).ok()
}

/// The text that is not parsed yet.
struct Rest<'t>(&'t str);

impl Rest<'_> {
    /// A number of exactly this many digits.
    fn number(&mut self, digits: usize) -> Option<u64> {
        let (number, rest) = self.0.split_at_checked(digits)?;
        // `str::parse` would accept a sign.
        let all_digits = number.bytes().all(|byte| byte.is_ascii_digit());
        self.0 = rest;
        number.parse().ok().filter(|_| all_digits)
    }

    fn after(&mut self, either: &[&str]) -> Option<&mut Self> {
        self.0 = either.iter().find_map(|text| self.0.strip_prefix(text))?;
        Some(self)
    }

    /// The milliseconds in the fraction of a second; 0 if there is none.
    fn fraction(&mut self) -> Option<u64> {
        let Some(rest) = self.0.strip_prefix('.') else {
            return Some(0);
        };
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (fraction, rest) = rest
            .split_at_checked(digits)
            .filter(|_| (1..=9).contains(&digits))?;
        self.0 = rest;
        format!("{fraction:0<3}").get(..3)?.parse().ok()
    }

    /// The milliseconds by which the text is ahead of UTC. Nothing may follow the offset.
    fn offset(&mut self) -> Option<i64> {
        if matches!(self.0, "" | "Z") {
            return Some(0);
        }
        let ahead = self.0.starts_with('+');
        let hours = self
            .after(&["+", "-"])?
            .number(2)
            .filter(|hours| *hours < 24)?;
        let minutes = match self.0 {
            "" => 0,
            _ => self
                .after(&[":"])?
                .number(2)
                .filter(|minutes| *minutes < 60)?,
        };
        let minutes = i64::try_from(hours.checked_mul(60)?.checked_add(minutes)?).ok()?;
        let millis = minutes.checked_mul(i64::try_from(MINUTE_MILLIS).ok()?)?;
        self.0
            .is_empty()
            .then_some(if ahead { millis } else { millis.checked_neg()? })
    }
}

/// The days from 1970-01-01 to this date, or `None` if there is no such date.
#[expect(
    clippy::arithmetic_side_effects,
    reason = "years have four digits, and the date is 1970 or later before each subtraction"
)]
fn days_to(year: u64, month: u64, day: u64) -> Option<u64> {
    if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year_of_march = if month > 2 { year } else { year - 1 };
    let (era, year_of_era) = (year_of_march / 400, year_of_march % 400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    // 30 February would be the 2nd of March.
    (date_of(days) == (year, month, day)).then_some(days)
}

#[cfg(test)]
mod tests {
    use super::parse;
    use crate::instant::format;
    use keystile::UnixMillis;
    use proptest::prelude::*;

    fn millis(text: &str) -> Option<u64> {
        parse(text).map(UnixMillis::get)
    }

    #[test]
    fn formats_and_parses_the_first_and_the_last_instant() {
        assert_eq!(format(UnixMillis::MIN), "1973-03-03T09:46:40.000Z");
        assert_eq!(format(UnixMillis::MAX), "9999-12-31T23:59:59.999Z");
        for instant in [UnixMillis::MIN, UnixMillis::MAX] {
            assert_eq!(parse(&format(instant)), Some(instant));
        }
    }

    /// Each day from 1973 to 2401 follows the one before it, with every leap rule in it.
    #[test]
    fn each_day_is_read_back() {
        let mut last = String::new();
        for day in 1_158..157_700 {
            let instant = UnixMillis::new(day * 86_400_000).unwrap();
            let text = format(instant);
            assert!(text > last, "{text} does not follow {last}");
            assert_eq!(parse(&text), Some(instant), "{text}");
            last = text;
        }
        assert_eq!(
            format(UnixMillis::new(951_782_400_000).unwrap()),
            "2000-02-29T00:00:00.000Z"
        );
    }

    #[test]
    fn reads_what_other_code_writes() {
        let noon = 1_782_043_200_000;
        for text in [
            "2026-06-21 12:00:00",
            "2026-06-21T12:00:00",
            "2026-06-21T12:00:00Z",
            "2026-06-21T12:00:00.000Z",
            "2026-06-21 12:00:00+00",
            "2026-06-21 12:00:00.000000+00",
            "2026-06-21T14:00:00+02:00",
            "2026-06-21T06:30:00-05:30",
            "2026-06-22 11:59:00+23:59",
        ] {
            assert_eq!(millis(text), Some(noon), "{text}");
        }
        assert_eq!(millis("2026-06-21 12:00:00.1"), Some(noon + 100));
        assert_eq!(
            millis("2026-06-21 12:00:00.0019999"),
            Some(noon + 1),
            "truncated, not rounded"
        );
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            " ",
            "never",
            "infinity",
            "null",
            "0",
            "1782043200",
            "1782043200000",
            "2026-06-21",
            "2026-06-21T12:00",
            "2026-6-21 12:00:00",
            "26-06-21 12:00:00",
            "2026-02-29 12:00:00",
            "2100-02-29 12:00:00",
            "2026-02-30 12:00:00",
            "2026-13-01 12:00:00",
            "2026-00-01 12:00:00",
            "2026-01-00 12:00:00",
            "2026-04-31 12:00:00",
            "2026-06-21 24:00:00",
            "2026-06-21 12:60:00",
            "2026-06-21 12:00:60",
            "2026-06-21 12:00:00.",
            "2026-06-21 12:00:00.0000000001",
            "2026-06-21 12:00:00z",
            "2026-06-21 12:00:00 Z",
            "2026-06-21 12:00:00+2",
            "2026-06-21 12:00:00+0200",
            "2026-06-21 12:00:00+24:00",
            "2026-06-21 12:00:00+02:60",
            "2026-06-21 12:00:00Z ",
            " 2026-06-21 12:00:00Z",
            "2026-06-21  12:00:00",
            "+026-06-21 12:00:00",
            "2026-+6-21 12:00:00",
            "2026-06-21 12:00:+1",
            "1969-12-31 23:59:59",
            "1972-01-01 00:00:00",
            "10000-01-01 00:00:00",
            "2026-06-21 12:00:00\0",
            "２026-06-21 12:00:00",
            "2026-06-21 12:00:00.٣",
            "2026-06-21 12:00:00+",
            "2026-06-21 12:00:00-",
            "9999-12-31 23:59:59-00:01",
        ] {
            assert_eq!(millis(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn each_instant_is_read_back(
            millis in UnixMillis::MIN.get()..=UnixMillis::MAX.get(),
        ) {
            let instant = UnixMillis::new(millis).unwrap();
            prop_assert_eq!(parse(&format(instant)), Some(instant));
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = parse(&text);
        }

        #[test]
        fn an_edit_is_refused_or_reads_as_it_says(
            millis in UnixMillis::MIN.get()..=UnixMillis::MAX.get(),
            place in 0_usize..24,
            byte in b' '..=b'~',
        ) {
            let mut text = format(UnixMillis::new(millis).unwrap()).into_bytes();
            text[place] = byte;
            let text = String::from_utf8(text).unwrap();
            if let Some(instant) = parse(&text) {
                let plain = text.replace(' ', "T");
                prop_assert!(format(instant) == plain || !plain.ends_with('Z') || !plain.contains('.'));
            }
        }
    }
}
