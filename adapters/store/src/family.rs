//! A key with those that derive from it, as they were read, and the changes of them that follow
//! from a change of the key.

use std::collections::{HashMap, HashSet};

use keystile::{Change, Error, KeyId, KeyRecord, Millis, Status, UnixMillis};

use crate::batch::{Batch, Upkeep, UpkeepField};
use crate::derived::{DerivedState, Reach};
use crate::error::{CorruptRow, StoreError};
use crate::store::Store;

/// How far apart clocks are expected to be: for so long after its end a derived key is treated
/// as if it had not ended, since another process may still accept it.
const CLOCKS_APART_MAX: Millis = Millis::new(60_000);

/// The keys that derive from a lineage, are not revoked, and have not ended long ago.
///
/// Keys that have ended need no revocation: without that, the rows of short lives would be read
/// and written for as long as they are kept, and could be too many.
pub(crate) struct Family {
    /// All that derive from it, also ended ones, before the others were read: what was added
    /// since then makes a batch stale that relies on it.
    state: DerivedState,
    pub(crate) derived: Vec<KeyRecord>,
    damaged: Vec<CorruptRow>,
}

/// Those that a change of the source reaches, and how many live ones it leaves.
pub(crate) struct Reached {
    pub(crate) keys: Vec<KeyRecord>,
    pub(crate) damaged: Vec<CorruptRow>,
    pub(crate) left: usize,
}

impl Family {
    pub(crate) async fn of<S: Store + ?Sized>(
        store: &S,
        source: &KeyRecord,
        now: UnixMillis,
    ) -> Result<Self, StoreError> {
        let state = store.derived_state(source).await?;
        if state.keys == 0 {
            // What is added from now on makes a batch stale that relies on this.
            return Ok(Self {
                state,
                derived: Vec::new(),
                damaged: Vec::new(),
            });
        }
        let since = now.get().saturating_sub(CLOCKS_APART_MAX.get());
        let since = UnixMillis::new(since).unwrap_or(now);
        let listed = store.derived(&source.lineage, since).await?;
        Ok(Self {
            state,
            derived: listed.records,
            damaged: listed.damaged,
        })
    }

    /// How many there are: so many are written if the first key of the chain is revoked.
    pub(crate) const fn len(&self) -> usize {
        self.derived.len().saturating_add(self.damaged.len())
    }

    /// What revoking or suspending `source` reaches. Whether damaged rows derive from this very
    /// key is not known: they are reached if it is asked for.
    pub(crate) async fn reached<S: Store + ?Sized>(
        &self,
        store: &S,
        source: &KeyRecord,
        reach: Reach,
        now: UnixMillis,
    ) -> Result<Reached, StoreError> {
        let mut all = Reached {
            keys: self.derived.clone(),
            damaged: self.damaged.clone(),
            left: 0,
        };
        if self.derived.is_empty() && self.damaged.is_empty() {
            return Ok(all);
        }
        if source.replaced_by.is_none() || !has_heir(store, source, now).await? {
            return Ok(all);
        }
        match reach {
            Reach::Own => all.keys = self.of_key(&source.id),
            Reach::Last => {
                all.keys.clear();
                all.damaged.clear();
            }
        }
        let reached: HashSet<KeyId> = all.keys.iter().map(|key| key.id).collect();
        let left = self.derived.iter();
        all.left = left
            .filter(|key| has_not_ended(key, now) && !reached.contains(&key.id))
            .count();
        Ok(all)
    }

    /// Those that this key was the source of, and those that derive from them.
    fn of_key(&self, source: &KeyId) -> Vec<KeyRecord> {
        let mut lineages = HashSet::new();
        let mut count = usize::MAX;
        let derives = |key: &KeyRecord, lineages: &HashSet<KeyId>| {
            key.derived_from
                .is_some_and(|from| from.key_id == *source || lineages.contains(&from.lineage))
        };
        while count != lineages.len() {
            count = lineages.len();
            for key in &self.derived {
                if derives(key, &lineages) {
                    lineages.insert(key.lineage);
                }
            }
        }
        let own = self.derived.iter().filter(|key| derives(key, &lineages));
        own.cloned().collect()
    }

    /// The keys that derive from some of these, and are none of them, each with the one that it
    /// derives from. An old key of a lineage is no source if it has a successor.
    pub(crate) fn below(&self, some: &[KeyRecord]) -> Vec<(&KeyRecord, KeyId)> {
        let own: HashSet<KeyId> = some.iter().map(|key| key.id).collect();
        let newest = some.iter().filter(|key| key.replaced_by.is_none());
        let mut sources: HashMap<KeyId, KeyId> = newest.map(|key| (key.lineage, key.id)).collect();
        let mut count = 0;
        while count != sources.len() {
            count = sources.len();
            for key in &self.derived {
                let source = key.derived_from.and_then(|from| sources.get(&from.lineage));
                if let Some(source) = source.copied() {
                    sources.entry(key.lineage).or_insert(source);
                }
            }
        }
        let others = self.derived.iter().filter(|key| !own.contains(&key.id));
        others
            .filter_map(|key| {
                let from = key.derived_from?;
                Some((key, *sources.get(&from.lineage)?))
            })
            .collect()
    }

