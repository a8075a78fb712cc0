//! What each verb does with a damaged row, and with the sound rows beside it, in any store.

use keystile::{
    DenialCode, EventKind, IssueRequest, Issued, KeyFormat, KeyId, Lookup, Millis, PepperRing,
    RateLimit, Request, RotationPolicy, SysRng, UnixMillis, Verifier, issue,
};
use keystile_store::{
    CorruptRow, Cursor, Filter, Listed, Outcome, Page, Store, StoreError, check, missing_peppers,
    record, resume, revoke, rotate, save_issued, suspend,
};

fn at(millis: u64) -> UnixMillis {
    UnixMillis::new(1_790_000_000_000 + millis).unwrap()
}

fn format() -> KeyFormat {
    KeyFormat::structured("acme").unwrap()
}

/// A key that has a limit, and an owner of its own.
async fn kept(store: &impl Store) -> Issued {
    let limit = RateLimit::new(100, Millis::from_hours(1)).unwrap();
    let request = IssueRequest::new("Acme Ltd").unwrap().owner("tenant-7");
    let request = request.unwrap().rate_limit(limit).uses(50).unwrap();
    let issued = issue(&format(), &PepperRing::none(), &request, &mut SysRng, at(0)).unwrap();
    save_issued(store, &issued).await.unwrap();
    issued
}

async fn rotated(store: &impl Store, id: &KeyId, now: UnixMillis) -> keystile::Rotated {
    let (policy, none) = (RotationPolicy::default(), PepperRing::none());
    let rotated = rotate(store, id, &policy, None, &none, &mut SysRng, now).await;
    rotated.unwrap()
}

async fn code(store: &impl Store, key: &str) -> Option<DenialCode> {
    let verifier = Verifier::new(format());
    let checked = check(store, &verifier, key.as_bytes(), &Request::new(), at(9)).await;
    let checked = checked.expect("a damaged row is a denial, and no error");
    let denied = checked.decision.denial().map(|denial| denial.code());
    assert_eq!(
        denied == Some(DenialCode::RecordDamaged),
        checked.damage.is_some(),
        "the damage goes with the denial"
    );
    denied
}

async fn listed(store: &impl Store, size: usize, after: Option<Cursor>) -> Listed {
    let mut page = Page::first(size);
    page.after = after;
    store
        .list(&Filter::of_owner("tenant-7"), page)
        .await
        .unwrap()
}

/// The same id with another secret, and the check of both.
fn with_another_secret(key: &str) -> String {
    let (head, secret) = key[..key.len() - 6].split_at(key.len() - 49);
    let turned: String = secret.chars().rev().collect();
    let text = format!("{head}{turned}");
    let mut sum = u32::MAX;
    for byte in text.bytes() {
        sum ^= u32::from(byte);
        for _ in 0..8 {
            sum = (sum >> 1) ^ (0xEDB8_8320 & (sum & 1).wrapping_neg());
        }
    }
    let digits = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let (mut rest, mut check) = (!sum, ['0'; 6]);
    for digit in check.iter_mut().rev() {
        *digit = char::from(digits[(rest % 62) as usize]);
        rest /= 62;
    }
    text + &check.iter().collect::<String>()
}

/// All pages of this size, read on from the cursor itself or from its text.
async fn pages(store: &impl Store, size: usize, by_text: bool) -> (Vec<KeyId>, Vec<CorruptRow>) {
    let (mut sound, mut damaged, mut after) = (Vec::new(), Vec::new(), None);
    loop {
        let page = listed(store, size, after).await;
        assert!(page.records.len() + page.damaged.len() <= size);
        sound.extend(page.records.iter().map(|record| record.id));
        damaged.extend(page.damaged);
        after = match page.next {
            Some(next) if by_text => Some(next.to_string().parse().unwrap()),
            Some(next) => Some(next),
            None => return (sound, damaged),
        };
    }
}

