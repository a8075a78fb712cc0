//! What each request may be answered, from the history of the keys. It is written from the
//! specification and calls nothing that decides.
//!
//! Each answer is predicted exactly. A set of answers is accepted only for these reasons:
//!
//! - A process that has not read the changes of others may decide by an older record, for as
//!   long as the revocation bound: [`Oracle::candidates`].
//! - While the clock is behind its latest reading, a process may have seen a key to end:
//!   [`Oracle::refusals`].
//! - A limit may be known only to an interval: after a crash, which may give back what was not
//!   recorded, while the clock is behind its latest reading, after the limit was changed, and if
//!   several processes count for themselves: [`Meter`].
//! - A process records what it has spent once. While it spends nothing more, it may record the
//!   state again or not, and the store's may have been brought back since:
//!   [`Oracle::has_recorded`].
//! - A request that the store decides about may show a process a later reading of the clock
//!   than the one that the limits in its memory go by: [`Oracle::answered`].
//! - After a limit was lowered, a state in the store counts as it is if it is at most a minute
//!   further ahead than the new limit allows: that minute is for readers of one clock.

use std::collections::{HashMap, HashSet};

use keystile::{Cause, KeyId};

use crate::answer::{Possible, Presented, Seen};
use crate::history::{Key, Record, Version};
use crate::meter::{Clock, Meter, parts};
use crate::rights::Asked;

/// Who decides: 0 is `check()` on the store, 1 and 2 are processes with an authenticator.
pub(crate) const DECIDERS: usize = 3;
const STORE: usize = 0;
/// How long a process may decide by a record that was changed since.
pub(crate) const BOUND_MILLIS: u64 = 60_000;
/// A limit that is free again within two seconds is recorded only at a stop.
const FREE_SOON_MILLIS: u64 = 2_000;

/// What the keys of a lineage have spent together.
#[derive(Debug)]
struct Lineage {
    uses: Option<u64>,
    /// What the store has, and what the processes count in memory once they have read a key.
    meters: [Option<Meter>; DECIDERS],
    keys: Vec<KeyId>,
}

#[derive(Debug, Default)]
pub(crate) struct Oracle {
    pub(crate) keys: HashMap<KeyId, Key>,
    lineages: HashMap<KeyId, Lineage>,
    pub(crate) now: u64,
    /// The latest reading of the clock.
    pub(crate) peak: u64,
    /// Time that runs on, whatever happens to the clock.
    pub(crate) monotonic: u64,
    /// The latest reading that each decider has seen.
    peaks: [u64; DECIDERS],
    /// Versions that a process has seen to end.
    ended: HashSet<(usize, KeyId, usize)>,
}

impl Oracle {
    pub(crate) fn issued(
        &mut self,
        id: KeyId,
        lineage: KeyId,
        text: String,
        record: Record,
        uses: Option<u64>,
    ) {
        let version = Version {
            record: Some(record),
            until: None,
        };
        let key = Key {
            text,
            lineage,
            versions: Vec::from([version]),
            oldest: [0; DECIDERS],
        };
        self.keys.insert(id, key);
        let lineage = self.lineages.entry(lineage).or_insert_with(|| Lineage {
            uses,
            meters: [Some(Meter::default()), None, None],
            keys: Vec::new(),
        });
        lineage.keys.push(id);
    }

    pub(crate) fn current(&self, id: &KeyId) -> Option<&Record> {
        self.keys.get(id)?.versions.last()?.record.as_ref()
    }

    pub(crate) fn siblings(&self, id: &KeyId) -> Vec<KeyId> {
        let lineage = &self.lineages[&self.keys[id].lineage];
        lineage
            .keys
            .iter()
            .copied()
            .filter(|own| own != id)
            .collect()
    }

    pub(crate) fn uses(&self, id: &KeyId) -> Option<u64> {
        self.lineages[&self.keys[id].lineage].uses
    }

