//! The keyring with real threads: an invalidation stays in force, limits hold, and every
//! use is counted once, while records are refreshed, evicted and rotated.
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crate::common::keyring_with_store::KeyringWithStore;
use crate::common::service::{Service, at, client};
use keystile::{
    Cause, Check, Decision, Denial, Issued, KeyRecord, Millis, PepperRing, RateLimit, Request,
    RotationPolicy, Status, rotate,
};

/// Changes of a key while other threads use it.
const ROUNDS: u64 = 1_000_000;
const HOUR: u64 = 3_600_000;

/// The store's record of a key after this many changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stored {
    Active,
    Revoked,
    Nothing,
}

/// The outcome of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Allowed { changes: u64 },
    Revoked,
    Unknown,
}

const fn after(changes: u64) -> Stored {
    match changes % 4 {
        1 => Stored::Revoked,
        3 => Stored::Nothing,
        _ => Stored::Active,
    }
}

/// A key that is changed again and again; the state is the number of changes.
struct Changing {
    issued: Issued,
    backed: KeyringWithStore,
    stored: AtomicU64,
    /// Changes that the keyring was notified of: `invalidate` has returned.
    in_force: AtomicU64,
    asked: AtomicU64,
    is_over: AtomicBool,
}

impl Changing {
    /// The record after this many changes. A decision shows which record it was based on:
    /// the end of the overlap is the number of changes.
    fn record(&self, changes: u64) -> Option<KeyRecord> {
        let mut record = self.issued.record.clone();
        record.replaced_by = Some("1000000000000001".parse().unwrap());
        record.overlap_until = Some(at(HOUR + changes));
        match after(changes) {
            Stored::Active => {}
            Stored::Revoked => {
                record.status = Status::Revoked {
                    at: at(0),
                    reason: "".into(),
                }
            }
            Stored::Nothing => return None,
        }
        Some(record)
    }

    fn change(&self, changes: u64) {
        let keyring = &self.backed.keyring;
        self.stored.store(changes, Ordering::SeqCst);
        match changes / 4 % 3 {
            // A key that does not exist yet has no owner.
            1 if after(changes - 1) != Stored::Nothing => keyring.invalidate_owner("tenant 7"),
            2 if after(changes - 1) != Stored::Nothing => keyring.invalidate_all(),
            _ => keyring.invalidate(&self.issued.record.id),
        }
        self.in_force.store(changes, Ordering::SeqCst);
    }

    /// Checks as a service does, and counts decisions made without a fetch.
    fn ask(&self, cached: &mut u64) -> Told {
        let text = self.issued.key.expose().as_bytes();
        let request = Request::new();
        let mut check = self.backed.keyring.check(text, &request, at(1));
        *cached += u64::from(matches!(check, Check::Decided(_, _)));
        loop {
            match check {
                Check::Decided(Decision::Allow(allowed), record) => {
                    let until = allowed.notice.unwrap().until;
                    assert_eq!(record.unwrap().overlap_until, Some(until));
                    let changes = until.since(at(HOUR)).get();
                    return Told::Allowed { changes };
                }
                Check::Decided(Decision::Deny(denial), _) => match denial.cause() {
                    Cause::Revoked => return Told::Revoked,
                    Cause::UnknownKey => return Told::Unknown,
                    cause => panic!("{cause:?}"),
                },
                Check::NeedsTokens(_) => panic!("its limits are its own"),
                Check::NeedsRecord(ticket) => {
                    let record = self.record(self.stored.load(Ordering::SeqCst));
                    check = self.backed.admit(ticket, record.as_ref(), at(1));
                }
            }
        }
    }

    /// Checks until all changes are made, and returns how many decisions used cached
    /// records.
    fn hammer(&self) -> u64 {
        let (mut cached, mut before) = (0, 0);
        loop {
            let in_force = self.in_force.load(Ordering::SeqCst);
            let told = self.ask(&mut cached);
            self.asked.fetch_add(1, Ordering::Relaxed);
            let stored = self.stored.load(Ordering::SeqCst);
            if let Told::Allowed { changes } = told {
                assert!(
                    changes >= in_force,
                    "allowed by a record from before {in_force}"
                );
                assert_eq!(after(changes), Stored::Active);
            }
            if in_force == stored {
                // Nothing was changed meanwhile, so only one answer is right.
                let right = match after(stored) {
                    Stored::Active => Told::Allowed { changes: stored },
                    Stored::Revoked => Told::Revoked,
                    Stored::Nothing => Told::Unknown,
                };
                assert_eq!(told, right, "after {stored} changes");
            }
            if self.is_over.load(Ordering::SeqCst) {
                return cached;
            }
            if in_force == before {
                // Nothing has changed, so let the thread that makes changes run.
                thread::yield_now();
            }
            before = in_force;
        }
    }
}

