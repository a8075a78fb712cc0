//! Requests that are sent again.

use std::sync::Arc;

use keystile::{By, KeyId, Millis, UnixMillis};

use super::fixture::{at, find, inserts, plain};
use crate::issue_once::{IssueNote, IssueOnce, Once, issue_once};
use crate::store::Store;
use crate::{Filter, Page, StoreError};

fn request(caller: &str, key: &str, body: &str) -> IssueOnce {
    IssueOnce::new(caller, key, body.as_bytes()).unwrap()
}

async fn issue<S: Store>(
    store: &S,
    number: u64,
    once: &IssueOnce,
    now: UnixMillis,
) -> Result<Once<()>, StoreError> {
    let by = By::default();
    let acting = store.acting_as(&by).once(once, now);
    let batch = inserts([&plain(number)]);
    issue_once(store, once, now, acting.commit(&batch)).await
}

fn id(number: u64) -> KeyId {
    super::fixture::id(number)
}

pub(super) async fn a_request_has_one_key<S: Store>(store: Arc<S>) {
    let once = request("ana", "k1", "body");
    assert_eq!(
        issue(&*store, 1, &once, at(0)).await.unwrap(),
        Once::Now(())
    );
    let again = issue(&*store, 2, &once, at(1)).await;
    let again = again.expect("the same request again");
    assert_eq!(again, Once::Before(id(1)), "the same request again");
    assert!(find(&*store, &id(2)).await.is_none(), "no second key");
    let other = issue(&*store, 2, &request("ana", "k1", "other"), at(1)).await;
    assert!(
        matches!(other, Err(StoreError::AnotherRequest)),
        "another body: {other:?}"
    );

    // A process that did not see the first one.
    let mut batch = inserts([&plain(3)]);
    batch.issue_request = Some(IssueNote::new(once, id(3), at(2)));
    let second = store.commit(&batch).await;
    assert!(
        matches!(second, Err(StoreError::Stale)),
        "a second answer: {second:?}"
    );
    assert!(find(&*store, &id(3)).await.is_none());

    // What was not written has no answer.
    let once = request("ana", "k2", "body");
    let refused = issue(&*store, 1, &once, at(3)).await;
    assert!(matches!(refused, Err(StoreError::Duplicate)), "{refused:?}");
    assert!(
        store.issue_answer(&once).await.unwrap().is_none(),
        "nothing was written"
    );
    assert_eq!(
        issue(&*store, 4, &once, at(4)).await.unwrap(),
        Once::Now(())
    );
}

pub(super) async fn requests_are_per_caller_and_for_a_day<S: Store>(store: Arc<S>) {
    let day = Millis::from_hours(24).get();
    let (ana, bob) = (request("ana", "k", "body"), request("bob", "k", "other"));
    assert_eq!(issue(&*store, 1, &ana, at(0)).await.unwrap(), Once::Now(()));
    assert_eq!(issue(&*store, 2, &bob, at(1)).await.unwrap(), Once::Now(()));
    for case in ["Ana", "ana "] {
        let none = store
            .issue_answer(&request(case, "k", "body"))
            .await
            .unwrap();
        assert!(none.is_none(), "another caller");
    }
    let last = issue(&*store, 3, &ana, at(day - 1)).await.unwrap();
    assert_eq!(last, Once::Before(id(1)), "within a day");
    let later = request("ana", "k", "a later body");
    assert_eq!(
        issue(&*store, 3, &later, at(day)).await.unwrap(),
        Once::Now(())
    );
    let answer = store
        .issue_answer(&later)
        .await
        .unwrap()
        .map(|answer| answer.key_id);
    assert_eq!(answer, Some(id(3)));
    // The next request removes what is older than a day.
    let next = request("cleo", "k", "body");
    assert_eq!(
        issue(&*store, 4, &next, at(day + 1)).await.unwrap(),
        Once::Now(())
    );
    assert!(
        store.issue_answer(&bob).await.unwrap().is_none(),
        "it was removed"
    );
    assert!(
        store.issue_answer(&later).await.unwrap().is_some(),
        "it is remembered"
    );
}

pub(super) async fn one_of_concurrent_requests_issues<S: Store + 'static>(store: Arc<S>) {
    let tasks = (1..=16).map(|number| {
        let store = Arc::clone(&store);
        tokio::spawn(
            async move { issue(&*store, number, &request("ana", "k", "body"), at(0)).await },
        )
    });
    let tasks: Vec<_> = tasks.collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.unwrap().expect("a request does not fail"));
    }
    let listed = store
        .list(&Filter::default(), Page::first(100))
        .await
        .unwrap();
    assert_eq!(listed.records.len(), 1, "one key for all requests");
    let key = listed.records[0].id;
    let new = answers.iter().filter(|answer| **answer == Once::Now(()));
    assert_eq!(new.count(), 1);
    let same = answers
        .iter()
        .filter(|answer| **answer == Once::Before(key));
    assert_eq!(same.count(), 15);
}
