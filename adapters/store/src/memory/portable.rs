//! What moves a key to another store and back.

use std::collections::HashSet;

use keystile::{KeyId, KeyRecord, Status};

use super::MemoryStore;
use super::state::{State, is_revoked};
use crate::batch::Batch;
use crate::error::StoreError;
use crate::filter::Filter;
use crate::issue_once::{IssueAnswer, IssueNote, IssueOnce};
use crate::list::{PAGE_MAX, Page};
use crate::portable::{Asked, DigestBytes, Exported, Known, PortableKey, RemovedKey, RemovedKeys};
use crate::sort::Sort;
use crate::store::Store;

impl State {
    /// The digests that are remembered of a key, in ascending order.
    fn former_digests(&self, id: &KeyId) -> Vec<DigestBytes> {
        let own = self.former.iter().filter(|(_, holder)| *holder == id);
        let mut own: Vec<_> = own
            .filter(|(digest, id)| self.is_remembered(digest, id))
            .map(|(digest, _)| *digest)
            .collect();
        own.sort_unstable();
        own
    }

    /// The last digest of a removed key that was not revoked may be used again.
    fn is_remembered(&self, digest: &DigestBytes, id: &KeyId) -> bool {
        let removed = self.removed(id).filter(|_| self.by_id(id).is_none());
        removed.is_none_or(|record| is_revoked(record) || record.digest.bytes() != digest)
    }

    fn removed_key(&self, record: &KeyRecord) -> RemovedKey {
        RemovedKey {
            key_id: record.id,
            version: record.version.saturating_add(1),
            revoked: match &record.status {
                Status::Revoked { at, reason } => Some((*at, reason.clone())),
                _ => None,
            },
            owner: record.owner.clone(),
            digests: self.former_digests(&record.id),
        }
    }

    /// Whether what was removed elsewhere can be remembered.
    pub(super) fn check_imported(&self, batch: &Batch) -> Result<(), StoreError> {
        let is_there = |key: &RemovedKey| {
            self.by_id(&key.key_id).is_some()
                || self.removed(&key.key_id).is_some()
                || self.elsewhere.contains_key(&key.key_id)
                || batch.inserts.iter().any(|record| record.id == key.key_id)
        };
        let is_in_use = |digest: &DigestBytes| {
            let mut stored = self
                .stored()
                .map(|(_, record)| record)
                .chain(&batch.inserts);
            stored.any(|record| record.digest.bytes() == digest && !is_revoked(record))
        };
        let holder = |digest: &DigestBytes| {
            let holder = self.former.get(digest);
            holder.filter(|holder| self.is_remembered(digest, holder))
        };
        // A key that is not revoked had it, also one of this batch.
        let was_in_use = |digest: &DigestBytes, id: &KeyId| {
            let stored = holder(digest).is_some_and(|holder| holder != id);
            let mut pairs = batch.imported.former_digests.iter();
            let is_live = |id: &KeyId| {
                let mut inserts = batch.inserts.iter();
                inserts.any(|record| record.id == *id && !is_revoked(record))
            };
            (stored && !self.was_revoked(digest))
                || pairs.any(|(former, holder)| former == digest && is_live(holder))
        };
        let is_anothers = |(digest, id): &(DigestBytes, KeyId)| {
            let had = holder(digest).is_some_and(|holder| holder != id);
            had || self
                .stored()
                .any(|(_, record)| record.digest.bytes() == digest && record.id != *id)
        };
        if batch.imported.former_digests.iter().any(is_anothers) {
            return Err(StoreError::Stale);
        }
        let removed = &batch.imported.removed;
        let is_valid = |key: &RemovedKey| {
            let mut digests = key.digests.iter();
            digests.any(|digest| is_in_use(digest) || was_in_use(digest, &key.key_id))
        };
        match removed.iter().any(|key| is_there(key) || is_valid(key)) {
            true => Err(StoreError::Stale),
            false => Ok(()),
        }
    }

