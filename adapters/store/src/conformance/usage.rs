//! Usage: nothing is spent twice, and a limit is never exceeded.

use std::sync::Arc;

use keystile::{
    Cause, IssueRequest, KeyFormat, KeyRecord, Millis, PepperRing, RateLimit, RateState, Request,
    SysRng, Usage, Verifier, issue,
};

use super::fixture::*;
use crate::check::check;
use crate::store::{SpendRequest, Store};
use crate::verbs::save_issued;

pub(super) async fn usage_is_replaced_only_if_unchanged<S: Store>(store: Arc<S>) {
    let mut record = plain(1);
    record.remaining_uses = Some(2);
    insert(&*store, [&record]).await;
    let mut usage = Usage::of(&record);
    assert_eq!(
        store.usage(&record.lineage).await.unwrap().usage,
        usage,
        "a new record creates its usage"
    );

    let bits = [1, 1 << 20, i64::MAX as u64, 1 << 63, u64::MAX, 0];
    let remaining = [
        Some(1),
        Some(0),
        None,
        Some(0),
        Some(i64::MAX as u64),
        Some(7),
    ];
    for (bits, remaining) in bits.into_iter().zip(remaining) {
        let after = Usage::new(RateState::from_bits(bits), remaining);
        let wrong = [
            Usage::new(
                RateState::from_bits(usage.rate.to_bits() ^ 1),
                usage.remaining,
            ),
            Usage::new(
                RateState::from_bits(usage.rate.to_bits() ^ 1 << 63),
                usage.remaining,
            ),
            Usage::new(usage.rate, Some(usage.remaining.unwrap_or_default() ^ 1)),
            Usage::new(usage.rate, usage.remaining.xor(Some(0))),
        ];
        for before in wrong.into_iter().filter(|before| *before != usage) {
            let spent = store
                .spend(&SpendRequest::new(&record, before, after))
                .await
                .unwrap();
            assert!(
                !spent,
                "usage {before:?} must not be replaced: it is {usage:?}"
            );
            assert_eq!(
                store.usage(&record.lineage).await.unwrap().usage,
                usage,
                "nothing was spent"
            );
        }
        let spent = store
            .spend(&SpendRequest::new(&record, usage, after))
            .await
            .unwrap();
        assert!(spent, "unchanged usage is replaced");
        usage = after;
        assert_eq!(
            store.usage(&record.lineage).await.unwrap().usage,
            usage,
            "every bit of the limiter's state is kept"
        );
        record.remaining_uses = remaining;
        assert_same(
            find(&*store, &record.id).await.as_ref(),
            &record,
            "the record has the remaining uses",
        );
    }
}

/// I3: a decision on an older version of the record spends nothing.
pub(super) async fn a_spend_request_for_an_older_record_fails<S: Store>(store: Arc<S>) {
    let (record, other) = (plain(1), plain(2));
    insert(&*store, [&record, &other]).await;
    let after = Usage::new(RateState::from_bits(1), None);
    let changed = next(&record);
    store.commit(&updates([&changed])).await.unwrap();

    let request = SpendRequest::new(&record, Usage::default(), after);
    let foreign = SpendRequest {
        key_id: other.id,
        version: other.version,
        ..request
    };
    let gone = SpendRequest {
        key_id: id(9),
        ..request
    };
    let ahead = SpendRequest {
        version: 3,
        ..request
    };
    for request in [request, foreign, gone, ahead] {
        assert!(
            !store.spend(&request).await.unwrap(),
            "the key does not have that version: {request:?}"
        );
        assert_eq!(
            store.usage(&record.lineage).await.unwrap().usage,
            Usage::default(),
            "a failed spend changes nothing"
        );
    }
    let request = SpendRequest::new(&changed, Usage::default(), after);
    assert!(
        store.spend(&request).await.unwrap(),
        "a spend for the current record succeeds"
    );
    let ended = revoked(&changed, "");
    store.commit(&updates([&ended])).await.unwrap();
    let request = SpendRequest::new(&changed, after, Usage::default());
    assert!(
        !store.spend(&request).await.unwrap(),
        "nothing is spent after a revocation"
    );
}

/// A successor shares the usage of its predecessor.
pub(super) async fn a_lineage_has_one_usage<S: Store>(store: Arc<S>) {
    let mut first = plain(1);
    first.remaining_uses = Some(5);
    insert(&*store, [&first]).await;
    let after = Usage::new(RateState::from_bits(77), Some(2));
    assert!(
        store
            .spend(&SpendRequest::new(&first, Usage::of(&first), after))
            .await
            .unwrap()
    );

    // Read before the spend, so it has more uses than remain.
    let mut successor = plain(2);
    successor.lineage = first.id;
    successor.remaining_uses = Some(5);
    insert(&*store, [&successor]).await;
    assert_eq!(
        store.usage(&first.id).await.unwrap().usage,
        after,
        "the insert of a successor does not restore uses"
    );
    assert_eq!(
        store.usage(&successor.id).await.unwrap().usage,
        Usage::default(),
        "the successor has no usage of its own"
    );

    let last = Usage::new(RateState::from_bits(78), Some(1));
    assert!(
        store
            .spend(&SpendRequest::new(&successor, after, last))
            .await
            .unwrap()
    );
    for id in [first.id, successor.id] {
        let found = find(&*store, &id).await.expect("both are there");
        assert_eq!(
            found.remaining_uses,
            Some(1),
            "both keys have the same remaining uses"
        );
    }
}

