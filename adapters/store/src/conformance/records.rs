//! Records: what was stored is returned unchanged, and nothing else is.

use std::sync::Arc;

use keystile::{
    Digest, DigestKind, EndpointRules, Lookup, METADATA_BYTES_MAX, Millis, Networks, PepperRing,
    RateLimit, Status, UnixMillis, Usage,
};

use super::fixture::*;
use crate::error::StoreError;
use crate::filter::Filter;
use crate::list::Page;
use crate::store::{SpendRequest, Store};

pub(super) async fn nothing_is_found_in_an_empty_store<S: Store>(store: Arc<S>) {
    assert!(find(&*store, &id(1)).await.is_none(), "no record by an id");
    let lookup = opaque_lookup(&opaque(1), &PepperRing::none());
    assert!(
        store.find(&lookup).await.unwrap().is_none(),
        "no record by a digest"
    );
    assert!(
        store.lineage(&id(1)).await.unwrap().records.is_empty(),
        "no record in a lineage"
    );
    let listed = store
        .list(&Filter::default(), Page::first(10))
        .await
        .unwrap()
        .records;
    assert!(listed.is_empty(), "no record in a list");
    assert!(all_events(&*store).await.is_empty(), "no events");
    assert_eq!(
        store.usage(&id(1)).await.unwrap().usage,
        Usage::default(),
        "no usage"
    );

    let request = SpendRequest::new(&plain(1), Usage::default(), Usage::default());
    assert!(
        !store.spend(&request).await.unwrap(),
        "an unknown key cannot spend"
    );
    store
        .note_uses(&[(id(1), at(0))])
        .await
        .expect("a use of an unknown key is ignored");
    let update = store.commit(&updates([&next(&plain(1))])).await;
    assert!(
        matches!(update, Err(StoreError::Stale)),
        "an update of an unknown key is stale"
    );
    assert!(
        find(&*store, &id(1)).await.is_none(),
        "none of these calls created a record"
    );
}

pub(super) async fn records_come_back_as_they_were<S: Store>(store: Arc<S>) {
    let mut records = vec![plain(1), full(10)];

    let mut unrestricted_but_nowhere = plain(20);
    unrestricted_but_nowhere.allowed_endpoints = Some(EndpointRules::default());
    records.push(unrestricted_but_nowhere);
    let mut from_nowhere = plain(21);
    from_nowhere.allowed_networks = Some(Networks::default());
    records.push(from_nowhere);
    let mut suspended = full(22);
    suspended.status = Status::Suspended;
    records.push(suspended);
    let mut no_uses_left = plain(23);
    no_uses_left.remaining_uses = Some(0);
    records.push(no_uses_left);
    let mut many_uses = plain(24);
    many_uses.remaining_uses = Some(i64::MAX as u64);
    many_uses.version = i64::MAX as u64;
    records.push(many_uses);
    let mut under_the_first_pepper = plain(25);
    let kind = DigestKind::HmacSha256 { pepper: 0 };
    under_the_first_pepper.digest = Digest::new(kind, [0xA5; 32]);
    records.push(under_the_first_pepper);

    let hour = Millis::from_hours(1);
    let limits = [
        RateLimit::new(0, hour),
        RateLimit::with_burst(0, hour, 9),
        RateLimit::new(1_000, hour),
        RateLimit::with_burst(1_000, hour, 1),
        RateLimit::with_burst(1, Millis::new(1), 1),
        RateLimit::new(1_000_000, Millis::from_days(366)),
    ];
    for (limit, number) in limits.into_iter().zip(30..) {
        let mut limited = plain(number);
        limited.rate_limit = Some(limit.expect("a legal limit"));
        records.push(limited);
    }
    for (instant, number) in [UnixMillis::MIN, UnixMillis::MAX].into_iter().zip(40..) {
        let mut extreme = full(number);
        extreme.created_at = instant;
        extreme.last_used_at = Some(instant);
        extreme.expires_at = Some(instant);
        extreme.overlap_until = Some(instant);
        extreme.status = Status::Revoked {
            at: instant,
            reason: "".into(),
        };
        records.push(extreme);
    }

    for record in &records {
        insert(&*store, [record]).await;
    }
    let listed = store
        .list(&Filter::default(), Page::first(100))
        .await
        .unwrap()
        .records;
    assert_eq!(listed.len(), records.len(), "the list has each record once");
    for (record, listed) in records.iter().zip(&listed) {
        assert_same(
            find(&*store, &record.id).await.as_ref(),
            record,
            "found by its id",
        );
        assert_same(Some(listed), record, "listed");
        let lineage = store.lineage(&record.lineage).await.unwrap().records;
        assert_same(lineage.first(), record, "in its lineage");
    }
}

