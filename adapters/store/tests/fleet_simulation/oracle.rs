//! What the specification promises of a fleet, judged by what callers saw and what the store
//! committed. Nothing here calls what decides, and all numbers are whole.

use core::fmt;
use std::collections::{HashMap, HashSet};

use keystile::{KeyId, RateLimit, Status};

use crate::clocks::RATE_ERROR_MILLIONTHS;
use crate::database::Written;
use crate::healing::End;
use crate::history::{Answered, Asked, History, Jolt, VerbKind, VerbOutcome};
use crate::mode::Counting;
use crate::node::BOUND_MILLIS;

const MILLION: u64 = 1_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Invariant {
    /// "No request that is sent after a revocation's commit + bound is allowed anywhere", nor one
    /// in the process that was asked to revoke, once that has returned.
    Revocation,
    /// "In any time T at most burst + limit·T/window pass."
    Limit,
    /// Of a key with N uses at most N requests are allowed in all.
    Uses,
    /// What was acknowledged is kept.
    Kept,
    /// "Every wait is bounded", and a valid key is allowed when all is well again.
    Lives,
}

/// A promise that was broken.
#[derive(Debug)]
pub(crate) struct Violation {
    pub(crate) invariant: Invariant,
    text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.invariant, self.text)
    }
}

pub(crate) fn judge(
    history: &History,
    written: &[Written],
    counting: Counting,
    end: &End,
) -> Result<(), Violation> {
    revocations(history, written)?;
    uses(history, written)?;
    limits(history, written, counting)?;
    kept(history, end)?;
    lives(end)
}

fn broken(invariant: Invariant, text: String) -> Result<(), Violation> {
    Err(Violation { invariant, text })
}

fn allowed(history: &History) -> impl Iterator<Item = (&Asked, u64)> {
    let answered = |asked: &Asked| asked.answered.filter(|_| asked.answer == Answered::Allowed);
    let asked = history.asked.iter();
    asked.filter_map(move |asked| Some((asked, answered(asked)?)))
}

/// The bound by the slowest clock that may measure it, rounded up.
fn bound() -> u64 {
    (BOUND_MILLIS * MILLION).div_ceil(MILLION - RATE_ERROR_MILLIONTHS)
}

fn revocations(history: &History, written: &[Written]) -> Result<(), Violation> {
    // Spans in which a key was revoked or suspended in the store.
    let mut spans: HashMap<KeyId, Vec<(u64, u64)>> = HashMap::new();
    for Written { at, record } in written {
        let spans = spans.entry(record.id).or_default();
        let is_open = spans.last().is_some_and(|(_, until)| *until == u64::MAX);
        match (record.status == Status::Active, is_open) {
            (false, false) => spans.push((*at, u64::MAX)),
            (true, true) => spans.last_mut().unwrap().1 = *at,
            _ => {}
        }
    }
    for (asked, answered) in allowed(history) {
        let id = history.keys[asked.key].id;
        let late = spans.get(&id).into_iter().flatten();
        let mut late =
            late.filter(|(from, until)| asked.sent > from + bound() && answered < *until);
        if let Some((from, _)) = late.next() {
            return broken(
                Invariant::Revocation,
                format!("{id} ended at {from}, and {asked:?}"),
            );
        }
    }
    for verb in &history.verbs {
        let (VerbKind::Revoke, Some(by), VerbOutcome::Acknowledged(at)) =
            (verb.kind, verb.by, verb.outcome)
        else {
            continue;
        };
        let own = |asked: &Asked| {
            (asked.node, asked.process) == by
                && history.keys[asked.key].id == verb.id
                && asked.sent > at
        };
        if let Some((asked, _)) = allowed(history).find(|(asked, _)| own(asked)) {
            return broken(
                Invariant::Revocation,
                format!("{} was revoked there by {at}, and {asked:?}", verb.id),
            );
        }
    }
    Ok(())
}

fn uses(history: &History, written: &[Written]) -> Result<(), Violation> {
    let mut granted: HashMap<KeyId, u64> = HashMap::new();
    for Written { record, .. } in written {
        if record.id == record.lineage
            && record.version == 1
            && let Some(uses) = record.remaining_uses
        {
            granted.insert(record.lineage, uses);
        }
    }
    for (lineage, granted) in granted {
        let of = |asked: &Asked| history.keys[asked.key].lineage == lineage;
        let used = allowed(history).filter(|(asked, _)| of(asked)).count() as u64;
        if used > granted {
            return broken(
                Invariant::Uses,
                format!("{lineage} had {granted} uses, and {used} requests were allowed"),
            );
        }
    }
    Ok(())
}

/// The limits that the keys of a lineage had.
#[derive(Default)]
struct Limits {
    seen: Vec<RateLimit>,
    changes: u64,
    /// The uses are counted, so the store decides about each request.
    is_counted: bool,
}

impl Limits {
    fn add(&mut self, limit: RateLimit) {
        if self.seen.last() != Some(&limit) {
            self.changes += u64::from(!self.seen.is_empty());
            self.seen.push(limit);
        }
    }

    fn burst(&self) -> u64 {
        let bursts = self.seen.iter().map(|limit| u64::from(limit.burst()));
        bursts.max().unwrap_or(0)
    }