    /// Writes what an import has beside records. The usage of a new lineage is there by now.
    pub(super) fn remember(&mut self, batch: &Batch, created: &HashSet<KeyId>) {
        let mut first = HashSet::new();
        for (lineage, rate) in &batch.imported.rates {
            if let Some(usage) = self.usage.get_mut(lineage)
                && created.contains(lineage)
                && first.insert(*lineage)
            {
                usage.rate = *rate;
            }
        }
        for (digest, id) in &batch.imported.former_digests {
            self.hold(digest, *id);
        }
        for key in &batch.imported.removed {
            for digest in &key.digests {
                self.hold(digest, key.key_id);
            }
            self.elsewhere.insert(key.key_id, key.clone());
        }
    }

    fn hold(&mut self, digest: &DigestBytes, id: KeyId) {
        let holder = self.former.get(digest);
        if !holder.is_some_and(|holder| self.is_remembered(digest, holder)) {
            self.former.insert(*digest, id);
        }
    }
}

impl State {
    /// Notes the answer of a request, if it has none of less than a day ago. Nothing that can
    /// fail follows.
    pub(super) fn answer(&mut self, note: &IssueNote) -> Result<(), StoreError> {
        let key = (note.request.caller.clone(), note.request.request);
        let before = self.answers.get(&key);
        if before.is_some_and(|answer| answer.is_remembered(note.at)) {
            return Err(StoreError::Stale);
        }
        self.answers
            .retain(|_, answer| answer.is_remembered(note.at));
        let answer = IssueAnswer::new(note.request.body, note.key_id, note.at);
        self.answers.insert(key, answer);
        Ok(())
    }
}

impl MemoryStore {
    pub(super) fn answer_to(&self, request: &IssueOnce) -> Option<IssueAnswer> {
        let key = (request.caller.clone(), request.request);
        self.state().answers.get(&key).copied()
    }

    pub(super) async fn exported(
        &self,
        filter: &Filter,
        page: Page,
    ) -> Result<Exported, StoreError> {
        let listed = self.list(filter, page.sorted(Sort::Inserted)).await?;
        let state = self.state();
        let keys = listed.records.into_iter().map(|record| PortableKey {
            rate: state
                .usage
                .get(&record.lineage)
                .copied()
                .unwrap_or_default()
                .rate,
            former_digests: state.former_digests(&record.id),
            record,
        });
        Ok(Exported {
            keys: keys.collect(),
            damaged: listed.damaged,
            next: listed.next,
        })
    }

    pub(super) fn removed_page(&self, after: Option<&str>, limit: usize) -> RemovedKeys {
        let state = self.state();
        let gone = state.gone.keys().filter_map(|id| state.removed(id));
        let gone = gone.map(|record| state.removed_key(record));
        let mut keys: Vec<_> = gone.chain(state.elsewhere.values().cloned()).collect();
        keys.sort_unstable_by_key(|key| key.key_id);
        keys.retain(|key| after.is_none_or(|after| key.key_id.as_str() > after));
        let limit = limit.min(PAGE_MAX);
        keys.truncate(limit);
        let next = keys.last().filter(|_| keys.len() == limit);
        RemovedKeys {
            next: next.map(|key| key.key_id.as_str().into()),
            keys,
            damaged: Vec::new(),
        }
    }

    pub(super) fn known_of(&self, asked: &Asked) -> Known {
        let state = self.state();
        let ids: HashSet<_> = asked.ids.iter().collect();
        let lineages: HashSet<_> = asked.lineages.iter().collect();
        let digests: HashSet<_> = asked.digests.iter().collect();
        let records = state.stored().filter(|(_, record)| {
            ids.contains(&record.id)
                || lineages.contains(&record.lineage)
                || digests.contains(record.digest.bytes())
        });
        let former = asked.digests.iter().filter_map(|digest| {
            let holder = state.former.get(digest)?;
            state
                .is_remembered(digest, holder)
                .then_some((*digest, Some(*holder)))
        });
        let removed = asked.ids.iter().filter_map(|id| {
            let own = state.removed(id).map(|record| state.removed_key(record));
            own.or_else(|| state.elsewhere.get(id).cloned())
        });
        Known {
            records: records
                .map(|(_, record)| state.with_usage(record))
                .collect(),
            damaged: Vec::new(),
            removed: removed.collect(),
            former_digests: former.collect(),
            uses: asked
                .lineages
                .iter()
                .filter_map(|lineage| Some((*lineage, state.usage.get(lineage)?.remaining)))
                .collect(),
        }
    }
}
