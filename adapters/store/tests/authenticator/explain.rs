//! What a process explains: with what it has counted and not written yet, and spending nothing.

use std::sync::Arc;

use keystile::{
    CheckStep, DenialCode, IssueRequest, KeyChange, Lookup, Millis, RateLimit, Request,
};
use keystile_store::{SqliteStore, Store, StoreError};
use rusqlite::Connection;

use crate::scripted::{Scripted, Trouble, ask, at, code, has_begun, issued_as, over};

fn twice_an_hour() -> IssueRequest {
    let limit = RateLimit::new(2, Millis::from_hours(1)).unwrap();
    let request = IssueRequest::new("Acme").unwrap().rate_limit(limit);
    request.endpoints(["/api/data/*"]).unwrap()
}

#[tokio::test]
async fn what_was_counted_here_is_explained_and_nothing_is_spent() {
    let store = Scripted::new();
    let key = issued_as(&*store, twice_an_hour()).await;
    let authenticator = over(&store).build().unwrap();
    let (id, text) = (key.record.id, key.key.expose().as_bytes());
    let fits = Request::new().endpoint("GET", "/api/data/7");
    for _ in 0..5 {
        let explained = authenticator.explain(&id, &fits, at(1_000)).await.unwrap();
        assert!(explained.explanation.decision.is_allow());
        let own = authenticator
            .own_key(text, &Request::new(), at(1_000))
            .await;
        let record = own.record.expect("it is valid, and no endpoint is asked");
        assert_eq!(record.id, id);
    }
    for left in [1, 0] {
        assert!(
            authenticator
                .check(text, &fits, at(1_000))
                .await
                .decision
                .is_allow()
        );
        let own = authenticator
            .own_key(text, &Request::new(), at(1_000))
            .await;
        let keystile::Decision::Allow(allowed) = own.decision else {
            panic!("{own:?}")
        };
        assert_eq!(allowed.quota.unwrap().remaining(), left, "what is left now");
    }
    let explained = authenticator.explain(&id, &fits, at(1_000)).await.unwrap();
    let refused = explained.explanation.refused_by().unwrap();
    assert_eq!(refused.step, CheckStep::RateLimit);
    let denied = authenticator.check(text, &fits, at(1_000)).await;
    assert_eq!(code(&denied), refused.refusal, "as the decision says");
    assert_eq!(store.calls().note_uses, 0);
    let found = store.store.find(&Lookup::Id(id)).await.unwrap().unwrap();
    assert_eq!(found.version, 1);
}

#[tokio::test]
async fn a_key_that_ended_or_a_guess_has_no_own_key() {
    let store = Scripted::new();
    let key = issued_as(&*store, twice_an_hour()).await;
    let authenticator = over(&store).build().unwrap();
    let text = key.key.expose().as_bytes();
    let own = async |text: &[u8]| code(&authenticator.own_key(text, &Request::new(), at(1)).await);
    assert_eq!(own(text).await, None);
    assert_eq!(own(b"acme_live_typo").await, Some(DenialCode::InvalidKey));
    let stranger = issued_as(&*Scripted::new(), twice_an_hour()).await;
    let unknown = stranger.key.expose().as_bytes();
    assert_eq!(own(unknown).await, Some(DenialCode::InvalidKey));
    authenticator.suspend(&key.record.id, at(1)).await.unwrap();
    assert_eq!(own(text).await, Some(DenialCode::KeySuspended));
    authenticator
        .revoke(&key.record.id, "", at(1))
        .await
        .unwrap();
    assert_eq!(own(text).await, Some(DenialCode::KeyRevoked));
    let expired = issued_as(&*store, twice_an_hour().expires_in(Millis::new(1)).unwrap()).await;
    let (late, nothing) = (expired.key.expose().as_bytes(), Request::new());
    let late = authenticator.own_key(late, &nothing, at(9_000)).await;
    assert_eq!(code(&late), Some(DenialCode::KeyExpired));
    store.trouble(Trouble::Fails);
    assert_eq!(own(text).await, Some(DenialCode::StoreUnavailable));
}

