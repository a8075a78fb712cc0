//! The verbs are in force in this process when they return, however they end.

use std::sync::Arc;

use keystile::{
    DenialCode, IssueRequest, Issued, Issuer, KeyChange, Millis, Networks, PermissionSet,
    RateLimit, RotationPolicy,
};
use keystile::{ScopeTemplate, SysRng, TemplateName};
use keystile_store::{Filter, OfDerived, Page, Store, StoreError};

use crate::scripted::{Scripted, Trouble, ask, at, code, format, issued, issued_as, over};

#[tokio::test]
async fn each_verb_is_in_force_when_it_returns() {
    let store = Scripted::new();
    let key = issued(&*store).await;
    let id = key.record.id;
    let authenticator = over(&store).build().unwrap();
    assert_eq!(code(&ask(&authenticator, &key).await), None);
    authenticator.suspend(&id, at(1)).await.unwrap();
    assert_eq!(
        code(&ask(&authenticator, &key).await),
        Some(DenialCode::KeySuspended)
    );
    authenticator.resume(&id, at(2)).await.unwrap();
    assert_eq!(code(&ask(&authenticator, &key).await), None);
    let unlike = KeyChange::new().networks(Networks::new(["192.0.2.0/24"]).unwrap());
    let outcome = authenticator.change(&id, &unlike, at(2)).await.unwrap();
    assert_eq!(outcome.version().map(|(_, version)| version), Some(4));
    assert_eq!(
        code(&ask(&authenticator, &key).await),
        Some(DenialCode::NetworkNotAllowed)
    );
    let anywhere = KeyChange::new().networks(None);
    authenticator.change(&id, &anywhere, at(2)).await.unwrap();
    assert_eq!(code(&ask(&authenticator, &key).await), None);
    let at_once = RotationPolicy::default()
        .with_overlap(Millis::ZERO)
        .unwrap();
    let rotated = authenticator
        .rotate(&id, &at_once, None, &mut SysRng, at(3))
        .await
        .unwrap();
    assert_eq!(
        code(&ask(&authenticator, &key).await),
        Some(DenialCode::KeyReplaced)
    );
    let text = rotated.key.expose().as_bytes();
    let request = keystile::Request::new();
    assert_eq!(
        code(&authenticator.check(text, &request, at(1_000)).await),
        None
    );
    authenticator
        .revoke(&rotated.successor.id, "leaked", at(4))
        .await
        .unwrap();
    let answer = authenticator.check(text, &request, at(1_000)).await;
    assert_eq!(code(&answer), Some(DenialCode::KeyRevoked));
    let nobody = "1000000000000000".parse().unwrap();
    let refused = authenticator.revoke(&nobody, "leaked", at(4)).await;
    assert!(matches!(refused, Err(StoreError::NotFound)));
}

#[tokio::test]
async fn a_key_is_issued_and_saved_or_neither() {
    let store = Scripted::new();
    let authenticator = over(&store).build().unwrap();
    let issuer = Issuer::new(format());
    let request = IssueRequest::new("Acme Ltd").unwrap();
    let issue = async |request: &IssueRequest| {
        authenticator
            .issue(&issuer, request, &mut SysRng, at(0))
            .await
    };
    let issued = issue(&request).await.unwrap();
    assert_eq!(code(&ask(&authenticator, &issued).await), None);

    let template = ScopeTemplate::new(TemplateName::new("none").unwrap(), PermissionSet::default());
    let more = request.clone().template(template);
    let more = more.permissions(["read"]).unwrap();
    assert!(matches!(issue(&more).await, Err(StoreError::Refused(_))));
    store.trouble(Trouble::CommitFails);
    let failed = issue(&request).await;
    assert!(matches!(failed, Err(StoreError::Unavailable { .. })));
    let kept = store.store.list(&Filter::default(), Page::first(9)).await;
    assert_eq!(kept.unwrap().records, [issued.record]);
}

/// G4: a change whose end its caller did not see may have been written.
#[tokio::test]
async fn a_change_that_was_given_up_voids_what_is_cached() {
    let store = Scripted::new();
    let key = issued(&*store).await;
    let id = key.record.id;
    let authenticator = over(&store).build().unwrap();
    assert_eq!(code(&ask(&authenticator, &key).await), None);
    store.hold_commits();
    let revokes = {
        let authenticator = authenticator.clone();
        tokio::spawn(async move { authenticator.revoke(&id, "leaked", at(1)).await })
    };
    // It is written, and its caller has not heard so.
    store.at_the_gate(1).await;
    revokes.abort();
    let _ = revokes.await;
    store.open();
    assert_eq!(
        code(&ask(&authenticator, &key).await),
        Some(DenialCode::KeyRevoked)
    );
}

