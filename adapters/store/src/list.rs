//! A part of a list, and what it contains.

use core::fmt;
use core::str::FromStr;

use keystile::{Event, KeyId, KeyRecord};

use crate::error::CorruptRow;
use crate::sort::Sort;

/// The limit on the records or events in one page.
pub const PAGE_MAX: usize = 1_000;

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
/// let first = store.list(&Filter::default(), Page::first(1)).await?;
/// assert_eq!(first.records.len(), 1);
/// let next = Page::first(10).after(first.next.expect("the page is full"));
/// assert!(store.list(&Filter::default(), next).await?.records.is_empty());
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
    /// Where the page before this one ended; `None` starts at the beginning.
    pub after: Option<Cursor>,
    /// The limit on rows, which is never more than [`PAGE_MAX`].
    pub limit: usize,
    /// The order; `None` is the one of the filter's index: see
    /// [`Filter::order`](crate::Filter::order). All pages of a list have the same one.
    pub sort: Option<Sort>,
}

impl Page {
    /// The first page, of this size.
    #[must_use]
    pub const fn first(limit: usize) -> Self {
        Self {
            after: None,
            limit,
            sort: None,
        }
    }

    /// The page of this size after the one that ended here: its [`next`](Listed::next).
    #[must_use]
    pub const fn after(self, cursor: Cursor) -> Self {
        Self {
            after: Some(cursor),
            ..self
        }
    }

    /// The page in this order.
    #[must_use]
    pub const fn sorted(self, sort: Sort) -> Self {
        Self {
            sort: Some(sort),
            ..self
        }
    }
}

/// Where a page of a list ends. It stays valid if that row is changed or deleted.
///
/// Its text is the id of the key in that row, so it tells nothing about other keys. If the id
/// cannot be read, it is the row's number. In an order by time, the number of that time comes
/// before it.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// # use keystile::{IssueRequest, Issuer, KeyFormat, SysRng, UnixMillis};
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let issuer = Issuer::new(KeyFormat::structured("acme")?);
/// # let issued = issuer.issue(&IssueRequest::new("Acme")?, &mut SysRng, now)?;
/// use keystile_store::{save_issued, Cursor, Filter, MemoryStore, Page, Store};
///
/// let store = MemoryStore::new();
/// save_issued(&store, &issued).await?;
/// let page = store.list(&Filter::default(), Page::first(1)).await?;
/// let text = page.next.unwrap().to_string();
/// assert_eq!(text, issued.record.id.as_str());
/// let page = Page::first(1).after(text.parse()?);
/// assert!(store.list(&Filter::default(), page).await?.records.is_empty());
/// assert!("elsewhere".parse::<Cursor>().is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    row: Option<i64>,
    key_id: Option<KeyId>,
    place: Option<i64>,
}

impl Cursor {
    /// The row with this number, and the key in it if its id can be read. The numbers of rows
    /// increase in the order of their insertion.
    #[must_use]
    pub const fn new(row: i64, key_id: Option<KeyId>) -> Self {
        Self {
            row: Some(row),
            key_id,
            place: None,
        }
    }

    /// The cursor with the key's place in an order by time: a number by which the list is
    /// ordered before it is by insertion.
    #[must_use]
    pub const fn at(self, place: i64) -> Self {
        Self {
            place: Some(place),
            ..self
        }
    }

    /// The place in an order by time.
    #[must_use]
    pub const fn place(&self) -> Option<i64> {
        self.place
    }

    /// The number of the row. A cursor that was parsed from an id does not have it: a store
    /// looks it up, also if the row was deleted.
    #[must_use]
    pub const fn row(&self) -> Option<i64> {
        self.row
    }

    /// The key in the row.
    #[must_use]
    pub const fn key_id(&self) -> Option<&KeyId> {
        self.key_id.as_ref()
    }
}

/// What comes before the number of a row in the text of a cursor.
const ROW: &str = "row-";
/// What is between the place and the rest.
const PLACE_END: char = '.';

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = self.place {
            write!(f, "{place}{PLACE_END}")?;
        }
        match (&self.key_id, self.row) {
            (Some(id), _) => write!(f, "{id}"),
            (None, row) => write!(f, "{ROW}{}", row.unwrap_or_default()),
        }
    }
}

