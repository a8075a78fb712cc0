//! The keyring under a model checker: every order in which two threads can interleave, up
//! to a limit on how many times one interrupts the other.
//!
//! The models use the keyring itself. Its map runs in single steps here, since the
//! checker does not see into it. Each model runs a second time with a step of the keyring
//! left out or in the wrong place, and must then fail.
//!
//! ```sh
//! RUSTFLAGS="--cfg keystile_loom" cargo test --release --test keyring_loom --features keyring
//! ```
#![cfg(keystile_loom)]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails where the product must not"
)]

#[path = "common/common.rs"]
mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::common::service::{Service, at, client};
use crate::common::test_rng::TestRng;
use keystile::{
    Cause, Check, Decision, Denial, Fault, Found, Grant, IssueRequest, KeyId, KeyRecord, Keyring,
    KeyringBuilder, Leases, Millis, PepperRing, RateLimit, RateState, Request, Requirement,
    RotationPolicy, plant, revoke, rotate,
};
use loom::sync::Mutex;
use loom::thread;

/// How many times one thread interrupts another, unless the environment sets it.
const PREEMPTIONS: usize = 3;
/// Fetches after which a caller gives up.
const ROUNDS: usize = 4;

/// A key's text, and its record.
#[derive(Clone)]
struct Key {
    text: Arc<str>,
    record: KeyRecord,
}

/// A keyring and its store, shared by the threads.
struct KeyringWithStore {
    /// Each entry carries the version of its record.
    keyring: Keyring<u64>,
    store: Mutex<BTreeMap<KeyId, KeyRecord>>,
}

impl KeyringWithStore {
    fn new(service: &Service, capacity: usize, records: &[&KeyRecord]) -> Arc<Self> {
        let builder = Keyring::builder(service.verifier.clone()).capacity(capacity);
        Self::build(builder, records)
    }

    fn build(builder: KeyringBuilder, records: &[&KeyRecord]) -> Arc<Self> {
        let records = records.iter().map(|record| (record.id, (*record).clone()));
        Arc::new(Self {
            keyring: builder.build_with_values().unwrap(),
            store: Mutex::new(records.collect()),
        })
    }

    fn put(&self, records: &[&KeyRecord]) {
        let mut store = self.store.lock().unwrap();
        for record in records {
            store.insert(record.id, (*record).clone());
        }
    }

    fn fetch(&self, key: &Key) -> Option<KeyRecord> {
        self.store.lock().unwrap().get(&key.record.id).cloned()
    }

    /// A complete request, with as many fetches as it takes.
    fn ask(&self, key: &Key) -> Decision {
        self.ask_for(key, &Request::new())
    }

    fn ask_for(&self, key: &Key, request: &Request<'_>) -> Decision {
        let mut check = self.keyring.check(key.text.as_bytes(), request, at(1));
        for _ in 0..ROUNDS {
            match check {
                Check::Decided(decision, value) => return matched(decision, value),
                Check::NeedsTokens(_) => panic!("its limits are its own"),
                Check::NeedsRecord(ticket) => {
                    let record = self.fetch(key);
                    let found = record.as_ref();
                    let found = found.map(|record| Found::new(record).with_value(record.version));
                    check = self.keyring.admit_with(ticket, found, at(1));
                }
            }
        }
        Decision::Deny(Denial::new(Cause::StoreUnavailable))
    }

    /// The decision, if it takes no fetch.
    fn cached(&self, key: &Key) -> Option<Decision> {
        match self
            .keyring
            .check(key.text.as_bytes(), &Request::new(), at(1))
        {
            Check::Decided(decision, value) => Some(matched(decision, value)),
            Check::NeedsRecord(_) | Check::NeedsTokens(_) => None,
        }
    }

    /// Whether it is allowed without a fetch: 1 or 0.
    fn cached_allows(&self, key: &Key) -> u64 {
        self.cached(key)
            .is_some_and(|decision| decision.is_allow())
            .into()
    }

    /// The value of the cached record.
    fn value(&self, key: &Key) -> Option<u64> {
        self.keyring.value(&key.record.id, at(1))
    }

    fn allows(&self, key: &Key) -> u64 {
        self.ask(key).is_allow().into()
    }

