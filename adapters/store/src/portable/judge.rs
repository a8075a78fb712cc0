//! What becomes of a line, by what the store knows.

use std::collections::{HashMap, HashSet};

use keystile::{KeyId, KeyRecord, LifetimePolicy, UnixMillis};

use super::compare::{compare, condensed, exceeds_uses, is_revoked};
use super::import::digests;
use super::line::PortableLine;
use super::problem::LineProblem;
use super::report::LineResult;
use super::{DigestBytes, Known, PortableKey, RemovedKey};
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
    removed: HashMap<KeyId, RemovedKey>,
    uses: HashMap<KeyId, Option<u64>>,
    /// The lineages whose uses are counted and were, when a line of them was judged, those of
    /// the line: so what others were given of them was taken off.
    agreed: HashSet<KeyId>,
    /// Those of which a later line had other uses.
    disagreed: HashSet<KeyId>,
    /// Those that the store does not have yet.
    new: HashSet<KeyId>,
}

/// What becomes of a line.
pub(super) enum Verdict {
    /// The store does not have it. The ids and versions of the keys of the store that it relies
    /// on.
    New {
        relied_on: Vec<(KeyId, u64)>,
    },
    Present,
    Conflict(LineProblem),
    /// It may be imported after a later line.
    Waits(LineProblem),
    Refused(LineProblem),
}

impl Verdict {
    pub(super) fn result(self) -> LineResult {
        match self {
            Self::New { .. } => LineResult::Imported,
            Self::Present => LineResult::Present,
            Self::Conflict(problem) => LineResult::Conflict(problem),
            Self::Waits(problem) => LineResult::Waiting(problem),
            Self::Refused(problem) => LineResult::Refused(problem),
        }
    }
}

pub(super) fn conflict(field: &'static str, expected: &str) -> Verdict {
    Verdict::Conflict(LineProblem::new(field, expected))
}

fn waits(field: &'static str, expected: &str) -> Verdict {
    Verdict::Waits(LineProblem::new(field, expected))
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
            index.damaged.extend(row.key_id);
            if let Some(digest) = &row.digest {
                index.digests.insert(*digest.bytes(), row.key_id);
            }
        }
        let removed = known.removed.into_iter();
        index.removed.extend(removed.map(|key| (key.key_id, key)));
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
            PortableLine::Removed(removed) => {
                self.removed.insert(id, removed.clone());
            }
        }
    }

    /// Notes whether the lineage of a line has its uses.
    pub(super) fn agree(&mut self, so_far: &Self, line: &PortableLine) {
        let PortableLine::Key(key) = line else { return };
        let (lineage, uses) = (key.record.lineage, key.record.remaining_uses);
        let stored = Both(self, so_far).uses(&lineage);
        if uses.is_some() && stored.is_none_or(|stored| stored == uses) {
            self.agreed.insert(lineage);
        } else if uses.is_some() {
            // A later line of another export, whose derived keys were given other uses.
            self.agreed.remove(&lineage);
            self.disagreed.insert(lineage);
        }
    }

    /// Keeps of another index which lineages have the uses of their lines.
    pub(super) fn agree_as(&mut self, other: Self) {
        self.agree_with(other.agreed, other.disagreed);
    }

    fn agree_with(&mut self, agreed: HashSet<KeyId>, disagreed: HashSet<KeyId>) {
        self.agreed.extend(agreed);
        self.disagreed.extend(disagreed);
        let disagreed = &self.disagreed;
        self.agreed.retain(|lineage| !disagreed.contains(lineage));
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
        self.agree_with(other.agreed, other.disagreed);
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
        let (stored, known_removed) = (both.record(&id), both.removed(&id));
        match (line, known_removed, stored) {
            (PortableLine::Removed(line), Some(known), _) => {
                return both.compare_removed(line, known);
            }
            (PortableLine::Removed(_), None, Some(_)) => {
                return conflict(
                    "key_id",
                    "the store has this key, which was removed elsewhere",
                );
            }
            (PortableLine::Key(_), Some(_), _) => {
                return conflict("id", "this key was removed from the store");
            }
            (PortableLine::Key(key), None, Some(stored)) => {
                let line = match self.records.contains_key(&id) {
                    true => key.record.clone(),
                    false => condensed(key.record.clone()),
                };
                let mut former = key.former_digests.iter();
                return match compare(line, stored) {
                    Verdict::Present if !former.all(|one| both.holder(one) == Some(Some(id))) => {
                        let expected = "the store does not remember all of them of this key";
                        conflict("former_digests", expected)
                    }
                    verdict => verdict,
                };
            }
            (_, None, None) => {}
        }
        let mut holders = digests(line).filter_map(|digest| both.holder(&digest));
        let is_in_the_way = |holder: Option<KeyId>| match line {
            _ if holder == Some(id) => false,
            // What two revoked keys had is refused in any case.
            PortableLine::Removed(_) => !holder.is_some_and(|holder| both.is_revoked(&holder)),
            PortableLine::Key(_) => true,
        };
        if holders.any(is_in_the_way) {
            return conflict("digest", "another key of the store has or had this digest");
        }
        match line {
            PortableLine::Key(key) => both.judge_new(key, lifetimes, now),
            PortableLine::Removed(_) => Verdict::New {
                relied_on: Vec::new(),
            },
        }
    }
}

