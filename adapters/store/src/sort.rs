//! The order of a list.

use core::fmt;

use keystile::{KeyRecord, Status, UnixMillis};

use crate::error::StoreError;
use crate::filter::Filter;
use crate::list::{Cursor, Listed, PAGE_MAX, Page};

/// The order of a list, always ascending. Keys that are equal in it are in the order of their
/// insertion, or of their ids if there is no index for the order.
///
/// A list has the order of the index that its filter uses, unless a page asks for another one:
/// see [`Filter::order`]. In another one, the keys of an owner, or without an owner, must be fewer
/// than [`PAGE_MAX`]; otherwise the list is refused with [`StoreError::TooManyToSort`].
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// # use keystile::{IssueRequest, Issuer, KeyFormat, SysRng, UnixMillis};
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let issuer = Issuer::new(KeyFormat::structured("acme")?);
/// use keystile_store::{save_issued, Filter, MemoryStore, Page, Sort, Store};
///
/// let store = MemoryStore::new();
/// for client in ["Acme", "Zenith"] {
///     let issued = issuer.issue(&IssueRequest::new(client)?, &mut SysRng, now)?;
///     save_issued(&store, &issued).await?;
/// }
/// let page = Page::first(10).sorted(Sort::Id);
/// let listed = store.list(&Filter::default(), page).await?;
/// assert!(listed.records.is_sorted_by_key(|record| record.id));
///
/// assert_eq!(Sort::from_name("last-used"), Some(Sort::LastUsed));
/// assert_eq!(Sort::from_name("last used"), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Sort {
    /// By insertion.
    Inserted,
    /// By the id, byte by byte.
    Id,
    /// By the instant of issuing.
    Issued,
    /// By the end: the expiry, or the end of the overlap if that is earlier. Revoked keys come
    /// first, and keys that never end come last.
    ///
    /// SQLite has no type for instants. Rows in which other code has written one in a form that
    /// its index does not know, such as one with an offset, come after the revoked keys; in
    /// [`Issued`](Self::Issued), such rows come first.
    Ends,
    /// By the last use; keys that were never used come first.
    ///
    /// There is no index for it, because each stored use would have to change it. So the filter
    /// must select fewer than [`PAGE_MAX`] keys by an index; otherwise the list is refused with
    /// [`StoreError::TooManyToSort`]. `unused_since` has no index: in SQLite and PostgreSQL it
    /// alone does not help if there are more keys. Each page reads all keys that the filter
    /// selects again: take large pages.
    LastUsed,
}

impl Sort {
    /// Each order.
    pub const ALL: [Self; 5] = [
        Self::Inserted,
        Self::Id,
        Self::Issued,
        Self::Ends,
        Self::LastUsed,
    ];

    /// The word: `inserted`, `id`, `issued`, `expires` or `last-used`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inserted => "inserted",
            Self::Id => "id",
            Self::Issued => "issued",
            Self::Ends => "expires",
            Self::LastUsed => "last-used",
        }
    }

    /// The order with this word.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|sort| sort.as_str() == name)
    }

    /// Whether a store can read the keys that a filter selects in this order, page by page.
    /// Otherwise they must be few.
    ///
    /// Those of one owner are always found by their owner: the place of a page in another order
    /// would be at a key of another owner, and tell of it.
    pub(crate) fn streams(self, filter: &Filter) -> bool {
        let is_owned = filter.owner.is_some() || filter.without_owner;
        self != Self::LastUsed && (self == filter.order() || !is_owned)
    }

    /// Where a record is in this order; 0 if that is decided by something else than a number.
    pub(crate) fn place(self, record: &KeyRecord) -> i64 {
        let number = |at: UnixMillis| i64::try_from(at.get()).unwrap_or(NEVER);
        match self {
            Self::Inserted | Self::Id => 0,
            Self::Issued => number(record.created_at),
            Self::Ends if matches!(record.status, Status::Revoked { .. }) => REVOKED,
            Self::Ends => record.ends_at().map_or(NEVER, number),
            Self::LastUsed => record.last_used_at.map_or(UNREAD, number),
        }
    }
}

impl fmt::Display for Sort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The place of a key that never ends.
pub(crate) const NEVER: i64 = i64::MAX;
/// The place of a row whose instant the index does not know. Each list that compares instants
/// reads it, and compares what it finds.
pub(crate) const UNREAD: i64 = 0;
/// The place of a revoked key among the ends.
const REVOKED: i64 = -1;

/// A page of all keys that a filter selects, in an order for which there is no index.
pub(crate) fn arranged(mut all: Listed, sort: Sort, page: Page) -> Result<Listed, StoreError> {
    if all.next.is_some() {
        return Err(StoreError::TooManyToSort);
    }
    let key = |record: &KeyRecord| (sort.place(record), record.id);
    all.records.sort_by_key(key);
    if let Some(cursor) = page.after {
        let id = *cursor.key_id().ok_or(StoreError::NotFound)?;
        let place = match sort {
            Sort::Inserted | Sort::Id => 0,
            _ => cursor.place().ok_or(StoreError::NotFound)?,
        };
        all.records.retain(|record| key(record) > (place, id));
        // They were on the first page.
        all.damaged.clear();
    }
    let limit = page.limit.min(PAGE_MAX);
    all.records.truncate(limit);
    let last = all.records.last().filter(|_| all.records.len() == limit);
    all.next = last.map(|record| {
        let cursor = Cursor::from(record.id);
        match sort {
            Sort::Inserted | Sort::Id => cursor,
            _ => cursor.at(sort.place(record)),
        }
    });
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_order_has_its_word() {
        for sort in Sort::ALL {
            assert_eq!(Sort::from_name(sort.as_str()), Some(sort));
        }
        assert_eq!(Sort::from_name("name"), None);
    }
}
