//! Derived keys and another writer between the read and the write of a verb, and their number.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "this is a test"
)]

use core::cell::Cell;
use core::pin::pin;
use core::sync::atomic::{AtomicU32, Ordering};
use core::task::{Context, Poll, Waker};
use std::sync::Arc;

use keystile::{
    DerivedFrom, IssueRequest, Issuer, KeyChange, KeyFormat, KeyId, KeyRecord, Millis, PepperRing,
    PermissionSet, RotationPolicy, SysRng, UnixMillis, Verifier,
};
use keystile_store::{
    Authenticator, Batch, DERIVED_KEYS_MAX, DerivedProblem, MemoryStore, Store, StoreError, change,
    change_if, delegate, record, rotate, save_issued, suspend,
};

fn at(millis: u64) -> UnixMillis {
    UnixMillis::new(1_790_000_000_000 + millis).unwrap()
}

fn issuer() -> Issuer {
    Issuer::new(KeyFormat::structured("acme").unwrap())
}

fn named() -> IssueRequest {
    IssueRequest::new("Acme").unwrap()
}

async fn issued(store: &MemoryStore, request: &IssueRequest) -> KeyId {
    let issued = issuer().issue(request, &mut SysRng, at(0)).unwrap();
    save_issued(store, &issued).await.unwrap();
    issued.record.id
}

/// The result of a future of the store in memory, which never waits.
fn done<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("the store in memory does not wait"),
    }
}

/// 10 are spent while 10 are made 15: 5 are left, or the 10 would be given twice.
#[tokio::test]
async fn uses_that_are_spent_during_a_raise_are_not_given_back() {
    let store = MemoryStore::new();
    let top = issued(&store, &named().uses(100).unwrap()).await;
    let ten = named().uses(10).unwrap();
    let key = delegate(&store, &top, &issuer(), &ten, &mut SysRng, at(1))
        .await
        .unwrap()
        .record;
    let calls = Cell::new(0);
    let spend = |_: &KeyRecord, _: &KeyRecord| {
        calls.set(calls.get() + 1);
        if calls.get() == 1 {
            let mut batch = Batch::new();
            batch.take_uses.push((key.lineage, 10));
            done(store.commit(&batch))?;
        }
        Ok::<(), StoreError>(())
    };
    let more = KeyChange::new().uses(15).unwrap();
    change_if(&store, &key.id, &more, at(2), spend)
        .await
        .unwrap();
    assert_eq!(calls.get(), 2, "asked again");
    let left = async |id| record(&store, id).await.unwrap().remaining_uses;
    assert_eq!(left(&key.id).await, Some(15));
    assert_eq!(left(&top).await, Some(75), "90, and 15 for 15 from 0");
}

/// The record that is rotated or resumed is the one that was permitted.
#[tokio::test]
async fn a_permit_is_for_the_record_that_is_written() {
    let store = Arc::new(MemoryStore::new());
    let verifier = Verifier::new(issuer().format().clone());
    let authenticator = Authenticator::builder(store.clone(), verifier)
        .build()
        .unwrap();
    let reads = |record: &KeyRecord| match record.permissions.grants("write") {
        true => Err(StoreError::NotFound),
        false => Ok(()),
    };
    let writes = KeyChange::new().permissions(PermissionSet::new(["write"]).unwrap());
    for verb in ["rotate", "resume"] {
        let key = issued(&store, &named().permissions(["read"]).unwrap()).await;
        if verb == "resume" {
            suspend(&*store, &key, at(1)).await.unwrap();
        }
        let calls = AtomicU32::new(0);
        let widen = |record: &KeyRecord| {
            reads(record)?;
            if calls.fetch_add(1, Ordering::SeqCst) == 0 {
                done(change(&*store, &key, &writes, at(2)))?;
            }
            Ok::<(), StoreError>(())
        };
        let refused = match verb {
            "rotate" => {
                let permit = |record: &KeyRecord| widen(record).map(|()| RotationPolicy::default());
                let rng = &mut SysRng;
                let rotated = authenticator.rotate_if(&key, permit, None, rng, at(3));
                rotated.await.map(drop)
            }
            _ => authenticator.resume_if(&key, at(3), widen).await.map(drop),
        };
        assert!(
            matches!(refused, Err(StoreError::NotFound)),
            "{verb}: {refused:?}"
        );
        let left = record(&*store, &key).await.unwrap();
        assert!(left.replaced_by.is_none(), "{verb}");
        assert_eq!(left.is_live(at(4)), verb == "rotate");
    }
}

#[tokio::test]
async fn rotations_do_not_make_derived_keys_without_limit() {
    let store = MemoryStore::new();
    let top = issued(&store, &named()).await;
    let source = record(&store, &top).await.unwrap();
    let key = delegate(&store, &top, &issuer(), &named(), &mut SysRng, at(1))
        .await
        .unwrap()
        .record;
    let short = named().expires_in(Millis::new(1_000)).unwrap();
    let mut batch = Batch::new();
    for _ in 1..2 * DERIVED_KEYS_MAX {
        let mut issued = issuer().issue(&short, &mut SysRng, at(2)).unwrap();
        issued.record.derived_from = Some(DerivedFrom::key(&source));
        let one = Batch::of_issued(&issued);
        batch.inserts.extend(one.inserts);
        batch.events.extend(one.events);
    }
    store.commit(&batch).await.unwrap();
    let (policy, none) = (RotationPolicy::default(), PepperRing::none());
    let too_many = |error: &StoreError| {
        let expected = DerivedProblem::TooMany;
        assert!(matches!(error, StoreError::Derived(problem) if *problem == expected));
    };
    let rotated = rotate(&store, &key.id, &policy, None, &none, &mut SysRng, at(3)).await;
    too_many(&rotated.unwrap_err());
    let derived = delegate(&store, &top, &issuer(), &named(), &mut SysRng, at(3)).await;
    too_many(&derived.unwrap_err());
    // Their time is over, and that of a clock that is late.
    let later = at(62_000);
    rotate(&store, &key.id, &policy, None, &none, &mut SysRng, later)
        .await
        .unwrap();
    delegate(&store, &top, &issuer(), &named(), &mut SysRng, later)
        .await
        .unwrap();
}