#[tokio::test]
async fn a_change_that_failed_voids_what_is_cached() {
    let store = Scripted::new();
    let key = issued(&*store).await;
    let authenticator = over(&store).build().unwrap();
    assert_eq!(code(&ask(&authenticator, &key).await), None);
    store.trouble(Trouble::CommitFails);
    store.calls();
    let failed = authenticator.revoke(&key.record.id, "leaked", at(1)).await;
    assert!(matches!(failed, Err(StoreError::Unavailable { .. })));
    store.calls();
    assert_eq!(
        code(&ask(&authenticator, &key).await),
        None,
        "it was not written"
    );
    assert_eq!(store.calls().find, 1, "but the store was asked");
}

/// G1: many threads ask while a key is revoked; none is allowed after the call returned.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_is_allowed_once_a_revocation_returned() {
    let store = Scripted::new();
    let authenticator = over(&store).build().unwrap();
    for round in 0..300 {
        let key = Arc::new(issued(&store.store).await);
        let ended = Arc::new(core::sync::atomic::AtomicBool::new(false));
        let asks: Vec<_> = (0..3)
            .map(|_| {
                let (authenticator, key) = (authenticator.clone(), Arc::clone(&key));
                let ended = Arc::clone(&ended);
                tokio::spawn(async move {
                    loop {
                        let was_ended = ended.load(core::sync::atomic::Ordering::SeqCst);
                        let allowed = code(&ask(&authenticator, &key).await).is_none();
                        assert!(!(was_ended && allowed), "allowed after the revocation");
                        if was_ended {
                            break;
                        }
                        tokio::task::yield_now().await;
                    }
                })
            })
            .collect();
        for _ in 0..round % 7 {
            tokio::task::yield_now().await;
        }
        authenticator
            .revoke(&key.record.id, "leaked", at(1))
            .await
            .unwrap();
        ended.store(true, core::sync::atomic::Ordering::SeqCst);
        for asked in asks {
            asked.await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_raise_of_uses_or_of_the_limit_is_in_force_when_the_change_returns() {
    let store = Scripted::new();
    let authenticator = over(&store).build().unwrap();
    let hourly = |count| RateLimit::new(count, Millis::from_hours(1)).unwrap();
    let request = IssueRequest::new("Acme Ltd").unwrap().uses(1).unwrap();
    let issuer = Issuer::new(format());
    let mut rng = SysRng;
    let counted = authenticator
        .issue(&issuer, &request, &mut rng, at(0))
        .await;
    let counted = counted.unwrap();
    let request = IssueRequest::new("Acme Ltd").unwrap().rate_limit(hourly(1));
    let limited = authenticator
        .issue(&issuer, &request, &mut rng, at(0))
        .await;
    let limited = limited.unwrap();
    let ask = async |key: &Issued| {
        code(&{
            let text = key.key.expose().as_bytes();
            authenticator
                .check(text, &keystile::Request::new(), at(9))
                .await
        })
    };
    let raises = [
        (
            &counted,
            KeyChange::new().uses(2).unwrap(),
            DenialCode::UsesSpent,
        ),
        (
            &limited,
            KeyChange::new().rate_limit(None),
            DenialCode::RateLimited,
        ),
    ];
    for (key, raise, refused) in raises {
        assert_eq!(ask(key).await, None);
        assert_eq!(ask(key).await, Some(refused));
        let id = &key.record.id;
        authenticator.change(id, &raise, at(9)).await.unwrap();
        assert_eq!(ask(key).await, None);
        assert_eq!(ask(key).await, None);
    }
    assert_eq!(ask(&counted).await, Some(DenialCode::UsesSpent));
    // A cut is in force too.
    let less = KeyChange::new()
        .permissions(PermissionSet::default())
        .uses(1)
        .unwrap();
    authenticator
        .change(&counted.record.id, &less, at(9))
        .await
        .unwrap();
    assert_eq!(ask(&counted).await, None);
    assert_eq!(ask(&counted).await, Some(DenialCode::UsesSpent));
}

/// G4: so may the other keys have been changed that a change or a rotation concerns.
#[tokio::test(start_paused = true)]
async fn a_change_that_was_given_up_voids_the_other_keys_of_the_lineage() {
    for rotates in [false, true] {
        let store = Scripted::new();
        let oldest = issued(&*store).await;
        let authenticator = over(&store).build().unwrap();
        let policy = RotationPolicy::default();
        let rotated = authenticator
            .rotate(&oldest.record.id, &policy, None, &mut SysRng, at(1))
            .await;
        let second = rotated.unwrap().successor.id;
        let answer = async || {
            let text = oldest.key.expose().as_bytes();
            let request = keystile::Request::new();
            code(&authenticator.check(text, &request, at(9)).await)
        };
        assert_eq!(answer().await, None, "within its overlap, and not counted");
        store.hold_commits();
        let given_up = {
            let authenticator = authenticator.clone();
            tokio::spawn(async move {
                if rotates {
                    authenticator
                        .rotate(&second, &policy, None, &mut SysRng, at(2))
                        .await
                        .map(drop)
                } else {
                    let once = KeyChange::new().uses(1).unwrap();
                    authenticator.change(&second, &once, at(2)).await.map(drop)
                }
            })
        };
        store.at_the_gate(1).await;
        given_up.abort();
        let _ = given_up.await;
        store.open();
        if rotates {
            assert_eq!(answer().await, Some(DenialCode::KeyReplaced));
        } else {
            assert_eq!(answer().await, None, "the only use");
            assert_eq!(answer().await, Some(DenialCode::UsesSpent));
        }
    }
}

/// If another process was faster, its derived keys are refused here too when the verb returns.
#[tokio::test(start_paused = true)]
async fn what_others_have_ended_is_in_force_with_its_derived_keys() {
    // A source that is moved to another owner leaves its derived keys with the old one.
    for (is_owned, is_moved) in [(false, false), (true, false), (true, true)] {
        let store = Scripted::new();
        let mut request = IssueRequest::new("Acme").unwrap();
        if is_owned {
            request = request.owner("acme").unwrap();
        }
        let source = issued_as(&*store, request).await;
        let authenticator = over(&store).build().unwrap();
        let (issuer, shop) = (Issuer::new(format()), IssueRequest::new("a shop").unwrap());
        let derived = authenticator
            .delegate(&source.record.id, &issuer, &shop, &mut SysRng, at(1))
            .await
            .unwrap();
        if is_moved {
            let change = KeyChange::new().owner("bolt").unwrap();
            let (id, rule) = (&source.record.id, OfDerived::Keep);
            let permit = |_: &_, _: &_| Ok::<_, StoreError>(());
            keystile_store::change_derived(&*store, id, &change, rule, at(1), permit)
                .await
                .unwrap();
        }
        // The reader of events has begun, and reads no more before time passes.
        tokio::task::yield_now().await;
        assert_eq!(code(&ask(&authenticator, &derived).await), None);
        let id = &source.record.id;
        keystile_store::revoke(&*store, id, "leaked", at(2))
            .await
            .unwrap();
        let outcome = authenticator.revoke(id, "leaked", at(2)).await.unwrap();
        assert!(!outcome.is_changed());
        let denial = code(&ask(&authenticator, &derived).await);
        let what = format!("owned: {is_owned}, moved: {is_moved}");
        assert_eq!(denial, Some(DenialCode::KeyRevoked), "{what}");
    }
}

/// What the use of a counted key brings about is by the process too.
#[tokio::test]
async fn the_end_of_an_overlap_by_a_counted_key_names_the_process() {
    let store = Scripted::new();
    let counted = IssueRequest::new("Acme").unwrap().uses(9).unwrap();
    let oldest = issued_as(&*store, counted).await;
    let authenticator = over(&store).build().unwrap();
    let policy = RotationPolicy::default().with_end_on_first_use(true);
    let rotated = authenticator
        .rotate(&oldest.record.id, &policy, None, &mut SysRng, at(1))
        .await
        .unwrap();
    let text = rotated.key.expose().as_bytes();
    let request = keystile::Request::new();
    let answer = authenticator.check(text, &request, at(2)).await;
    assert_eq!(code(&answer), None);
    let events = store.events(Some(&oldest.record.id), 0, 99).await.unwrap();
    let (_, last) = events.events.last().unwrap();
    assert_eq!(last.actor.as_deref(), Some("keystile"), "{last:?}");
}
