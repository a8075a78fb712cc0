//! The calls that a check makes to its store, and its answer if the store fails.

#![allow(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    reason = "a test's fixtures"
)]

#[path = "check/watched.rs"]
mod watched;

use keystile::{
    Cause, Checksum, DenialCode, IssueRequest, Issued, KeyFormat, Millis, Pepper, PepperRing,
    RateLimit, Request, Requirement, RotationPolicy, SysRng, UnixMillis, Verifier, issue,
};
use keystile_store::{
    Checked, Outcome, Store, StoreError, check, record, resume, revoke, rotate, save_issued,
    suspend,
};
use watched::{Calls, Trouble, Watched};

const HOUR: Millis = Millis::from_hours(1);

fn at(millis: u64) -> UnixMillis {
    UnixMillis::new(1_790_000_000_000 + millis).unwrap()
}

fn format() -> KeyFormat {
    KeyFormat::structured("acme").unwrap()
}

fn request() -> IssueRequest {
    IssueRequest::new("Acme Ltd")
        .unwrap()
        .permissions(["read"])
        .unwrap()
}

async fn kept(store: &Watched, request: &IssueRequest) -> Issued {
    let issued = issue(&format(), &PepperRing::none(), request, &mut SysRng, at(0)).unwrap();
    save_issued(store, &issued).await.unwrap();
    store.calls();
    issued
}

async fn answer(store: &Watched, key: &str, now: UnixMillis) -> Result<Checked, StoreError> {
    check(
        store,
        &Verifier::new(format()),
        key.as_bytes(),
        &Request::new(),
        now,
    )
    .await
}

fn cause(checked: &Checked) -> Option<Cause> {
    checked.decision.denial().map(|denial| denial.cause())
}

#[tokio::test]
async fn a_check_of_an_unlimited_key_reads_one_record_and_writes_once_a_minute() {
    let store = Watched::new();
    let issued = kept(&store, &request()).await;
    let read = Calls {
        find: 1,
        ..Calls::default()
    };
    let noted = Calls {
        note_uses: 1,
        ..read
    };
    for (now, expected) in [
        (1_000, noted),
        (1_001, read),
        (60_999, read),
        (61_000, noted),
        (61_001, read),
        // A clock that steps back does not cause a write.
        (30_000, read),
    ] {
        let checked = answer(&store, issued.key.expose(), at(now)).await.unwrap();
        assert!(checked.decision.is_allow());
        assert_eq!(store.calls(), expected, "a check at {now} ms");
    }
}

#[tokio::test]
async fn a_counted_use_is_spent_by_one_write() {
    let store = Watched::new();
    let limit = RateLimit::new(2, HOUR).unwrap();
    let issued = kept(&store, &request().rate_limit(limit).uses(9).unwrap()).await;
    for (now, remaining) in [(1, 8), (2, 7)] {
        let checked = answer(&store, issued.key.expose(), at(now)).await.unwrap();
        assert!(checked.decision.is_allow());
        assert_eq!(checked.record.unwrap().remaining_uses, Some(remaining));
        let calls = store.calls();
        assert_eq!((calls.find, calls.usage, calls.spend), (1, 1, 1));
    }
    let refused = answer(&store, issued.key.expose(), at(3)).await.unwrap();
    assert_eq!(cause(&refused), Some(Cause::RateLimit));
    assert_eq!(
        store.calls(),
        Calls {
            find: 1,
            usage: 1,
            ..Calls::default()
        },
        "nothing is written"
    );
}

/// L8: a flood of malformed keys causes no call to the store.
#[tokio::test]
async fn a_malformed_key_never_reaches_the_store() {
    let store = Watched::new();
    let issued = kept(&store, &request()).await;
    let text = issued.key.expose();
    let typo = format!(
        "{}{}",
        &text[..text.len() - 1],
        if text.ends_with('0') { '1' } else { '0' }
    );
    let long = "a".repeat(1 << 20);
    for text in [
        "",
        "acme",
        &typo,
        &text[1..],
        &format!("{text} "),
        "' OR 1=1 --",
        &long,
    ] {
        let checked = answer(&store, text, at(1)).await.unwrap();
        assert_eq!(cause(&checked), Some(Cause::Malformed));
        assert!(checked.record.is_none());
        assert_eq!(
            store.calls(),
            Calls::default(),
            "a malformed key causes no call to the store"
        );
    }
}

