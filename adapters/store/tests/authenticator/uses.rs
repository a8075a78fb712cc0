//! Uses: the store decides about those that are counted, and last uses are recorded after
//! the responses.

use core::time::Duration;
use std::sync::Arc;

use keystile::{DenialCode, IssueRequest, Lookup, Millis, RateLimit, Request};
use keystile_store::{Authenticator, Store, StoreError};

use crate::scripted::{Scripted, Trouble, ask, at, code, has_begun, issued, issued_as, over};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn counted_uses_are_exact_over_processes() {
    let store = Scripted::new();
    let request = IssueRequest::new("Acme").unwrap().uses(10).unwrap();
    let key = Arc::new(issued_as(&*store, request).await);
    let processes = [over(&store).build().unwrap(), over(&store).build().unwrap()];
    let asks: Vec<_> = (0..60)
        .map(|number| {
            let (authenticator, key) = (processes[number % 2].clone(), Arc::clone(&key));
            tokio::spawn(async move { code(&ask(&authenticator, &key).await) })
        })
        .collect();
    let mut allowed = 0;
    for asked in asks {
        match asked.await.unwrap() {
            None => allowed += 1,
            Some(code) => assert_eq!(code, DenialCode::UsesSpent),
        }
    }
    assert_eq!(allowed, 10);
    for authenticator in processes {
        assert_eq!(
            authenticator.stats().keyring.entries,
            0,
            "and are not cached"
        );
    }
}

/// A wrong secret under a counted key's id costs the store one lookup, however often it comes.
#[tokio::test]
async fn a_wrong_secret_of_a_counted_key_is_remembered() {
    let store = Scripted::new();
    let request = IssueRequest::new("Acme").unwrap().uses(10).unwrap();
    let key = issued_as(&*store, request).await;
    let authenticator = over(&store).build().unwrap();
    has_begun(&authenticator).await;
    // Another key's secret under this one's id, with the check that belongs to it.
    let other = issued(&*Scripted::new()).await;
    let text = key.key.expose();
    let (head, _) = text.split_at(text.len() - 49);
    let secret = &other.key.expose()[text.len() - 49..text.len() - 6];
    let forged = format!("{head}{secret}");
    let check = crc_digits(&forged);
    let forged = format!("{forged}{check}");
    store.calls();
    for _ in 0..10 {
        let answer = authenticator
            .check(forged.as_bytes(), &Request::new(), at(1_000))
            .await;
        assert_eq!(code(&answer), Some(DenialCode::InvalidKey));
        let cause = answer.decision.denial().unwrap().cause();
        assert_eq!(cause, keystile::Cause::WrongSecret, "found, and not proved");
    }
    assert_eq!(store.calls().find, 1);
    assert_eq!(
        code(&ask(&authenticator, &key).await),
        None,
        "the key itself passes"
    );
}

/// The 6 base62 digits of a text's CRC-32, as the default format has them.
fn crc_digits(text: &str) -> String {
    let digits = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut crc = u32::MAX;
    for byte in text.bytes() {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
        }
    }
    let mut rest = !crc;
    let mut text = [b'0'; 6];
    for place in text.iter_mut().rev() {
        *place = digits[(rest % 62) as usize];
        rest /= 62;
    }
    text.iter().map(|byte| char::from(*byte)).collect()
}

#[tokio::test]
async fn a_rate_limit_alone_is_kept_here() {
    let store = Scripted::new();
    let limit = RateLimit::new(3, Millis::from_hours(1)).unwrap();
    let request = IssueRequest::new("Acme").unwrap().rate_limit(limit);
    let key = issued_as(&*store, request).await;
    let authenticator = over(&store).build().unwrap();
    let mut codes = Vec::new();
    for _ in 0..4 {
        codes.push(code(&ask(&authenticator, &key).await));
    }
    assert_eq!(codes, [None, None, None, Some(DenialCode::RateLimited)]);
    let usage = store.usage(&key.record.lineage).await.unwrap().usage;
    assert_eq!(usage, keystile::Usage::default(), "nothing was written");
}

