//! Which keys have rights of their own, and two who apply one template.

use keystile::{
    IssueRequest, Issued, KeyChange, PepperRing, PermissionSet, RotationPolicy, SysRng, UnixMillis,
};
use keystile_store::{
    MemoryStore, OfDerived, Store, StoreError, StoredTemplate, TemplateProblem, add_template,
    change, change_template, remove_template, rotate, save_issued,
};

use super::{at, grants, issuer, keys, named, rights};

async fn issued_at(
    store: &impl Store,
    template: &StoredTemplate,
    permissions: &[&str],
    now: UnixMillis,
) -> Issued {
    let request = template.request(IssueRequest::new("Acme").unwrap());
    let request = request.unwrap().permissions(permissions).unwrap();
    let issued = issuer().issue(&request, &mut SysRng, now).unwrap();
    save_issued(store, &issued).await.unwrap();
    issued
}

/// `pro` reads, and from the second 1 on, it writes too.
async fn widened(store: &impl Store) -> [StoredTemplate; 2] {
    let first = add_template(store, rights(&["read"]), None, at(0));
    let first = first.await.unwrap();
    let second = change_template(store, &first, rights(&["read", "write"]), None, at(1_000));
    let second = second.await.unwrap();
    [first, second]
}

#[tokio::test]
async fn a_key_that_was_issued_narrower_stays_even_if_the_template_was_like_it_once() {
    let store = MemoryStore::new();
    let [first, second] = widened(&store).await;
    let old = issued_at(&store, &first, &["read"], at(999)).await;
    // In the millisecond of the change, too.
    let chosen = issued_at(&store, &second, &["read"], at(1_000)).await;
    let later = issued_at(&store, &second, &["read"], at(5_000)).await;

    let page = keys(&store, &second).await;
    assert_eq!((page.due.len(), page.own.len()), (1, 2));
    let applied = page.apply(&store, OfDerived::Refuse, at(6_000)).await;
    assert_eq!(applied.changed, [old.record.id]);
    for key in [&chosen, &later] {
        assert!(!grants(&store, key, "write").await, "it was issued to read");
    }
}

/// Documented: nothing on a key tells it from one that was left as it was.
#[tokio::test]
async fn an_older_key_that_was_changed_to_an_earlier_state_follows_the_template() {
    let store = MemoryStore::new();
    let [first, second] = widened(&store).await;
    let old = issued_at(&store, &first, &["read"], at(500)).await;
    let chosen = issued_at(&store, &second, &["read", "write"], at(5_000)).await;
    let page = keys(&store, &second).await;
    assert_eq!(
        page.apply(&store, OfDerived::Refuse, at(6_000))
            .await
            .count(),
        1
    );
    let less = KeyChange::new().permissions(PermissionSet::new(["read"]).unwrap());
    for key in [&old, &chosen] {
        change(&store, &key.record.id, &less, at(7_000))
            .await
            .unwrap();
    }
    let page = keys(&store, &second).await;
    let of = |keys: &[keystile::KeyRecord]| keys.iter().map(|key| key.id).collect::<Vec<_>>();
    assert_eq!(of(&page.due), [old.record.id]);
    assert_eq!(of(&page.own), [chosen.record.id]);
}

#[tokio::test]
async fn a_rotated_key_is_as_old_as_its_lineage() {
    let store = MemoryStore::new();
    let [first, second] = widened(&store).await;
    let old = issued_at(&store, &first, &["read"], at(500)).await;
    let chosen = issued_at(&store, &second, &["read"], at(2_000)).await;
    let mut successors = Vec::new();
    for key in [&old, &chosen] {
        let (policy, peppers) = (RotationPolicy::default(), PepperRing::none());
        let id = &key.record.id;
        let mut rng = SysRng;
        let rotated = rotate(&store, id, &policy, None, &peppers, &mut rng, at(3_000));
        successors.push(rotated.await.unwrap().successor.id);
    }
    let page = keys(&store, &second).await;
    assert_eq!((page.due.len(), page.own.len()), (1, 1));
    let applied = page.apply(&store, OfDerived::Refuse, at(6_000)).await;
    assert_eq!(applied.changed, successors[..1]);
}

#[tokio::test]
async fn who_applies_an_older_template_stops_when_it_was_taken_back() {
    let store = MemoryStore::new();
    let [first, second] = widened(&store).await;
    let key = issued_at(&store, &first, &["read"], at(500)).await;
    // One reads its page. Another takes the change back, and applies that.
    let read = [
        keys(&store, &second).await,
        keys(&store, &second).await.take_own(),
    ];
    let back = change_template(&store, &second, rights(&["read"]), None, at(2_000));
    let back = back.await.unwrap();
    let others = keys(&store, &back).await;
    assert_eq!(others.current, 1);
    for page in &read {
        let applied = page.apply(&store, OfDerived::Refuse, at(3_000)).await;
        assert_eq!((applied.changed.len(), applied.failed.len()), (0, 0));
        assert!(
            matches!(
                applied.stopped_by,
                Some(StoreError::Template(TemplateProblem::Stale))
            ),
            "{:?}",
            applied.stopped_by
        );
        assert!(!grants(&store, &key, "write").await);
    }
    // One that was removed, and one that was added again under the same name.
    let widest = change_template(&store, &back, rights(&["*"]), None, at(4_000));
    let page = keys(&store, &widest.await.unwrap()).await;
    remove_template(&store, &named("pro"), None).await.unwrap();
    let applied = page.apply(&store, OfDerived::Refuse, at(5_000)).await;
    assert!(applied.stopped_by.is_some() && applied.changed.is_empty());
    widened(&store).await;
    let applied = page.apply(&store, OfDerived::Refuse, at(5_000)).await;
    assert!(applied.stopped_by.is_some() && applied.changed.is_empty());
    assert!(!grants(&store, &key, "write").await);
}