#[test]
fn g1_after_invalidate_has_returned_no_thread_is_told_by_an_older_record() {
    let mut service = Service::structured();
    let changing = Changing {
        issued: service.issue(&client().owner("tenant 7").unwrap()),
        backed: KeyringWithStore::new(&service),
        stored: AtomicU64::new(0),
        in_force: AtomicU64::new(0),
        asked: AtomicU64::new(0),
        is_over: AtomicBool::new(false),
    };
    let cached: u64 = thread::scope(|scope| {
        let hammers: Vec<_> = (0..2).map(|_| scope.spawn(|| changing.hammer())).collect();
        let mut changes = 0;
        // On a machine that has other work, the race may take longer to be met, or is not met at all.
        while changes < ROUNDS
            || (changes < 2 * ROUNDS && changing.backed.keyring.stats().overtaken == 0)
        {
            changes += 1;
            let asked = changing.asked.load(Ordering::Relaxed);
            changing.change(changes);
            // Now and then the other threads see the change in force and the record
            // cached before the next change. Otherwise the next change comes at any
            // moment.
            for _ in 0..changes % 8 * 8 {
                core::hint::spin_loop();
            }
            while changes % 32 == 0 && changing.asked.load(Ordering::Relaxed) <= asked + 2 {
                thread::yield_now();
            }
        }
        changing.is_over.store(true, Ordering::SeqCst);
        hammers
            .into_iter()
            .map(|hammer| hammer.join().unwrap())
            .sum()
    });
    let stats = changing.backed.keyring.stats();
    assert!(stats.invalidations >= ROUNDS);
    let seen = format!("{cached} decisions by cached records; {stats:?}");
    assert!(cached > ROUNDS / 64, "{seen}");
    assert!(stats.fetches > ROUNDS / 64, "{seen}");
}

/// Checks with this many threads, this many times each, and returns how many were
/// allowed. After each 64th request a thread does something that disturbs the others, in
/// turn.
fn allowed_by(
    threads: u64,
    times: u64,
    ask: impl Fn(u64) -> bool + Sync,
    disturb: impl Fn(u64) + Sync,
) -> u64 {
    let turns = AtomicU64::new(0);
    thread::scope(|scope| {
        let (ask, disturb, turns) = (&ask, &disturb, &turns);
        let askers: Vec<_> = (0..threads)
            .map(|thread| {
                scope.spawn(move || {
                    let mut allowed = 0;
                    for time in 0..times {
                        allowed += u64::from(ask(thread + time * threads));
                        if time % 64 == 63 {
                            disturb(turns.fetch_add(1, Ordering::Relaxed));
                        }
                    }
                    allowed
                })
            })
            .collect();
        askers.into_iter().map(|asker| asker.join().unwrap()).sum()
    })
}

fn at_most(limit: u32) -> RateLimit {
    RateLimit::new(limit, Millis::new(HOUR)).unwrap()
}

#[test]
fn p6_no_number_of_threads_gets_more_than_the_limit_while_records_are_refreshed() {
    const LIMIT: u32 = 100_000;
    for threads in [2, 8, 64] {
        for disturbed in [false, true] {
            let mut service = Service::structured();
            let issued = service.issue(&client().rate_limit(at_most(LIMIT)));
            let backed = KeyringWithStore::new(&service);
            backed.put(&issued.record);
            let allowed = allowed_by(
                threads,
                2 * u64::from(LIMIT) / threads,
                |_| backed.allows(issued.key.expose(), at(1)),
                |_| {
                    if disturbed {
                        backed.keyring.invalidate(&issued.record.id);
                    }
                },
            );
            assert_eq!(
                allowed,
                u64::from(LIMIT),
                "{threads} threads, disturbed: {disturbed}"
            );
            assert_eq!(backed.drained(), allowed);
        }
    }
}

#[test]
fn p6_nor_while_time_goes_by() {
    // 100 at once and then one per millisecond.
    let limit = RateLimit::with_burst(1_000, Millis::from_secs(1), 100).unwrap();
    for threads in [2, 8, 64] {
        let mut service = Service::structured();
        let issued = service.issue(&client().rate_limit(limit));
        let backed = KeyringWithStore::new(&service);
        backed.put(&issued.record);
        let asked = AtomicU64::new(0);
        let allowed = allowed_by(
            threads,
            300_000 / threads,
            |_| {
                // Twenty requests per millisecond. The threads' clocks differ a little.
                let now = asked.fetch_add(1, Ordering::Relaxed) / 20;
                backed.allows(issued.key.expose(), at(now))
            },
            |_| backed.keyring.invalidate(&issued.record.id),
        );
        let millis = asked.into_inner() / 20;
        assert!(
            allowed <= 100 + millis,
            "{threads} threads: {allowed} in {millis} ms"
        );
        assert!(
            allowed >= millis / 2,
            "{threads} threads: only {allowed} in {millis} ms"
        );
    }
}

