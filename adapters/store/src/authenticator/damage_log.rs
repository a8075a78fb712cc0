//! Which damaged rows were reported lately: each is reported once a minute.

use core::time::Duration;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use crate::error::CorruptRow;

/// Time until a row is reported again.
const EVERY: Duration = Duration::from_secs(60);
/// Rows that are reported in that time; further ones are not.
const ROWS_MAX: usize = 256;

/// When rows were reported last.
#[derive(Default)]
pub(super) struct DamageLog(Mutex<HashMap<(i64, &'static str), Instant>>);

impl DamageLog {
    /// Whether a row is due for a report, which is then taken as made.
    pub(super) fn is_due(&self, row: &CorruptRow) -> bool {
        let now = Instant::now();
        let is_recent = |at: &Instant| now.duration_since(*at) < EVERY;
        let mut reported = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (row.row, row.column);
        if reported.get(&key).is_some_and(is_recent) {
            return false;
        }
        if reported.len() >= ROWS_MAX {
            reported.retain(|_, at| is_recent(at));
        }
        let has_room = reported.len() < ROWS_MAX;
        if has_room {
            reported.insert(key, now);
        }
        has_room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(number: i64) -> CorruptRow {
        CorruptRow::new(number, "permissions", "a JSON array of permissions")
    }

    #[tokio::test(start_paused = true)]
    async fn a_row_is_reported_once_a_minute() {
        let log = DamageLog::default();
        assert!(log.is_due(&row(1)));
        assert!(log.is_due(&row(2)), "another row");
        for _ in 0..3 {
            tokio::time::advance(Duration::from_secs(19)).await;
            assert!(!log.is_due(&row(1)));
        }
        tokio::time::advance(Duration::from_secs(3)).await;
        assert!(log.is_due(&row(1)));
        assert!(!log.is_due(&row(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn the_rows_that_are_remembered_are_limited() {
        let log = DamageLog::default();
        let most = i64::try_from(ROWS_MAX).unwrap();
        assert!((0..most).all(|number| log.is_due(&row(number))));
        assert!(!log.is_due(&row(most)));
        assert_eq!(log.0.lock().unwrap().len(), ROWS_MAX);
        tokio::time::advance(EVERY).await;
        assert!(log.is_due(&row(most)));
    }
}
