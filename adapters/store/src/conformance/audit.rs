//! Events: complete, unchanged and in order.

use std::sync::Arc;

use keystile::{Event, EventKind, UnixMillis};

use super::fixture::*;
use crate::batch::Batch;
use crate::list::PAGE_MAX;
use crate::store::Store;

const KINDS: [EventKind; 10] = [
    EventKind::Issued,
    EventKind::Rotated,
    EventKind::Revoked,
    EventKind::Suspended,
    EventKind::Resumed,
    EventKind::Expired,
    EventKind::Rehashed,
    EventKind::Imported,
    EventKind::Changed,
    EventKind::Deleted,
];

fn batch(events: &[Event]) -> Batch {
    Batch {
        events: events.to_vec(),
        ..Batch::new()
    }
}

pub(super) async fn events_come_back_in_order<S: Store>(store: Arc<S>) {
    // Their times decrease: the order is that of writing.
    let mut events: Vec<_> = (KINDS.into_iter().zip(0..))
        .map(|(kind, number)| Event::new(kind, id(number), at(1_000 - number)))
        .collect();
    events[1].successor = Some(id(77));
    events[2].reason = Some("leaked in a log".into());
    events[3].reason = Some("".into());
    events[4].at = UnixMillis::MIN;
    events[5].at = UnixMillis::MAX;
    events[6].version = Some(i64::MAX as u64);
    events[7].actor = Some("a person".into());
    events[7].origin = Some("2001:db8::7".into());
    events[8] = events[8]
        .clone()
        .with_changes(["owner", "ünïcödé \"quoted\""]);
    events[9].key_id = None;
    store
        .commit(&batch(&events[..3]))
        .await
        .expect("a batch may contain only events");
    store.commit(&batch(&events[3..])).await.unwrap();

    let numbered = store.events(None, 0, 100).await.unwrap().events;
    let (numbers, found): (Vec<_>, Vec<_>) = numbered.into_iter().unzip();
    assert_eq!(
        found, events,
        "events are returned unchanged, in the order of writing"
    );
    assert!(
        numbers[0] > 0,
        "numbers are 1 or more, so that `after: 0` starts at the beginning"
    );
    assert!(
        numbers.is_sorted_by(|a, b| a < b),
        "numbers increase: {numbers:?}"
    );

    let (mut read, mut after) = (Vec::new(), 0);
    loop {
        let page = store.events(None, after, 3).await.unwrap().events;
        let (Some(first), Some(last)) = (page.first(), page.last()) else {
            break;
        };
        assert!(first.0 > after, "a page starts after the requested number");
        after = last.0;
        read.extend(page.into_iter().map(|(_, event)| event));
    }
    assert_eq!(read, events, "pages of 3 contain each event once");
    for after in [after, after + 1, i64::MAX as u64, u64::MAX] {
        let rest = store.events(None, after, 9).await.unwrap().events;
        assert!(rest.is_empty(), "no event follows the last one");
    }
}

pub(super) async fn events_of_one_key<S: Store>(store: Arc<S>) {
    let mut rotated = Event::new(EventKind::Rotated, id(1), at(3));
    rotated.successor = Some(id(2));
    let own = [
        event(1),
        rotated,
        Event::new(EventKind::Revoked, id(2), at(5)),
    ];
    store.commit(&batch(&own[..1])).await.unwrap();
    store.commit(&batch(&[event(3)])).await.unwrap();
    store.commit(&batch(&own[1..])).await.unwrap();

    let of = async |key, after, limit| {
        let listed = store.events(Some(&id(key)), after, limit).await.unwrap();
        listed
            .events
            .into_iter()
            .map(|(_, event)| event)
            .collect::<Vec<_>>()
    };
    assert_eq!(of(1, 0, 9).await, own[..2], "the events of a key");
    assert_eq!(
        of(2, 0, 9).await,
        own[1..],
        "the events of a successor start with the rotation"
    );
    assert_eq!(of(3, 0, 9).await, [event(3)], "no events of other keys");
    assert!(of(4, 0, 9).await.is_empty(), "an unknown key has no events");
    assert_eq!(of(2, 0, 1).await, own[1..2], "a page of a key's events");
    let first = store.events(Some(&id(2)), 0, 1).await.unwrap().events[0].0;
    assert_eq!(of(2, first, 9).await, own[2..], "the page after it");
}

pub(super) async fn the_last_event_is_known<S: Store>(store: Arc<S>) {
    let known = store.last_event().await;
    assert_eq!(known.unwrap(), 0, "the last event of an empty store is 0");
    for count in [1, PAGE_MAX + 1] {
        store.commit(&batch(&vec![event(1); count])).await.unwrap();
        let last = store.last_event().await.unwrap();
        let rest = store.events(None, last, 9).await.unwrap().events;
        assert!(rest.is_empty(), "no event follows the last one");
        let page = store.events(None, last - 1, 9).await.unwrap().events;
        assert_eq!(page, [(last, event(1))], "an event has the last number");
    }
}

pub(super) async fn a_page_of_events_has_a_limit<S: Store>(store: Arc<S>) {
    let events = vec![event(1); PAGE_MAX + 1];
    store.commit(&batch(&events)).await.unwrap();
    for (limit, expected) in [(0, 0), (1, 1), (PAGE_MAX, PAGE_MAX), (usize::MAX, PAGE_MAX)] {
        for key in [None, Some(&id(1))] {
            let page = store.events(key, 0, limit).await.unwrap().events;
            assert_eq!(
                page.len(),
                expected,
                "events in a page with a limit of {limit}"
            );
        }
    }
}
