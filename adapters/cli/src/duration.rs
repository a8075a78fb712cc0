//! Durations and rate limits, as people write them: `90s`, `15m`, `1h`, `7d`, `1y`, `1000/1h`,
//! `100/hour`.

use keystile::{Millis, RateLimit, UnixMillis};

use crate::failure::Failure;

/// Milliseconds in a unit that durations are printed in, the largest first.
const UNITS: [(char, u64); 4] = [
    ('d', 86_400_000),
    ('h', 3_600_000),
    ('m', 60_000),
    ('s', 1_000),
];
/// Milliseconds in a unit that is only read. A year has 365 days, in leap years too.
const LONG_UNITS: [(char, u64); 2] = [('w', 604_800_000), ('y', 31_536_000_000)];

/// Times that a rate limit may name by a word.
const WINDOWS: [(&str, u64); 5] = [
    ("second", 1_000),
    ("minute", 60_000),
    ("hour", 3_600_000),
    ("day", 86_400_000),
    ("week", 604_800_000),
];

/// The instant that an option names, or the one that is so long ago that another option says. If
/// neither is set, the earliest one.
pub(crate) fn instant_or_age(
    instant: Option<UnixMillis>,
    age: Option<Millis>,
    now: UnixMillis,
) -> UnixMillis {
    instant.unwrap_or_else(|| {
        let age = age.map_or(u64::MAX, Millis::get);
        UnixMillis::new(now.get().saturating_sub(age)).unwrap_or(UnixMillis::MIN)
    })
}

const EXPECTED: &str =
    "must be a duration: a whole number and s, m, h, d, w or y, such as 90s, 15m, 1h or 7d";
const EXPECTED_LIFETIME: &str =
    "must be a whole number and s, m, h, d, w or y, such as 90d or 12h, or the word never";
const EXPECTED_NONZERO: &str = "must be greater than zero, such as 90d, or the word never";
const EXPECTED_RATE: &str =
    "must be a whole number, a slash and a time, such as 1000/1h or 100/hour";
const EXPECTED_LIMIT: &str =
    "must be a whole number, a slash and a time, such as 60/1m or 60/minute, or the word off";

/// How long a key lives: a duration, or `never` for a key that does not expire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lifetime {
    For(Millis),
    Ever,
}

/// A limit that can be switched off: a rate, or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LimitOrOff {
    At(RateLimit),
    Off,
}

/// A duration.
pub(crate) fn duration(text: &str) -> Result<Millis, &'static str> {
    read(text).ok_or(EXPECTED)
}

/// A duration that is not zero.
pub(crate) fn nonzero(text: &str) -> Result<Millis, &'static str> {
    match duration(text)? {
        Millis::ZERO => Err("must be greater than zero, such as 90d"),
        span => Ok(span),
    }
}

/// A lifetime: a duration that is not zero, or `never`.
pub(crate) fn lifetime(text: &str) -> Result<Lifetime, &'static str> {
    if text == "never" {
        return Ok(Lifetime::Ever);
    }
    match read(text) {
        Some(Millis::ZERO) => Err(EXPECTED_NONZERO),
        Some(span) => Ok(Lifetime::For(span)),
        None => Err(EXPECTED_LIFETIME),
    }
}

/// A rate limit, such as `1000/1h`.
pub(crate) fn rate(text: &str) -> Result<RateLimit, &'static str> {
    let (limit, window) = text.split_once('/').ok_or(EXPECTED_RATE)?;
    let limit = whole(limit)
        .and_then(|limit| u32::try_from(limit).ok())
        .ok_or(EXPECTED_RATE)?;
    let window = read_window(window).ok_or(EXPECTED_RATE)?;
    RateLimit::new(limit, window).map_err(|error| error.message())
}

/// How many requests may arrive at once.
pub(crate) fn burst(text: &str) -> Result<u32, &'static str> {
    whole(text)
        .and_then(|burst| u32::try_from(burst).ok())
        .filter(|burst| *burst != 0)
        .ok_or("must be a whole number, 1 to 4294967295")
}

/// The rate limit with this burst.
pub(crate) fn with_burst(
    limit: Option<RateLimit>,
    burst: Option<u32>,
) -> Result<Option<RateLimit>, Failure> {
    let (Some(limit), Some(burst)) = (limit, burst) else {
        return Ok(limit);
    };
    RateLimit::with_burst(limit.limit(), limit.window(), burst)
        .map(Some)
        .map_err(Failure::of("--burst"))
}

/// How long a key lives that ends at this instant.
pub(crate) fn until(end: UnixMillis, now: UnixMillis) -> Result<Millis, Failure> {
    if end <= now {
        return Err(Failure::expected("--expires-at: must be in the future"));
    }
    Ok(end.since(now))
}

/// A rate limit, or `off`.
pub(crate) fn limit_or_off(text: &str) -> Result<LimitOrOff, &'static str> {
    if text == "off" {
        return Ok(LimitOrOff::Off);
    }
    rate(text)
        .map(LimitOrOff::At)
        .map_err(|expected| match expected {
            EXPECTED_RATE => EXPECTED_LIMIT,
            other => other,
        })
}

