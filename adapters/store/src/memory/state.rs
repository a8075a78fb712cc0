//! What a store in memory holds, and which batches it accepts.

use std::collections::HashMap;

use keystile::{Event, KeyId, KeyRecord, Status, Usage};

use super::templates::Templates;
use crate::batch::Batch;
use crate::derived::{DerivedState, descendants};
use crate::error::StoreError;
use crate::filter::Filter;
use crate::issue_once::IssueAnswer;
use crate::list::{Cursor, Listed, PAGE_MAX, Page};
use crate::portable::{DigestBytes, RemovedKey};
use crate::sort::Sort;

#[derive(Debug, Default)]
pub(super) struct State {
    /// In the order of insertion.
    pub(super) records: Vec<KeyRecord>,
    pub(super) by_id: HashMap<KeyId, usize>,
    pub(super) by_digest: HashMap<[u8; 32], usize>,
    /// The places of removed records, which stay in `records` so that no other place changes.
    pub(super) gone: HashMap<KeyId, usize>,
    /// The digests that keys had before, and those of removed keys.
    pub(super) former: HashMap<[u8; 32], KeyId>,
    /// Keys that another store has removed.
    pub(super) elsewhere: HashMap<KeyId, RemovedKey>,
    /// The answers of requests, by caller and idempotency key.
    pub(super) answers: HashMap<(Box<str>, DigestBytes), IssueAnswer>,
    pub(super) usage: HashMap<KeyId, Usage>,
    /// With their numbers, which increase.
    pub(super) events: Vec<(u64, Event)>,
    pub(super) last_event: u64,
    pub(super) templates: Templates,
}

impl State {
    pub(super) fn by_id(&self, id: &KeyId) -> Option<&KeyRecord> {
        self.by_id.get(id).and_then(|&at| self.records.get(at))
    }

    /// A page in the order of the filter's index, or in another one that streams.
    pub(super) fn list(&self, filter: &Filter, page: Page) -> Result<Listed, StoreError> {
        let sort = page.sort.unwrap_or(filter.order());
        let key = |(row, record): &(usize, &KeyRecord)| {
            let id = (sort == Sort::Id).then_some(record.id);
            (sort.place(record), id, *row)
        };
        let start = page
            .after
            .map(|after| self.start(&after, sort))
            .transpose()?;
        let mut shown: Vec<_> = self
            .stored()
            .filter(|placed| filter.shows(placed.1))
            .filter(|placed| start.is_none_or(|start| key(placed) > start))
            .collect();
        shown.sort_by_key(key);
        let limit = page.limit.min(PAGE_MAX);
        shown.truncate(limit);
        let last = shown.last().filter(|_| shown.len() == limit);
        let next = match last {
            Some((row, record)) => {
                let row = i64::try_from(*row).map_err(|_| StoreError::OutOfRange)?;
                let cursor = Cursor::new(row, Some(record.id));
                Some(match sort {
                    Sort::Issued | Sort::Ends => cursor.at(sort.place(record)),
                    _ => cursor,
                })
            }
            None => None,
        };
        let records = shown.iter().map(|(_, record)| self.with_usage(record));
        Ok(Listed::of(records.collect(), next))
    }

    /// Where the row that a cursor names is in this order.
    fn start(
        &self,
        cursor: &Cursor,
        sort: Sort,
    ) -> Result<(i64, Option<KeyId>, usize), StoreError> {
        if sort == Sort::Id {
            let id = cursor.key_id().ok_or(StoreError::NotFound)?;
            return Ok((0, Some(*id), usize::MAX));
        }
        let at = match cursor.row() {
            Some(row) => usize::try_from(row).ok(),
            None => cursor.key_id().and_then(|id| {
                let gone = || self.gone.get(id);
                self.by_id.get(id).or_else(gone).copied()
            }),
        };
        let place = match sort {
            Sort::Issued | Sort::Ends => cursor.place(),
            _ => Some(0),
        };
        Ok((
            place.ok_or(StoreError::NotFound)?,
            None,
            at.ok_or(StoreError::NotFound)?,
        ))
    }

