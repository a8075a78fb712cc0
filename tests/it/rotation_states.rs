//! Rotation as a state machine, explored completely: every order in which the keys of a
//! lineage can be rotated, revoked, suspended, resumed and used as time passes.

use std::collections::HashSet;
use std::rc::Rc;

use crate::common::service::{Service, at, client};
use keystile::{
    Decision, ErrorKind, KeyRecord, Millis, PepperRing, Request, RotationPolicy, Status,
    UnixMillis, Usage, end_overlap, resume, revoke, rotate, suspend,
};

/// Time passes in hours: a key lives for three or for ever, an overlap lasts for two at most.
const HOUR: u64 = 3_600_000;
const KEYS_MAX: usize = 4;
const USES: u64 = 3;

#[derive(Clone)]
struct Key {
    text: Rc<str>,
    record: KeyRecord,
    /// The expiry that it was issued with.
    first_end: Option<UnixMillis>,
}

/// A lineage, the oldest key first, and what it has spent.
#[derive(Clone)]
struct Lineage {
    keys: Vec<Key>,
    usage: Usage,
    hour: u64,
    /// Whether a key was revoked or suspended, after which all of them may be dead.
    disturbed: bool,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Hour,
    Rotate(usize),
    Revoke(usize),
    Suspend(usize),
    Resume(usize),
    Use(usize),
}

impl Lineage {
    fn now(&self) -> UnixMillis {
        at(self.hour * HOUR)
    }

    fn steps(&self) -> impl Iterator<Item = Step> + use<> {
        let each = [
            Step::Rotate as fn(usize) -> Step,
            Step::Revoke,
            Step::Suspend,
            Step::Resume,
            Step::Use,
        ];
        let keys = self.keys.len();
        let of_keys = each.into_iter().flat_map(move |step| (0..keys).map(step));
        core::iter::once(Step::Hour).chain(of_keys)
    }

    /// Everything that distinguishes two states, without the random texts.
    fn fingerprint(&self) -> Vec<u64> {
        let place = |id: Option<_>| {
            let found = self.keys.iter().position(|key| Some(key.record.id) == id);
            found.map_or(0, |at| at as u64 + 1)
        };
        let instant = |instant: Option<UnixMillis>| instant.map_or(0, UnixMillis::get);
        let mut all = vec![
            self.hour,
            self.usage.remaining.unwrap(),
            self.disturbed.into(),
        ];
        for Key { record, .. } in &self.keys {
            all.extend([
                match record.status {
                    Status::Active => 0,
                    Status::Suspended => 1,
                    _ => 2,
                },
                instant(record.expires_at),
                instant(record.overlap_until),
                place(record.replaced_by),
                place(record.ends_at_first_use),
            ]);
        }
        all
    }

    /// Writes a change as a store would: only over the version before it.
    fn put(&mut self, changed: KeyRecord) {
        let own = self.keys.iter_mut().find(|key| key.record.id == changed.id);
        let own = own.unwrap();
        assert_eq!(changed.version, own.record.version + 1);
        own.record = changed;
    }
}

struct Setup {
    service: Service,
    policy: RotationPolicy,
}

impl Setup {
    fn lineage(&mut self, lifetime_hours: Option<u32>) -> Lineage {
        let request = client().uses(USES).unwrap();
        let request = match lifetime_hours {
            Some(hours) => request.expires_in(Millis::from_hours(hours)).unwrap(),
            None => request.never_expires(),
        };
        let issued = self.service.issue(&request);
        Lineage {
            usage: Usage::of(&issued.record),
            keys: vec![Key {
                text: issued.key.expose().into(),
                first_end: issued.record.expires_at,
                record: issued.record,
            }],
            hour: 0,
            disturbed: false,
        }
    }