/// The duration in its largest whole unit.
pub(crate) fn spell(span: Millis) -> String {
    let millis = span.get();
    UNITS
        .iter()
        .find(|(_, unit)| millis != 0 && millis.is_multiple_of(*unit))
        .map_or_else(
            || match millis {
                0 => "0s".to_owned(),
                _ => format!("{millis}ms"),
            },
            |(name, unit)| format!("{}{name}", millis.checked_div(*unit).unwrap_or(millis)),
        )
}

/// The rate limit as options take it, followed by its burst if that differs.
pub(crate) fn spell_rate(limit: &RateLimit) -> String {
    let spelled = format!("{}/{}", limit.limit(), spell(limit.window()));
    if limit.burst() == limit.limit() {
        spelled
    } else {
        format!("{spelled}, {} at once", limit.burst())
    }
}

/// The time in hours or minutes, or in seconds if it is short, rounded up.
pub(crate) fn spell_wait(wait: Millis) -> String {
    let seconds = wait.secs_ceil();
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds.div_ceil(60)),
        _ => format!("{}h", seconds.div_ceil(3_600)),
    }
}

fn read(text: &str) -> Option<Millis> {
    let unit = text.chars().next_back()?;
    let count = whole(text.strip_suffix(unit)?)?;
    count.checked_mul(millis_in(unit)?).map(Millis::new)
}

fn millis_in(unit: char) -> Option<u64> {
    let mut units = UNITS.iter().chain(&LONG_UNITS);
    units
        .find(|(name, _)| *name == unit)
        .map(|(_, millis)| *millis)
}

/// The time of a rate limit: a duration, or one unit as a letter or a word.
fn read_window(text: &str) -> Option<Millis> {
    let word = WINDOWS.iter().find(|(name, _)| *name == text);
    let mut letters = text.chars();
    let unit = || match (letters.next(), letters.next()) {
        (Some(unit), None) => millis_in(unit),
        _ => None,
    };
    word.map(|(_, millis)| *millis)
        .or_else(unit)
        .map(Millis::new)
        .or_else(|| read(text))
}

/// A number of digits only: signs and spaces are not accepted.
pub(crate) fn whole(text: &str) -> Option<u64> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read() {
        for (text, millis) in [
            ("0s", 0),
            ("90s", 90_000),
            ("15m", 900_000),
            ("1h", 3_600_000),
            ("7d", 604_800_000),
            ("007d", 604_800_000),
            ("2w", 1_209_600_000),
            ("1y", 31_536_000_000),
        ] {
            assert_eq!(duration(text), Ok(Millis::new(millis)), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "s",
            "7",
            "d7",
            "7 d",
            " 7d",
            "7d ",
            "-7d",
            "+7d",
            "7D",
            "7W",
            "w",
            "1year",
            "7ms",
            "1h30m",
            "1.5h",
            "1e3s",
            "７d",
            "213503982335d",
            "584942418y",
            "18446744073709551616s",
            "never",
        ] {
            assert_eq!(duration(text), Err(EXPECTED), "{text}");
        }
        assert!(lifetime("0d").is_err() && lifetime("Never").is_err());
        assert_eq!(lifetime("never"), Ok(Lifetime::Ever));
    }

    #[test]
    fn rates_are_read_and_refused() {
        let hourly = rate("1000/1h").unwrap();
        assert_eq!((hourly.limit(), hourly.window().get()), (1_000, 3_600_000));
        assert_eq!(spell_rate(&hourly), "1000/1h");
        assert_eq!(rate("0/1h").unwrap().limit(), 0);
        for text in [
            "",
            "/",
            "1000",
            "1000/",
            "/1h",
            "/hour",
            "1000/H",
            "1000/hours",
            "1000/1hour",
            "1000/month",
            "1000/1",
            "-1/1h",
            "+1/1h",
            "1/0s",
            "4294967296/1h",
            "1/367d",
            "1/1h/1h",
            "ten/1h",
            "1 /1h",
        ] {
            assert!(rate(text).is_err(), "{text}");
            assert!(limit_or_off(text).is_err(), "{text}");
        }
        for text in ["1000/h", "1000/hour", "1000/60m"] {
            assert_eq!(rate(text), Ok(hourly), "{text}");
        }
        for (text, same) in [
            ("5/s", "5/second"),
            ("5/1m", "5/minute"),
            ("5/d", "5/day"),
            ("5/w", "5/week"),
            ("5/7d", "5/1w"),
            ("5/y", "5/365d"),
        ] {
            assert!(rate(text).is_ok() && rate(text) == rate(same), "{text}");
        }
        assert_eq!(limit_or_off("1000/1h"), Ok(LimitOrOff::At(hourly)));
        assert_eq!(limit_or_off("off"), Ok(LimitOrOff::Off));
        assert_eq!(limit_or_off("Off"), Err(EXPECTED_LIMIT));
    }

    #[test]
    fn what_is_spelled_is_read_back() {
        for seconds in (0..200_000u64).step_by(7).chain([604_800, 7_776_000]) {
            let span = Millis::new(seconds * 1_000);
            assert_eq!(duration(&spell(span)), Ok(span));
        }
        assert_eq!(spell(Millis::new(1)), "1ms");
    }

    #[test]
    fn waits_are_rounded_up() {
        let spelled = [0, 1, 119_999, 120_000, 1_199_001, 1_200_000, 7_200_001]
            .map(|millis| spell_wait(Millis::new(millis)));
        assert_eq!(spelled, ["0s", "1s", "2m", "2m", "20m", "20m", "3h"]);
    }
}
