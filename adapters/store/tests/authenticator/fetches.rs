//! Fetches: requests that wait share one, their number and time are limited, and one that a
//! revocation overtook is not used.

use core::time::Duration;
use std::sync::Arc;

use keystile::{DenialCode, IssueRequest, Millis, RateLimit, Request};
use keystile_store::{Authenticator, UnavailableKind, revoke};

use crate::scripted::{Scripted, Trouble, ask, at, code, has_begun, issued, issued_as, over};

/// On one thread: each request that was counted has joined, too.
#[tokio::test]
async fn all_who_wait_for_a_key_share_one_fetch() {
    let store = Scripted::new();
    let key = Arc::new(issued(&*store).await);
    let authenticator = over(&store).build().unwrap();
    has_begun(&authenticator).await;
    store.close();
    let asks: Vec<_> = (0..100)
        .map(|_| {
            let (authenticator, key) = (authenticator.clone(), Arc::clone(&key));
            tokio::spawn(async move { code(&ask(&authenticator, &key).await) })
        })
        .collect();
    store.at_the_gate(1).await;
    while authenticator.stats().keyring.fetches < 100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(store.held(), 1, "and no second fetch");
    store.open();
    for asked in asks {
        assert_eq!(asked.await.unwrap(), None);
    }
    assert_eq!(store.calls().find, 1);
    assert_eq!(authenticator.stats().fetches, 1);
    assert_eq!(code(&ask(&authenticator, &key).await), None);
    assert_eq!(store.calls().find, 0, "it is cached");
    assert_eq!(authenticator.stats().fetches, 1);
}

/// The request that began the fetch is dropped, and the others are still answered.
#[tokio::test]
async fn a_dropped_leader_fails_no_other_request() {
    let store = Scripted::new();
    let key = Arc::new(issued(&*store).await);
    let authenticator = over(&store).build().unwrap();
    has_begun(&authenticator).await;
    store.close();
    let ask_apart = || {
        let (authenticator, key) = (authenticator.clone(), Arc::clone(&key));
        tokio::spawn(async move { code(&ask(&authenticator, &key).await) })
    };
    let leader = ask_apart();
    store.at_the_gate(1).await;
    let follower = ask_apart();
    tokio::task::yield_now().await;
    leader.abort();
    assert!(leader.await.unwrap_err().is_cancelled());
    store.open();
    assert_eq!(follower.await.unwrap(), None);
    assert_eq!(store.calls().find, 1, "the leader's fetch went on");
}

/// G2: a fetch that began before a revocation ends after it, and a check that began after the
/// revocation has joined it.
#[tokio::test]
async fn a_check_that_joins_a_fetch_does_not_allow_a_key_revoked_since() {
    let store = Scripted::new();
    let key = Arc::new(issued(&*store).await);
    let authenticator = over(&store).build().unwrap();
    has_begun(&authenticator).await;
    store.close();
    let ask_apart = || {
        let (authenticator, key) = (authenticator.clone(), Arc::clone(&key));
        tokio::spawn(async move { code(&ask(&authenticator, &key).await) })
    };
    let early = ask_apart();
    store.at_the_gate(1).await;
    // Another process's revocation: this one is notified while the old record is being
    // fetched.
    revoke(&store.store, &key.record.id, "leaked", at(1))
        .await
        .unwrap();
    authenticator.keyring().invalidate(&key.record.id);
    let late = ask_apart();
    while authenticator.stats().keyring.fetches < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        store.held(),
        1,
        "the late one waits for the early one's fetch"
    );
    store.open();
    assert_eq!(late.await.unwrap(), Some(DenialCode::KeyRevoked));
    assert_eq!(early.await.unwrap(), Some(DenialCode::KeyRevoked));
    assert_eq!(store.calls().find, 2, "one fetch more, for both");
}

