//! Which events a list contains.

use std::collections::HashMap;

use keystile::{Event, EventKind, KeyId, Lookup, UnixMillis};

use crate::error::StoreError;
use crate::list::{ListedEvents, PAGE_MAX};
use crate::store::Store;

/// Which events a list contains. A field that is `None` does not restrict it; the default
/// lists all. All fields that are set apply together.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// # use keystile::{IssueRequest, Issuer, KeyFormat, SysRng, UnixMillis};
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let issuer = Issuer::new(KeyFormat::structured("acme")?);
/// # let issued = issuer.issue(&IssueRequest::new("Acme")?.owner("tenant-7")?, &mut SysRng, now)?;
/// use keystile::EventKind;
/// use keystile_store::{EventFilter, MemoryStore, Store, revoke, save_issued};
///
/// let store = MemoryStore::new();
/// save_issued(&store, &issued).await?;
/// revoke(&store, &issued.record.id, "leaked", now).await?;
///
/// let revoked = EventFilter::new().owner("tenant-7").kind(EventKind::Revoked);
/// let listed = store.list_events(&revoked, 0, 100).await?;
/// assert_eq!(listed.events.len(), 1);
/// // Its number is 2; no further event matches.
/// assert!(store.list_events(&revoked, 2, 100).await?.events.is_empty());
/// let others = EventFilter::new().owner("tenant-8");
/// assert!(store.list_events(&others, 0, 100).await?.events.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventFilter {
    /// Only events of this key, and the rotation that it came from. It may have been deleted.
    pub key_id: Option<KeyId>,
    /// Only events of keys that belong to this owner now, or did when they were deleted.
    pub owner: Option<Box<str>>,
    /// Only events of this kind.
    pub kind: Option<EventKind>,
    /// Only events of this instant or later.
    pub since: Option<UnixMillis>,
    /// Only events before this instant.
    pub until: Option<UnixMillis>,
}

impl EventFilter {
    /// All events.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Only the ones of this key, and the rotation that it came from.
    #[must_use]
    pub const fn key(mut self, key_id: KeyId) -> Self {
        self.key_id = Some(key_id);
        self
    }

    /// Only the ones of keys that belong to this owner now, or did when they were deleted.
    #[must_use]
    pub fn owner(mut self, owner: &str) -> Self {
        self.owner = Some(owner.into());
        self
    }

    /// Only the ones of this kind.
    #[must_use]
    pub const fn kind(mut self, kind: EventKind) -> Self {
        self.kind = Some(kind);
        self
    }

    /// Only the ones of this instant or later.
    #[must_use]
    pub const fn since(mut self, since: UnixMillis) -> Self {
        self.since = Some(since);
        self
    }

    /// Only the ones before this instant.
    #[must_use]
    pub const fn until(mut self, until: UnixMillis) -> Self {
        self.until = Some(until);
        self
    }

    /// Whether the list contains this event, if its key has the wanted owner.
    pub(crate) fn shows(&self, event: &Event) -> bool {
        let is_of = |id: &KeyId| event.key_id == Some(*id) || event.successor == Some(*id);
        self.key_id.as_ref().is_none_or(is_of)
            && self.kind.is_none_or(|kind| event.kind == kind)
            && self.since.is_none_or(|since| event.at >= since)
            && self.until.is_none_or(|until| event.at < until)
    }

    /// Whether only the key decides, so that it is known of a damaged event whether it matches.
    pub(crate) const fn is_of_key_only(&self) -> bool {
        self.owner.is_none() && self.kind.is_none() && self.since.is_none() && self.until.is_none()
    }
}

/// A list of a store that cannot select events. Whose a deleted key was is not known to it: its
/// events have no owner.
pub(crate) async fn scan<S: Store + ?Sized>(
    store: &S,
    filter: &EventFilter,
    mut after: u64,
    limit: usize,
) -> Result<ListedEvents, StoreError> {
    if filter.is_of_key_only() {
        return store.events(filter.key_id.as_ref(), after, limit).await;
    }
    let limit = limit.min(PAGE_MAX);
    let mut found = ListedEvents::default();
    let mut owned = HashMap::new();
    while found.rows() < limit {
        let page = store
            .events(filter.key_id.as_ref(), after, PAGE_MAX)
            .await?;
        let Some(last) = page.last() else { break };
        after = last;
        for (number, event) in page.events {
            if found.rows() < limit
                && filter.shows(&event)
                && is_owned(store, filter, &event, &mut owned).await?
            {
                found.events.push((number, event));
            }
        }
    }
    Ok(found)
}

