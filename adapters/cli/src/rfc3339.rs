//! Instants as people read them: RFC 3339 in whole seconds.

use keystile::UnixMillis;

/// An instant without its milliseconds, such as `2026-09-21T14:13:20Z`.
pub(crate) fn in_seconds(instant: UnixMillis) -> String {
    let exact = keystile_serve::rfc3339(instant);
    match exact.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => exact,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_rfc_3339() {
        let instant = UnixMillis::new(1_790_000_000_987).unwrap();
        assert_eq!(in_seconds(instant), "2026-09-21T14:13:20Z");
        assert_eq!(in_seconds(UnixMillis::MAX), "9999-12-31T23:59:59Z");
    }
}