/// A change of another key causes no second fetch.
#[tokio::test]
async fn a_change_of_another_key_does_not_overtake_a_fetch() {
    let store = Scripted::new();
    let (key, other) = (Arc::new(issued(&*store).await), issued(&*store).await);
    let authenticator = over(&store).build().unwrap();
    store.close();
    let early = {
        let (authenticator, key) = (authenticator.clone(), Arc::clone(&key));
        tokio::spawn(async move { code(&ask(&authenticator, &key).await) })
    };
    store.at_the_gate(1).await;
    has_begun(&authenticator).await;
    authenticator.keyring().invalidate(&other.record.id);
    store.open();
    assert_eq!(early.await.unwrap(), None);
}

#[tokio::test]
async fn while_the_store_is_down_only_what_is_cached_is_allowed() {
    let store = Scripted::new();
    let (warm, cold) = (issued(&*store).await, issued(&*store).await);
    let authenticator = over(&store).ttl(Millis::from_secs(60)).build().unwrap();
    has_begun(&authenticator).await;
    assert_eq!(code(&ask(&authenticator, &warm).await), None);
    for trouble in [Trouble::Fails, Trouble::Panics] {
        store.trouble(trouble);
        let answer = ask(&authenticator, &cold).await;
        assert_eq!(code(&answer), Some(DenialCode::StoreUnavailable));
        assert!(answer.failure.is_some(), "and why, for the log");
        assert_eq!(code(&ask(&authenticator, &warm).await), None, "cached");
        let counted = IssueRequest::new("Acme").unwrap().uses(1).unwrap();
        let counted = issued_as(&store.store, counted).await;
        let answer = ask(&authenticator, &counted).await;
        assert_eq!(code(&answer), Some(DenialCode::StoreUnavailable));
    }
    let key = warm.key.expose().as_bytes();
    let late = authenticator.check(key, &Request::new(), at(61_000)).await;
    assert_eq!(code(&late), Some(DenialCode::StoreUnavailable), "no more");
    store.trouble(Trouble::None);
    let key = cold.key.expose().as_bytes();
    let back = authenticator.check(key, &Request::new(), at(61_000)).await;
    assert_eq!(code(&back), None, "it is back");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_answer_is_waited_for_so_long() {
    let store = Scripted::new();
    let key = issued(&*store).await;
    let authenticator = over(&store)
        .store_timeout(Duration::from_secs(2))
        .build()
        .unwrap();
    store.close();
    let before = tokio::time::Instant::now();
    let answer = ask(&authenticator, &key).await;
    assert_eq!(code(&answer), Some(DenialCode::StoreUnavailable));
    assert_eq!(before.elapsed().as_secs(), 2);
    let kind = answer
        .failure
        .and_then(|failure| failure.unavailable_kind());
    assert_eq!(kind, Some(UnavailableKind::Late));
    store.open();
    assert_eq!(code(&ask(&authenticator, &key).await), None);
}

#[tokio::test(start_paused = true)]
async fn fetches_at_once_are_limited() {
    let store = Scripted::new();
    let mut keys = Vec::new();
    for _ in 0..20 {
        keys.push(issued(&*store).await);
    }
    let authenticator = over(&store).fetches_at_once(3).build().unwrap();
    store.close();
    let asks: Vec<_> = keys
        .into_iter()
        .map(|key| {
            let authenticator = authenticator.clone();
            tokio::spawn(async move { code(&ask(&authenticator, &key).await) })
        })
        .collect();
    store.at_the_gate(3).await;
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
        assert!(store.held() <= 3, "three at once");
    }
    store.open();
    for asked in asks {
        assert_eq!(asked.await.unwrap(), None, "the others had their turn");
    }
}