    fn drained(&self) -> u64 {
        self.keyring
            .drain_uses()
            .iter()
            .map(|used| used.count)
            .sum()
    }
}

/// The decision, whose value has to be that of the record it was made on.
fn matched(decision: Decision, value: Option<u64>) -> Decision {
    let version = match &decision {
        Decision::Allow(allowed) => Some(allowed.version),
        Decision::Deny(_) => None,
    };
    assert_eq!(value, version);
    decision
}

fn key(service: &mut Service, request: &IssueRequest) -> Key {
    let issued = service.issue(request);
    Key {
        text: issued.key.expose().into(),
        record: issued.record,
    }
}

/// A limit that lets `count` requests pass in total, since time does not pass here.
fn at_most(count: u32) -> RateLimit {
    RateLimit::new(count, Millis::from_hours(1)).unwrap()
}

fn explore(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(PREEMPTIONS);
    builder.check(model);
}

/// Services whose first keys have ids that share a lock, and some whose ids do not.
fn services() -> impl Iterator<Item = Service> {
    (0..3).map(|seed| {
        let mut service = Service::structured();
        service.rng = TestRng::seeded(seed);
        service
    })
}

/// A model, and tests that it fails under each fault that it must find.
macro_rules! model {
    ($name:ident, $model:ident, finds: $($fault:ident $test:ident),*) => {
        #[test]
        fn $name() {
            services().for_each($model);
        }
        $(
            #[test]
            #[should_panic(expected = "model: ")]
            fn $test() {
                plant(Fault::$fault);
                services().for_each($model);
            }
        )*
    };
}

model!(a_fetch_under_way_brings_back_no_revoked_key, revoked_while_fetched,
    finds: AdmittedUnchecked admission_without_a_check_is_found,
        CountedAfterFetch a_count_after_the_fetch_is_found,
        LockNotTaken an_open_gate_is_found,
        MarkedOnly an_invalidation_of_cached_records_alone_is_found);

fn revoked_while_fetched(mut service: Service) {
    let key = key(&mut service, &client());
    let revoked = revoke(&key.record, "", at(0)).unwrap().record;
    explore(move || {
        let backed = KeyringWithStore::new(&service, 4, &[&key.record]);
        let asking = {
            let (backed, key) = (Arc::clone(&backed), key.clone());
            thread::spawn(move || backed.ask(&key))
        };
        backed.put(&[&revoked]);
        backed.keyring.invalidate(&key.record.id);
        let value = backed.value(&key);
        let after = backed.cached_allows(&key);
        let _ = asking.join().unwrap();
        let last = backed.cached_allows(&key);
        assert_eq!((after, last), (0, 0), "model: allowed after it was revoked");
        for value in [value, backed.value(&key)].into_iter().flatten() {
            assert_eq!(value, revoked.version, "model: a value from before");
        }
    });
}

model!(a_fetch_under_way_brings_back_no_key_of_an_ended_owner, owner_ended_while_fetched,
    finds: AsOfAdmission a_record_as_new_as_its_admission_is_found);

fn owner_ended_while_fetched(mut service: Service) {
    let request = client().owner("tenant 7").unwrap();
    let key = key(&mut service, &request);
    let revoked = revoke(&key.record, "", at(0)).unwrap().record;
    explore(move || {
        let backed = KeyringWithStore::new(&service, 4, &[&key.record]);
        let asking = {
            let (backed, key) = (Arc::clone(&backed), key.clone());
            thread::spawn(move || backed.ask(&key))
        };
        backed.put(&[&revoked]);
        backed.keyring.invalidate_owner("tenant 7");
        let after = backed.cached_allows(&key);
        let _ = asking.join().unwrap();
        let last = backed.cached_allows(&key);
        assert_eq!(
            (after, last),
            (0, 0),
            "model: allowed after its owner was ended"
        );
    });
}

model!(a_key_that_was_issued_is_not_remembered_as_unknown, issued_while_asked_for,
    finds: AbsentUnchecked a_refusal_remembered_without_a_check_is_found);