    /// Those that were suspended with a key, and have no more than the keys that they derive
    /// from: those of `sources`, live ones of this family, or one of these.
    pub(crate) fn resumable(
        &self,
        source: &KeyRecord,
        mut sources: Vec<KeyRecord>,
        now: UnixMillis,
        permits: impl Fn(&KeyRecord) -> bool,
    ) -> Vec<KeyRecord> {
        let suspended = |key: &&KeyRecord| {
            key.status == Status::Suspended && key.suspended_with == Some(source.id)
        };
        let (mut left, others): (Vec<&KeyRecord>, Vec<&KeyRecord>) =
            self.derived.iter().partition(suspended);
        sources.extend(others.into_iter().filter(|key| key.is_live(now)).cloned());
        let mut resumed: Vec<KeyRecord> = Vec::new();
        loop {
            // A source before what derives from it.
            let within = |key: &&KeyRecord| {
                let from = key.derived_from.map(|from| from.lineage);
                let own = sources.iter().filter(|own| Some(own.lineage) == from);
                let newest = own.max_by_key(|own| own.replaced_by.is_none());
                newest.is_some_and(|newest| !exceeds(key, newest)) && permits(key)
            };
            let (more, rest): (Vec<_>, Vec<_>) = left.into_iter().partition(within);
            if more.is_empty() {
                return resumed;
            }
            left = rest;
            sources.extend(more.iter().copied().cloned());
            resumed.extend(more.into_iter().cloned());
        }
    }

    /// Adds changes of these keys to a batch.
    pub(crate) fn change(
        batch: &mut Batch,
        keys: &[KeyRecord],
        verb: impl Fn(&KeyRecord) -> Result<Option<Change>, Error>,
    ) -> Result<(), StoreError> {
        for key in keys {
            if let Some(change) = verb(key)? {
                batch.updates.push(change.record);
                batch.events.push(change.event);
            }
        }
        Ok(())
    }

    /// Adds the end of damaged keys to a batch: of each, only the status is written.
    pub(crate) fn end_damaged(
        batch: &mut Batch,
        rows: &[CorruptRow],
        field: &UpkeepField,
    ) -> Result<(), StoreError> {
        for row in rows {
            if row.status == Some("revoked")
                || (row.status == Some("suspended") && *field == UpkeepField::Suspended)
            {
                continue;
            }
            let (Some(key_id), Some(version)) = (row.key_id, row.version) else {
                return Err(StoreError::Corrupt(row.clone()));
            };
            batch.upkeep.push(Upkeep {
                key_id,
                version: version.saturating_add(1),
                field: field.clone(),
            });
        }
        Ok(())
    }

    /// Lets the batch be written only if the keys that derive from the lineage are still those
    /// that were read.
    pub(crate) fn rely_on(&self, batch: &mut Batch) {
        let own: HashSet<KeyId> = self.derived.iter().map(|key| key.id).collect();
        let damaged: HashSet<KeyId> = self.damaged.iter().filter_map(|row| row.key_id).collect();
        let updates = batch.updates.iter().filter(|key| own.contains(&key.id));
        let upkeep = batch.upkeep.iter();
        let upkeep = upkeep.filter(|upkeep| damaged.contains(&upkeep.key_id));
        let mut state = self.state;
        // Each of them is the next version of a key.
        for _ in updates.map(|_| ()).chain(upkeep.map(|_| ())) {
            state.versions = state.versions.saturating_add(1);
        }
        batch.derived.push(state);
    }
}

/// Whether the key is not revoked and its time is not over.
pub(crate) fn has_not_ended(key: &KeyRecord, now: UnixMillis) -> bool {
    !matches!(key.status, Status::Revoked { .. }) && key.ends_at().is_none_or(|end| now < end)
}

/// Whether a key has more than another one, or ends later; without their uses, which were taken
/// off when it got them.
pub(crate) fn exceeds(key: &KeyRecord, source: &KeyRecord) -> bool {
    let mut own = key.clone();
    // Uses that are not counted are more than any number of them.
    if own.remaining_uses.is_some() {
        own.remaining_uses = source.remaining_uses;
    }
    own.expires_at = own.ends_at();
    !own.is_within(source)
}

/// Whether another key of the lineage lives.
async fn has_heir<S: Store + ?Sized>(
    store: &S,
    source: &KeyRecord,
    now: UnixMillis,
) -> Result<bool, StoreError> {
    let lineage = store.lineage(&source.lineage).await?;
    let mut others = lineage.records.iter().filter(|key| key.id != source.id);
    // A suspended one may be resumed.
    Ok(others.any(|key| has_not_ended(key, now)))
}