    pub(crate) fn set_uses(&mut self, id: &KeyId, uses: u64) {
        let lineage = self.keys[id].lineage;
        self.lineages.get_mut(&lineage).unwrap().uses = Some(uses);
    }

    /// The key has this record from now on; `None`: it is deleted. The process that has made the
    /// change decides by it at once.
    pub(crate) fn changed(&mut self, id: &KeyId, record: Option<Record>, by: usize) {
        let monotonic = self.monotonic;
        let before = self.current(id).and_then(|record| record.limit);
        let limit = record.as_ref().and_then(|record| record.limit);
        let key = self.keys.get_mut(id).unwrap();
        key.versions.last_mut().unwrap().until = Some(monotonic);
        key.versions.push(Version {
            record,
            until: None,
        });
        key.oldest[STORE] = key.versions.len() - 1;
        key.oldest[by] = key.versions.len() - 1;
        let lineage = self.lineages.get_mut(&key.lineage).unwrap();
        if before != limit && lineage.keys.len() > 1 {
            for meter in lineage.meters.iter_mut().flatten() {
                meter.is_mixed = true;
            }
        }
    }

    /// The clock shows an earlier time.
    pub(crate) fn set_back(&mut self, now: u64) {
        self.now = now;
        let behind = self.peak - now;
        for lineage in self.lineages.values_mut() {
            for meter in lineage.meters.iter_mut().flatten() {
                meter.behind = meter.behind.max(behind);
            }
        }
    }

    /// A process has read all changes.
    pub(crate) fn has_read(&mut self, who: usize) {
        for key in self.keys.values_mut() {
            key.oldest[who] = key.versions.len() - 1;
        }
    }

    /// A process has recorded what it has spent; at a stop also what is free again soon.
    pub(crate) fn has_recorded(&mut self, who: usize, at_a_stop: bool) {
        let soon = if at_a_stop { 0 } else { FREE_SOON_MILLIS };
        let (now, peak) = (self.now, self.peak);
        for lineage in self.lineages.values_mut() {
            let [Some(stored), ..] = lineage.meters else {
                continue;
            };
            if let Some(own) = lineage.meters[who].as_mut()
                && own.high > 0
            {
                let is_certain = own.is_due && own.low > parts(peak + own.behind + soon);
                let noted = stored.noted(own, is_certain, now);
                own.is_due &= !is_certain;
                lineage.meters[STORE] = Some(noted);
            }
        }
    }

    /// A process has ended, and knows nothing any more.
    pub(crate) fn has_ended(&mut self, who: usize) {
        for lineage in self.lineages.values_mut() {
            lineage.meters[who] = None;
        }
        self.ended.retain(|(process, ..)| *process != who);
        self.peaks[who] = 0;
        self.has_read(who);
    }

    /// The versions that a decision may be made by: the current one, and in a process those that
    /// were changed since it last read the changes. "No request that is sent after a revocation's
    /// commit + bound is allowed anywhere." A process that has once decided by a version never
    /// goes back to an older one.
    fn candidates(&self, who: usize, key: &Key) -> Vec<usize> {
        // "A key with counted uses": the store decides about each request.
        let is_counted = self.lineages[&key.lineage].uses.is_some();
        let last = key.versions.len() - 1;
        if who == STORE || is_counted {
            return Vec::from([last]);
        }
        (key.oldest[who]..=last)
            .filter(|at| {
                let until = key.versions[*at].until;
                until.is_none_or(|until| until + BOUND_MILLIS >= self.monotonic)
            })
            .collect()
    }

