//! Attacks on caches, row G: what was changed in the store takes effect. Each test
//! answers a flaw that was found elsewhere and has its number. G1 continues in
//! `keyring/threads.rs`, G2 in `keyring_loom.rs`.
use crate::common::keyring_with_store::{Carrying, KeyringWithStore};
use crate::common::service::{Service, at, client};
use keystile::{
    Cause, Check, Decision, Denial, Issued, KeyRecord, PepperRing, PermissionSet, Request,
    Requirement, RotationPolicy, Usage, end_overlap, resume, revoke, rotate, suspend,
};

const SECOND: u64 = 1_000;
const TTL: u64 = 300 * SECOND;

#[test]
fn g1_executor_1870_a_revoked_key_is_refused_once_invalidate_has_returned() {
    let mut service = Service::structured();
    let backed = KeyringWithStore::new(&service);
    for _ in 0..1_000 {
        let issued = service.issue(&client());
        let text = issued.key.expose();
        backed.put(&issued.record);
        assert!(backed.allows(text, at(0)));
        assert!(backed.cached(text, at(0)).unwrap().is_allow());
        backed.change(&revoke(&issued.record, "", at(0)).unwrap().record);
        assert_eq!(backed.cached(text, at(0)), None);
        assert_eq!(backed.refuses(text, at(0)), Some(Cause::Revoked));
    }
}

/// What a keyring has cached of a key when the key is changed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Held {
    Nothing,
    Fresh,
    Stale,
    Absent,
    FetchedBefore,
    AskedBefore,
}

