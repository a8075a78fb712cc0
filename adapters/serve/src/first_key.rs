//! The first start: issues the first admin key.

use keystile::{
    IssueRequest, Issued, KeyFormat, KeyId, KeyRecord, PepperRing, SysRng, UnixMillis, issue,
};
use keystile_store::{Filter, Page, Store, StoreError, revoke, save_issued};

use crate::caller::WRITE;

/// How many records are read at once.
const PAGE: usize = 500;

/// Issues an admin key, unless the store has, or ever had, one that may write keys.
///
/// It has the permission `*` and never expires: every key of the admin API is derived from it,
/// and a key never grants more than it has. Show it once.
///
/// Start one process first: if several start at once on an empty store, two of them can each
/// get a key. The store's order is that of the rows' numbers, which PostgreSQL assigns before
/// it commits, so each of two processes can see its own key as the first.
///
/// # Errors
/// Those of the store, and those of [`issue`].
pub async fn first_admin_key<S: Store>(
    store: &S,
    format: &KeyFormat,
    peppers: &PepperRing,
    now: UnixMillis,
) -> Result<Option<Issued>, StoreError> {
    if first_admin(store).await?.is_some() {
        return Ok(None);
    }
    let request = IssueRequest::new("first admin key")?
        .permissions(["*"])?
        .never_expires();
    let issued = issue(format, peppers, &request, &mut SysRng, now)?;
    save_issued(store, &issued).await?;
    let own = issued.record.id;
    if first_admin(store).await? == Some(own) {
        return Ok(Some(issued));
    }
    // Another process was first: no one has seen this key.
    revoke(
        store,
        &own,
        "another process issued the first admin key",
        now,
    )
    .await?;
    Ok(None)
}

/// The first key that may write keys, whatever its status.
async fn first_admin<S: Store>(store: &S) -> Result<Option<KeyId>, StoreError> {
    let may_write = |record: &&KeyRecord| record.permissions.grants(WRITE);
    let mut page = Page::first(PAGE);
    loop {
        let records = store.list(&Filter::default(), page).await?;
        if let Some(found) = records.iter().find(may_write) {
            return Ok(Some(found.id));
        }
        match records.last() {
            Some(last) => page = page.after(last.id),
            None => return Ok(None),
        }
    }
}
