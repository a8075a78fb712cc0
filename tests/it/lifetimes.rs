//! The length of life that a key is given: by a service's policy, and kept by its successors.

use crate::common::service::{Service, at, client};
use crate::common::test_rng::TestRng;
use keystile::{
    ErrorKind, IssueRequest, Issuer, KeyChange, KeyFormat, LifetimePolicy, Millis, PepperRing,
    PlanAction, RotationPolicy, change, plan, revoke, rotate,
};

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

fn issuer(longest_days: u32) -> Issuer {
    let longest = Some(Millis::from_days(longest_days));
    let policy = LifetimePolicy::new(Millis::from_days(1), longest).unwrap();
    Issuer::new(KeyFormat::structured("acme").unwrap()).with_lifetimes(policy)
}

/// Grafana 55233, 77362: an operator's longest lifetime holds wherever a lifetime is given.
#[test]
fn a_longest_lifetime_holds_for_each_verb() {
    let issuer = issuer(7);
    let lifetimes = issuer.lifetimes().unwrap();
    let long = Millis::from_days(8);
    let request = IssueRequest::new("Acme").unwrap();
    let source = issuer
        .issue(&request, &mut TestRng::seeded(1), at(0))
        .unwrap()
        .record;
    assert_eq!(source.lifetime, Some(Millis::from_days(1)), "the default");
    for asked in [
        request.clone().never_expires(),
        request.clone().expires_in(long).unwrap(),
    ] {
        let refused = issuer
            .issue(&asked, &mut TestRng::seeded(2), at(0))
            .unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Time);
        let refused = issuer.delegate(&source, &asked, &mut TestRng::seeded(3), at(0));
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Time);
    }
    for asked in [
        KeyChange::new().never_expires(),
        KeyChange::new().expires_in(long).unwrap(),
    ] {
        assert_eq!(asked.within(lifetimes).unwrap_err().kind(), ErrorKind::Time);
    }
    let renamed = KeyChange::new().client_name("Acme Pro").unwrap();
    assert!(renamed.within(lifetimes).is_ok());
    for asked in [
        RotationPolicy::default().with_endless_lifetime(),
        RotationPolicy::default().with_lifetime(long).unwrap(),
    ] {
        let refused = issuer.rotate(&source, &[], &asked, &mut TestRng::seeded(4), at(0));
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Time);
    }
    // What was given before there was a longest is cut at the next rotation.
    let mut never = source;
    (never.expires_at, never.lifetime) = (None, None);
    let policy = RotationPolicy::default();
    let rotated = issuer
        .rotate(&never, &[], &policy, &mut TestRng::seeded(5), at(0))
        .unwrap();
    assert_eq!(rotated.successor.expires_at, Some(at(7 * DAY)));
}

#[test]
fn a_change_of_the_expiry_is_a_change_of_the_length() {
    let mut service = Service::structured();
    let record = service.issue(&client()).record;
    let week = KeyChange::new().expires_in(Millis::from_days(7)).unwrap();
    let changed = change(&record, &week, at(DAY)).unwrap().record;
    assert_eq!(changed.lifetime, Some(Millis::from_days(7)));
    let never = change(&changed, &KeyChange::new().never_expires(), at(DAY)).unwrap();
    assert_eq!(never.record.lifetime_given(), None);
}

/// An hourly job that follows the plan, with an overlap as long as the greatest age: it rotates
/// no more often than each client has time for.
#[test]
fn t14_a_long_overlap_is_not_due_at_every_run() {
    let week = Millis::from_days(7);
    let policy = RotationPolicy::default().with_max_age(week).unwrap();
    let policy = policy.with_overlap(week).unwrap();
    let mut service = Service::structured();
    let (format, none) = (service.format.clone(), PepperRing::none());
    let mut records = vec![service.issue(&client().never_expires()).record];
    let mut rotations = Vec::new();
    for hour in 0..24 * 28 {
        let now = at(hour * HOUR);
        let newest = records.last().unwrap().clone();
        let due = plan([&newest], &policy, now);
        if !due
            .iter()
            .any(|item| matches!(item.action, PlanAction::Rotate { .. }))
        {
            continue;
        }
        let rng = &mut service.rng;
        let rotated = rotate(&newest, &records, &policy, &format, &none, rng, now).unwrap();
        let ended = rotated.changed[0].ends_at().unwrap();
        assert!(
            ended >= at(hour * HOUR + 7 * DAY / 2),
            "half of a week of overlap"
        );
        for older in rotated.changed {
            let own = records
                .iter_mut()
                .find(|record| record.id == older.id)
                .unwrap();
            // An overlap that has begun is not cut short by the next rotation.
            assert!(own.overlap_until.is_none_or(|end| end <= now));
            *own = older;
        }
        records.push(rotated.successor);
        rotations.push(hour);
    }
    assert_eq!(rotations.len(), 7, "{rotations:?}");
}

