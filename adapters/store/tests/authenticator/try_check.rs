//! Memory first, then the store: a request that goes both ways is counted once, and an allow
//! comes with the record that it was made on.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::collections::BTreeSet;
use std::sync::Arc;

use keystile::{Decision, DenialCode, IssueRequest, Issued, Millis, RateLimit, Request};
use keystile_store::{Answer, Authenticator, resume, suspend};

use crate::scripted::{Scripted, at, code, has_begun, issued, issued_as, over};

const REQUESTS: u32 = 8;

async fn limited(store: &Scripted) -> Issued {
    let limit = RateLimit::new(REQUESTS, Millis::from_hours(1)).unwrap();
    let request = IssueRequest::new("Acme").unwrap().rate_limit(limit);
    issued_as(store, request).await
}

/// As a service asks: memory, and the store if need be; and whether it was needed.
async fn ask_both(authenticator: &Authenticator<Scripted>, key: &Issued) -> (Answer, bool) {
    let text = key.key.expose().as_bytes();
    let request = Request::new();
    match authenticator.try_check(text, &request, at(1_000)) {
        Ok(answer) => (answer, false),
        Err(_) => (authenticator.check(text, &request, at(1_000)).await, true),
    }
}

fn left(answer: &Answer) -> u32 {
    let Decision::Allow(allowed) = &answer.decision else {
        panic!("{:?}", answer.decision);
    };
    allowed.quota.unwrap().remaining()
}

#[tokio::test]
async fn a_request_that_goes_to_the_store_is_counted_once() {
    let store = Scripted::new();
    let key = limited(&store).await;
    let authenticator = over(&store).build().unwrap();
    has_begun(&authenticator).await;
    for round in 1..=REQUESTS {
        let (answer, was_needed) = ask_both(&authenticator, &key).await;
        assert_eq!(was_needed, round % 2 == 1, "{round}");
        assert_eq!(left(&answer), REQUESTS - round, "each costs one");
        if round % 2 == 0 {
            authenticator.keyring().invalidate(&key.record.id);
        }
    }
    let (answer, _) = ask_both(&authenticator, &key).await;
    assert_eq!(code(&answer), Some(DenialCode::RateLimited));
    let uses = authenticator.keyring().drain_uses();
    let counted: u64 = uses.iter().map(|used| used.count).sum();
    assert_eq!(counted, u64::from(REQUESTS));
}

/// Another request has cached the record between the two.
#[tokio::test]
async fn nor_is_it_counted_twice_when_another_was_faster() {
    let store = Scripted::new();
    let key = limited(&store).await;
    let authenticator = over(&store).build().unwrap();
    has_begun(&authenticator).await;
    let text = key.key.expose().as_bytes();
    let pending = authenticator.try_check(text, &Request::new(), at(1_000));
    assert!(pending.is_err());
    let (other, _) = ask_both(&authenticator, &key).await;
    assert_eq!(left(&other), REQUESTS - 1);
    let answer = authenticator.check(text, &Request::new(), at(1_000)).await;
    assert_eq!(left(&answer), REQUESTS - 2);
}

/// The record changes all the while, and not every change is announced.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_allow_comes_with_the_record_it_was_made_on() {
    let store = Scripted::new();
    let key = Arc::new(issued(&*store).await);
    let authenticator = over(&store).build().unwrap();
    let ended = Arc::new(AtomicBool::new(false));
    let asks: Vec<_> = (0..4)
        .map(|_| {
            let (authenticator, key) = (authenticator.clone(), Arc::clone(&key));
            let ended = Arc::clone(&ended);
            tokio::spawn(async move {
                let mut versions = BTreeSet::new();
                while !ended.load(Ordering::SeqCst) {
                    let (answer, _) = ask_both(&authenticator, &key).await;
                    match &answer.decision {
                        Decision::Allow(allowed) => {
                            assert_eq!(answer.record.unwrap().version, allowed.version);
                            versions.insert(allowed.version);
                        }
                        Decision::Deny(_) => assert!(answer.record.is_none()),
                    }
                    tokio::task::yield_now().await;
                }
                versions
            })
        })
        .collect();
    let id = &key.record.id;
    for round in 0..200 {
        suspend(&*store, id, at(0)).await.unwrap();
        resume(&*store, id, at(0)).await.unwrap();
        if round % 2 == 0 {
            authenticator.keyring().invalidate(id);
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    ended.store(true, Ordering::SeqCst);
    let mut versions = BTreeSet::new();
    for asked in asks {
        versions.extend(asked.await.unwrap());
    }
    assert!(versions.len() > 10, "{versions:?}");
}
