//! Identity: an id and a digest belong to one key only.

use std::sync::Arc;

use keystile::{Digest, DigestKind, Event, EventKind, Pepper, PepperRing, Status, Usage};

use super::fixture::*;
use crate::error::StoreError;
use crate::filter::Filter;
use crate::list::Page;
use crate::store::{SpendRequest, Store};

/// L1: ids and digests that differ in case are different.
pub(super) async fn ids_differ_in_case<S: Store>(store: Arc<S>) {
    let mut lower = plain(1);
    lower.id = "1aAaAaAaAaAaAaAa".parse().unwrap();
    lower.lineage = lower.id;
    lower.owner = Some("Tenant".into());
    let mut upper = plain(2);
    upper.id = "1AaAaAaAaAaAaAaA".parse().unwrap();
    upper.lineage = upper.id;
    upper.owner = Some("tENANT".into());

    let mut batch = inserts([&lower]);
    batch
        .events
        .push(Event::new(EventKind::Issued, lower.id, at(1)));
    store.commit(&batch).await.unwrap();
    assert!(
        find(&*store, &upper.id).await.is_none(),
        "an id in another case is not found"
    );
    assert!(
        store.lineage(&upper.id).await.unwrap().records.is_empty(),
        "a lineage in another case is not found"
    );
    assert!(
        store
            .events(Some(&upper.id), 0, 9)
            .await
            .unwrap()
            .events
            .is_empty(),
        "events of an id in another case are not found"
    );
    let request = SpendRequest {
        key_id: upper.id,
        ..SpendRequest::new(&lower, Usage::default(), Usage::default())
    };
    assert!(
        !store.spend(&request).await.unwrap(),
        "an id in another case cannot spend"
    );
    let owned = Filter {
        owner: upper.owner.clone(),
        ..Filter::default()
    };
    assert!(
        store
            .list(&owned, Page::first(9))
            .await
            .unwrap()
            .records
            .is_empty(),
        "an owner in another case is not found"
    );
    insert(&*store, [&upper]).await;
    assert_same(
        find(&*store, &lower.id).await.as_ref(),
        &lower,
        "beside one in another case",
    );
    assert_same(
        find(&*store, &upper.id).await.as_ref(),
        &upper,
        "beside one in another case",
    );
}

pub(super) async fn opaque_keys_are_found_by_their_digests<S: Store>(store: Arc<S>) {
    let pepper = |version: u8| Pepper::new(version.into(), &[version; 32]).unwrap();
    let none = PepperRing::none();
    let ring = PepperRing::new(pepper(2)).with_retired(pepper(1)).unwrap();
    let old_ring = PepperRing::new(pepper(1));

    let mut bare = plain(1);
    bare.digest = none.digest(opaque(1).as_bytes());
    let mut retired = plain(2);
    retired.digest = old_ring.digest(opaque(2).as_bytes());
    let mut current = plain(3);
    current.digest = ring.digest(opaque(3).as_bytes());
    // The same bytes of another kind are another digest.
    let mut mislabelled = plain(4);
    let kind = DigestKind::HmacSha256 { pepper: 2 };
    mislabelled.digest = Digest::new(kind, *none.digest(opaque(4).as_bytes()).bytes());
    insert(&*store, [&bare, &retired, &current, &mislabelled]).await;

    for (record, number) in [(&bare, 1), (&retired, 2), (&current, 3)] {
        let found = store
            .find(&opaque_lookup(&opaque(number), &ring))
            .await
            .unwrap();
        assert_same(found.as_ref(), record, "found by one of its digests");
    }
    for (number, peppers) in [
        (2, &none),
        (3, &none),
        (3, &old_ring),
        (4, &none),
        (4, &ring),
        (5, &ring),
    ] {
        let found = store
            .find(&opaque_lookup(&opaque(number), peppers))
            .await
            .unwrap();
        assert!(
            found.is_none(),
            "the lookup contains no digest of key {number}"
        );
    }
}

pub(super) async fn ids_and_digests_are_taken_once<S: Store>(store: Arc<S>) {
    let (first, mut revoked) = (plain(1), plain(2));
    revoked.status = Status::Revoked {
        at: at(0),
        reason: "".into(),
    };
    insert(&*store, [&first, &revoked]).await;
    let before = all_events(&*store).await;

    for taken in [&first, &revoked] {
        let mut same_id = plain(3);
        same_id.id = taken.id;
        let mut same_digest = plain(4);
        same_digest.digest = taken.digest;
        for record in [&same_id, &same_digest, taken] {
            let mut batch = inserts([record]);
            batch.events.push(event(3));
            let refused = store.commit(&batch).await;
            assert!(
                matches!(refused, Err(StoreError::Duplicate)),
                "an id and a digest can be inserted only once: {refused:?}"
            );
        }
    }
    let twice = store.commit(&inserts([&plain(5), &plain(5)])).await;
    assert!(
        matches!(twice, Err(StoreError::Duplicate)),
        "an id and a digest can be only once in a batch"
    );
    let mut same_digest = next(&first);
    same_digest.digest = revoked.digest;
    let refused = store.commit(&updates([&same_digest])).await;
    assert!(
        matches!(refused, Err(StoreError::Duplicate)),
        "an update cannot take another key's digest"
    );

    assert_eq!(
        all_events(&*store).await,
        before,
        "a refused batch writes no event"
    );
    for number in 3..6 {
        assert!(
            find(&*store, &id(number)).await.is_none(),
            "a refused record is not found"
        );
    }
    assert_same(
        find(&*store, &first.id).await.as_ref(),
        &first,
        "after refusals",
    );
    assert_same(
        find(&*store, &revoked.id).await.as_ref(),
        &revoked,
        "after refusals",
    );
}