/// What the store has, and what a dry run has added to it.
struct Both<'i>(&'i Index, &'i Index);

impl Both<'_> {
    fn record(&self, id: &KeyId) -> Option<&KeyRecord> {
        self.0.records.get(id).or_else(|| self.1.records.get(id))
    }

    fn removed(&self, id: &KeyId) -> Option<&RemovedKey> {
        self.0.removed.get(id).or_else(|| self.1.removed.get(id))
    }

    fn is_revoked(&self, id: &KeyId) -> bool {
        let removed = self.removed(id);
        self.record(id).is_some_and(is_revoked) || removed.is_some_and(|key| key.revoked.is_some())
    }

    fn uses(&self, lineage: &KeyId) -> Option<Option<u64>> {
        let uses = self.0.uses.get(lineage);
        uses.or_else(|| self.1.uses.get(lineage)).copied()
    }

    fn is_new(&self, id: &KeyId) -> bool {
        self.0.new.contains(id) || self.1.new.contains(id)
    }

    /// A removed key is remembered as it is in the line. Of its digests the store may lack those
    /// that another revoked key has.
    fn compare_removed(&self, line: &RemovedKey, known: &RemovedKey) -> Verdict {
        if line.revoked.is_some() && known.revoked.is_none() {
            let expected = "the export has this removed key revoked, and the store has not";
            return conflict("revoked_at", expected);
        }
        let is_remembered = |digest: &DigestBytes| {
            let holder = self.holder(digest).flatten();
            known.digests.contains(digest)
                || holder.is_some_and(|id| id != line.key_id && self.is_revoked(&id))
        };
        if !line.digests.iter().all(is_remembered) {
            let expected = "the store does not remember all of them of this removed key";
            return conflict("digests", expected);
        }
        let content = |key: &RemovedKey| (key.version, key.revoked.clone(), key.owner.clone());
        match content(line) == content(known) {
            true => Verdict::Present,
            false => conflict("key_id", "the store remembers this removed key otherwise"),
        }
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
        if let Some(uses) = self.uses(lineage)
            && exceeds_uses(uses, record.remaining_uses)
        {
            let expected = "the lineage of this key has more uses left in the store";
            return conflict("remaining_uses", expected);
        }
        let mut relied_on = Vec::new();
        if !has_not_ended(record, now) {
            return Verdict::New { relied_on };
        }
        if let Some(longest) = lifetimes.longest() {
            let latest = now.plus(longest).unwrap_or(UnixMillis::MAX);
            let too_long = record.lifetime_given().is_none_or(|given| given > longest);
            if too_long || record.expires_at.is_none_or(|end| end > latest) {
                let expected = "must be within the longest lifetime that the service allows";
                return refused("expires_at", expected);
            }
        }
        if let Err(verdict) = self.judge_uses(record) {
            return verdict;
        }
        if !record.is_live(now) {
            return Verdict::New { relied_on };
        }
        let live: Vec<_> = self
            .lineage(lineage)
            .filter(|other| other.is_live(now))
            .collect();
        if live.len() >= 2 {
            return conflict("lineage", "two keys of this lineage are live in the store");
        }
        match self.source(record, now) {
            Err(verdict) => verdict,
            Ok(source) => {
                let stored = live.into_iter().chain(source);
                let stored = stored.filter(|key| !self.is_new(&key.id));
                relied_on.extend(stored.map(|key| (key.id, key.version)));
                Verdict::New { relied_on }
            }
        }
    }

    /// The uses of a derived key were taken off those of its source. So it is imported only if
    /// the source has what was left after that.
    fn judge_uses(&self, record: &KeyRecord) -> Result<(), Verdict> {
        let Some(from) = record
            .derived_from
            .filter(|_| record.remaining_uses.is_some())
        else {
            return Ok(());
        };
        let (here, before) = (self.0, self.1);
        let is_agreed = (here.agreed.contains(&from.lineage)
            || before.agreed.contains(&from.lineage))
            && !here.disagreed.contains(&from.lineage)
            && !before.disagreed.contains(&from.lineage);
        if is_agreed || !matches!(self.uses(&from.lineage), Some(Some(_))) {
            return Ok(());
        }
        let expected = "the key that it derives from must have as many uses left in the store as in the export: those of this key were taken off them";
        Err(waits("remaining_uses", expected))
    }

    /// The source of a live key, if it derives from one. It has no more than its source, which
    /// has to be there: P4.
    fn source(&self, record: &KeyRecord, now: UnixMillis) -> Result<Option<&KeyRecord>, Verdict> {
        let Some(from) = record.derived_from else {
            return Ok(None);
        };
        if from.lineage == record.lineage {
            let expected = "a key must not derive from its own lineage";
            return Err(refused("derived_from", expected));
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
            return Err(waits("derived_from", expected));
        };
        if exceeds(record, source) {
            let expected = "must have no more than the key that it derives from";
            return Err(waits("derived_from", expected));
        }
        Ok(Some(source))
    }
}