    /// The record as a reader gets it, with the current remaining uses.
    pub(super) fn with_usage(&self, record: &KeyRecord) -> KeyRecord {
        let mut record = record.clone();
        record.remaining_uses = self
            .usage
            .get(&record.lineage)
            .and_then(|usage| usage.remaining);
        record
    }

    /// The records to write and their positions, if all of the batch can be written.
    pub(super) fn stage(&self, batch: &Batch) -> Result<Vec<(usize, KeyRecord)>, StoreError> {
        let mut ids = HashMap::new();
        let mut staged: Vec<(usize, KeyRecord)> = Vec::new();
        let mut next = self.records.len();
        for record in &batch.inserts {
            let elsewhere = self.elsewhere.get(&record.id);
            if self.removed(&record.id).is_some_and(is_revoked)
                || elsewhere.is_some_and(|removed| removed.revoked.is_some())
                || self.was_revoked(record.digest.bytes())
            {
                return Err(StoreError::Duplicate);
            }
            if self.by_id.contains_key(&record.id) || ids.insert(record.id, staged.len()).is_some()
            {
                return Err(StoreError::Duplicate);
            }
            let mut record = record.clone();
            if let Some(removed) = self.removed(&record.id) {
                // Its versions continue after that of its removal.
                record.version = record.version.max(removed.version.saturating_add(2));
            }
            if let Some(removed) = elsewhere {
                record.version = record.version.max(removed.version.saturating_add(1));
            }
            staged.push((next, record));
            next = next.saturating_add(1);
        }
        for record in &batch.updates {
            let slot = ids.get(&record.id).copied();
            let stored = match slot {
                Some(slot) => staged.get(slot).map(|(_, record)| record),
                None => self.by_id(&record.id),
            };
            let stored = stored.ok_or(StoreError::Stale)?;
            let revoked = is_revoked(stored);
            if !matches!(record.status, Status::Revoked { .. })
                && stored.digest != record.digest
                && self.was_revoked(record.digest.bytes())
            {
                return Err(StoreError::Stale);
            }
            if stored.version.checked_add(1) != Some(record.version)
                || stored.lineage != record.lineage
                || (revoked && stored.status != record.status)
            {
                return Err(StoreError::Stale);
            }
            if let Some(earlier) = slot.and_then(|slot| staged.get_mut(slot)) {
                earlier.1 = record.clone();
                continue;
            }
            let at = self
                .by_id
                .get(&record.id)
                .copied()
                .ok_or(StoreError::Stale)?;
            ids.insert(record.id, staged.len());
            staged.push((at, record.clone()));
        }
        for upkeep in &batch.upkeep {
            let slot = ids.get(&upkeep.key_id).copied();
            let at = self.by_id.get(&upkeep.key_id).copied();
            let stored = match slot {
                Some(slot) => staged.get(slot).cloned(),
                None => at.and_then(|at| Some((at, self.records.get(at)?.clone()))),
            };
            let (at, mut record) = stored.ok_or(StoreError::Stale)?;
            if record.version.checked_add(1) != Some(upkeep.version)
                || matches!(record.status, Status::Revoked { .. })
            {
                return Err(StoreError::Stale);
            }
            upkeep.apply(&mut record);
            match slot.and_then(|slot| staged.get_mut(slot)) {
                Some(earlier) => earlier.1 = record,
                None => {
                    ids.insert(record.id, staged.len());
                    staged.push((at, record));
                }
            }
        }
        for (id, version) in &batch.deletes {
            let stored = self.by_id(id).ok_or(StoreError::Stale)?;
            if ids.contains_key(id) || stored.version.checked_add(1) != Some(*version) {
                return Err(StoreError::Stale);
            }
        }
        let mut digests = HashMap::new();
        for (at, record) in &staged {
            let bytes = record.digest.bytes();
            let holder = self.by_digest.get(bytes).copied();
            // A digest that its key gives up in the same batch is still taken: no verb moves a
            // digest to another key.
            if holder.is_some_and(|holder| holder != *at) || digests.insert(*bytes, *at).is_some() {
                return Err(StoreError::Duplicate);
            }
        }
        Ok(staged)
    }

