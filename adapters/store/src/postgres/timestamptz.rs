//! Instants as PostgreSQL stores them: 64 bits of microseconds.

use core::error::Error;

use bytes::{BufMut, BytesMut};
use keystile::UnixMillis;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

/// From 1970 to 2000, which is PostgreSQL's epoch.
const EPOCH_MICROS: i64 = 946_684_800_000_000;
const MILLI_MICROS: i64 = 1_000;

/// A `TIMESTAMP WITH TIME ZONE`, in microseconds since 2000. The two extremes are
/// PostgreSQL's `infinity` and `-infinity`.
///
/// The driver's types convert through seconds or a calendar library; the number itself is
/// exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Timestamptz(i64);

impl Timestamptz {
    /// `None` if a record cannot hold it. Fractions of a millisecond are truncated: a key
    /// never ends later than the stored time.
    pub(super) fn instant(self) -> Option<UnixMillis> {
        let micros = self.0.checked_add(EPOCH_MICROS)?;
        let millis = micros.checked_div_euclid(MILLI_MICROS)?;
        UnixMillis::new(u64::try_from(millis).ok()?).ok()
    }
}

impl From<UnixMillis> for Timestamptz {
    fn from(instant: UnixMillis) -> Self {
        // The last instant is in the year 9999, which is far from overflow.
        let micros = instant.get().cast_signed().saturating_mul(MILLI_MICROS);
        Self(micros.saturating_sub(EPOCH_MICROS))
    }
}

impl FromSql<'_> for Timestamptz {
    fn from_sql(_: &Type, raw: &[u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(i64::from_be_bytes(raw.try_into()?)))
    }

    accepts!(TIMESTAMPTZ);
}

impl ToSql for Timestamptz {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.put_i64(self.0);
        Ok(IsNull::No)
    }

    accepts!(TIMESTAMPTZ);
    to_sql_checked!();
}

#[cfg(test)]
mod tests {
    use super::{EPOCH_MICROS, Timestamptz};
    use keystile::UnixMillis;
    use proptest::prelude::*;

    #[test]
    fn infinity_and_times_out_of_range_are_refused() {
        let first = 100_000_000_000_000 - EPOCH_MICROS;
        let past_last = 253_402_300_800_000_000 - EPOCH_MICROS;
        for micros in [i64::MAX, i64::MIN, -EPOCH_MICROS, first - 1, past_last] {
            assert_eq!(Timestamptz(micros).instant(), None, "{micros}");
        }
        assert_eq!(Timestamptz(first).instant(), Some(UnixMillis::MIN));
        assert_eq!(Timestamptz(past_last - 1).instant(), Some(UnixMillis::MAX));
    }

    proptest! {
        #[test]
        fn each_instant_is_read_back_and_fractions_are_truncated(
            millis in UnixMillis::MIN.get()..=UnixMillis::MAX.get(),
            micros in 0_i64..1_000,
        ) {
            let instant = UnixMillis::new(millis).unwrap();
            let stored = Timestamptz::from(instant);
            prop_assert_eq!(stored.instant(), Some(instant));
            let later = Timestamptz(stored.0.saturating_add(micros));
            prop_assert_eq!(later.instant(), Some(instant));
        }
    }
}
