//! Each verb's events say who it was.

use keystile::{By, EventKind, IssueRequest, Issuer, KeyChange, KeyFormat, RotationPolicy, SysRng};
use keystile_store::{Store, StoreError};

use crate::scripted::{Scripted, ask, at, issued, over};

/// The actor, origin and reason of each event of the store.
async fn written(
    store: &Scripted,
) -> Vec<(EventKind, Option<String>, Option<String>, Option<String>)> {
    let events = store.store.events(None, 0, 99).await.unwrap().events;
    let text = |text: Option<Box<str>>| text.map(String::from);
    let event = events.into_iter().map(|(_, event)| {
        (
            event.kind,
            text(event.actor),
            text(event.origin),
            text(event.reason),
        )
    });
    event.collect()
}

#[tokio::test(start_paused = true)]
async fn each_verb_says_who_it_was() {
    let store = Scripted::new();
    let plain = over(&store).build().unwrap();
    let ana = By::new("ana").unwrap();
    let ana = ana.from_origin("10.0.0.7").unwrap();
    let ana = ana.because("ticket 7").unwrap();
    let by_ana = plain.acting_as(ana);
    let issuer = Issuer::new(KeyFormat::structured("acme").unwrap());
    let request = IssueRequest::new("Acme").unwrap();
    let key = by_ana
        .issue(&issuer, &request, &mut SysRng, at(0))
        .await
        .unwrap();
    let id = key.record.id;
    let change = KeyChange::new().owner("tenant-7").unwrap();
    by_ana.change(&id, &change, at(1)).await.unwrap();
    by_ana.suspend(&id, at(2)).await.unwrap();
    by_ana.resume(&id, at(3)).await.unwrap();
    let policy = RotationPolicy::default();
    by_ana
        .rotate(&id, &policy, None, &mut SysRng, at(4))
        .await
        .unwrap();
    by_ana.revoke(&id, "leaked", at(5)).await.unwrap();
    // Nothing is changed, so there is no event.
    by_ana.revoke(&id, "leaked", at(6)).await.unwrap();

    use EventKind::{Changed, Issued, Resumed, Revoked, Rotated, Suspended};
    let expected = [
        (Issued, "ticket 7"),
        (Changed, "ticket 7"),
        (Suspended, "ticket 7"),
        (Resumed, "ticket 7"),
        (Rotated, "ticket 7"),
        // The reason that the verb got.
        (Revoked, "leaked"),
    ];
    let written_now = written(&store).await;
    let some = |text: &str| Some(text.to_owned());
    let expected: Vec<_> = expected
        .into_iter()
        .map(|(kind, reason)| (kind, some("ana"), some("10.0.0.7"), some(reason)))
        .collect();
    assert_eq!(written_now, expected);

    // The handle that it was made from is still by no one.
    let other = issued(&*store).await;
    plain.suspend(&other.record.id, at(7)).await.unwrap();
    assert_eq!(
        written(&store).await.last(),
        Some(&(Suspended, None, None, None))
    );
    assert!(matches!(
        by_ana
            .suspend(&"1AbCdEfGhIjKlMnO".parse().unwrap(), at(8))
            .await,
        Err(StoreError::NotFound)
    ));
}

#[tokio::test(start_paused = true)]
async fn what_a_use_brings_about_is_by_the_process() {
    for (process, expected) in [(None, "keystile"), (Some("gateway-3"), "gateway-3")] {
        let store = Scripted::new();
        let key = issued(&*store).await;
        let mut builder = over(&store);
        if let Some(name) = process {
            builder = builder.process(By::new(name).unwrap());
        }
        let authenticator = builder.build().unwrap();
        let policy = RotationPolicy::default().with_end_on_first_use(true);
        let rotated = authenticator
            .acting_as(By::new("ana").unwrap())
            .rotate(&key.record.id, &policy, None, &mut SysRng, at(1))
            .await
            .unwrap();
        let text = rotated.key.expose().as_bytes();
        let answer = authenticator
            .check(text, &keystile::Request::new(), at(2))
            .await;
        assert!(answer.decision.is_allow());
        authenticator.stop().await.unwrap();
        let written = written(&store).await;
        let expired: Vec<_> = written
            .iter()
            .filter(|event| event.0 == EventKind::Expired)
            .collect();
        assert_eq!(expired.len(), 1, "{written:?}");
        assert_eq!(expired[0].1.as_deref(), Some(expected), "{written:?}");
        let _ = ask(&authenticator, &key).await;
    }
}