/// Damages one of five keys, in a column other than the id, and runs every verb.
pub(crate) async fn one_damaged_row_costs_one_row(
    store: &impl Store,
    damage: impl AsyncFn(&KeyId),
    column: &str,
    context: &str,
) {
    let mut keys = Vec::new();
    for _ in 0..5 {
        keys.push(kept(store).await);
    }
    let ids: Vec<_> = keys.iter().map(|issued| issued.record.id).collect();
    let bad = ids[2];
    damage(&bad).await;

    // Lists pass it.
    for size in 1..=6 {
        for by_text in [false, true] {
            let (sound, damaged) = pages(store, size, by_text).await;
            assert_eq!(
                sound,
                [ids[0], ids[1], ids[3], ids[4]],
                "{context}: the others, in pages of {size}"
            );
            let [row] = &damaged[..] else {
                panic!("{context}: {damaged:?}")
            };
            assert_eq!((row.key_id, row.column), (Some(bad), column), "{context}");
            assert_eq!(row.owner.as_deref(), Some("tenant-7"), "{context}");
        }
    }
    // Decisions.
    for (number, issued) in keys.iter().enumerate() {
        let expected = (number == 2).then_some(DenialCode::RecordDamaged);
        assert_eq!(
            code(store, issued.key.expose()).await,
            expected,
            "{context}"
        );
    }
    // Reading verbs.
    let Err(StoreError::Corrupt(row)) = record(store, &bad).await else {
        panic!("{context}: it is damaged")
    };
    // Nothing is disclosed before the secret is verified, if the digest can be read.
    let wrong = code(store, &with_another_secret(keys[2].key.expose())).await;
    let expected = match row.digest {
        Some(_) => DenialCode::InvalidKey,
        None => DenialCode::RecordDamaged,
    };
    assert_eq!(wrong, Some(expected), "{context}");
    assert_eq!(
        row.digest.is_none(),
        matches!(column, "key_hash" | "digest_pepper"),
        "{context}"
    );
    assert_eq!((row.key_id, row.column), (Some(bad), column), "{context}");
    assert!(
        missing_peppers(store, &PepperRing::none(), at(9))
            .await
            .is_ok()
    );
    let events = store.events(None, 0, 100).await.unwrap();
    assert!(events.damaged.is_empty(), "{context}");
    let uses: Vec<_> = ids.iter().map(|id| (*id, at(10))).collect();
    store.note_uses(&uses).await.unwrap();
    let used = record(store, &ids[3]).await.unwrap().last_used_at;
    assert_eq!(used, Some(at(10)), "{context}");

    // It can be suspended and revoked, each with its event, and not resumed or rotated.
    let version = row.version.expect("the version is sound");
    let outcome = suspend(store, &bad, at(11)).await.expect(context);
    assert_damaged(&outcome, &bad, "suspended", version + 1);
    assert!(outcome.is_changed(), "{context}");
    let again = suspend(store, &bad, at(12)).await.expect(context);
    assert!(!again.is_changed(), "{context}");
    let resumed = resume(store, &bad, at(13)).await;
    assert!(matches!(resumed, Err(StoreError::Corrupt(_))), "{context}");
    let (policy, none) = (RotationPolicy::default(), PepperRing::none());
    let new = rotate(store, &bad, &policy, None, &none, &mut SysRng, at(13)).await;
    assert!(matches!(new, Err(StoreError::Corrupt(_))), "{context}");
    let forged = revoke(store, &bad, "leaked\nkey 7 revoked", at(14)).await;
    assert!(matches!(forged, Err(StoreError::Refused(_))), "{context}");
    let outcome = revoke(store, &bad, "leaked", at(14)).await.expect(context);
    assert_damaged(&outcome, &bad, "revoked", version + 2);
    assert!(outcome.is_changed(), "{context}");
    let again = revoke(store, &bad, "again", at(15)).await.expect(context);
    assert!(!again.is_changed(), "{context}");
    let suspended = suspend(store, &bad, at(16)).await;
    assert!(
        matches!(suspended, Err(StoreError::Refused(_))),
        "{context}"
    );
    let events = store.events(Some(&bad), 0, 100).await.unwrap().events;
    let [.., (_, suspended), (_, revoked)] = &events[..] else {
        panic!("{context}: {events:?}")
    };
    assert_eq!(
        (suspended.kind, suspended.version, suspended.at),
        (EventKind::Suspended, Some(version + 1), at(11)),
        "{context}"
    );
    assert_eq!(
        (revoked.kind, revoked.version, revoked.reason.as_deref()),
        (EventKind::Revoked, Some(version + 2), Some("leaked")),
        "{context}"
    );
    // The others are as they were.
    for number in [0, 1, 3, 4] {
        let found = record(store, &ids[number]).await.unwrap();
        assert_eq!(found.version, keys[number].record.version, "{context}");
    }
}

fn assert_damaged(outcome: &Outcome, id: &KeyId, status: &str, version: u64) {
    let row = outcome.damage().expect("the row is still damaged");
    assert_eq!(row.status, Some(status));
    assert_eq!(outcome.version(), Some((*id, version)));
    assert!(outcome.record().is_none());
}

