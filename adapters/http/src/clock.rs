//! The system's clock.

use std::time::{SystemTime, UNIX_EPOCH};

use keystile::UnixMillis;

/// The current time; `None` if the system's clock is outside of the years that a record can
/// hold.
#[must_use]
pub fn system_time() -> Option<UnixMillis> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    UnixMillis::new(u64::try_from(since.as_millis()).ok()?).ok()
}