/// A live sibling without a successor, as other code can leave it, ends with the rotation and is
/// a valid record.
#[test]
fn t16_a_sibling_without_a_successor_is_ended_validly() {
    let mut service = Service::structured();
    let one = service.issue(&client()).record;
    let mut other = service.issue(&client()).record;
    other.lineage = one.lineage;
    let (format, none) = (service.format.clone(), PepperRing::none());
    let policy = RotationPolicy::default();
    let siblings = [one.clone(), other];
    let rng = &mut service.rng;
    let rotated = rotate(&one, &siblings, &policy, &format, &none, rng, at(1)).unwrap();
    assert_eq!(rotated.changed.len(), 2);
    for changed in &rotated.changed {
        changed.check().unwrap();
    }
    assert!(!rotated.changed[1].is_live(at(1)));
}

/// The successor was revoked: the lineage goes on with another one.
#[test]
fn t18_a_lineage_whose_successor_was_revoked_goes_on() {
    let mut service = Service::structured();
    let first = service.issue(&client()).record;
    let (format, none) = (service.format.clone(), PepperRing::none());
    let policy = RotationPolicy::default();
    let rng = &mut service.rng;
    let rotated = rotate(&first, &[], &policy, &format, &none, rng, at(0)).unwrap();
    let first = rotated.changed[0].clone();
    let leaked = revoke(&rotated.successor, "leaked", at(1)).unwrap().record;
    let alone = rotate(&first, &[], &policy, &format, &none, rng, at(2));
    assert_eq!(
        alone.unwrap_err().kind(),
        ErrorKind::State,
        "it is not known to be revoked"
    );
    let siblings = [first.clone(), leaked.clone()];
    let again = rotate(&first, &siblings, &policy, &format, &none, rng, at(2)).unwrap();
    assert!(again.successor.is_live(at(2)) && again.successor.replaced_by.is_none());
    assert_eq!(
        again.changed[0].overlap_until, first.overlap_until,
        "not longer"
    );
    let refused = rotate(&leaked, &siblings, &policy, &format, &none, rng, at(2));
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::State);
}

/// Without its source, nothing is known of that one's end: so the key's own holds.
#[test]
fn a_derived_key_s_successor_ends_no_later_than_is_known() {
    let mut service = Service::structured();
    let issuer = Issuer::new(service.format.clone());
    let source = service.issue(&client().never_expires()).record;
    let derived = issuer
        .delegate(&source, &client(), &mut TestRng::seeded(6), at(0))
        .unwrap()
        .record;
    let policy = RotationPolicy::default();
    let now = at(DAY);
    let rotated = issuer
        .rotate(&derived, &[], &policy, &mut TestRng::seeded(7), now)
        .unwrap();
    assert_eq!(rotated.successor.expires_at, derived.expires_at);
    assert_eq!(rotated.successor.derived_from, derived.derived_from);
    let known = policy.clone().with_latest_end(source.ends_at());
    let rotated = issuer
        .rotate(&derived, &[], &known, &mut TestRng::seeded(8), now)
        .unwrap();
    assert_eq!(rotated.successor.expires_at, Some(at(91 * DAY)));
    let soon = known
        .with_latest_end(Some(at(2 * DAY)))
        .with_latest_end(None);
    let rotated = issuer
        .rotate(&derived, &[], &soon, &mut TestRng::seeded(9), now)
        .unwrap();
    assert_eq!(rotated.successor.expires_at, Some(at(2 * DAY)));
    let over = soon.with_latest_end(Some(now));
    let refused = issuer.rotate(&derived, &[], &over, &mut TestRng::seeded(10), now);
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::State);
}