    /// The fastest of them, as requests and a window.
    fn rate(&self) -> (u64, u64) {
        let rates = self.seen.iter();
        let rates = rates.map(|limit| (u64::from(limit.limit()), limit.window().get()));
        let faster = |a: (u64, u64), b: (u64, u64)| if a.0 * b.1 >= b.0 * a.1 { a } else { b };
        rates.reduce(faster).unwrap_or((0, 1))
    }
}

/// Each process counts for itself, unless the limits are counted in one place or the store
/// decides.
fn limits(history: &History, written: &[Written], counting: Counting) -> Result<(), Violation> {
    let mut limits: HashMap<KeyId, Limits> = HashMap::new();
    for Written { record, .. } in written {
        if let Some(limit) = record.rate_limit {
            let limits = limits.entry(record.lineage).or_default();
            limits.add(limit);
            limits.is_counted |= record.remaining_uses.is_some();
        }
    }
    let mut passed: HashMap<_, Vec<(u64, u64)>> = HashMap::new();
    for (asked, answered) in allowed(history) {
        let lineage = history.keys[asked.key].lineage;
        if let Some(limits) = limits.get(&lineage) {
            let is_alone = counting == Counting::PerProcess && !limits.is_counted;
            let process = is_alone.then_some((asked.node, asked.process));
            let group = (lineage, process);
            passed
                .entry(group)
                .or_default()
                .push((answered, asked.sent));
        }
    }
    for ((lineage, process), mut passed) in passed {
        passed.sort_unstable();
        let of = |jolt: &&Jolt| process.is_some_and(|(node, _)| node == jolt.node);
        let jolts = history.jolts.iter().filter(of);
        // A process notices that its clock was set when it next reads it, for a request.
        let noticed = |jolt: &Jolt| {
            let own = history.asked.iter().filter(|asked| asked.node == jolt.node);
            let sent = own.map(|asked| asked.sent);
            sent.filter(|sent| *sent >= jolt.at).min()
        };
        let mut losses: Vec<u64> = jolts.filter_map(noticed).collect();
        let (mut lease, mut parts) = (0, 1);
        let limits = &limits[&lineage];
        if counting != Counting::PerProcess && !limits.is_counted {
            lease = counting.length();
            if matches!(counting, Counting::Shared(_)) {
                losses.extend(&history.losses);
            }
            if counting.has_shares() {
                // Those that the limits do not answer have together as much again at most; one
                // that is started again has its whole share.
                parts = 2;
                losses.extend(history.jolts.iter().map(|jolt| jolt.at));
            }
        }
        if let Some(text) = exceeds(limits, &passed, &losses, (lease, parts)) {
            return broken(
                Invariant::Limit,
                format!("{lineage} in {process:?}: {text}"),
            );
        }
    }
    Ok(())
}

/// Whether more passed in some time than may: of the requests that were sent in it and answered
/// in it, each has passed in it. Each loss may add a burst, and so may each change.
fn exceeds(
    limits: &Limits,
    passed: &[(u64, u64)],
    losses: &[u64],
    (lease, parts): (u64, u64),
) -> Option<String> {
    let (limit, window) = limits.rate();
    for (_, from) in passed {
        let mut count = 0;
        for (until, sent) in passed.iter().filter(|(until, _)| until >= from) {
            count += u64::from(sent >= from);
            // What passes now was taken up to a lease ago.
            let taken = from.saturating_sub(lease)..=*until;
            let lost = losses.iter().filter(|at| taken.contains(at)).count() as u64;
            let bursts = limits.burst() * (parts + lost + limits.changes);
            // A clock may be as fast as this, and shows whole milliseconds.
            let fast = (until - from + lease + 1) * (MILLION + RATE_ERROR_MILLIONTHS);
            if count * window * MILLION > bursts * window * MILLION + parts * limit * fast {
                return Some(format!(
                    "{count} from {from} to {until}: {bursts} + {limit} in {window} ms"
                ));
            }
        }
    }
    None
}

fn kept(history: &History, end: &End) -> Result<(), Violation> {
    let records: HashMap<_, _> = end
        .records
        .iter()
        .map(|record| (record.id, record))
        .collect();
    for verb in &history.verbs {
        if !matches!(verb.outcome, VerbOutcome::Acknowledged(_)) {
            continue;
        }
        let record = records.get(&verb.id);
        let is_kept = record.is_some_and(|record| {
            verb.kind != VerbKind::Revoke || matches!(record.status, Status::Revoked { .. })
        });
        if !is_kept {
            return broken(
                Invariant::Kept,
                format!("{verb:?}, and the store has {record:?}"),
            );
        }
    }
    let all: HashSet<_> = history.keys.iter().map(|key| key.id).collect();
    debug_assert!(records.len() <= all.len());
    Ok(())
}

fn lives(end: &End) -> Result<(), Violation> {
    if let Some(first) = end.hangs.first() {
        return broken(Invariant::Lives, format!("still under way: {first}"));
    }
    if let Some(refused) = end.refused.first() {
        return broken(Invariant::Lives, format!("refused in the end: {refused:?}"));
    }
    Ok(())
}