#[test]
fn p6_nor_by_a_rotated_pair() {
    const LIMIT: u32 = 100_000;
    for threads in [2, 8, 64] {
        let mut service = Service::structured();
        let issued = service.issue(&client().rate_limit(at_most(LIMIT)));
        let (format, none) = (service.format.clone(), PepperRing::none());
        let policy = RotationPolicy::default();
        let rng = &mut service.rng;
        let rotated = rotate(&issued.record, &[], &policy, &format, &none, rng, at(0)).unwrap();
        let backed = KeyringWithStore::new(&service);
        backed.put(&issued.record);
        backed.put(&rotated.successor);
        let texts = [issued.key.expose(), rotated.key.expose()];
        let ids = [issued.record.id, rotated.successor.id];
        let was_rotated = AtomicBool::new(false);
        let allowed = allowed_by(
            threads,
            4 * u64::from(LIMIT) / threads,
            |number| {
                // The successor is known only after the rotation has been written.
                let which = number as usize % 2 * usize::from(was_rotated.load(Ordering::SeqCst));
                backed.allows(texts[which], at(1))
            },
            |turn| match turn {
                0..10 => {}
                10 => {
                    backed.put(&rotated.changed[0]);
                    was_rotated.store(true, Ordering::SeqCst);
                }
                11 => backed.keyring.invalidate(&issued.record.id),
                _ => backed.keyring.invalidate(&ids[turn as usize % 2]),
            },
        );
        assert_eq!(allowed, u64::from(LIMIT), "{threads} threads");
        assert_eq!(backed.drained(), allowed);
    }
}

#[test]
fn uses_are_redeemed_exactly_while_records_are_refreshed_and_evicted() {
    const USES: u64 = 50_000;
    for threads in [2, 8, 64] {
        let mut service = Service::structured();
        let counted = service.issue(&client().uses(USES).unwrap());
        let others: Vec<_> = (0..4).map(|_| service.issue(&client())).collect();
        let backed = KeyringWithStore::set_up(&service, |builder| builder.capacity(3));
        backed.put(&counted.record);
        others.iter().for_each(|other| backed.put(&other.record));
        let allowed = allowed_by(
            threads,
            2 * USES / threads,
            |_| backed.allows(counted.key.expose(), at(1)),
            |turn| {
                let other = &others[turn as usize % others.len()];
                assert!(backed.allows(other.key.expose(), at(1)));
                if turn % 3 == 0 {
                    backed.keyring.invalidate(&counted.record.id);
                }
            },
        );
        assert_eq!(allowed, USES, "{threads} threads");
        assert!(backed.keyring.stats().evictions > 0);
    }
}

#[test]
fn each_use_is_reported_once_while_records_are_refreshed_evicted_and_drained() {
    for threads in [2, 8, 64] {
        let mut service = Service::structured();
        let keys: Vec<_> = (0..40).map(|_| service.issue(&client())).collect();
        let backed = KeyringWithStore::set_up(&service, |builder| builder.capacity(20));
        keys.iter().for_each(|key| backed.put(&key.record));
        let drained = AtomicU64::new(0);
        let allowed = allowed_by(
            threads,
            300_000 / threads,
            |number| {
                // Half of all requests use one key and collide on it.
                let key = if number % 2 == 0 { 0 } else { number * 7 % 40 };
                backed.allows(keys[key as usize].key.expose(), at(1))
            },
            |turn| {
                drained.fetch_add(backed.drained(), Ordering::Relaxed);
                backed
                    .keyring
                    .invalidate(&keys[turn as usize % 8].record.id);
            },
        );
        assert_eq!(allowed, 300_000 / threads * threads);
        let told = drained.into_inner() + backed.drained();
        let stats = backed.keyring.stats();
        assert_eq!(told + stats.uses_lost, allowed, "{threads} threads");
        assert!(stats.evictions > 0 && told > allowed / 2);
    }
}

#[test]
fn a_denial_does_not_come_from_the_store() {
    // The control: refusals in the tests above come from the limit, not from a caller
    // that gave up.
    let mut service = Service::structured();
    let issued = service.issue(&client().rate_limit(at_most(1)));
    let backed = KeyringWithStore::new(&service);
    backed.put(&issued.record);
    let refused = AtomicU64::new(0);
    allowed_by(
        8,
        2_000,
        |_| match backed.ask(issued.key.expose(), &Request::new(), at(1)) {
            Decision::Allow(_) => true,
            Decision::Deny(denial) => {
                assert_eq!(Denial::cause(&denial), Cause::RateLimit);
                refused.fetch_add(1, Ordering::Relaxed);
                false
            }
        },
        |_| backed.keyring.invalidate(&issued.record.id),
    );
    assert_eq!(refused.into_inner(), 8 * 2_000 - 1);
}
