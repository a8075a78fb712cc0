//! Removing old events.

use keystile::{By, EventKind, UnixMillis};

use crate::error::StoreError;
use crate::event_filter::EventFilter;
use crate::list::PAGE_MAX;
use crate::store::Store;

/// Removes the events before an instant, at most 1,000 in one step, and returns how many. If it
/// fails or is stopped, the steps before stay done: call it again.
///
/// The events from that instant on stay, also if their numbers are lower. Keys are not changed,
/// and what was revoked stays revoked. A process that has not read the removed events notices
/// it, and reads all its records again. For this one event stays in place of the removed ones:
/// [`EventKind::Pruned`], without a key, with the instant of the last of them. It says who
/// removed them, and the next removal replaces it.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// # use keystile::{IssueRequest, Issuer, KeyFormat, Millis, SysRng, UnixMillis};
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let issuer = Issuer::new(KeyFormat::structured("acme")?);
/// # let issued = issuer.issue(&IssueRequest::new("Acme")?, &mut SysRng, now)?;
/// use keystile_store::{MemoryStore, Store, count_events_before, prune_events, save_issued};
///
/// let store = MemoryStore::new();
/// save_issued(&store, &issued).await?;
/// assert_eq!(prune_events(&store, now).await?, 0, "it happened at that instant");
///
/// let later = now.plus(Millis::from_days(1))?;
/// assert_eq!(count_events_before(&store, later).await?, 1);
/// assert_eq!(prune_events(&store, later).await?, 1);
/// let left = store.events(None, 0, 9).await?.events;
/// assert_eq!((left.len(), left[0].1.kind.as_str()), (1, "pruned"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
///
/// # Errors
/// The store's.
pub async fn prune_events<S: Store + ?Sized>(
    store: &S,
    before: UnixMillis,
) -> Result<u64, StoreError> {
    let mut removed = 0_u64;
    loop {
        let some = store.prune_events(before, PAGE_MAX, &By::default()).await?;
        if some == 0 {
            return Ok(removed);
        }
        removed = removed.saturating_add(some);
    }
}

/// How many events [`prune_events`] would remove now.
///
/// # Errors
/// The store's.
pub async fn count_events_before<S: Store + ?Sized>(
    store: &S,
    before: UnixMillis,
) -> Result<u64, StoreError> {
    let filter = EventFilter::new().until(before);
    let (mut count, mut after) = (0_usize, 0);
    loop {
        let listed = store.list_events(&filter, after, PAGE_MAX).await?;
        let marks = listed
            .events
            .iter()
            .filter(|(_, event)| event.kind == EventKind::Pruned);
        count = count.saturating_add(listed.rows().saturating_sub(marks.count()));
        match listed.last() {
            Some(last) => after = last,
            None => return Ok(u64::try_from(count).unwrap_or(u64::MAX)),
        }
    }
}