fn issued_while_asked_for(mut service: Service) {
    let key = key(&mut service, &client());
    explore(move || {
        let backed = KeyringWithStore::new(&service, 4, &[]);
        let asking = {
            let (backed, key) = (Arc::clone(&backed), key.clone());
            thread::spawn(move || backed.ask(&key))
        };
        backed.put(&[&key.record]);
        backed.keyring.invalidate(&key.record.id);
        let denied = |found: Option<Decision>| found.is_some_and(|found| !found.is_allow());
        let after = denied(backed.cached(&key));
        let _ = asking.join().unwrap();
        let last = denied(backed.cached(&key));
        assert_eq!(
            (after, last),
            (false, false),
            "model: refused after it was issued"
        );
    });
}

model!(a_refresh_gives_no_second_allowance, refreshed_while_spent,
    finds: MeterCopied a_copied_meter_is_found);

fn refreshed_while_spent(mut service: Service) {
    let key = key(&mut service, &client().rate_limit(at_most(2)));
    explore(move || {
        let backed = KeyringWithStore::new(&service, 4, &[&key.record]);
        let before = backed.allows(&key);
        let asking = {
            let (backed, key) = (Arc::clone(&backed), key.clone());
            thread::spawn(move || backed.cached_allows(&key))
        };
        backed.keyring.invalidate(&key.record.id);
        let refreshed = backed.allows(&key);
        let all = before + refreshed + asking.join().unwrap();
        assert!(all <= 2, "model: {all} passed a limit of 2");
    });
}

model!(a_rotated_pair_has_one_allowance, rotated_while_spent,
    finds: LineageApart a_meter_apart_is_found);

fn rotated_while_spent(mut service: Service) {
    let key = key(&mut service, &client().rate_limit(at_most(2)));
    let (replaced, successor) = rotated(&mut service, &key);
    explore(move || {
        let backed = KeyringWithStore::new(&service, 4, &[&key.record]);
        let before = backed.allows(&key);
        backed.put(&[&replaced, &successor.record]);
        let asking = {
            let (backed, key) = (Arc::clone(&backed), key.clone());
            thread::spawn(move || backed.cached_allows(&key))
        };
        let all = before + backed.allows(&successor) + asking.join().unwrap();
        let all = all + backed.allows(&key);
        assert!(all <= 2, "model: {all} passed a limit of 2 for the pair");
    });
}

model!(a_fetch_from_before_a_rotation_gives_no_allowance, rotated_while_fetched,
    finds: FirstNotInvalidated an_old_fetch_of_the_first_key_is_found);

fn rotated_while_fetched(mut service: Service) {
    let key = key(&mut service, &client().rate_limit(at_most(1)));
    let (replaced, successor) = rotated(&mut service, &key);
    explore(move || {
        let backed = KeyringWithStore::new(&service, 4, &[&key.record]);
        let asking = {
            let (backed, key) = (Arc::clone(&backed), key.clone());
            thread::spawn(move || backed.allows(&key))
        };
        backed.put(&[&replaced, &successor.record]);
        let all = backed.allows(&successor) + asking.join().unwrap();
        assert!(all <= 1, "model: {all} passed a limit of 1 for the pair");
    });
}

fn rotated(service: &mut Service, key: &Key) -> (KeyRecord, Key) {
    let (format, none) = (service.format.clone(), PepperRing::none());
    let policy = RotationPolicy::default();
    let rng = &mut service.rng;
    let rotated = rotate(&key.record, &[], &policy, &format, &none, rng, at(0)).unwrap();
    let successor = Key {
        text: rotated.key.expose().into(),
        record: rotated.successor,
    };
    (rotated.changed[0].clone(), successor)
}

model!(a_use_is_redeemed_once, redeemed_by_two,
    finds: UseTakenInTwo a_use_taken_in_two_steps_is_found);

fn redeemed_by_two(mut service: Service) {
    let key = key(&mut service, &client().uses(2).unwrap());
    explore(move || {
        let backed = KeyringWithStore::new(&service, 4, &[&key.record]);
        let before = backed.allows(&key);
        let asking = {
            let (backed, key) = (Arc::clone(&backed), key.clone());
            thread::spawn(move || backed.cached_allows(&key))
        };
        let all = before + backed.cached_allows(&key) + asking.join().unwrap();
        assert_eq!(all, 2, "model: {all} uses of 2");
    });
}

model!(a_raise_grants_what_it_raised, raised_while_spent,
    finds: CountAsStored a_count_set_to_the_stores_is_found);

