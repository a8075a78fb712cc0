//! Decisions that are explained or tried: they spend nothing, and write nothing.

use std::sync::Arc;

use keystile::{
    CheckStep, Denial, DenialCode, IssueRequest, Issuer, KeyFormat, Lookup, Millis, RateLimit,
    Request, Requirement, SysRng, Verifier,
};

use super::fixture::*;
use crate::check::check;
use crate::error::StoreError;
use crate::explain::{check_dry, explain};
use crate::store::Store;
use crate::verbs::{revoke, save_issued};

pub(super) async fn an_explanation_spends_nothing<S: Store>(store: Arc<S>) {
    let store = &*store;
    let format = KeyFormat::structured("acme").unwrap();
    let verifier = Verifier::new(format.clone());
    let wanted = IssueRequest::new("Acme Ltd")
        .and_then(|request| request.permissions(["read"]))
        .and_then(|request| request.endpoints(["/api/data/*"]))
        .and_then(|request| request.uses(3));
    let limit = RateLimit::new(2, Millis::from_hours(1)).unwrap();
    let wanted = wanted.unwrap().rate_limit(limit);
    let issued = Issuer::new(format)
        .issue(&wanted, &mut SysRng, at(0))
        .unwrap();
    save_issued(store, &issued).await.unwrap();
    let (id, key) = (issued.record.id, issued.key.expose().as_bytes());
    let read = Requirement::parse("read").unwrap();
    let fits = Request::new()
        .requires(&read)
        .endpoint("GET", "/api/data/7");
    let everything = async || {
        let found = store.find_with_usage(&Lookup::Id(id)).await.unwrap();
        let (record, stored) = found.expect("it is there");
        let events = store.last_event().await.unwrap();
        (record, stored.usage, events)
    };
    let code = |denial: Option<&Denial>| denial.map(Denial::code);

    let before = everything().await;
    for _ in 0..5 {
        let explained = explain(store, &verifier, &id, &fits, at(1)).await.unwrap();
        assert!(explained.explanation.decision.is_allow());
        assert_eq!(explained.record.remaining_uses, Some(3));
        let tried = check_dry(store, &verifier, key, &fits, at(1))
            .await
            .unwrap();
        assert!(tried.decision.is_allow(), "a trial spends nothing");
    }
    assert_same(Some(&everything().await.0), &before.0, "nothing is written");
    assert_eq!(
        (everything().await.1, everything().await.2),
        (before.1, before.2)
    );

    let elsewhere = fits.endpoint("GET", "/api/users/7");
    let explained = explain(store, &verifier, &id, &elsewhere, at(1))
        .await
        .unwrap();
    let refused = explained.explanation.refused_by().expect("another path");
    assert_eq!(refused.step, CheckStep::Endpoint);
    assert_eq!(
        refused.compared,
        "the request is GET /api/users/7; the key may be used for: /api/data/*"
    );
    let tried = check_dry(store, &verifier, key, &elsewhere, at(1))
        .await
        .unwrap();
    assert_eq!(
        code(tried.decision.denial()),
        Some(DenialCode::EndpointNotAllowed)
    );

    for _ in 0..2 {
        let checked = check(store, &verifier, key, &fits, at(1)).await.unwrap();
        assert!(checked.decision.is_allow(), "two requests an hour");
    }
    let explained = explain(store, &verifier, &id, &fits, at(1)).await.unwrap();
    assert_eq!(explained.record.remaining_uses, Some(1));
    let refused = explained
        .explanation
        .refused_by()
        .expect("the limit is spent");
    assert_eq!(
        (refused.step, refused.refusal),
        (CheckStep::RateLimit, Some(DenialCode::RateLimited))
    );
    let tried = check_dry(store, &verifier, key, &fits, at(1))
        .await
        .unwrap();
    assert_eq!(code(tried.decision.denial()), Some(DenialCode::RateLimited));

    revoke(store, &id, "left in a log", at(2)).await.unwrap();
    let explained = explain(store, &verifier, &id, &elsewhere, at(3))
        .await
        .unwrap();
    let refusing = explained.explanation.checks.iter();
    let refusing: Vec<_> = refusing
        .filter(|check| check.refusal.is_some())
        .map(|check| check.step)
        .collect();
    assert_eq!(
        refusing,
        [CheckStep::Status, CheckStep::Endpoint, CheckStep::RateLimit],
        "the first one decides, and the others are named too"
    );
    let absent = super::fixture::id(9);
    let missing = explain(store, &verifier, &absent, &fits, at(3)).await;
    assert!(matches!(missing, Err(StoreError::NotFound)), "{missing:?}");
}