/// L2, L3: no text is interpreted as a command or a pattern.
pub(super) async fn text_is_data<S: Store>(store: Arc<S>) {
    let texts = [
        "'",
        "''",
        "\"",
        "`",
        ";",
        "--",
        "/*",
        "*/",
        "\\",
        "%",
        "_",
        "?",
        "?1",
        ":key_id",
        "$1",
        "@p1",
        "{}",
        "'; DROP TABLE api_keys; --",
        "' OR '1'='1",
        "') OR 1=1 --",
        "\" OR \"\"=\"",
        "Robert'); DELETE FROM api_key_events WHERE ('a'='a",
        "NULL",
        "null",
        "true",
        "0",
        "007",
        "1.0",
        "-1",
        "1e5",
        "  padded  ",
        "ünïcödé",
        "İstanbul",
        "ﬀ",
        "e\u{301}",
        "\u{202e}reversed",
        "🔑",
        "\u{feff}",
        "a\u{ad}b",
    ];
    for (text, number) in texts.iter().zip(1..) {
        let mut record = plain(number);
        record.client_name = (*text).into();
        record.client_email = Some((*text).into());
        record.owner = Some((*text).into());
        record.key_prefix = text.chars().take(10).collect::<String>().into();
        record.metadata = Some((*text).into());
        record.status = Status::Revoked {
            at: at(0),
            reason: (*text).into(),
        };
        let mut batch = inserts([&record]);
        let mut noted = event(number);
        noted.reason = Some((*text).into());
        batch.events.push(noted.clone());
        store
            .commit(&batch)
            .await
            .expect("any text is accepted as data");
        assert_same(find(&*store, &record.id).await.as_ref(), &record, text);
        assert_eq!(
            all_events(&*store).await.last(),
            Some(&noted),
            "a reason is returned unchanged: {text}"
        );

        for (owner, client_name) in [(Some(*text), None), (None, Some(*text))] {
            let filter = Filter {
                owner: owner.map(Into::into),
                client_name: client_name.map(Into::into),
                ..Filter::default()
            };
            let listed = store.list(&filter, Page::first(100)).await.unwrap().records;
            assert_eq!(
                listed.len(),
                1,
                "a filter matches only the record with the text {text}"
            );
            assert_same(listed.first(), &record, text);
        }
    }

    let metadata = [
        "",
        " ",
        "0",
        "00",
        "1.0",
        " 1",
        "\t-1",
        "+1",
        ".5",
        "1e400",
        "9223372036854775808",
        "\"text\"",
        "[ ]",
        "{ }",
        "null",
        "{\"a\":1,\"a\":2}",
        "not JSON",
        "line\nfeed",
        "nul\0nul",
        "1\0",
    ];
    let longest = format!("\"{}\"", "é".repeat(METADATA_BYTES_MAX / 2 - 1));
    assert_eq!(longest.len(), METADATA_BYTES_MAX);
    for (text, number) in metadata.into_iter().chain([&*longest]).zip(200..) {
        let mut record = plain(number);
        record.metadata = Some(text.into());
        insert(&*store, [&record]).await;
        let context = format!("metadata {:.20?}", text);
        assert_same(find(&*store, &record.id).await.as_ref(), &record, &context);
    }
}

pub(super) async fn what_no_store_can_keep_is_refused<S: Store>(store: Arc<S>) {
    let mut nameless = plain(1);
    nameless.client_name = "".into();
    let mut without_end = plain(1);
    without_end.replaced_by = Some(id(2));
    let mut too_long = plain(1);
    too_long.metadata = Some("x".repeat(METADATA_BYTES_MAX + 1).into());
    let mut unversioned = plain(1);
    unversioned.version = 0;
    for record in [nameless, without_end, too_long, unversioned] {
        let refused = store.commit(&inserts([&record])).await;
        assert!(
            matches!(refused, Err(StoreError::Refused(_))),
            "an invalid record is refused: {refused:?}"
        );
    }
    let mut countless = plain(1);
    countless.remaining_uses = Some(i64::MAX as u64 + 1);
    let refused = store.commit(&inserts([&countless])).await;
    assert!(
        matches!(refused, Err(StoreError::OutOfRange)),
        "a number out of range is refused: {refused:?}"
    );
    assert!(
        find(&*store, &id(1)).await.is_none(),
        "a refused record is not found"
    );
    let lookup = Lookup::Id(id(1));
    assert!(store.find(&lookup).await.is_ok(), "the store still works");
}