#[tokio::test]
async fn a_damaged_row_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.db");
    let store = Arc::new(SqliteStore::open(&path).unwrap());
    store.migrate().await.unwrap();
    let key = issued_as(&*store, twice_an_hour()).await;
    let other = Connection::open(&path).unwrap();
    let sql = "UPDATE api_keys SET permissions = 'not json' WHERE key_id = ?1";
    assert_eq!(other.execute(sql, [key.record.id.as_str()]).unwrap(), 1);
    let authenticator = over(&store).build().unwrap();
    let explained = authenticator
        .explain(&key.record.id, &Request::new(), at(1))
        .await;
    let Err(StoreError::Corrupt(row)) = explained else {
        panic!("{explained:?}")
    };
    assert_eq!(row.column, "permissions");
    let text = key.key.expose().as_bytes();
    let own = authenticator.own_key(text, &Request::new(), at(1)).await;
    assert_eq!(code(&own), Some(DenialCode::RecordDamaged));
    assert_eq!(code(&ask(&authenticator, &key).await), code(&own));
}

#[tokio::test]
async fn calls_for_the_same_key_share_a_fetch() {
    let store = Scripted::new();
    let key = issued_as(&*store, twice_an_hour()).await;
    let authenticator = over(&store).build().unwrap();
    has_begun(&authenticator).await;
    let _ = store.calls();
    store.close();
    let asking: Vec<_> = (0..200)
        .map(|_| {
            let (authenticator, text) = (authenticator.clone(), key.key.expose().to_owned());
            tokio::spawn(async move {
                let asked = Request::new();
                code(
                    &authenticator
                        .own_key(text.as_bytes(), &asked, at(1_000))
                        .await,
                )
            })
        })
        .collect();
    store.at_the_gate(1).await;
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(store.held(), 1, "all wait for one answer");
    store.open();
    for asked in asking {
        assert_eq!(asked.await.unwrap(), None);
    }
    assert_eq!(store.calls().find, 1);
}

/// A2: a replica that lags behind a change of this process shows nothing that was before it.
#[tokio::test]
async fn a_record_from_before_a_change_is_not_shown() {
    let store = Scripted::new();
    let key = issued_as(&*store, twice_an_hour()).await;
    let authenticator = over(&store).build().unwrap();
    has_begun(&authenticator).await;
    let (id, text) = (key.record.id, key.key.expose().as_bytes());
    authenticator.suspend(&id, at(1)).await.unwrap();
    store.trouble(Trouble::Lags);
    let own = authenticator.own_key(text, &Request::new(), at(2)).await;
    assert_eq!(code(&own), Some(DenialCode::StoreUnavailable));
    let explained = authenticator.explain(&id, &Request::new(), at(2)).await;
    assert!(matches!(explained, Err(StoreError::Stale)), "{explained:?}");
    store.trouble(Trouble::None);
    let own = authenticator.own_key(text, &Request::new(), at(2)).await;
    assert_eq!(code(&own), Some(DenialCode::KeySuspended));
    assert!(
        authenticator
            .explain(&id, &Request::new(), at(2))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn after_a_change_of_the_limit_the_own_key_has_the_quota_of_the_new_one() {
    let store = Scripted::new();
    let key = issued_as(&*store, twice_an_hour()).await;
    let authenticator = over(&store).build().unwrap();
    has_begun(&authenticator).await;
    let (id, text) = (key.record.id, key.key.expose().as_bytes());
    let fits = Request::new().endpoint("GET", "/api/data/7");
    for _ in 0..2 {
        let used = authenticator.check(text, &fits, at(1_000)).await;
        assert_eq!(code(&used), None);
    }
    let often = RateLimit::new(10, Millis::from_secs(1)).unwrap();
    let change = KeyChange::new().rate_limit(Some(often));
    authenticator.change(&id, &change, at(1_000)).await.unwrap();
    let own = authenticator
        .own_key(text, &Request::new(), at(1_000))
        .await;
    let keystile::Decision::Allow(allowed) = own.decision else {
        panic!("its state and its networks are as before")
    };
    let waits = Millis::new(100);
    assert_eq!(allowed.quota.unwrap().retry_after(), Some(waits));
    let explained = authenticator.explain(&id, &fits, at(1_000)).await.unwrap();
    let denied = authenticator.check(text, &fits, at(1_000)).await.decision;
    for decision in [&explained.explanation.decision, &denied] {
        assert_eq!(decision.denial().unwrap().retry_after(), Some(waits));
    }
}
