//! A flood of invented keys neither fills memory nor evicts cached keys.
#![cfg(feature = "keyring")]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    unsafe_code,
    reason = "an allocator is unsafe by its nature, and a test fails where the product must not"
)]

#[path = "common/common.rs"]
mod common;
#[path = "common/counting.rs"]
mod counting;

use core::hint::black_box;
use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard};
use std::thread;

use crate::common::forged::{Forger, with_wrong_secret};
use crate::common::keyring_with_store::KeyringWithStore;
use crate::common::service::{Service, at, client};
use counting::grown_by;
use keystile::{Cause, Check, Decision, Denial, Request};

/// Invented keys in total, presented by this many threads.
const INVENTED: u64 = 10_000_000;
const THREADS: u64 = 2;
/// Keys that are used all the time.
const HOT: usize = 1_000;
const MIB: i64 = 1 << 20;

/// Bytes are counted for the whole process, so only one test may run at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[test]
fn g9_the_count_of_bytes_sees_a_cache_that_grows() {
    let _alone = alone();
    assert!(grown_by(|| drop(black_box(vec![0u8; 3 << 20]))) >= 3 * MIB);
    assert!(grown_by(|| drop(black_box(Box::new(1)))) < MIB);
    let mut forger = Forger::seeded(1);
    let mut seen = HashSet::new();
    let grown = grown_by(|| {
        for _ in 0..20_000 {
            assert!(seen.insert(forger.forge().to_vec()), "forged twice");
        }
    });
    assert!(grown > MIB);
}

#[test]
fn g9_rocketride_1994_ten_million_invented_keys_fill_no_memory_and_evict_nothing() {
    let _alone = alone();
    let mut service = Service::structured();
    let keys: Vec<_> = (0..HOT).map(|_| service.issue(&client())).collect();
    let hot: Vec<_> = keys.iter().map(|key| key.key.expose().to_owned()).collect();
    let wrong: Vec<_> = hot.iter().map(|text| with_wrong_secret(text)).collect();
    // There is not one free slot.
    let backed = KeyringWithStore::set_up(&service, |builder| builder.capacity(HOT));
    keys.iter().for_each(|key| backed.put(&key.record));
    assert!(hot.iter().all(|text| backed.allows(text, at(0))));
    let before = backed.keyring.stats();
    let keyring = &backed.keyring;
    let request = Request::new();

    let flood = |seed| {
        let mut forger = Forger::seeded(seed);
        let (mut hits, mut asked) = (0u64, 0u64);
        for number in 0..INVENTED / THREADS {
            let forged = forger.forge();
            match keyring.check(forged, &request, at(1)) {
                Check::NeedsTokens(_) => panic!("its limits are its own"),
                Check::NeedsRecord(ticket) => {
                    let refused = backed.admit(ticket, None, at(1));
                    assert!(matches!(refused, Check::Decided(Decision::Deny(_), _)));
                }
                Check::Decided(decision, _) => panic!("{decision:?} of a key never seen"),
            }
            if number % 100 == 0 {
                let place = (number / 100) as usize % HOT;
                asked += 1;
                let check = keyring.check(hot[place].as_bytes(), &request, at(1));
                hits += u64::from(matches!(check, Check::Decided(Decision::Allow(_), _)));
                // Also one with the id of a key in use.
                let check = keyring.check(wrong[place].as_bytes(), &request, at(1));
                assert!(matches!(check, Check::Decided(Decision::Deny(_), _)));
            }
        }
        (hits, asked)
    };
    let mut results = Vec::with_capacity(THREADS as usize);
    let grown = grown_by(|| {
        thread::scope(|scope| {
            let floods: Vec<_> = (0..THREADS)
                .map(|seed| scope.spawn(move || flood(seed)))
                .collect();
            results.extend(floods.into_iter().map(|flood| flood.join().unwrap()));
        });
    });
    assert!(grown <= MIB, "grown by {grown} bytes");
    let (hits, asked) = results
        .into_iter()
        .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    assert_eq!(
        (asked, hits),
        (INVENTED / 100, asked),
        "hits on the hot set"
    );
    let after = keyring.stats();
    assert_eq!(after.fetches - before.fetches, INVENTED);
    assert_eq!((after.entries, after.evictions), (HOT, 0));
}

#[test]
fn g9_a_key_with_a_wrong_check_is_never_looked_up() {
    let _alone = alone();
    let service = Service::structured();
    let backed = KeyringWithStore::new(&service);
    let mut forger = Forger::seeded(7);
    let request = Request::new();
    for _ in 0..1_000_000 {
        let check = backed.keyring.check(forger.mistype(), &request, at(0));
        let Check::Decided(Decision::Deny(denial), _) = check else {
            panic!("{check:?}");
        };
        assert_eq!(Denial::cause(&denial), Cause::Malformed);
    }
    assert_eq!(backed.keyring.stats().fetches, 0);
    // A key with the right check needs a record.
    assert!(matches!(
        backed.keyring.check(forger.forge(), &request, at(0)),
        Check::NeedsRecord(_)
    ));
}

#[test]
fn g9_a_flood_of_wrong_secrets_of_one_key_is_held_off_where_it_is_cached() {
    let _alone = alone();
    let mut service = Service::structured();
    let issued = service.issue(&client());
    let text = issued.key.expose();
    let backed = KeyringWithStore::new(&service);
    backed.put(&issued.record);
    assert!(backed.allows(text, at(0)));
    backed.fetches();
    let mut forger = Forger::seeded(9);
    let head = &text[..text.len() - 49];
    for _ in 0..100_000 {
        let forged = core::str::from_utf8(forger.forge()).unwrap();
        let secret = &forged[forged.len() - 49..forged.len() - 6];
        let forged = common::forged::with_check(&format!("{head}{secret}"));
        assert_eq!(backed.refuses(&forged, at(1)), Some(Cause::WrongSecret));
    }
    assert_eq!(backed.fetches(), 0);
    assert!(backed.cached(text, at(1)).unwrap().is_allow());
}