    /// Why the record refuses before its limits are asked. `None`: it does not.
    fn refusals(
        &self,
        who: usize,
        id: &KeyId,
        version: usize,
        record: &Record,
        asked: &Asked,
    ) -> Vec<Option<Cause>> {
        let is_counted = self.lineages[&self.keys[id].lineage].uses.is_some();
        if who == STORE || is_counted {
            return Vec::from([record.refusal(asked, self.now)]);
        }
        // "What a process has seen to end stays ended there": any reading may have shown it, and
        // a request for this version certainly has.
        let ends = [record.expires_at, record.overlap_until];
        let ends = ends.into_iter().flatten();
        let readings = ends.filter(|end| (self.now..=self.peak).contains(end));
        let has_ended = self.ended.contains(&(who, *id, version));
        let mut refusals: Vec<_> = readings
            .chain([self.now, self.peak])
            .filter(|reading| !has_ended || record.is_over(*reading))
            .map(|reading| record.refusal(asked, reading))
            .collect();
        refusals.sort_unstable_by_key(|cause| cause.map(|cause| cause as u8));
        refusals.dedup();
        refusals
    }

    fn possible(
        &self,
        who: usize,
        id: &KeyId,
        presented: Presented,
        asked: &Asked,
    ) -> Vec<Possible> {
        let key = &self.keys[id];
        let lineage = &self.lineages[&key.lineage];
        let mut possible = Vec::new();
        for version in self.candidates(who, key) {
            let denied = |cause| Possible {
                version,
                cause: Some(cause),
                meter: None,
                uses_left: None,
                has_quota: false,
                requests_left: None,
                retry_after: None,
                notice: None,
                ends: None,
            };
            let Some(record) = &key.versions[version].record else {
                possible.push(denied(Cause::UnknownKey));
                continue;
            };
            if presented == Presented::WrongSecret {
                possible.push(denied(Cause::WrongSecret));
                continue;
            }
            for refusal in self.refusals(who, id, version, record, asked) {
                if let Some(cause) = refusal {
                    possible.push(denied(cause));
                    continue;
                }
                let by = if lineage.uses.is_some() { STORE } else { who };
                let allowed = Possible {
                    cause: None,
                    uses_left: lineage.uses.map(|uses| uses.saturating_sub(1)),
                    notice: record.replaced_by.zip(record.overlap_until),
                    ends: record.ends_at_first_use,
                    ..denied(Cause::UsesSpent)
                };
                let spent = |possible: Possible| match lineage.uses {
                    Some(0) => denied(Cause::UsesSpent),
                    _ => possible,
                };
                let Some(limit) = record.limit else {
                    possible.push(spent(allowed));
                    continue;
                };
                // A process that has read that no uses are left need not ask the store, and then
                // knows the state of the limit only as it was read.
                if who != STORE && lineage.uses == Some(0) {
                    possible.push(denied(Cause::UsesSpent));
                }
                let meter = lineage.meters[by].unwrap_or_default();
                let judged = meter.judge(limit, self.clock(by));
                if let Some(passed) = judged.passed {
                    possible.push(spent(Possible {
                        meter: Some(passed),
                        has_quota: true,
                        requests_left: judged.left,
                        ..allowed
                    }));
                }
                if let Some(refused) = judged.refused {
                    possible.push(Possible {
                        meter: Some(refused),
                        retry_after: judged.retry_after,
                        ..denied(Cause::RateLimit)
                    });
                }
            }
        }
        possible
    }

    /// The times that a limit may be judged by. "What was free at the latest reading passes, what
    /// accrues until the clock has caught up may wait."
    fn clock(&self, by: usize) -> Clock {
        let seen = if by == STORE { 0 } else { self.peaks[by] };
        Clock {
            earliest: self.now.max(seen),
            latest: self.peak,
            behind: self.peak - self.now,
            is_stores: by == STORE,
        }
    }

