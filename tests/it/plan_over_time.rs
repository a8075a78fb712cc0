//! What is due, compared with the rules one by one, and over a year of following the
//! plan.

use crate::common::service::{Service, at, client};
use keystile::{
    KeyRecord, Millis, PepperRing, PlanAction, PlanItem, RotationPolicy, Status, UnixMillis,
    end_overlap, plan, revoke, rotate, suspend,
};

const DAY: u64 = 86_400_000;

/// The rules, each by itself.
fn naive(record: &KeyRecord, policy: &RotationPolicy, now: UnixMillis) -> Vec<PlanAction> {
    let mut due = Vec::new();
    let by_time = record.ends_at().filter(|end| *end <= now);
    let ended = match record.status {
        Status::Revoked { at, .. } => Some(at),
        _ => by_time,
    };
    if let Some(ended_at) = ended {
        if now.get() >= ended_at.get() + policy.retention().get() {
            due.push(PlanAction::CleanUp { ended_at });
        }
        return due;
    }
    if record.status == Status::Suspended || record.replaced_by.is_some() {
        return due;
    }
    if let Some(ends_at) = record.expires_at {
        let mut leads = policy.notice_leads().to_vec();
        leads.sort_unstable();
        let reached = |lead: &&Millis| ends_at.get() <= now.get() + lead.get();
        if let Some(lead) = leads.iter().find(reached).copied() {
            due.push(PlanAction::Notice { ends_at, lead });
        }
    }
    let aged = record.created_at.get() + policy.max_age().get();
    let end = record
        .expires_at
        .map_or(aged, |expiry| expiry.get().min(aged));
    let given = record
        .expires_at
        .map_or(u64::MAX, |expiry| expiry.get() - record.created_at.get());
    let half = given.min(policy.max_age().get()) / 2;
    if end <= now.get() + policy.overlap().get().min(half) {
        let ends_at = UnixMillis::new(end).unwrap();
        due.push(PlanAction::Rotate { ends_at });
    }
    due
}

#[test]
fn the_plan_follows_the_rules_at_every_instant() {
    let mut service = Service::structured();
    let mut records = Vec::new();
    for days in [1, 5, 10, 20, 89, 120] {
        let request = client().expires_in(Millis::from_days(days)).unwrap();
        records.push(service.issue(&request).record);
    }
    records.push(service.issue(&client().never_expires()).record);
    let fresh = records.clone();
    let policy = RotationPolicy::default();
    for record in &fresh {
        records.push(suspend(record, at(1)).unwrap().record);
        records.push(revoke(record, "", at(0)).unwrap().record);
        let (format, none) = (&service.format, PepperRing::none());
        let rotated = rotate(record, &[], &policy, format, &none, &mut service.rng, at(2));
        records.extend(rotated.unwrap().changed);
    }
    let policies = [
        policy.clone(),
        policy.clone().with_overlap(Millis::ZERO).unwrap(),
        policy.clone().with_notice_leads([]),
        policy.with_retention(Millis::ZERO),
    ];
    let mut due = 0;
    for policy in &policies {
        for hour in 0..24 * 160 {
            let around = [hour * DAY / 24, hour * DAY / 24 + 1];
            for now in around.map(at) {
                let expected: Vec<PlanItem> = plan(&records, policy, now);
                let naive: Vec<_> = records
                    .iter()
                    .flat_map(|r| naive(r, policy, now).into_iter().map(|a| (r.id, a)))
                    .collect();
                let told: Vec<_> = expected.iter().map(|d| (d.key_id, d.action)).collect();
                assert_eq!(told, naive, "{hour} hours after the start");
                due += naive.len();
            }
        }
    }
    assert!(due > 100_000, "{due} actions");
}

/// P10 in operation: anyone who rotates once a day, when the plan requires it, always has
/// a key.
#[test]
fn p10_a_client_who_follows_the_plan_always_holds_a_live_key() {
    for (overlap, end_on_first_use) in [(7, false), (7, true), (1, false)] {
        let policy = RotationPolicy::default()
            .with_max_age(Millis::from_days(30))
            .and_then(|policy| policy.with_overlap(Millis::from_days(overlap)))
            .unwrap()
            .with_end_on_first_use(end_on_first_use);
        let mut service = Service::structured();
        let request = client().expires_in(Millis::from_days(30)).unwrap();
        let mut records = vec![service.issue(&request).record];
        let (mut rotations, mut cleaned) = (0, 0);
        for day in 0..400 {
            // The plan is followed at some hour of the day, not at midnight.
            let now = at(day * DAY + 5_000_000);
            for due in plan(&records.clone(), &policy, now) {
                let place = records.iter().position(|r| r.id == due.key_id).unwrap();
                match due.action {
                    PlanAction::Rotate { .. } => {
                        let (format, none) = (&service.format, PepperRing::none());
                        let rng = &mut service.rng;
                        let old = records[place].clone();
                        let rotated =
                            rotate(&old, &records, &policy, format, &none, rng, now).unwrap();
                        for changed in rotated.changed {
                            let own = records.iter_mut().find(|r| r.id == changed.id).unwrap();
                            *own = changed;
                        }
                        records.push(rotated.successor);
                        rotations += 1;
                    }
                    PlanAction::CleanUp { .. } => {
                        assert!(!records[place].is_live(now));
                        records.remove(place);
                        cleaned += 1;
                    }
                    _ => {}
                }
            }
            // Clients move to the newest key three days later.
            let newest = records.last().unwrap().clone();
            let moved = now.since(newest.created_at) >= Millis::from_days(3);
            if let Some(older) = newest.ends_at_first_use.filter(|_| moved) {
                let old = records.iter().find(|r| r.id == older).unwrap().clone();
                for changed in end_overlap(&old, &newest, now).unwrap() {
                    let own = records.iter_mut().find(|r| r.id == changed.id).unwrap();
                    *own = changed;
                }
            }
            for hour in 0..24 {
                let instant = now.plus(Millis::from_hours(hour)).unwrap();
                let live = records.iter().filter(|r| r.is_live(instant)).count();
                assert!((1..=2).contains(&live), "{live} keys on day {day}");
            }
        }
        assert!(rotations >= 13, "{rotations} rotations");
        assert!(
            cleaned >= rotations - 3 && records.len() <= 4,
            "{} records",
            records.len()
        );
    }
}