#[tokio::test]
async fn a_record_is_returned_only_with_a_verified_secret() {
    let store = Watched::new();
    let issued = kept(&store, &request()).await;
    let write = Requirement::parse("write").unwrap();
    let lacking = Request::new().requires(&write);
    let verifier = Verifier::new(format());
    let key = issued.key.expose().as_bytes();
    let checked = check(&store, &verifier, key, &lacking, at(1))
        .await
        .unwrap();
    assert_eq!(
        checked.decision.denial().unwrap().code(),
        DenialCode::PermissionMissing
    );
    assert_eq!(
        checked.record,
        Some(issued.record),
        "the record is returned once the secret is verified"
    );

    let other = issue(
        &format(),
        &PepperRing::none(),
        &request(),
        &mut SysRng,
        at(0),
    )
    .unwrap();
    let checked = answer(&store, other.key.expose(), at(1)).await.unwrap();
    assert_eq!(
        (cause(&checked), checked.record),
        (Some(Cause::UnknownKey), None)
    );
}

/// A store that fails never leads to an allow.
#[tokio::test]
async fn no_decision_without_the_store() {
    let store = Watched::new();
    let issued = kept(&store, &request().uses(5).unwrap()).await;
    for trouble in [Trouble::FindFails, Trouble::UsageFails, Trouble::SpendFails] {
        store.trouble(trouble);
        let failed = answer(&store, issued.key.expose(), at(1)).await;
        assert!(
            matches!(failed, Err(StoreError::Unavailable { .. })),
            "{trouble:?}: {failed:?}"
        );
    }
    store.trouble(Trouble::None);
    let checked = answer(&store, issued.key.expose(), at(1)).await.unwrap();
    assert_eq!(
        checked.record.unwrap().remaining_uses,
        Some(4),
        "and nothing was spent"
    );
}

/// There is no overlap to end, and the next use need not try.
#[tokio::test]
async fn the_first_use_after_the_predecessor_was_revoked_is_the_last_that_writes() {
    let store = Watched::new();
    let old = kept(&store, &request()).await;
    let policy = RotationPolicy::default().with_end_on_first_use(true);
    let none = PepperRing::none();
    let new = rotate(
        &store,
        &old.record.id,
        &policy,
        None,
        &none,
        &mut SysRng,
        at(1),
    )
    .await
    .unwrap();
    revoke(&store, &old.record.id, "leaked", at(2))
        .await
        .unwrap();
    for (now, commits) in [(3, 1), (4, 0)] {
        store.calls();
        let checked = answer(&store, new.key.expose(), at(now)).await.unwrap();
        assert!(checked.decision.is_allow());
        assert_eq!(store.calls().commit, commits, "at {now}");
    }
    let found = record(&store, &new.successor.id).await.unwrap();
    assert_eq!(found.ends_at_first_use, None);
}

#[tokio::test]
async fn a_decision_stays_if_later_writes_fail() {
    let store = Watched::new();
    let old = kept(&store, &request()).await;
    let policy = RotationPolicy::default().with_end_on_first_use(true);
    let none = PepperRing::none();
    let new = rotate(
        &store,
        &old.record.id,
        &policy,
        None,
        &none,
        &mut SysRng,
        at(1),
    )
    .await
    .unwrap();
    let ring = PepperRing::new(Pepper::new(1, &[1; 32]).unwrap());
    let verifier = Verifier::new(format()).with_peppers(ring);
    let ask = async |now| {
        let key = new.key.expose().as_bytes();
        check(&store, &verifier, key, &Request::new(), now)
            .await
            .unwrap()
    };
    for trouble in [
        Trouble::CommitFails,
        Trouble::CommitLoses,
        Trouble::NoteFails,
    ] {
        store.trouble(trouble);
        assert!(ask(at(2)).await.decision.is_allow(), "{trouble:?}");
    }
    store.trouble(Trouble::None);
    let checked = ask(at(3)).await;
    let stored = record(&store, &new.successor.id).await.unwrap();
    assert_eq!(
        checked.record,
        Some(stored),
        "the record as all that followed has left it"
    );
    let old = record(&store, &old.record.id).await.unwrap();
    assert_eq!(
        old.overlap_until,
        Some(at(2)),
        "the note failed last: the overlap had ended"
    );
}

