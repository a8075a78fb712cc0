//! Whether every key of a store can be checked with the peppers that a service has.

use std::collections::BTreeMap;

use keystile::{DigestKind, KeyRecord, PepperRing, Status, UnixMillis};

use crate::error::StoreError;
use crate::filter::Filter;
use crate::list::{PAGE_MAX, Page};
use crate::store::Store;

/// A pepper that keys of a store need, and that a ring does not hold.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use keystile::{IssueRequest, KeyFormat, Pepper, PepperRing, SysRng, UnixMillis, issue};
/// use keystile_store::{MemoryStore, missing_peppers, save_issued};
///
/// let (store, now) = (MemoryStore::new(), UnixMillis::new(1_790_000_000_000)?);
/// let ring = PepperRing::new(Pepper::new(1, &[7; 32])?);
/// let request = IssueRequest::new("Acme Ltd")?;
/// let format = KeyFormat::structured("acme")?;
/// save_issued(&store, &issue(&format, &ring, &request, &mut SysRng, now)?).await?;
///
/// assert!(missing_peppers(&store, &ring, now).await?.is_empty());
/// let missing = missing_peppers(&store, &PepperRing::none(), now).await?;
/// assert_eq!((missing[0].version, missing[0].keys), (1, 1));
/// # Ok::<(), keystile_store::StoreError>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MissingPepper {
    /// Its version.
    pub version: u32,
    /// How many keys need it that have not ended.
    pub keys: u64,
}

/// The peppers that a ring lacks for the keys in a store, in ascending order. A service
/// should call this at its start: without the pepper, the keys are denied as
/// [`PepperUnavailable`](keystile::Cause::PepperUnavailable), and opaque keys even as not
/// known.
///
/// Keys that were revoked or have ended at `now` need no pepper, and neither do damaged rows,
/// which are not checked. If none is missing, no record is read.
///
/// # Errors
/// Those of the store.
pub async fn missing_peppers<S: Store + ?Sized>(
    store: &S,
    peppers: &PepperRing,
    now: UnixMillis,
) -> Result<Vec<MissingPepper>, StoreError> {
    let used = store.pepper_versions().await?;
    let is_missing = |version: &u32| peppers.versions().all(|held| held != *version);
    if !used.iter().any(is_missing) {
        return Ok(Vec::new());
    }
    let mut missing = BTreeMap::new();
    let mut page = Page::first(PAGE_MAX);
    loop {
        let listed = store.list(&Filter::default(), page).await?;
        let live = listed
            .records
            .iter()
            .filter(|record| record.ends_at().is_none_or(|end| now < end));
        for version in live.filter_map(pepper_of).filter(is_missing) {
            let keys: &mut u64 = missing.entry(version).or_default();
            *keys = keys.saturating_add(1);
        }
        let Some(next) = listed.next else { break };
        page = page.after(next);
    }
    let missing = missing.into_iter();
    Ok(missing
        .map(|(version, keys)| MissingPepper { version, keys })
        .collect())
}

/// The version of the pepper that a key needs, unless it is revoked.
pub(crate) fn pepper_of(record: &KeyRecord) -> Option<u32> {
    match record.digest.kind() {
        DigestKind::HmacSha256 { pepper } => {
            (!matches!(record.status, Status::Revoked { .. })).then_some(pepper)
        }
        _ => None,
    }
}