/// P10, P2: a key is rotated although an older one of its lineage is damaged. That one does not
/// become a third live key when its row is mended; a revoked one stays as it was.
pub(crate) async fn a_damaged_sibling_ends_with_a_rotation(
    store: &impl Store,
    damage: impl AsyncFn(&KeyId),
    mend: impl AsyncFn(&KeyId),
) {
    for is_revoked in [false, true] {
        let first = kept(store).await;
        let second = rotated(store, &first.record.id, at(1)).await;
        if is_revoked {
            revoke(store, &first.record.id, "leaked", at(2))
                .await
                .unwrap();
        }
        let before = record(store, &first.record.id).await.unwrap();
        damage(&first.record.id).await;
        let lineage = store.lineage(&first.record.lineage).await.unwrap();
        assert_eq!(lineage.records.len(), 1);
        assert_eq!(lineage.damaged.len(), 1);
        let damaged = lineage.damaged[0].version.unwrap();

        let third = rotated(store, &second.successor.id, at(3)).await;
        assert_eq!(code(store, second.key.expose()).await, None);
        assert_eq!(code(store, third.key.expose()).await, None);
        let still = code(store, first.key.expose()).await;
        assert_eq!(still, Some(DenialCode::RecordDamaged));
        mend(&first.record.id).await;
        let found = record(store, &first.record.id).await.unwrap();
        let (expected, end, writes) = match is_revoked {
            true => (DenialCode::KeyRevoked, before.overlap_until, 0),
            false => (DenialCode::KeyReplaced, Some(at(3)), 1),
        };
        assert_eq!(code(store, first.key.expose()).await, Some(expected));
        assert_eq!(found.overlap_until, end, "at most two live");
        assert!(
            found.version > damaged + writes,
            "each change has a version"
        );
        let events = store.events(Some(&first.record.id), 0, 99).await.unwrap();
        let ended = events.events.iter().any(|(_, event)| {
            event.version == Some(damaged + 1)
                && event
                    .changes
                    .iter()
                    .any(|change| &*change.field == "overlap_until")
        });
        assert_eq!(ended, !is_revoked, "with an event");
    }
}

/// A list goes on after a key whose row was deleted, also if only the text of the cursor is
/// left. It has the id of the key, and no number that would tell of other rows.
pub(crate) async fn a_cursor_survives_a_deleted_row(
    store: &impl Store,
    delete: impl AsyncFn(&KeyId),
) {
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(kept(store).await.record.id);
    }
    let first = listed(store, 2, None).await;
    let next = first.next.unwrap();
    assert_eq!(next.to_string(), ids[1].as_str());
    delete(&ids[1]).await;
    for cursor in [next, next.to_string().parse().unwrap()] {
        let rest = listed(store, 9, Some(cursor)).await;
        let rest: Vec<_> = rest.records.iter().map(|record| record.id).collect();
        assert_eq!(rest, ids[2..]);
    }
    let unknown: KeyId = "1AbCdEfGhIjKlMnO".parse().unwrap();
    let page = Page::first(9).after(unknown.into());
    let refused = store.list(&Filter::default(), page).await;
    assert!(matches!(refused, Err(StoreError::NotFound)));
}

/// A row whose id cannot be read costs no more than others: pages pass it.
pub(crate) async fn a_list_passes_a_row_without_an_id(
    store: &impl Store,
    damage: impl AsyncFn(&KeyId),
) {
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(kept(store).await.record.id);
    }
    damage(&ids[1]).await;
    for size in 1..=4 {
        for by_text in [false, true] {
            let (sound, damaged) = pages(store, size, by_text).await;
            assert_eq!(sound, [ids[0], ids[2]], "pages of {size}");
            assert_eq!(damaged.len(), 1);
            assert_eq!((damaged[0].key_id, damaged[0].column), (None, "key_id"));
        }
    }
    assert!(matches!(store.find(&Lookup::Id(ids[1])).await, Ok(None)));
}

/// A damaged event costs that event: the others are listed.
pub(crate) async fn a_list_of_events_passes_a_damaged_one(
    store: &impl Store,
    damage: impl AsyncFn(u64),
) {
    for _ in 0..4 {
        kept(store).await;
    }
    let all = store.events(None, 0, 9).await.unwrap().events;
    damage(all[1].0).await;
    damage(all[3].0).await;
    for size in 1..=5 {
        let (mut sound, mut damaged, mut after) = (Vec::new(), Vec::new(), 0);
        loop {
            let page = store.events(None, after, size).await.unwrap();
            assert!(page.rows() <= size);
            let Some(last) = page.last() else { break };
            assert!(last > after, "it goes on");
            after = last;
            sound.extend(page.events);
            damaged.extend(page.damaged.iter().map(|row| row.row.unsigned_abs()));
        }
        assert_eq!(sound, [all[0].clone(), all[2].clone()], "pages of {size}");
        assert_eq!(damaged, [all[1].0, all[3].0], "pages of {size}");
    }
    assert_eq!(store.last_event().await.unwrap(), all[3].0);
}
