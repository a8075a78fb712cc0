//! The caller's value in an entry: it comes with the record that it was admitted with, and
//! nothing of it is left over or dropped twice.
use core::sync::atomic::{AtomicIsize, AtomicU64, Ordering};
use std::sync::Arc;
use std::thread;

use crate::common::service::{Service, at, client};
use keystile::{Cause, Check, Decision, Found, Issued, Keyring, Request, Requirement, revoke};

/// How long a record is used, by default, in milliseconds.
const TTL: u64 = 300_000;

/// A value that counts how many of its kind live.
struct Counted {
    number: u64,
    living: Arc<AtomicIsize>,
}

impl Counted {
    fn new(number: u64, living: &Arc<AtomicIsize>) -> Self {
        living.fetch_add(1, Ordering::SeqCst);
        let living = Arc::clone(living);
        Self { number, living }
    }
}

impl Clone for Counted {
    fn clone(&self) -> Self {
        Self::new(self.number, &self.living)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.living.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A keyring whose values are counted.
struct Carrying {
    keyring: Keyring<Counted>,
    living: Arc<AtomicIsize>,
}

impl Carrying {
    fn new(service: &Service, capacity: usize) -> Self {
        let builder = Keyring::builder(service.verifier.clone()).capacity(capacity);
        Self {
            keyring: builder.build_with_values().unwrap(),
            living: Arc::default(),
        }
    }

    fn living(&self) -> isize {
        self.living.load(Ordering::SeqCst)
    }

    /// The number of the value that a check comes with. If the record is not cached, it is
    /// fetched with the value of that number.
    fn ask(&self, issued: &Issued, number: u64) -> Option<u64> {
        self.ask_by(issued, || number)
    }

    fn ask_by(&self, issued: &Issued, fetch: impl Fn() -> u64) -> Option<u64> {
        let text = issued.key.expose().as_bytes();
        let mut check = self.keyring.check(text, &Request::new(), at(1));
        loop {
            match check {
                Check::Decided(decision, value) => {
                    assert_eq!(decision.is_allow(), value.is_some());
                    return value.map(|value| value.number);
                }
                Check::NeedsTokens(_) => panic!("its limits are its own"),
                Check::NeedsRecord(ticket) => {
                    let value = Counted::new(fetch(), &self.living);
                    let found = Found::new(&issued.record).with_value(value);
                    check = self.keyring.admit_with(ticket, Some(found), at(1));
                }
            }
        }
    }
}

#[test]
fn a_decision_comes_with_the_value_of_its_record() {
    for (kind, mut service) in Service::all() {
        let [one, two] = [service.issue(&client()), service.issue(&client())];
        let carrying = Carrying::new(&service, 8);
        assert_eq!(carrying.ask(&one, 1), Some(1), "{kind}");
        assert_eq!(carrying.ask(&two, 2), Some(2), "{kind}");
        assert_eq!(carrying.ask(&one, 3), Some(1), "{kind}: cached");
        carrying.keyring.invalidate(&one.record.id);
        assert_eq!(carrying.ask(&one, 3), Some(3), "{kind}: invalidated");
        assert_eq!(carrying.ask(&two, 4), Some(2), "{kind}: another key");
        carrying.keyring.invalidate_all();
        assert_eq!(carrying.ask(&two, 4), Some(4), "{kind}");
    }
}

#[test]
fn a_value_is_found_as_long_as_its_record_decides() {
    for (kind, mut service) in Service::all() {
        let issued = service.issue(&client().owner("tenant 7").unwrap());
        let other = service.issue(&client());
        let carrying = Carrying::new(&service, 8);
        let keyring = &carrying.keyring;
        let value = |millis| keyring.value(&issued.record.id, at(millis));
        let number = |millis| value(millis).map(|value| value.number);
        assert_eq!(number(1), None, "{kind}: not cached");
        carrying.ask(&issued, 1);
        assert_eq!(number(1), Some(1), "{kind}");
        assert!(keyring.value(&other.record.id, at(1)).is_none(), "{kind}");
        keyring.invalidate(&issued.record.id);
        assert_eq!(number(1), None, "{kind}: invalidated");
        carrying.ask(&issued, 2);
        assert_eq!(number(1), Some(2), "{kind}");
        keyring.invalidate_owner("tenant 7");
        assert_eq!(number(1), None, "{kind}: its owner was invalidated");
        carrying.ask(&issued, 3);
        assert_eq!(number(TTL), Some(3), "{kind}");
        assert_eq!(number(TTL + 1), None, "{kind}: the TTL has passed");
        assert_eq!(keyring.drain_uses().len(), 1, "{kind}: the checks only");
        assert_eq!(keyring.stats().fetches, 3, "{kind}");
    }
}

#[test]
fn a_value_is_found_in_whatever_state_its_key_is() {
    let mut service = Service::structured();
    let mut revoked = service.issue(&client());
    revoked.record = revoke(&revoked.record, "", at(0)).unwrap().record;
    let carrying = Carrying::new(&service, 8);
    assert_eq!(carrying.ask(&revoked, 1), None, "denied");
    let value = carrying.keyring.value(&revoked.record.id, at(1));
    assert_eq!(value.map(|value| value.number), Some(1));
}

#[test]
fn a_check_can_leave_the_value_where_it_is() {
    for (kind, mut service) in Service::all() {
        let issued = service.issue(&client());
        let carrying = Carrying::new(&service, 8);
        carrying.ask(&issued, 7);
        let text = issued.key.expose().as_bytes();
        let living = carrying.living();
        let check = carrying
            .keyring
            .check_with(text, &Request::new(), at(1), |value| {
                assert_eq!(carrying.living(), living, "{kind}: not cloned");
                value.number
            });
        let Check::Decided(decision, Some(7)) = check else {
            panic!("{kind}: {check:?}");
        };
        assert!(decision.is_allow(), "{kind}");
        let forbidden = Requirement::parse("admin").unwrap();
        let request = Request::new().requires(&forbidden);
        let check = carrying
            .keyring
            .check_with(text, &request, at(1), |_| panic!("{kind}: a denial"));
        assert!(matches!(
            check,
            Check::Decided(Decision::Deny(_), None::<()>)
        ));
    }
}

#[test]
fn a_value_whose_fetch_was_overtaken_or_refused_is_never_returned() {
    let mut service = Service::structured();
    let [issued, other] = [service.issue(&client()), service.issue(&client())];
    let carrying = Carrying::new(&service, 8);
    let text = issued.key.expose().as_bytes();
    let request = Request::new();
    let Check::NeedsRecord(ticket) = carrying.keyring.check(text, &request, at(1)) else {
        panic!("nothing is cached yet");
    };
    carrying.keyring.invalidate(&issued.record.id);
    let value = Counted::new(1, &carrying.living);
    let check = carrying.keyring.admit_with(
        ticket,
        Some(Found::new(&issued.record).with_value(value)),
        at(1),
    );
    let Check::NeedsRecord(ticket) = check else {
        panic!("the fetch was overtaken");
    };
    assert_eq!(carrying.living(), 0, "overtaken");
    // Another key's record proves nothing.
    let value = Counted::new(2, &carrying.living);
    let check = carrying.keyring.admit_with(
        ticket,
        Some(Found::new(&other.record).with_value(value)),
        at(1),
    );
    let Check::Decided(Decision::Deny(denial), None) = check else {
        panic!("it is another key's record");
    };
    assert_eq!(denial.cause(), Cause::UnknownKey);
    assert_eq!(carrying.living(), 0, "refused");
    carrying.keyring.invalidate(&issued.record.id);
    assert_eq!(carrying.ask(&issued, 3), Some(3));
}

#[test]
fn values_are_dropped_once_each_and_soon() {
    let mut service = Service::structured();
    let keys: Vec<_> = (0..64).map(|_| service.issue(&client())).collect();
    let carrying = Carrying::new(&service, 4);
    let mut most = 0;
    for round in 0..1_000 {
        for key in &keys {
            carrying.ask(key, round);
        }
        carrying.keyring.invalidate(&keys[0].record.id);
        most = most.max(carrying.living());
    }
    // Those that are cached, and those that wait until no thread reads them.
    assert!(most <= 1_000, "{most} of 64,000");
    let Carrying { keyring, living } = carrying;
    drop(keyring);
    assert_eq!(living.load(Ordering::SeqCst), 0);
}

#[test]
fn threads_that_check_while_one_invalidates_get_no_older_value() {
    const ROUNDS: u64 = 20_000;
    let mut service = Service::structured();
    let issued = service.issue(&client());
    let carrying = Carrying::new(&service, 8);
    let (stored, in_force) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let before = in_force.load(Ordering::SeqCst);
                    if let Some(value) = carrying.keyring.value(&issued.record.id, at(1)) {
                        assert!(value.number >= before, "{} after {before}", value.number);
                    }
                    let number = carrying.ask_by(&issued, || stored.load(Ordering::SeqCst));
                    assert!(number >= Some(before), "{number:?} after {before}");
                    if before >= ROUNDS {
                        return;
                    }
                }
            });
        }
        for round in 1..=ROUNDS {
            stored.store(round, Ordering::SeqCst);
            carrying.keyring.invalidate(&issued.record.id);
            in_force.store(round, Ordering::SeqCst);
            if round % 64 == 0 {
                thread::yield_now();
            }
        }
    });
    let Carrying { keyring, living } = carrying;
    drop(keyring);
    assert_eq!(living.load(Ordering::SeqCst), 0);
}
