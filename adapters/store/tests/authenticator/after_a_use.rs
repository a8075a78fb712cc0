//! The work that a use calls for is done after the response.

use std::sync::Arc;

use keystile::{
    DenialCode, IssueRequest, Lookup, Pepper, PepperRing, RotationPolicy, SysRng, Verifier, issue,
};
use keystile_store::{Authenticator, Store};

use crate::scripted::{Scripted, Trouble, ask, at, code, format, issued, over};

#[tokio::test]
async fn an_outdated_digest_is_renewed() {
    let store = Scripted::new();
    let request = IssueRequest::new("Acme").unwrap();
    let issued = issue(&format(), &PepperRing::none(), &request, &mut SysRng, at(0)).unwrap();
    keystile_store::save_issued(&*store, &issued).await.unwrap();
    let peppers = PepperRing::new(Pepper::new(1, &[7; 32]).unwrap());
    let verifier = Verifier::new(format()).with_peppers(peppers);
    let authenticator = Authenticator::builder(Arc::clone(&store), verifier)
        .build()
        .unwrap();

    store.calls();
    store.trouble(Trouble::CommitFails);
    for _ in 0..50 {
        assert_eq!(
            code(&ask(&authenticator, &issued).await),
            None,
            "all the same"
        );
        tokio::task::yield_now().await;
    }
    let commits = store.calls().commit;
    assert_eq!(commits, 1, "a store in trouble is not asked at each use");
    store.trouble(Trouble::None);
    authenticator.stop().await.unwrap();

    let verifier = authenticator.verifier().clone();
    let authenticator = Authenticator::builder(Arc::clone(&store), verifier)
        .build()
        .unwrap();
    let answer = ask(&authenticator, &issued).await;
    let keystile::Decision::Allow(allowed) = answer.decision else {
        panic!("{answer:?}");
    };
    assert!(allowed.needs_rehash);
    loop {
        tokio::task::yield_now().await;
        let answer = ask(&authenticator, &issued).await;
        let keystile::Decision::Allow(allowed) = answer.decision else {
            panic!("{answer:?}");
        };
        if !allowed.needs_rehash {
            break;
        }
    }
    let found = store
        .find(&Lookup::Id(issued.record.id))
        .await
        .unwrap()
        .unwrap();
    assert!(found.digest.to_string().starts_with("hmac-sha256:1:"));
    assert_eq!(found.version, 2, "once");
}

#[tokio::test]
async fn the_first_use_of_a_successor_ends_the_overlap() {
    let store = Scripted::new();
    let old = issued(&*store).await;
    let authenticator = over(&store).build().unwrap();
    assert_eq!(code(&ask(&authenticator, &old).await), None, "cached");
    let policy = RotationPolicy::default().with_end_on_first_use(true);
    let rotated = authenticator
        .rotate(&old.record.id, &policy, None, &mut SysRng, at(1))
        .await
        .unwrap();
    assert_eq!(
        code(&ask(&authenticator, &old).await),
        None,
        "in its overlap"
    );
    let text = rotated.key.expose().as_bytes();
    let request = keystile::Request::new();
    let first = authenticator.check(text, &request, at(1_000)).await;
    assert_eq!(code(&first), None);
    while code(&ask(&authenticator, &old).await).is_none() {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        code(&ask(&authenticator, &old).await),
        Some(DenialCode::KeyReplaced)
    );
    loop {
        let next = authenticator.check(text, &request, at(1_000)).await;
        let keystile::Decision::Allow(allowed) = next.decision else {
            panic!("{next:?}");
        };
        if allowed.ends_overlap_of.is_none() {
            break;
        }
        tokio::task::yield_now().await;
    }
}
