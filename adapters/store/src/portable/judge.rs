//! What becomes of a line, by what the store knows.

use std::collections::{HashMap, HashSet};

use keystile::{Digest, KeyId, KeyRecord, LifetimePolicy, Status, UnixMillis};

use super::import::{LineResult, digests};
use super::line::PortableLine;
use super::problem::LineProblem;
use super::{DigestBytes, Known, PortableKey};
use crate::family::{exceeds, has_not_ended};

/// Keys, by all that a line is compared with.
#[derive(Default)]
pub(super) struct Index {
    records: HashMap<KeyId, KeyRecord>,
    /// The keys of each lineage.
    lineages: HashMap<KeyId, Vec<KeyId>>,
    /// The keys that have or had a digest; none if the id of that one cannot be read.
    digests: HashMap<DigestBytes, Option<KeyId>>,
    damaged: HashSet<KeyId>,
    removed: HashSet<KeyId>,
    uses: HashMap<KeyId, Option<u64>>,
    /// Those that the store does not have yet.
    new: HashSet<KeyId>,
}

/// What becomes of a line.
pub(super) enum Verdict {
    /// The store does not have it. If it relies on a source that the store has: that one's id
    /// and version.
    New {
        source: Option<(KeyId, u64)>,
    },
    Present,
    Conflict(LineProblem),
    Refused(LineProblem),
}

impl Verdict {
    pub(super) fn result(self) -> LineResult {
        match self {
            Self::New { .. } => LineResult::Imported,
            Self::Present => LineResult::Present,
            Self::Conflict(problem) => LineResult::Conflict(problem),
            Self::Refused(problem) => LineResult::Refused(problem),
        }
    }
}

fn conflict(field: &'static str, expected: &str) -> Verdict {
    Verdict::Conflict(LineProblem::new(field, expected))
}

fn refused(field: &'static str, expected: &str) -> Verdict {
    Verdict::Refused(LineProblem::new(field, expected))
}

impl Index {
    pub(super) fn of(known: Known) -> Self {
        let mut index = Self::default();
        for (digest, key) in known.former_digests {
            index.digests.insert(digest, key);
        }
        for row in &known.damaged {
            let Some(id) = row.key_id else { continue };
            index.damaged.insert(id);
            if let Some(digest) = &row.digest {
                index.digests.insert(*digest.bytes(), Some(id));
            }
        }
        index.removed.extend(known.removed);
        index.uses.extend(known.uses);
        for record in known.records {
            index.insert(record);
        }
        index
    }

    fn insert(&mut self, record: KeyRecord) {
        let lineage = self.lineages.entry(record.lineage).or_default();
        if !lineage.contains(&record.id) {
            lineage.push(record.id);
        }
        self.digests.insert(*record.digest.bytes(), Some(record.id));
        self.records.insert(record.id, record);
    }

    /// Adds what a line that is new brings.
    pub(super) fn add(&mut self, line: &PortableLine) {
        let id = line.key_id();
        let digests = digests(line).map(|digest| (digest, Some(id)));
        self.digests.extend(digests);
        match line {
            PortableLine::Key(key) => {
                let uses = key.record.remaining_uses;
                self.uses.entry(key.record.lineage).or_insert(uses);
                self.new.insert(id);
                self.insert(key.record.clone());
            }
            PortableLine::Removed(_) => {
                self.removed.insert(id);
            }
        }
    }

    /// Adds what is new in another index.
    pub(super) fn merge(&mut self, other: Self) {
        let new = other.new;
        for (id, record) in other.records {
            if new.contains(&id) {
                let record = condensed(record);
                self.uses
                    .entry(record.lineage)
                    .or_insert(record.remaining_uses);
                self.insert(record);
            }
        }
        self.removed.extend(other.removed);
        self.digests.extend(other.digests);
        self.new.extend(new);
    }

    /// What becomes of a line, by these keys and those that a dry run has so far.
    pub(super) fn judge(
        &self,
        so_far: &Self,
        line: &PortableLine,
        lifetimes: &LifetimePolicy,
        now: UnixMillis,
    ) -> Verdict {
        let both = Both(self, so_far);
        let id = line.key_id();
        if self.damaged.contains(&id) {
            return conflict("id", "the row of this key is damaged in the store");
        }
        let is_removed = self.removed.contains(&id) || so_far.removed.contains(&id);
        let stored = both.record(&id);
        match (line, is_removed, stored) {
            (PortableLine::Removed(_), true, _) => return Verdict::Present,
            (PortableLine::Removed(_), _, Some(_)) => {
                return conflict(
                    "key_id",
                    "the store has this key, which was removed elsewhere",
                );
            }
            (PortableLine::Key(_), true, _) => {
                return conflict("id", "this key was removed from the store");
            }
            (PortableLine::Key(key), _, Some(stored)) => {
                let line = match self.records.contains_key(&id) {
                    true => key.record.clone(),
                    false => condensed(key.record.clone()),
                };
                return compare(line, stored);
            }
            _ => {}
        }
        let mut holders = digests(line).filter_map(|digest| both.holder(&digest));
        if holders.any(|holder| holder != Some(id)) {
            return conflict("digest", "another key of the store has or had this digest");
        }
        match line {
            PortableLine::Key(key) => both.judge_new(key, lifetimes, now),
            PortableLine::Removed(_) => Verdict::New { source: None },
        }
    }
}

