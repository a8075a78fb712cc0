//! The first start: issues the first admin key.

use keystile::{
    By, Error, IssueRequest, Issued, KeyFormat, KeyRecord, PepperRing, SysRng, UnixMillis, issue,
};
use keystile_store::{Batch, Filter, Page, Store, StoreError};

use crate::caller::WRITE;

/// How many records are read at once.
const PAGE: usize = 500;
/// Attempts before it fails because other writers are faster.
const TRIES_MAX: u32 = 64;

/// Issues an admin key, unless the store has, or ever had, one that may write keys.
///
/// It has the permission `*` and never expires: every key of the admin API is derived from it,
/// and a key never grants more than it has. Show it once.
///
/// Of any number of processes that start at once on an empty store, one gets a key, and no
/// other key is ever saved.
///
/// # Errors
/// Those of the store, and those of [`issue`]; [`StoreError::Stale`] if other keys were
/// issued or changed during each of many tries; [`StoreError::Corrupt`] if no such key is found,
/// and a row that cannot be read may be one.
pub async fn first_admin_key<S: Store>(
    store: &S,
    format: &KeyFormat,
    peppers: &PepperRing,
    now: UnixMillis,
) -> Result<Option<Issued>, StoreError> {
    for _ in 0..TRIES_MAX {
        let Some(proposed) = ProposedAdminKey::new(store, format, peppers, now).await? else {
            return Ok(None);
        };
        if proposed.save(store).await? {
            return Ok(Some(proposed.issued));
        }
    }
    Err(StoreError::Stale)
}

/// An admin key for a store that has none, which is not saved yet: so its text can be kept
/// somewhere safe first. [`first_admin_key`] is both steps in one.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use keystile::{KeyFormat, PepperRing, UnixMillis};
/// use keystile_serve::ProposedAdminKey;
/// use keystile_store::MemoryStore;
///
/// let (store, peppers) = (MemoryStore::new(), PepperRing::none());
/// let (format, now) = (KeyFormat::structured("acme")?, UnixMillis::now()?);
/// let first = ProposedAdminKey::new(&store, &format, &peppers, now).await?.unwrap();
/// let second = ProposedAdminKey::new(&store, &format, &peppers, now).await?.unwrap();
/// // Only one of them becomes a key.
/// assert!(first.save(&store).await?);
/// assert!(!second.save(&store).await?);
/// assert!(ProposedAdminKey::new(&store, &format, &peppers, now).await?.is_none());
/// # Ok::<(), keystile_store::StoreError>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct ProposedAdminKey {
    issued: Issued,
    /// The store had no admin key when this was its last event.
    last_event: u64,
}

impl ProposedAdminKey {
    /// Issues a key; `None` if the store has, or ever had, one that may write keys.
    ///
    /// # Errors
    /// Those of the store, and those of [`issue`]; [`StoreError::Corrupt`] if no such key is
    /// found, and a row that cannot be read may be one.
    pub async fn new<S: Store>(
        store: &S,
        format: &KeyFormat,
        peppers: &PepperRing,
        now: UnixMillis,
    ) -> Result<Option<Self>, StoreError> {
        // Before the keys are read: one that is issued after this has a later event.
        let last_event = store.last_event().await?;
        if has_admin(store).await? {
            return Ok(None);
        }
        let issued = issue(format, peppers, &request()?, &mut SysRng, now)?;
        Ok(Some(Self { issued, last_event }))
    }

    /// The key and its record.
    #[must_use]
    pub const fn issued(&self) -> &Issued {
        &self.issued
    }

    /// Saves the key, and returns whether it did. If another key was issued or changed since
    /// this one was proposed, nothing is saved: propose another one.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn save<S: Store>(&self, store: &S) -> Result<bool, StoreError> {
        // Not by the order of the rows: PostgreSQL numbers them before they are committed, so
        // that each of two processes can see its own key as the first.
        let mut batch = Batch::new();
        batch.inserts.push(self.issued.record.clone());
        let event = self.issued.event.clone();
        batch.events.push(event.by(&By::keystile()));
        batch.last_event = Some(self.last_event);
        match store.commit(&batch).await {
            Ok(()) => Ok(true),
            Err(StoreError::Stale) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn request() -> Result<IssueRequest, Error> {
    let request = IssueRequest::new("first admin key")?.permissions(["*"])?;
    Ok(request.never_expires())
}

/// Whether any key may write keys, whatever its status. A row that cannot be read may be one: if
/// no other is found, the damage of the first such row is the error.
async fn has_admin<S: Store>(store: &S) -> Result<bool, StoreError> {
    let may_write = |record: &KeyRecord| record.permissions.grants(WRITE);
    let mut page = Page::first(PAGE);
    let mut damage = None;
    loop {
        let listed = store.list(&Filter::default(), page).await?;
        if listed.records.iter().any(may_write) {
            return Ok(true);
        }
        damage = damage.or(listed.damaged.into_iter().next());
        match listed.next {
            Some(next) => page = page.after(next),
            None => return damage.map_or(Ok(false), |row| Err(StoreError::Corrupt(row))),
        }
    }
}