impl From<KeyId> for Cursor {
    fn from(id: KeyId) -> Self {
        Self {
            row: None,
            key_id: Some(id),
            place: None,
        }
    }
}

impl FromStr for Cursor {
    type Err = keystile::Error;

    fn from_str(text: &str) -> Result<Self, keystile::Error> {
        if let Some((place, rest)) = text.split_once(PLACE_END)
            && let Ok(place) = place.parse()
            && !rest.contains(PLACE_END)
        {
            return rest.parse().map(|cursor: Self| cursor.at(place));
        }
        let row = text.strip_prefix(ROW).and_then(|row| row.parse().ok());
        match row {
            Some(row) => Ok(Self::new(row, None)),
            None => text.parse().map(|id: KeyId| id.into()),
        }
    }
}

/// Records that were listed, and the rows among them that cannot be read: one damaged row
/// does not keep the others from being listed.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// use keystile_store::{Filter, Listed, MemoryStore, Page, Store, StoreError};
///
/// /// How many keys can be read, and how many cannot.
/// async fn counts(store: &impl Store) -> Result<(usize, usize), StoreError> {
///     let (mut sound, mut damaged) = (0, 0);
///     let mut page = Some(Page::first(100));
///     while let Some(current) = page {
///         let listed = store.list(&Filter::default(), current).await?;
///         sound += listed.records.len();
///         damaged += listed.damaged.len();
///         page = listed.next.map(|next| current.after(next));
///     }
///     Ok((sound, damaged))
/// }
///
/// assert_eq!(counts(&MemoryStore::new()).await?, (0, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Listed {
    /// The records, in the order of the list.
    pub records: Vec<KeyRecord>,
    /// The rows that cannot be read, in the same order. They count towards the limit of a page.
    pub damaged: Vec<CorruptRow>,
    /// Where the next page starts; `None` if this is the last one. A page with a next one can
    /// be shorter than its limit, and the next page can be empty.
    pub next: Option<Cursor>,
}

impl Listed {
    /// Records without damage.
    #[must_use]
    pub fn of(records: Vec<KeyRecord>, next: Option<Cursor>) -> Self {
        Self {
            records,
            damaged: Vec::new(),
            next,
        }
    }

    /// How many rows the page has, damaged ones included.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.records.len().saturating_add(self.damaged.len())
    }
}

/// Events that were listed, and the rows among them that cannot be read.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// use keystile_store::{MemoryStore, Store};
///
/// let listed = MemoryStore::new().events(None, 0, 100).await?;
/// assert!(listed.events.is_empty() && listed.damaged.is_empty());
/// assert_eq!(listed.last(), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ListedEvents {
    /// The events with their numbers, in the order in which they were written.
    pub events: Vec<(u64, Event)>,
    /// The rows that cannot be read. What such an event changed is not known: a cache must
    /// then invalidate everything.
    pub damaged: Vec<CorruptRow>,
}

impl ListedEvents {
    /// Events without damage.
    #[must_use]
    pub fn of(events: Vec<(u64, Event)>) -> Self {
        Self {
            events,
            damaged: Vec::new(),
        }
    }

    /// The number of the last row; `None` if there is none. The next page starts after it.
    #[must_use]
    pub fn last(&self) -> Option<u64> {
        let sound = self.events.last().map(|(number, _)| *number);
        let damaged = self.damaged.last();
        let damaged = damaged.and_then(|row| u64::try_from(row.row).ok());
        sound.max(damaged)
    }

    /// How many rows these are: fewer than the limit if there are no more.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.events.len().saturating_add(self.damaged.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_of_a_page_are_counted() {
        let mut listed = Listed::of(Vec::new(), None);
        assert_eq!(listed.rows(), 0);
        listed.damaged = vec![CorruptRow::new(7, "owner", "a text"); 2];
        assert_eq!(listed.rows(), 2);
    }
}