fn raised_while_spent(mut service: Service) {
    let key = key(&mut service, &client().uses(2).unwrap());
    let mut raised = key.record.clone();
    raised.remaining_uses = Some(3);
    raised.version += 1;
    explore(move || {
        let backed = KeyringWithStore::new(&service, 4, &[&key.record]);
        let before = backed.allows(&key);
        let asking = {
            let (backed, key) = (Arc::clone(&backed), key.clone());
            thread::spawn(move || backed.cached_allows(&key))
        };
        backed.put(&[&raised]);
        backed.keyring.invalidate(&key.record.id);
        let all = before + backed.allows(&key) + asking.join().unwrap();
        let all = all + backed.allows(&key) + backed.allows(&key);
        assert_eq!(all, 3, "model: {all} uses of 3");
    });
}

model!(a_changed_limit_gives_no_second_allowance, limited_while_spent,
    finds: MeterCopied a_copied_meter_of_an_old_limit_is_found);

fn limited_while_spent(mut service: Service) {
    let request = client().rate_limit(at_most(2)).uses(100).unwrap();
    let key = key(&mut service, &request);
    let mut changed = key.record.clone();
    changed.rate_limit = RateLimit::with_burst(4, Millis::from_hours(2), 2).ok();
    changed.version += 1;
    explore(move || {
        let backed = KeyringWithStore::new(&service, 4, &[&key.record]);
        let before = backed.allows(&key);
        let asking = {
            let (backed, key) = (Arc::clone(&backed), key.clone());
            thread::spawn(move || backed.cached_allows(&key))
        };
        backed.put(&[&changed]);
        backed.keyring.invalidate(&key.record.id);
        let all = before + backed.allows(&key) + asking.join().unwrap();
        let all = all + backed.allows(&key);
        assert!(all <= 2, "model: {all} passed two limits with a burst of 2");
    });
}

model!(a_late_thread_takes_no_use_of_a_forgotten_meter, forgotten_while_spent,
    finds: ForgottenMeterOpen a_forgotten_meter_that_is_open_is_found);

fn forgotten_while_spent(mut service: Service) {
    let counted = key(&mut service, &client().uses(1).unwrap());
    let others = [(); 2].map(|()| key(&mut service, &client().uses(1).unwrap()));
    explore(move || {
        let records = [&counted.record, &others[0].record, &others[1].record];
        let backed = KeyringWithStore::new(&service, 1, &records);
        // Cached but nothing spent: the key lacks the permission.
        let more = Requirement::parse("payroll:pay").unwrap();
        let request = Request::new().requires(&more);
        assert!(!backed.ask_for(&counted, &request).is_allow());
        let asking = {
            let (backed, key) = (Arc::clone(&backed), counted.clone());
            thread::spawn(move || backed.cached_allows(&key))
        };
        for other in &others {
            assert!(!backed.ask_for(other, &request).is_allow());
        }
        let all = backed.allows(&counted) + asking.join().unwrap();
        assert!(all <= 1, "model: {all} uses of 1");
    });
}

model!(uses_are_told_once_though_the_record_is_refreshed, counted_while_refreshed,
    finds: CountCopied a_copied_count_is_found);

fn counted_while_refreshed(mut service: Service) {
    let key = key(&mut service, &client());
    explore(move || {
        let backed = KeyringWithStore::new(&service, 4, &[&key.record]);
        let before = backed.allows(&key);
        let asking = {
            let (backed, key) = (Arc::clone(&backed), key.clone());
            thread::spawn(move || backed.cached_allows(&key))
        };
        backed.keyring.invalidate(&key.record.id);
        let all = before + backed.allows(&key) + asking.join().unwrap();
        let told = backed.drained();
        assert_eq!(told, all, "model: {told} uses reported of {all}");
    });
}

model!(uses_are_told_once_though_drained_during_a_refresh, drained_while_refreshed,
    finds: CountUnmarked a_count_without_a_mark_is_found);

fn drained_while_refreshed(mut service: Service) {
    let key = key(&mut service, &client());
    explore(move || {
        let backed = KeyringWithStore::new(&service, 4, &[&key.record]);
        let before = backed.allows(&key);
        let draining = {
            let backed = Arc::clone(&backed);
            thread::spawn(move || backed.drained())
        };
        backed.keyring.invalidate(&key.record.id);
        let all = before + backed.allows(&key);
        let told = draining.join().unwrap() + backed.drained();
        assert_eq!(told, all, "model: {told} uses reported of {all}");
    });
}