/// Whether the key of an event has the wanted owner; `known` is for the keys of earlier events.
async fn is_owned<S: Store + ?Sized>(
    store: &S,
    filter: &EventFilter,
    event: &Event,
    known: &mut HashMap<KeyId, bool>,
) -> Result<bool, StoreError> {
    if filter.owner.is_none() {
        return Ok(true);
    }
    let Some(id) = event.key_id else {
        return Ok(false);
    };
    if let Some(is_owned) = known.get(&id) {
        return Ok(*is_owned);
    }
    let owner = match store.find(&Lookup::Id(id)).await {
        Ok(record) => record.and_then(|record| record.owner),
        Err(StoreError::Corrupt(row)) => row.owner,
        Err(error) => return Err(error),
    };
    let is_owned = owner == filter.owner;
    known.insert(id, is_owned);
    Ok(is_owned)
}

#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(crate) mod sql {
    //! The conditions of a filter, for a database's spelling of parameters.

    use super::EventFilter;
    use crate::columns::Kind;
    use crate::instant;
    use crate::statements::Spelling;

    /// What follows `WHERE number > PARAMETER 1`, and the values from parameter 3 on.
    pub(crate) fn conditions<S: Spelling>(
        filter: &EventFilter,
        after: u64,
    ) -> (String, Vec<String>) {
        let (mut sql, mut values) = (String::new(), Vec::new());
        let mut add = |kind: Kind, value: String, condition: &dyn Fn(&str) -> String| {
            values.push(value);
            let parameter = S::value(kind, values.len().saturating_add(2));
            sql.push_str(" AND ");
            sql.push_str(&condition(&parameter));
        };
        if let Some(id) = &filter.key_id {
            add(Kind::Text, id.to_string(), &|id| {
                format!("(key_id = {id} OR successor = {id})")
            });
        }
        if let Some(owner) = &filter.owner {
            // Compared twice: an adopted column may ignore case, and only its own comparison
            // uses an index.
            add(Kind::Text, owner.to_string(), &|owner| {
                format!(
                    "(key_id IN (SELECT k.key_id FROM api_keys k WHERE k.owner = {owner} \
                     AND {} = {owner}) OR key_id IN (SELECT d.key_id FROM api_key_deleted d \
                     WHERE d.owner = {owner}))",
                    S::exact("k.owner")
                )
            });
        }
        if let Some(kind) = filter.kind {
            add(Kind::Text, kind.as_str().to_owned(), &|kind| {
                format!("kind = {kind}")
            });
        }
        if let Some(since) = filter.since {
            // The index on the time finds the first event; from a later page on, its number
            // is known.
            let first = after == 0 && filter.key_id.is_none() && filter.owner.is_none();
            add(Kind::Instant, instant::format(since), &|since| {
                let start = if first {
                    format!(
                        " AND number >= coalesce((SELECT min(f.number) FROM api_key_events f \
                         WHERE f.at >= {since} AND f.number > 0), 9223372036854775807)"
                    )
                } else {
                    String::new()
                };
                format!("at >= {since}{start}")
            });
        }
        if let Some(until) = filter.until {
            add(Kind::Instant, instant::format(until), &|until| {
                format!("at < {until}")
            });
        }
        (sql, values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_other_field_than_the_key_needs_the_event() {
        let at = UnixMillis::new(1_790_000_000_000).unwrap();
        let all = EventFilter::default();
        assert!(all.is_of_key_only());
        assert!(
            all.clone()
                .key("1AbCdEfGhIjKlMnO".parse().unwrap())
                .is_of_key_only()
        );
        for other in [
            all.clone().owner("acme"),
            all.clone().kind(EventKind::Revoked),
            all.clone().since(at),
            all.until(at),
        ] {
            assert!(!other.is_of_key_only());
        }
    }
}