    /// Takes an answer, or explains which ones are accepted. Returns the key whose overlap it
    /// ends, and whether that is certain.
    pub(crate) fn answered(
        &mut self,
        who: usize,
        id: &KeyId,
        (presented, asked): (Presented, &Asked),
        seen: &Seen,
    ) -> Result<Option<(KeyId, bool)>, String> {
        self.reads_usage(who, id);
        // "Uses stay in SQL": what the store decides about need not reach the counters in memory.
        if self.uses(id).is_none() {
            self.peaks[who] = self.peaks[who].max(self.now);
        }
        let possible = self.possible(who, id, presented, asked);
        let accepted: Vec<_> = possible.iter().filter(|own| own.accepts(seen)).collect();
        let Some(first) = accepted.first() else {
            let expected: Vec<_> = possible.iter().map(Possible::text).collect();
            let key = &self.keys[id];
            let lineage = &self.lineages[&key.lineage];
            return Err(format!(
                "expected one of {expected:?}\nversions {:?}\n{lineage:?}\nnow {} latest {} {:?}",
                key.versions,
                self.now,
                self.peak,
                self.clock(who)
            ));
        };
        // A wrong secret shows the process the end as well.
        let versions = &self.keys[id].versions;
        let is_over = |own: &&&Possible| {
            let record = versions[own.version].record.as_ref();
            record.is_some_and(|record| record.is_over(self.now))
        };
        let ended = accepted.iter().filter(is_over);
        self.ended.extend(ended.map(|own| (who, *id, own.version)));
        let ends = accepted.iter().find_map(|own| own.ends);
        let last = self.keys[id].versions.len() - 1;
        let is_certain = accepted
            .iter()
            .all(|own| own.ends == ends && own.version == last);
        let meter = accepted
            .iter()
            .filter_map(|own| own.meter)
            .reduce(Meter::or);
        let oldest = accepted.iter().map(|own| own.version).min();
        let is_allowed = first.cause.is_none();
        let key = self.keys.get_mut(id).unwrap();
        // "Never goes back": see `candidates`.
        key.oldest[who] = key.oldest[who].max(oldest.unwrap_or_default());
        let lineage = self.lineages.get_mut(&key.lineage).unwrap();
        let by = if lineage.uses.is_some() { STORE } else { who };
        if let Some(meter) = meter {
            lineage.meters[by] = Some(meter);
        }
        if is_allowed {
            lineage.uses = lineage.uses.map(|uses| uses - 1);
        }
        // It may be recorded at any time from now on.
        if by != STORE
            && let (Some(own), Some(stored)) = (lineage.meters[by], lineage.meters[STORE])
            && own.high > 0
        {
            lineage.meters[STORE] = Some(stored.noted(&own, false, self.now));
        }
        Ok(ends.filter(|_| is_allowed).map(|ends| (ends, is_certain)))
    }

    /// "Are loaded with the record": a process that has not read the key begins with what the
    /// store has; one that reads it again, as it may at any time, counts what others have spent.
    fn reads_usage(&mut self, who: usize, id: &KeyId) {
        let (now, behind) = (self.now, self.peak - self.now);
        let peak = self.peak;
        let key = &self.keys[id];
        let known = self.candidates(who, key).into_iter();
        let reach = known
            .filter_map(|at| Some(key.versions[at].record.as_ref()?.limit?.reach()))
            .min();
        let lineage = self.keys[id].lineage;
        let lineage = self.lineages.get_mut(&lineage).unwrap();
        if who == STORE || lineage.uses.is_some() {
            return;
        }
        // What is further ahead than the limit allows counts as one burst from when the record is
        // read, and is stored as that.
        if let Some(reach) = reach {
            if let Some(stored) = lineage.meters[STORE].as_mut() {
                stored.low = stored.low.min(parts(now) + reach);
            }
            if let Some(own) = lineage.meters[who].as_mut() {
                own.low = own.low.min(parts(peak) + reach);
            }
        }
        let Some(stored) = &lineage.meters[STORE] else {
            return;
        };
        // What others have spent is not this process's to record.
        let stored = Meter {
            is_due: false,
            ..*stored
        };
        let is_unused = stored.high == 0;
        let high = stored.high + if is_unused { 0 } else { parts(behind) };
        lineage.meters[who] = Some(match lineage.meters[who] {
            None => Meter { high, ..stored },
            Some(own) if stored.high > own.high => Meter {
                high,
                is_mixed: own.is_mixed || stored.is_mixed,
                ..own
            },
            Some(own) => own,
        });
    }
}