/// A way to invalidate, by name.
type Way = (&'static str, fn(&Carrying, &KeyRecord));

/// A change of a record, by name.
type Mutation = (&'static str, fn(&mut Service, &KeyRecord) -> KeyRecord);

const MUTATIONS: [Mutation; 8] = [
    ("revoke", |_, record| {
        revoke(record, "", at(0)).unwrap().record
    }),
    ("suspend", |_, record| {
        suspend(record, at(0)).unwrap().record
    }),
    ("resume", |_, record| {
        let suspended = suspend(record, at(0)).unwrap().record;
        resume(&suspended, at(0)).unwrap().record
    }),
    ("rotate", |service, record| {
        let (format, none) = (service.format.clone(), PepperRing::none());
        let policy = RotationPolicy::default();
        let rng = &mut service.rng;
        rotate(record, &[], &policy, &format, &none, rng, at(0))
            .unwrap()
            .changed[0]
            .clone()
    }),
    ("end the overlap", |service, record| {
        let (format, none) = (service.format.clone(), PepperRing::none());
        let policy = RotationPolicy::default().with_end_on_first_use(true);
        let rng = &mut service.rng;
        let rotated = rotate(record, &[], &policy, &format, &none, rng, at(0)).unwrap();
        let [ended, _] = end_overlap(&rotated.changed[0], &rotated.successor, at(0)).unwrap();
        ended
    }),
    ("shorten", |_, record| {
        changed(record, |record| record.expires_at = Some(at(0)))
    }),
    ("take permissions", |_, record| {
        changed(record, |record| {
            record.permissions = PermissionSet::default()
        })
    }),
    ("another owner", |_, record| {
        changed(record, |record| record.owner = Some("tenant 8".into()))
    }),
];

fn changed(record: &KeyRecord, change: impl FnOnce(&mut KeyRecord)) -> KeyRecord {
    let mut record = record.clone();
    change(&mut record);
    record.version += 1;
    record
}

#[test]
fn g2_sdp_1214_every_change_reaches_every_state_of_the_cache() {
    let read = Requirement::parse("read").unwrap();
    let request = Request::new().requires(&read);
    let states = [
        Held::Nothing,
        Held::Fresh,
        Held::Stale,
        Held::Absent,
        Held::FetchedBefore,
        Held::AskedBefore,
    ];
    let ways: [Way; 3] = [
        ("by id", |keyring, record| keyring.invalidate(&record.id)),
        ("by owner", |keyring, _| {
            keyring.invalidate_owner("tenant 7")
        }),
        ("whole", |keyring, _| keyring.invalidate_all()),
    ];
    for (name, mutate) in MUTATIONS {
        for state in states {
            for (way, invalidate) in ways {
                if (state, way) == (Held::Absent, "by owner") {
                    // Of a key that the store did not know, the owner is not known
                    // either.
                    continue;
                }
                let mut service = Service::structured();
                let issued = service.issue(&client().owner("tenant 7").unwrap());
                let text = issued.key.expose();
                let after = mutate(&mut service, &issued.record);
                let backed = KeyringWithStore::new(&service);
                let mut now = at(1);
                let mut ticket = None;
                if state == Held::Absent {
                    assert!(!backed.allows(text, now));
                }
                backed.put(&issued.record);
                match state {
                    Held::Nothing | Held::Absent => {}
                    Held::Fresh => assert!(backed.allows(text, now)),
                    Held::Stale => {
                        assert!(backed.allows(text, now));
                        now = at(1 + TTL);
                    }
                    Held::FetchedBefore | Held::AskedBefore => {
                        match backed.keyring.check(text.as_bytes(), &request, now) {
                            Check::NeedsRecord(asked) => ticket = Some(asked),
                            Check::NeedsTokens(_) => panic!("its limits are its own"),
                            Check::Decided(decision, _) => panic!("{decision:?}"),
                        }
                    }
                }
                backed.put(&after);
                invalidate(&backed.keyring, &issued.record);
                let mut decision = None;
                if let Some(ticket) = ticket {
                    let fetched = match state {
                        Held::FetchedBefore => &issued.record,
                        _ => &after,
                    };
                    match backed.admit(ticket, Some(fetched), now) {
                        Check::Decided(decided, _) => decision = Some(decided),
                        Check::NeedsRecord(_) | Check::NeedsTokens(_) => {}
                    }
                }
                let case = format!("{name}, {state:?}, {way}");
                let mut usage = Usage::of(&after);
                let told = service.ask(text.as_bytes(), Some(&after), &request, &mut usage, now);
                let decision = decision.unwrap_or_else(|| backed.ask(text, &request, now));
                assert_eq!(decision, told, "{case}");
                assert_eq!(backed.ask(text, &request, now), told, "{case}, cached");
            }
        }
    }
}

#[test]
fn g3_e2b_3324_a_replica_that_lags_is_asked_again() {
    let mut service = Service::structured();
    let issued = service.issue(&client());
    let text = issued.key.expose();
    let backed = KeyringWithStore::new(&service);
    let revoked = revoke(&issued.record, "", at(0)).unwrap().record;
    backed.put(&revoked);
    assert_eq!(backed.refuses(text, at(0)), Some(Cause::Revoked));
    // The record is no longer fresh, and the replica returns an older one.
    let request = Request::new();
    let mut check = backed.keyring.check(text.as_bytes(), &request, at(TTL));
    for _ in 0..100 {
        let Check::NeedsRecord(ticket) = check else {
            panic!("decided by an older record: {check:?}");
        };
        check = backed.admit(ticket, Some(&issued.record), at(TTL));
    }
    assert_eq!(backed.keyring.stats().overtaken, 100);
    let Check::NeedsRecord(ticket) = check else {
        panic!("decided by an older record: {check:?}");
    };
    let Check::Decided(decision, _) = backed.admit(ticket, Some(&revoked), at(TTL)) else {
        panic!("the newest record is not good enough");
    };
    assert_eq!(decision.denial().map(Denial::cause), Some(Cause::Revoked));
}

#[test]
fn a_restored_store_is_trusted_after_a_reset() {
    let mut service = Service::structured();
    let issued = service.issue(&client());
    let text = issued.key.expose();
    let backed = KeyringWithStore::new(&service);
    let suspended = suspend(&issued.record, at(0)).unwrap().record;
    backed.put(&suspended);
    assert_eq!(backed.refuses(text, at(0)), Some(Cause::Suspended));
    // The backup's record is older. Invalidating what is cached is not enough to accept
    // it.
    let request = Request::new();
    let older = || {
        let Check::NeedsRecord(ticket) = backed.keyring.check(text.as_bytes(), &request, at(1))
        else {
            panic!("it was still cached");
        };
        backed.admit(ticket, Some(&issued.record), at(1))
    };
    backed.keyring.invalidate_all();
    assert!(matches!(older(), Check::NeedsRecord(_)));
    backed.keyring.reset();
    assert!(matches!(older(), Check::Decided(Decision::Allow(_), _)));
    // From now on versions count again.
    backed.keyring.invalidate(&issued.record.id);
    backed.put(&suspended);
    assert_eq!(backed.refuses(text, at(2)), Some(Cause::Suspended));
    backed.keyring.invalidate_all();
    assert!(matches!(older(), Check::NeedsRecord(_)));
}

#[test]
fn g6_kong_9261_an_owners_keys_end_all_at_once() {
    let mut service = Service::structured();
    let backed = KeyringWithStore::new(&service);
    let mut keys = |owner: &str, count| -> Vec<Issued> {
        let request = client().owner(owner).unwrap();
        let keys = (0..count).map(|_| service.issue(&request));
        keys.inspect(|key| backed.put(&key.record)).collect()
    };
    let ended = keys("tenant 7", 1_000);
    let others: Vec<_> = (100..200)
        .flat_map(|n| keys(&format!("tenant {n}"), 1))
        .collect();
    for key in ended.iter().chain(&others) {
        assert!(backed.allows(key.key.expose(), at(0)));
    }
    for key in &ended {
        backed.put(&revoke(&key.record, "", at(0)).unwrap().record);
    }
    backed.keyring.invalidate_owner("tenant 7");
    assert_eq!(backed.keyring.stats().invalidations, 1);
    for key in &ended {
        assert_eq!(backed.cached(key.key.expose(), at(0)), None);
        assert_eq!(
            backed.refuses(key.key.expose(), at(0)),
            Some(Cause::Revoked)
        );
    }
    let kept = |key: &&Issued| backed.cached(key.key.expose(), at(0)).is_some();
    // Owners may share a slot, which costs a second fetch; a thousandth of them do.
    assert!(others.iter().filter(kept).count() >= 90);
    backed.keyring.invalidate_all();
    assert_eq!(others.iter().filter(kept).count(), 0);
}

#[test]
fn g8_litellm_26729_a_key_that_is_issued_is_not_refused_for_having_been_unknown() {
    for mut service in [Service::structured(), Service::opaque()] {
        let issued = service.issue(&client());
        let text = issued.key.expose();
        let backed = KeyringWithStore::new(&service);
        for _ in 0..10 {
            assert_eq!(backed.refuses(text, at(0)), Some(Cause::UnknownKey));
        }
        backed.change(&issued.record);
        assert!(backed.allows(text, at(0)));
    }
}