/// I12: many concurrent clients can spend one use only once.
pub(super) async fn one_use_is_spent_once<S: Store + 'static>(store: Arc<S>) {
    let request = IssueRequest::new("Acme Ltd").unwrap().uses(1).unwrap();
    let (allowed, causes) = rush(store, request, 64).await;
    assert_eq!(allowed, 1, "one use is spent once");
    assert!(
        causes.iter().all(|cause| *cause == Cause::UsesSpent),
        "the others: {causes:?}"
    );
}

/// Of many concurrent clients, exactly as many pass as there are uses.
pub(super) async fn counted_uses_are_exact<S: Store + 'static>(store: Arc<S>) {
    let request = IssueRequest::new("Acme Ltd").unwrap().uses(7).unwrap();
    let (allowed, causes) = rush(store, request, 40).await;
    assert_eq!(allowed, 7, "seven uses are spent");
    assert!(
        causes.iter().all(|cause| *cause == Cause::UsesSpent),
        "the others: {causes:?}"
    );
}

/// I2: concurrent checks cannot exceed a limit.
pub(super) async fn a_limit_is_never_exceeded<S: Store + 'static>(store: Arc<S>) {
    let limit = RateLimit::new(10, Millis::from_hours(1)).unwrap();
    let request = IssueRequest::new("Acme Ltd").unwrap().rate_limit(limit);
    let (allowed, causes) = rush(store, request, 40).await;
    assert_eq!(allowed, 10, "a limit of 10 allows 10 of 40 requests");
    assert!(
        causes.iter().all(|cause| *cause == Cause::RateLimit),
        "the others: {causes:?}"
    );
}

/// Checks one key from many tasks at the same instant.
async fn rush<S: Store + 'static>(
    store: Arc<S>,
    request: IssueRequest,
    tasks: usize,
) -> (usize, Vec<Cause>) {
    let format = KeyFormat::structured("acme").unwrap();
    let issued = issue(&format, &PepperRing::none(), &request, &mut SysRng, at(0)).unwrap();
    save_issued(&*store, &issued).await.unwrap();
    let verifier = Arc::new(Verifier::new(format));
    let key: Arc<str> = issued.key.expose().into();
    let tasks: Vec<_> = (0..tasks)
        .map(|_| {
            let (store, verifier, key) = (store.clone(), verifier.clone(), key.clone());
            tokio::spawn(async move {
                check(&*store, &verifier, key.as_bytes(), &Request::new(), at(1)).await
            })
        })
        .collect();
    let (mut allowed, mut causes) = (0, Vec::new());
    for task in tasks {
        let checked = task
            .await
            .expect("a check does not panic")
            .expect("a check does not fail");
        match checked.decision.denial() {
            None => allowed += 1,
            Some(denial) => causes.push(denial.cause()),
        }
    }
    (allowed, causes)
}

pub(super) async fn the_latest_use_is_recorded<S: Store>(store: Arc<S>) {
    let (active, ended) = (plain(1), revoked(&plain(2), "leaked"));
    insert(&*store, [&active, &ended]).await;
    let noted = |record: &KeyRecord, millis| {
        let mut record = record.clone();
        record.last_used_at = Some(at(millis));
        record
    };
    store
        .note_uses(&[
            (active.id, at(20)),
            (id(9), at(99)),
            (active.id, at(10)),
            (ended.id, at(5)),
        ])
        .await
        .expect("uses can be recorded in bulk");
    assert_same(
        find(&*store, &active.id).await.as_ref(),
        &noted(&active, 20),
        "the latest use",
    );
    assert_same(
        find(&*store, &ended.id).await.as_ref(),
        &noted(&ended, 5),
        "the use of a revoked key is recorded",
    );
    assert!(
        find(&*store, &id(9)).await.is_none(),
        "a use of an unknown key creates no record"
    );

    for (millis, latest) in [
        (19, 20),
        (20, 20),
        (21, 21),
        (1, 21),
        (1_000_000, 1_000_000),
    ] {
        store.note_uses(&[(active.id, at(millis))]).await.unwrap();
        let found = find(&*store, &active.id).await;
        assert_same(
            found.as_ref(),
            &noted(&active, latest),
            "an older use changes nothing",
        );
    }
    store
        .note_uses(&[])
        .await
        .expect("an empty list of uses is not an error");
    let many: Vec<_> = (0..2_000)
        .map(|use_| (active.id, at(2_000_000 + use_)))
        .collect();
    store
        .note_uses(&many)
        .await
        .expect("many uses can be recorded at once");
    let found = find(&*store, &active.id).await;
    assert_same(
        found.as_ref(),
        &noted(&active, 2_001_999),
        "the latest of many",
    );
    store
        .commit(&updates([&next(&active)]))
        .await
        .expect("a use does not change the version");
}