model!(uses_of_an_evicted_key_are_told_once, evicted_while_counted,
    finds: EvictedCountOpen an_open_count_of_an_evicted_key_is_found);

fn evicted_while_counted(mut service: Service) {
    let [key, other] = [(); 2].map(|()| key(&mut service, &client()));
    explore(move || {
        let backed = KeyringWithStore::new(&service, 1, &[&key.record, &other.record]);
        let before = backed.allows(&key);
        let asking = {
            let (backed, key) = (Arc::clone(&backed), key.clone());
            thread::spawn(move || backed.cached_allows(&key))
        };
        let all = before + backed.allows(&other) + asking.join().unwrap();
        let told = backed.drained();
        assert_eq!(told, all, "model: {told} uses reported of {all}");
    });
}

model!(an_evicted_key_comes_back_with_its_debt, evicted_while_spent,
    finds: EvictedMeterOpen an_open_meter_of_an_evicted_key_is_found);

fn evicted_while_spent(mut service: Service) {
    let limited = key(&mut service, &client().rate_limit(at_most(1)));
    let other = key(&mut service, &client());
    explore(move || {
        let backed = KeyringWithStore::new(&service, 1, &[&limited.record, &other.record]);
        // Cached but nothing spent: the key lacks the permission.
        let more = Requirement::parse("payroll:pay").unwrap();
        let refused = backed.ask_for(&limited, &Request::new().requires(&more));
        assert!(!refused.is_allow());
        let asking = {
            let (backed, key) = (Arc::clone(&backed), limited.clone());
            thread::spawn(move || backed.cached_allows(&key))
        };
        assert!(backed.ask(&other).is_allow());
        let all = backed.allows(&limited) + asking.join().unwrap();
        assert!(all <= 1, "model: {all} passed a limit of 1");
    });
}

model!(what_an_evicted_key_has_spent_is_reported, evicted_while_reported,
    finds: LateUseWithoutState a_late_use_without_its_state_is_found);

fn evicted_while_reported(mut service: Service) {
    let limit = at_most(3);
    let limited = key(&mut service, &client().rate_limit(limit));
    let other = key(&mut service, &client());
    explore(move || {
        let backed = KeyringWithStore::new(&service, 1, &[&limited.record, &other.record]);
        // Cached but nothing spent: the key lacks the permission.
        let more = Requirement::parse("payroll:pay").unwrap();
        assert!(
            !backed
                .ask_for(&limited, &Request::new().requires(&more))
                .is_allow()
        );
        let asking = {
            let (backed, key) = (Arc::clone(&backed), limited.clone());
            thread::spawn(move || backed.cached_allows(&key))
        };
        assert!(backed.ask(&other).is_allow());
        let spent = asking.join().unwrap();
        let drained = backed.keyring.drain_uses();
        let reported = drained
            .iter()
            .filter(|used| used.key_id == limited.record.id);
        let reported = reported.filter_map(|used| used.rate).max();
        let state = limit.admit(RateState::default(), at(1)).unwrap();
        assert!(
            spent == 0 || reported >= Some(state),
            "model: the store gets {reported:?}"
        );
    });
}

model!(uses_that_threads_collide_on_are_told_once, collided_on, finds:);

fn collided_on(mut service: Service) {
    let key = key(&mut service, &client());
    explore(move || {
        let backed = KeyringWithStore::new(&service, 4, &[&key.record]);
        let before = backed.allows(&key);
        let asking = {
            let (backed, key) = (Arc::clone(&backed), key.clone());
            thread::spawn(move || backed.cached_allows(&key) + backed.cached_allows(&key))
        };
        let here = backed.cached_allows(&key);
        let told = backed.drained();
        let all = before + here + asking.join().unwrap();
        assert_eq!(all, 4);
        assert_eq!(
            told + backed.drained(),
            all,
            "model: uses are reported once"
        );
    });
}

/// A keyring whose limits are counted elsewhere, with a lease of two tokens.
fn leased(service: &Service, key: &Key) -> Arc<KeyringWithStore> {
    let builder = Keyring::builder(service.verifier.clone()).capacity(4);
    let leases = Leases::new(Millis::from_secs(10), 1).unwrap();
    let backed = KeyringWithStore::build(builder.shared_limits(leases), &[&key.record]);
    assert_eq!(backed.granted(key, 3), 1);
    backed
}