async fn last_use<S: Store + 'static>(
    authenticator: &Authenticator<S>,
    key: &keystile::Issued,
) -> Option<keystile::UnixMillis> {
    let found = authenticator.store().find(&Lookup::Id(key.record.id)).await;
    found.unwrap().unwrap().last_used_at
}

#[tokio::test]
async fn a_graceful_stop_loses_no_use() {
    let store = Scripted::new();
    let mut keys = Vec::new();
    for _ in 0..1_500 {
        keys.push(issued(&store.store).await);
    }
    let authenticator = over(&store)
        .flush_interval(Duration::from_hours(1))
        .build()
        .unwrap();
    for key in &keys {
        assert_eq!(code(&ask(&authenticator, key).await), None);
    }
    assert_eq!(
        last_use(&authenticator, &keys[0]).await,
        None,
        "not on the request's path"
    );
    authenticator.stop().await.unwrap();
    for key in &keys {
        assert_eq!(last_use(&authenticator, key).await, Some(at(1_000)));
    }
    assert_eq!(store.calls().note_uses, 2, "in batches");
    authenticator.stop().await.unwrap();
    assert_eq!(
        code(&ask(&authenticator, &keys[0]).await),
        Some(DenialCode::StoreUnavailable)
    );
    let text = keys[0].key.expose().as_bytes();
    let answer = authenticator
        .try_check(text, &Request::new(), at(1_000))
        .unwrap();
    assert!(!answer.decision.is_allow(), "changes are no longer read");
}

#[tokio::test(start_paused = true)]
async fn uses_are_noted_every_few_seconds_and_kept_while_that_fails() {
    let store = Scripted::new();
    let (first, second) = (issued(&*store).await, issued(&*store).await);
    let authenticator = over(&store)
        .flush_interval(Duration::from_secs(5))
        .build()
        .unwrap();
    assert_eq!(code(&ask(&authenticator, &first).await), None);
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(last_use(&authenticator, &first).await, Some(at(1_000)));

    assert_eq!(code(&ask(&authenticator, &second).await), None);
    store.trouble(Trouble::Fails);
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(authenticator.stats().uses_waiting, 1, "it waits");
    let failed = authenticator.stop().await;
    assert!(
        matches!(failed, Err(StoreError::Unavailable { .. })),
        "and is not lost silently"
    );
    store.trouble(Trouble::None);
    authenticator.stop().await.unwrap();
    assert_eq!(authenticator.stats().uses_waiting, 0);
    assert_eq!(last_use(&authenticator, &second).await, Some(at(1_000)));
}

#[tokio::test(start_paused = true)]
async fn uses_that_wait_are_bounded() {
    let store = Scripted::new();
    let authenticator = over(&store).capacity(4).build().unwrap();
    let mut keys = Vec::new();
    for _ in 0..64 {
        keys.push(issued(&*store).await);
    }
    for key in &keys {
        assert_eq!(code(&ask(&authenticator, key).await), None);
        store.trouble(Trouble::Fails);
        tokio::time::sleep(Duration::from_secs(6)).await;
        store.trouble(Trouble::None);
        assert!(authenticator.stats().uses_waiting <= 8);
        store.trouble(Trouble::None);
    }
}

#[tokio::test]
async fn tasks_end_with_the_last_handle() {
    let store = Scripted::new();
    let authenticator = over(&store).build().unwrap();
    let clone = authenticator.clone();
    drop(authenticator);
    let key = issued(&*store).await;
    assert_eq!(code(&ask(&clone, &key).await), None, "one handle is left");
    drop(clone);
    while Arc::strong_count(&store) > 1 {
        tokio::task::yield_now().await;
    }
}

#[test]
fn outside_of_a_runtime_there_is_none() {
    let built = over(&Scripted::new()).build();
    assert!(matches!(built, Err(StoreError::Unavailable { .. })));
}