/// G3: a replica that lags behind what was cached is asked again, and its record is not used.
#[tokio::test(start_paused = true)]
async fn a_record_older_than_the_cached_one_is_not_used() {
    let store = Scripted::new();
    let key = issued(&*store).await;
    let authenticator = over(&store).build().unwrap();
    has_begun(&authenticator).await;
    let id = key.record.id;
    authenticator.suspend(&id, at(1)).await.unwrap();
    let suspended = Some(DenialCode::KeySuspended);
    assert_eq!(code(&ask(&authenticator, &key).await), suspended);
    authenticator.keyring().invalidate(&id);
    store.trouble(Trouble::Lags);
    store.calls();
    let answer = ask(&authenticator, &key).await;
    assert_eq!(code(&answer), Some(DenialCode::StoreUnavailable));
    assert!(
        (2..20).contains(&store.calls().find),
        "asked again, and not for ever"
    );
    store.trouble(Trouble::None);
    assert_eq!(code(&ask(&authenticator, &key).await), suspended);
}

/// A request is counted once, even if its key's record was evicted in between.
#[tokio::test]
async fn a_limit_is_exact_even_if_few_records_are_cached() {
    let store = Scripted::new();
    let limit = RateLimit::new(7, Millis::from_hours(1)).unwrap();
    let mut keys = Vec::new();
    for _ in 0..3 {
        let request = IssueRequest::new("Acme").unwrap().rate_limit(limit);
        keys.push(issued_as(&*store, request).await);
    }
    let authenticator = over(&store).capacity(2).build().unwrap();
    has_begun(&authenticator).await;
    let mut allowed = [0; 3];
    for round in 0..60 {
        let at = [0, 1, 0, 0, 2, 1][round % 6];
        if code(&ask(&authenticator, &keys[at]).await).is_none() {
            allowed[at] += 1;
        }
    }
    assert_eq!(allowed, [7, 7, 7]);
}

#[tokio::test]
async fn each_answer_has_its_own_record_even_if_few_are_cached() {
    let store = Scripted::new();
    let mut keys = Vec::new();
    for name in ["Acme", "Bolt", "Cogs"] {
        keys.push(issued_as(&*store, IssueRequest::new(name).unwrap()).await);
    }
    let authenticator: Authenticator<_> = over(&store).capacity(2).build().unwrap();
    for round in 0..20 {
        let key = &keys[round % 3];
        let answer = ask(&authenticator, key).await;
        assert_eq!(code(&answer), None);
        assert_eq!(answer.record.unwrap().client_name, key.record.client_name);
    }
}

#[tokio::test]
async fn an_unknown_key_is_refused_and_not_asked_for_again_at_once() {
    let store = Scripted::new();
    let elsewhere = Scripted::new();
    let key = issued(&*elsewhere).await;
    let authenticator = over(&store).build().unwrap();
    has_begun(&authenticator).await;
    for _ in 0..10 {
        let answer = ask(&authenticator, &key).await;
        assert_eq!(code(&answer), Some(DenialCode::InvalidKey));
    }
    assert_eq!(store.calls().find, 1);
    // G8: once it is issued, it is known.
    authenticator.save_issued(&key).await.unwrap();
    assert_eq!(code(&ask(&authenticator, &key).await), None);
}

/// Each round is overtaken by an invalidation, and the store is slow.
#[tokio::test(start_paused = true)]
async fn all_rounds_of_a_check_share_one_timeout() {
    let store = Scripted::new();
    let issued = issued(&*store).await;
    let authenticator = over(&store).build().unwrap();
    has_begun(&authenticator).await;
    store.trouble(Trouble::Slow);
    let began = tokio::time::Instant::now();
    let asking = {
        let (authenticator, key) = (authenticator.clone(), issued.key.expose().to_owned());
        tokio::spawn(async move {
            let request = Request::new();
            authenticator
                .check(key.as_bytes(), &request, at(1_000))
                .await
        })
    };
    tokio::time::sleep(Duration::from_secs(1)).await;
    authenticator.keyring().invalidate(&issued.record.id);
    let answer = asking.await.unwrap();
    assert_eq!(code(&answer), Some(DenialCode::StoreUnavailable));
    let waited = began.elapsed();
    assert!(waited < Duration::from_secs(6), "{waited:?}");
    assert_eq!(store.calls().find, 2);
}
