//! A list of records: which ones, and which part of them.

use keystile::{KeyId, KeyRecord};

/// The limit on the records or events in one page.
pub const PAGE_MAX: usize = 1_000;

/// Which records a list contains. A field that is `None` does not restrict it; the default
/// lists all.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use keystile::{issue, IssueRequest, KeyFormat, PepperRing, SysRng, UnixMillis};
/// use keystile_store::{Filter, MemoryStore, Page, Store, save_issued};
///
/// let store = MemoryStore::new();
/// let format = KeyFormat::structured("acme")?;
/// let now = UnixMillis::new(1_790_000_000_000)?;
/// let request = IssueRequest::new("Acme Ltd")?.owner("account-7")?;
/// let issued = issue(&format, &PepperRing::none(), &request, &mut SysRng, now)?;
/// save_issued(&store, &issued).await?;
///
/// let page = Page::first(100);
/// assert_eq!(store.list(&Filter::of_owner("account-7"), page).await?.len(), 1);
/// assert_eq!(store.list(&Filter::of_client("Acme Ltd"), page).await?.len(), 1);
/// assert!(store.list(&Filter::of_owner("account"), page).await?.is_empty());
/// # Ok::<(), keystile_store::StoreError>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Filter {
    /// Only records of this owner.
    pub owner: Option<Box<str>>,
    /// Only records of this client.
    pub client_name: Option<Box<str>>,
}

impl Filter {
    /// The records of this owner.
    #[must_use]
    pub fn of_owner(owner: &str) -> Self {
        Self {
            owner: Some(owner.into()),
            client_name: None,
        }
    }

    /// The records of this client.
    #[must_use]
    pub fn of_client(client_name: &str) -> Self {
        Self {
            owner: None,
            client_name: Some(client_name.into()),
        }
    }

    /// Whether the list contains this record. Names are compared in full, byte by byte.
    #[must_use]
    pub fn shows(&self, record: &KeyRecord) -> bool {
        self.owner
            .as_ref()
            .is_none_or(|owner| record.owner.as_ref() == Some(owner))
            && self
                .client_name
                .as_ref()
                .is_none_or(|name| record.client_name == *name)
    }
}

/// A part of a list.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// # use keystile::{IssueRequest, Issuer, KeyFormat, Request, SysRng, UnixMillis, Verifier};
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let format = KeyFormat::structured("acme")?;
/// # let issuer = Issuer::new(format.clone());
/// # let issued = issuer.issue(&IssueRequest::new("Acme")?, &mut SysRng, now)?;
/// use keystile_store::{save_issued, Filter, MemoryStore, Page, Store, StoreError};
///
/// let store = MemoryStore::new();
/// save_issued(&store, &issued).await?;
/// let first = store.list(&Filter::default(), Page::first(10)).await?;
/// assert_eq!(first.len(), 1);
/// let next = Page::first(10).after(first[0].id);
/// assert!(store.list(&Filter::default(), next).await?.is_empty());
///
/// let unknown = Page::first(10).after("1AbCdEfGhIjKlMnO".parse()?);
/// let refused = store.list(&Filter::default(), unknown).await;
/// assert!(matches!(refused, Err(StoreError::NotFound)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Page {
    /// The record before the first one of this page; `None` starts at the beginning.
    pub after: Option<KeyId>,
    /// The limit on records, which is never more than [`PAGE_MAX`].
    pub limit: usize,
}

impl Page {
    /// The first page, of this size.
    #[must_use]
    pub const fn first(limit: usize) -> Self {
        Self { after: None, limit }
    }

    /// The page after this record.
    #[must_use]
    pub const fn after(self, id: KeyId) -> Self {
        Self {
            after: Some(id),
            ..self
        }
    }
}