#[tokio::test]
async fn a_check_that_loses_starts_again() {
    let store = Watched::new();
    let issued = kept(&store, &request().uses(2).unwrap()).await;
    let key = issued.key.expose();

    store.trouble(Trouble::SpendLosesOnce);
    let checked = answer(&store, key, at(1)).await.unwrap();
    assert_eq!(
        checked.record.unwrap().remaining_uses,
        Some(1),
        "one use is spent in two tries"
    );
    let calls = store.calls();
    assert_eq!(
        (calls.find, calls.usage, calls.spend),
        (2, 2, 2),
        "the second try reads everything again"
    );

    store.trouble(Trouble::RevokedBeforeSpend);
    let checked = answer(&store, key, at(2)).await.unwrap();
    assert_eq!(
        cause(&checked),
        Some(Cause::Revoked),
        "the key was revoked during the check"
    );
    assert_eq!(
        record(&store, &issued.record.id)
            .await
            .unwrap()
            .remaining_uses,
        Some(1)
    );
}

#[tokio::test]
async fn tries_are_limited() {
    let store = Watched::new();
    let issued = kept(&store, &request().uses(2).unwrap()).await;
    let id = &issued.record.id;
    store.trouble(Trouble::SpendLoses);
    let lost = answer(&store, issued.key.expose(), at(1)).await;
    assert!(
        matches!(lost, Err(StoreError::Stale)),
        "never an allow: {lost:?}"
    );
    assert_eq!(store.calls().spend, 256);

    store.trouble(Trouble::CommitLoses);
    let (policy, none) = (RotationPolicy::default(), PepperRing::none());
    let lost = rotate(&store, id, &policy, None, &none, &mut SysRng, at(1))
        .await
        .map(drop);
    for lost in [
        revoke(&store, id, "", at(1)).await.map(drop),
        suspend(&store, id, at(1)).await.map(drop),
        lost,
    ] {
        assert!(matches!(lost, Err(StoreError::Stale)), "{lost:?}");
    }
    assert_eq!(store.calls().commit, 3 * 256);
}

#[tokio::test]
async fn a_change_that_loses_is_made_again_on_what_won() {
    let store = Watched::new();
    let issued = kept(&store, &request()).await;
    let id = &issued.record.id;
    for (number, expected) in [(2, 2), (3, 3), (4, 4)] {
        store.trouble(Trouble::CommitLosesOnce);
        let changed = match number {
            2 => suspend(&store, id, at(number)).await,
            3 => resume(&store, id, at(number)).await,
            _ => revoke(&store, id, "leaked", at(number)).await,
        };
        let stored = record(&store, id).await.unwrap();
        assert_eq!(changed.unwrap(), Outcome::Changed(stored.clone()));
        assert_eq!(stored.version, expected);
    }
    let stored = record(&store, id).await.unwrap();
    store.calls();
    let again = revoke(&store, id, "again", at(9)).await.unwrap();
    assert_eq!(again, Outcome::Unchanged(stored), "there is nothing to do");
    assert_eq!(store.calls().commit, 0);
    let refused = resume(&store, id, at(9)).await;
    assert!(
        matches!(refused, Err(StoreError::Refused(_))),
        "the core's refusal is final"
    );
    assert_eq!(
        store.calls(),
        Calls {
            find: 1,
            ..Calls::default()
        },
        "and not tried again"
    );
}

/// A key's text says nothing of how its check is made: such a service names its format.
#[tokio::test]
async fn a_keyed_check_is_kept_through_a_rotation() {
    let store = Watched::new();
    let keyed = format()
        .with_checksum(Checksum::keyed(&[9; 32]).unwrap())
        .unwrap();
    let none = PepperRing::none();
    let old = issue(&keyed, &none, &request(), &mut SysRng, at(0)).unwrap();
    save_issued(&store, &old).await.unwrap();
    let policy = RotationPolicy::default();
    let rotated = rotate(
        &store,
        &old.record.id,
        &policy,
        Some(&keyed),
        &none,
        &mut SysRng,
        at(1),
    )
    .await
    .unwrap();
    let verifier = Verifier::new(keyed);
    let text = rotated.key.expose().as_bytes();
    let checked = check(&store, &verifier, text, &Request::new(), at(2))
        .await
        .unwrap();
    assert!(checked.decision.is_allow());
    let events = store.events(None, 0, 10).await.unwrap().events;
    assert_eq!(events.len(), 2);
}