    pub(super) fn delete(&mut self, id: &KeyId) {
        let Some(at) = self.by_id.remove(id) else {
            return;
        };
        self.gone.insert(*id, at);
        if let Some(record) = self.records.get(at) {
            let digest = *record.digest.bytes();
            self.by_digest.remove(&digest);
            self.former.insert(digest, *id);
        }
    }

    /// What the record of a removed key was.
    pub(super) fn removed(&self, id: &KeyId) -> Option<&KeyRecord> {
        self.gone.get(id).and_then(|at| self.records.get(*at))
    }

    /// Whether a key that is revoked had this digest, though it may be removed.
    pub(super) fn was_revoked(&self, digest: &[u8; 32]) -> bool {
        let holder = self.former.get(digest);
        let elsewhere = holder.and_then(|id| self.elsewhere.get(id));
        if elsewhere.is_some_and(|removed| removed.revoked.is_some()) {
            return true;
        }
        let record = holder.and_then(|id| self.by_id(id).or_else(|| self.removed(id)));
        record.is_some_and(is_revoked)
    }

    pub(super) fn is_there(&self, (at, record): (usize, &KeyRecord)) -> bool {
        self.by_id.get(&record.id) == Some(&at)
    }

    /// The records that were not removed, with their places.
    pub(super) fn stored(&self) -> impl Iterator<Item = (usize, &KeyRecord)> {
        let placed = self.records.iter().enumerate();
        placed.filter(|placed| self.is_there(*placed))
    }

    /// Whether what the batch relies on is so.
    pub(super) fn check_reliance(
        &self,
        batch: &Batch,
        staged: &[(usize, KeyRecord)],
    ) -> Result<(), StoreError> {
        let unchanged = batch.unchanged.iter().all(|(id, version)| {
            let stored = self.by_id(id);
            stored.is_some_and(|record| record.version == *version)
        });
        let mut taken: HashMap<KeyId, u64> = HashMap::new();
        for (lineage, uses) in &batch.take_uses {
            let sum = taken.entry(*lineage).or_default();
            *sum = sum.saturating_add(*uses);
        }
        let enough = taken.iter().all(|(lineage, uses)| {
            let left = self.usage.get(lineage).and_then(|usage| usage.remaining);
            left.is_some_and(|left| left >= *uses)
        });
        if !unchanged || !enough {
            return Err(StoreError::Stale);
        }
        if batch.derived.is_empty() {
            return Ok(());
        }
        let written: HashMap<KeyId, &KeyRecord> = staged
            .iter()
            .map(|(_, record)| (record.id, record))
            .collect();
        let mut after: Vec<&KeyRecord> = self
            .stored()
            .map(|(_, record)| written.get(&record.id).copied().unwrap_or(record))
            .collect();
        let is_new = |record: &&KeyRecord| !self.by_id.contains_key(&record.id);
        after.extend(staged.iter().map(|(_, record)| record).filter(is_new));
        let same = batch.derived.iter().all(|expected| {
            let derived = descendants(&after, &expected.lineage);
            let source = self.by_id(&expected.key_id);
            source.is_some_and(|source| {
                source.lineage == expected.lineage && DerivedState::of(source, derived) == *expected
            })
        });
        match same {
            true => Ok(()),
            false => Err(StoreError::Stale),
        }
    }

    pub(super) fn write(&mut self, staged: Vec<(usize, KeyRecord)>) {
        for (at, record) in staged {
            self.by_digest.insert(*record.digest.bytes(), at);
            match self.records.get_mut(at) {
                Some(stored) => {
                    if stored.digest.bytes() != record.digest.bytes() {
                        self.by_digest.remove(stored.digest.bytes());
                        self.former.insert(*stored.digest.bytes(), stored.id);
                    }
                    // A batch does not change the last use.
                    let last_used_at = stored.last_used_at;
                    *stored = record;
                    stored.last_used_at = last_used_at;
                }
                None => {
                    self.by_id.insert(record.id, at);
                    self.gone.remove(&record.id);
                    self.elsewhere.remove(&record.id);
                    self.usage
                        .entry(record.lineage)
                        .or_insert_with(|| Usage::of(&record));
                    self.records.push(record);
                }
            }
        }
    }
}

pub(super) fn is_revoked(record: &KeyRecord) -> bool {
    matches!(record.status, Status::Revoked { .. })
}