    /// The lineage after a step, or `None` if the step is refused.
    fn after(&mut self, lineage: &Lineage, step: Step) -> Option<Lineage> {
        let (mut next, now) = (lineage.clone(), lineage.now());
        match step {
            Step::Hour => next.hour += 1,
            Step::Revoke(at) => {
                next.put(revoke(&lineage.keys[at].record, "", now).ok()?.record);
                next.disturbed = true;
            }
            Step::Suspend(at) => {
                next.put(suspend(&lineage.keys[at].record, now).ok()?.record);
                next.disturbed = true;
            }
            Step::Resume(at) => next.put(resume(&lineage.keys[at].record, now).ok()?.record),
            Step::Rotate(at) => return self.rotated(lineage, at),
            Step::Use(at) => {
                let Key { text, record, .. } = &lineage.keys[at];
                let request = Request::new();
                let usage = &mut next.usage;
                let decision =
                    self.service
                        .ask(text.as_bytes(), Some(record), &request, usage, now);
                let left = lineage.usage.remaining.unwrap();
                let live = record.is_live(now) && left > 0;
                assert_eq!(
                    decision.is_allow(),
                    live,
                    "a key passes exactly while it lives"
                );
                let Decision::Allow(allowed) = decision else {
                    assert_eq!(next.usage, lineage.usage, "a refusal spends nothing");
                    return None;
                };
                assert_eq!(
                    next.usage.remaining,
                    Some(left - 1),
                    "one count for all keys"
                );
                assert_eq!(allowed.lineage, lineage.keys[0].record.id);
                assert_eq!(allowed.notice.is_some(), record.replaced_by.is_some());
                if let Some(ended) = allowed.ends_overlap_of {
                    let older = lineage
                        .keys
                        .iter()
                        .find(|key| key.record.id == ended)
                        .unwrap();
                    let [older, used] = end_overlap(&older.record, record, now).unwrap();
                    assert!(!older.is_live(now) && used.is_live(now));
                    next.put(older);
                    next.put(used);
                }
            }
        }
        Some(next)
    }

    fn rotated(&mut self, lineage: &Lineage, at: usize) -> Option<Lineage> {
        let (record, now) = (&lineage.keys[at].record, lineage.now());
        if lineage.keys.len() == KEYS_MAX {
            return None;
        }
        let siblings: Vec<_> = lineage.keys.iter().map(|key| key.record.clone()).collect();
        let (policy, format) = (&self.policy, &self.service.format);
        let (none, rng) = (PepperRing::none(), &mut self.service.rng);
        let rotated = rotate(record, &siblings, policy, format, &none, rng, now);
        let is_revoked = |id| {
            let mut all = siblings.iter();
            all.any(|key| key.id == id && matches!(key.status, Status::Revoked { .. }))
        };
        let others_are_replaced = siblings.iter().all(|key| {
            let is_over = key.ends_at().is_some_and(|end| end <= now);
            key.id == record.id || key.replaced_by.is_some() || is_over || is_revoked(key.id)
        });
        let may = match record.replaced_by {
            None => record.is_live(now),
            Some(id) => record.is_live(now) && is_revoked(id) && others_are_replaced,
        };
        assert_eq!(rotated.is_ok(), may);
        let rotated = match rotated {
            Err(refused) => {
                assert_eq!(refused.kind(), ErrorKind::State);
                return None;
            }
            Ok(rotated) => rotated,
        };
        let (old, new) = (&rotated.changed[0], &rotated.successor);
        let given = record
            .expires_at
            .map(|end| end.since(siblings[at].created_at));
        let most = given.map_or(self.policy.max_age(), |own| own.min(self.policy.max_age()));
        let overlap = self.policy.overlap().min(Millis::new(most.get() / 2));
        let overlap_end = now.plus(overlap).unwrap();
        let end = record
            .ends_at()
            .map_or(overlap_end, |end| end.min(overlap_end));
        assert_eq!(old.overlap_until, Some(end));
        assert_eq!(old.replaced_by, Some(new.id));
        assert_eq!(
            new.expires_at,
            given.map(|length| now.plus(length).unwrap()),
            "the length that its predecessor was given"
        );
        assert_eq!(rotated.event.successor, Some(new.id));
        // The same rights in the same lineage, and nothing of the old key's expiry.
        assert_eq!(new.lineage, record.lineage);
        assert_eq!(new.permissions, record.permissions);
        assert_eq!(new.remaining_uses, record.remaining_uses);
        assert!(new.is_live(now) && new.replaced_by.is_none() && new.overlap_until.is_none());

        let mut next = lineage.clone();
        rotated
            .changed
            .iter()
            .cloned()
            .for_each(|changed| next.put(changed));
        next.keys.push(Key {
            text: rotated.key.expose().into(),
            first_end: new.expires_at,
            record: rotated.successor,
        });
        Some(next)
    }
}

/// P10, and what holds for each state at its instant and at every later one that matters.
fn check(lineage: &Lineage, way: &str) {
    let now = lineage.now();
    let mut instants = vec![now];
    for Key {
        record, first_end, ..
    } in &lineage.keys
    {
        record.check().unwrap();
        assert_eq!(
            record.expires_at, *first_end,
            "an end that was moved: {way}"
        );
        assert!(record.ends_at() <= *first_end || first_end.is_none());
        assert_eq!(record.lineage, lineage.keys[0].record.id);
        for end in [record.expires_at, record.overlap_until]
            .into_iter()
            .flatten()
        {
            let around = (end.get() - 1..=end.get() + 1).map(|t| UnixMillis::new(t).unwrap());
            instants.extend(around.filter(|instant| *instant >= now));
        }
    }
    let newest = &lineage.keys.last().unwrap().record;
    for instant in instants {
        let live = lineage
            .keys
            .iter()
            .filter(|key| key.record.is_live(instant))
            .count();
        assert!(live <= 2, "{live} keys live: {way}");
        let due = newest.expires_at.is_none_or(|end| instant < end);
        let wanted = due && (!lineage.disturbed || newest.status == Status::Active);
        assert!(live >= 1 || !wanted, "no key lives: {way}");
    }
}

