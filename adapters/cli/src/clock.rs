//! Instants formatted as RFC 3339.

use jiff::Timestamp;
use keystile::UnixMillis;

/// For people: whole seconds, such as `2026-09-21T14:13:20Z`.
pub(crate) fn spell(instant: UnixMillis) -> String {
    timestamp(instant).map_or_else(|| beyond(instant), |time| format!("{time:.0}"))
}

/// For programs: always with milliseconds.
pub(crate) fn spell_exactly(instant: UnixMillis) -> String {
    timestamp(instant).map_or_else(|| beyond(instant), |time| format!("{time:.3}"))
}

fn timestamp(instant: UnixMillis) -> Option<Timestamp> {
    let millis = i64::try_from(instant.get()).ok()?;
    Timestamp::from_millisecond(millis).ok()
}

/// An instant on the last day of the year 9999. The calendar leaves that day out, so that
/// every instant exists in every time zone.
fn beyond(instant: UnixMillis) -> String {
    format!("@{}ms", instant.get())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_rfc_3339() {
        let instant = UnixMillis::new(1_790_000_000_987).unwrap();
        assert_eq!(spell(instant), "2026-09-21T14:13:20Z");
        assert_eq!(spell_exactly(instant), "2026-09-21T14:13:20.987Z");
        assert_eq!(spell(UnixMillis::MAX), "@253402300799999ms");
        let whole = UnixMillis::new(1_790_000_000_000).unwrap();
        assert_eq!(spell_exactly(whole), "2026-09-21T14:13:20.000Z");
    }
}