/// What the store has, and what a dry run has added to it.
struct Both<'i>(&'i Index, &'i Index);

impl Both<'_> {
    fn record(&self, id: &KeyId) -> Option<&KeyRecord> {
        self.0.records.get(id).or_else(|| self.1.records.get(id))
    }

    fn holder(&self, digest: &DigestBytes) -> Option<Option<KeyId>> {
        let holder = self.0.digests.get(digest);
        holder.or_else(|| self.1.digests.get(digest)).copied()
    }

    fn lineage(&self, lineage: &KeyId) -> impl Iterator<Item = &KeyRecord> {
        let ids = [self.0, self.1].into_iter();
        let ids = ids
            .filter_map(|index| index.lineages.get(lineage))
            .flatten();
        let mut seen = HashSet::new();
        ids.filter(move |id| seen.insert(**id))
            .filter_map(|id| self.record(id))
    }

    fn judge_new(&self, key: &PortableKey, lifetimes: &LifetimePolicy, now: UnixMillis) -> Verdict {
        let record = &key.record;
        let lineage = &record.lineage;
        let uses = self
            .0
            .uses
            .get(lineage)
            .or_else(|| self.1.uses.get(lineage));
        if let Some(uses) = uses
            && exceeds_uses(*uses, record.remaining_uses)
        {
            let expected = "the lineage of this key has more uses left in the store";
            return conflict("remaining_uses", expected);
        }
        if !has_not_ended(record, now) {
            return Verdict::New { source: None };
        }
        if let Some(longest) = lifetimes.longest() {
            let latest = now.plus(longest).unwrap_or(UnixMillis::MAX);
            let too_long = record.lifetime_given().is_none_or(|given| given > longest);
            if too_long || record.expires_at.is_none_or(|end| end > latest) {
                let expected = "must be within the longest lifetime that the service allows";
                return refused("expires_at", expected);
            }
        }
        let live = self.lineage(lineage);
        if record.is_live(now) && live.filter(|other| other.is_live(now)).count() >= 2 {
            return conflict("lineage", "two keys of this lineage are live in the store");
        }
        if !record.is_live(now) || record.derived_from.is_none() {
            return Verdict::New { source: None };
        }
        self.judge_derived(record, now)
    }

    /// A derived key has no more than its source, which has to be there: P4.
    fn judge_derived(&self, record: &KeyRecord, now: UnixMillis) -> Verdict {
        let Some(from) = record.derived_from else {
            return Verdict::New { source: None };
        };
        if from.lineage == record.lineage {
            return refused("derived_from", "a key must not derive from its own lineage");
        }
        let left = self.lineage(&from.lineage);
        let left = left.filter(|source| has_not_ended(source, now));
        // As for a key that is issued: the newest one, which ends last.
        let newest = left.max_by_key(|source| {
            let end = source.ends_at();
            (source.replaced_by.is_none(), end.is_none(), end)
        });
        let Some(source) = newest.filter(|source| source.is_live(now)) else {
            let expected =
                "the key that it derives from must be live in the store: import it first";
            return refused("derived_from", expected);
        };
        if exceeds(record, source) {
            return refused(
                "derived_from",
                "must have no more than the key that it derives from",
            );
        }
        let is_new = self.0.new.contains(&source.id) || self.1.new.contains(&source.id);
        let source = (!is_new).then_some((source.id, source.version));
        Verdict::New { source }
    }
}

/// The record as a dry run keeps it, with a digest of the metadata in its place.
fn condensed(mut record: KeyRecord) -> KeyRecord {
    let metadata = record.metadata.take();
    record.metadata = metadata.map(|text| Digest::sha256(text.as_bytes()).to_string().into());
    record
}

/// Whether the store has more uses left than a line.
fn exceeds_uses(stored: Option<u64>, line: Option<u64>) -> bool {
    match (stored, line) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(stored), Some(line)) => stored > line,
    }
}

/// Compares a line with the record that the store has, apart from what its use changes.
fn compare(line: KeyRecord, stored: &KeyRecord) -> Verdict {
    let lifetimes = line.lifetime_given() == stored.lifetime_given();
    let mut same = line;
    same.remaining_uses = stored.remaining_uses;
    same.last_used_at = stored.last_used_at;
    // A row may lack it, and then it is what it is in a line.
    same.lifetime = stored.lifetime;
    if same == *stored && lifetimes {
        return Verdict::Present;
    }
    let is_revoked = |record: &KeyRecord| matches!(record.status, Status::Revoked { .. });
    if same.digest != stored.digest {
        return conflict("digest", "the store has this key with another digest");
    }
    if is_revoked(stored) && !is_revoked(&same) {
        return conflict("status", "the key is revoked in the store, and stays so");
    }
    if same.version != stored.version {
        return conflict("version", "the store has another version of this key");
    }
    conflict("id", "the store has this key with other content")
}