impl KeyringWithStore {
    /// A complete request, to which the limit grants so many tokens if it is asked: 1 if it is
    /// allowed, otherwise 0.
    fn granted(&self, key: &Key, tokens: u32) -> u64 {
        let request = Request::new();
        let mut check = self.keyring.check(key.text.as_bytes(), &request, at(1));
        for _ in 0..ROUNDS {
            match check {
                Check::Decided(decision, value) => {
                    return matched(decision, value).is_allow().into();
                }
                Check::NeedsRecord(ticket) => {
                    let record = self.fetch(key).unwrap();
                    let found = Found::new(&record).with_value(record.version);
                    check = self.keyring.admit_with(ticket, Some(found), at(1));
                }
                Check::NeedsTokens(ticket) => {
                    let grant = Grant::new(tokens, RateState::default(), at(1), at(1));
                    check = self.keyring.grant(ticket, grant, at(1));
                }
            }
        }
        0
    }

    /// The tokens that are left.
    fn left(&self) -> u64 {
        let left = self.keyring.all_unused_tokens();
        left.iter().map(|unused| u64::from(unused.tokens)).sum()
    }
}

model!(a_token_is_taken_once, taken_by_two,
    finds: TokenTakenInTwo a_token_taken_in_two_steps_is_found);

fn taken_by_two(mut service: Service) {
    let key = key(&mut service, &client().rate_limit(at_most(100)));
    explore(move || {
        let backed = leased(&service, &key);
        let asking = {
            let (backed, key) = (Arc::clone(&backed), key.clone());
            thread::spawn(move || backed.cached_allows(&key) + backed.cached_allows(&key))
        };
        let all = backed.cached_allows(&key) + backed.cached_allows(&key);
        let all = all + asking.join().unwrap();
        assert_eq!(all, 2, "model: {all} passed with two tokens");
    });
}

model!(a_refreshed_entry_takes_the_tokens_over_once, refreshed_while_taken,
    finds: LeaseCopied a_copied_lease_is_found);

fn refreshed_while_taken(mut service: Service) {
    let key = key(&mut service, &client().rate_limit(at_most(100)));
    explore(move || {
        let backed = leased(&service, &key);
        let asking = {
            let (backed, key) = (Arc::clone(&backed), key.clone());
            thread::spawn(move || backed.cached_allows(&key))
        };
        backed.keyring.invalidate(&key.record.id);
        let all = backed.granted(&key, 0) + backed.granted(&key, 0);
        let all = all + asking.join().unwrap() + backed.left();
        assert_eq!(all, 2, "model: {all} tokens of two");
    });
}

model!(what_is_left_is_used_or_returned, returned_while_taken,
    finds: RestTakenInTwo a_rest_taken_in_two_steps_is_found);

fn returned_while_taken(mut service: Service) {
    let key = key(&mut service, &client().rate_limit(at_most(100)));
    explore(move || {
        let backed = leased(&service, &key);
        let asking = {
            let (backed, key) = (Arc::clone(&backed), key.clone());
            thread::spawn(move || backed.cached_allows(&key) + backed.granted(&key, 2))
        };
        let all = backed.left() + asking.join().unwrap() + backed.left();
        let stats = backed.keyring.stats();
        assert_eq!(
            all + 1,
            stats.tokens_taken,
            "model: {all} of what was taken"
        );
    });
}

model!(tokens_that_two_threads_bring_add_up, brought_by_two, finds:);

fn brought_by_two(mut service: Service) {
    let key = key(&mut service, &client().rate_limit(at_most(100)));
    explore(move || {
        let backed = leased(&service, &key);
        assert_eq!(backed.cached_allows(&key) + backed.cached_allows(&key), 2);
        let asking = {
            let (backed, key) = (Arc::clone(&backed), key.clone());
            thread::spawn(move || backed.granted(&key, 2))
        };
        let all = 3 + backed.granted(&key, 3) + asking.join().unwrap() + backed.left();
        assert_eq!(
            all,
            backed.keyring.stats().tokens_taken,
            "model: {all} of what was taken"
        );
    });
}