/// What no step may undo.
fn check_step(before: &Lineage, after: &Lineage, way: &str) {
    assert!(after.usage.remaining <= before.usage.remaining);
    for (old, new) in before.keys.iter().zip(&after.keys) {
        let (old, new) = (&old.record, &new.record);
        if matches!(old.status, Status::Revoked { .. }) {
            assert_eq!(old.status, new.status, "a revocation undone: {way}");
        }
        let lost = |id| {
            let mut all = before.keys.iter().map(|key| &key.record);
            all.any(|key| key.id == id && matches!(key.status, Status::Revoked { .. }))
        };
        assert!(new.replaced_by == old.replaced_by || old.replaced_by.is_none_or(lost));
        let later = match (old.overlap_until, new.overlap_until) {
            (Some(old), Some(new)) => new > old,
            (old, new) => old.is_some() && new.is_none(),
        };
        assert!(!later, "an overlap grew: {way}");
    }
}

/// Explores every state that is reached in so many steps, each of them once.
fn explore(setup: &mut Setup, start: Lineage, steps: u32) -> usize {
    let mut seen = HashSet::from([start.fingerprint()]);
    let mut front = vec![(start, String::new())];
    for _ in 0..steps {
        let mut next_front = Vec::new();
        for (lineage, way) in front {
            for step in lineage.steps() {
                let Some(next) = setup.after(&lineage, step) else {
                    continue;
                };
                let way = format!("{way} {step:?}");
                check(&next, &way);
                check_step(&lineage, &next, &way);
                if seen.insert(next.fingerprint()) {
                    next_front.push((next, way));
                }
            }
        }
        front = next_front;
    }
    seen.len()
}

fn setup(overlap_hours: u32, end_on_first_use: bool) -> Setup {
    let policy = RotationPolicy::default()
        .with_overlap(Millis::from_hours(overlap_hours))
        .and_then(|policy| policy.with_max_age(Millis::from_hours(4)))
        .unwrap()
        .with_end_on_first_use(end_on_first_use);
    let service = Service::structured();
    Setup { service, policy }
}

#[test]
fn p10_every_order_of_ten_steps_leaves_one_or_two_keys() {
    let mut states = 0;
    for overlap in [0, 2] {
        for end_on_first_use in [false, true] {
            for lifetime in [Some(3), None] {
                let mut setup = setup(overlap, end_on_first_use);
                let start = setup.lineage(lifetime);
                states += explore(&mut setup, start, 10);
            }
        }
    }
    assert!(states > 250_000, "{states} states");
}

#[test]
fn the_keys_of_a_lineage_share_one_rate_limit() {
    let mut setup = setup(2, false);
    let limit = keystile::RateLimit::new(3, Millis::from_hours(1)).unwrap();
    let issued = setup.service.issue(&client().rate_limit(limit));
    let rotated = rotate(
        &issued.record,
        &[],
        &setup.policy,
        &setup.service.format,
        &PepperRing::none(),
        &mut setup.service.rng,
        at(0),
    )
    .unwrap();
    let mut usage = Usage::of(&issued.record);
    let old = (issued.key.expose(), &rotated.changed[0]);
    let new = (rotated.key.expose(), &rotated.successor);
    let decisions: Vec<bool> = [old, new, old, new, old]
        .map(|(text, record)| {
            let request = Request::new();
            let service = &setup.service;
            let decision = service.ask(text.as_bytes(), Some(record), &request, &mut usage, at(1));
            decision.is_allow()
        })
        .to_vec();
    assert_eq!(decisions, [true, true, true, false, false]);
}

#[test]
fn a_sibling_of_another_lineage_is_an_error() {
    let mut setup = setup(2, false);
    let mine = setup.service.issue(&client()).record;
    let other = setup.service.issue(&client()).record;
    let refused = rotate(
        &mine,
        &[other],
        &setup.policy,
        &setup.service.format,
        &PepperRing::none(),
        &mut setup.service.rng,
        at(1),
    );
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Record);
}
