//! Attacks on expiry and clocks, row H. Each test answers a flaw that was found elsewhere
//! and has its number.

use core::hint::black_box;

use crate::common::service::{Service, at, before, client};
use keystile::{
    Denial, DenialCode, ErrorKind, IssueRequest, Issued, KeyRecord, Millis, PepperRing, RateLimit,
    RateState, Request, RotationPolicy, UnixMillis, Usage, delegate, expire, issue, revoke, rotate,
};

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

/// How a key is answered at an instant, with fresh usage.
fn code_at(
    service: &Service,
    issued: &Issued,
    record: &KeyRecord,
    now: UnixMillis,
) -> Option<DenialCode> {
    let mut usage = Usage::of(record);
    let key = issued.key.expose().as_bytes();
    let decision = service.ask(key, Some(record), &Request::new(), &mut usage, now);
    decision.denial().map(Denial::code)
}

fn lasting(service: &mut Service, lifetime: u64) -> Issued {
    service.issue(&client().expires_in(Millis::new(lifetime)).unwrap())
}

#[test]
fn h1_cal_diy_29728_a_key_ends_to_the_millisecond_and_the_check_changes_nothing() {
    let mut service = Service::structured();
    // At noon, at midnight, and a millisecond before and after.
    for lifetime in [1, DAY / 2, DAY, DAY + 1, 90 * DAY - 1] {
        let issued = lasting(&mut service, lifetime);
        let record = issued.record.clone();
        let around = [lifetime - 1, lifetime, lifetime + 1]
            .map(|t| code_at(&service, &issued, &record, at(t)));
        let expired = Some(DenialCode::KeyExpired);
        assert_eq!(around, [None, expired, expired]);
        assert!(record == issued.record);
    }
}

#[test]
fn h2_langflow_13330_the_instant_of_expiry_is_past() {
    let mut service = Service::structured();
    let issued = lasting(&mut service, HOUR);
    let end = issued.record.expires_at.unwrap();
    assert_eq!(end, at(HOUR));
    assert_eq!(
        code_at(&service, &issued, &issued.record, end),
        Some(DenialCode::KeyExpired)
    );
    assert!(!issued.record.is_live(end) && issued.record.is_live(at(HOUR - 1)));
    // The same boundary holds for a rotation's deadline and for the event.
    let mut replaced = issued.record.clone();
    replaced.replaced_by = Some(service.issue(&client()).record.id);
    replaced.overlap_until = Some(at(5));
    assert_eq!(code_at(&service, &issued, &replaced, at(4)), None);
    assert_eq!(
        code_at(&service, &issued, &replaced, at(5)),
        Some(DenialCode::KeyReplaced)
    );
    assert!(expire(&issued.record, at(HOUR - 1)).is_err() && expire(&issued.record, end).is_ok());
}

#[test]
fn h3_unkey_26_seconds_are_not_taken_for_milliseconds() {
    for seconds in [0, 1, 1_790_000_000, 99_999_999_999] {
        assert_eq!(
            UnixMillis::new(seconds).unwrap_err().kind(),
            ErrorKind::Time
        );
    }
    assert!(UnixMillis::new(100_000_000_000).is_ok());
    // A duration names its unit too.
    assert_eq!(Millis::from_secs(90), Millis::new(90_000));
    assert_eq!(Millis::from_hours(1), Millis::new(HOUR));
    assert_eq!(Millis::from_days(1), Millis::new(DAY));
    assert_eq!(Millis::from_days(u32::MAX).get(), u64::from(u32::MAX) * DAY);
}

#[test]
fn h4_cve_2021_32923_a_key_about_to_end_is_not_renewed_for_ever() {
    let mut service = Service::structured();
    let issued = lasting(&mut service, HOUR);
    let policy = RotationPolicy::default();
    let (format, none) = (&service.format.clone(), PepperRing::none());
    for now in [at(HOUR - 1), at(HOUR - 2), at(0)] {
        let rng = &mut service.rng;
        let rotated = rotate(&issued.record, &[], &policy, format, &none, rng, now).unwrap();
        let half = now.plus(Millis::new(HOUR / 2)).unwrap();
        let end = issued.record.expires_at.map(|end| end.min(half));
        assert_eq!(rotated.changed[0].ends_at(), end);
        // An hour stays an hour: a rotation gives no longer life than the key was given.
        assert_eq!(
            rotated.successor.expires_at,
            Some(now.plus(Millis::from_hours(1)).unwrap())
        );
    }
    // A key without an end gets a successor without one, and has one itself.
    let forever = service.issue(&client().never_expires()).record;
    let rng = &mut service.rng;
    let rotated = rotate(&forever, &[], &policy, format, &none, rng, at(0)).unwrap();
    assert!(rotated.successor.expires_at.is_none() && rotated.changed[0].ends_at().is_some());
    // At the end of time there is no successor, rather than one without an end.
    let late = UnixMillis::MAX;
    let hour = policy.with_lifetime(Millis::from_hours(1)).unwrap();
    let refused = rotate(&forever, &[], &hour, format, &none, rng, late);
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Time);
}

#[test]
fn h5_ghsa_h5fq_653g_gxrm_no_lifetime_is_nothing_or_beyond_counting() {
    assert_eq!(
        client().expires_in(Millis::ZERO).unwrap_err().kind(),
        ErrorKind::Time
    );
    let mut service = Service::structured();
    let (format, none) = (service.format.clone(), PepperRing::none());
    for lifetime in [u64::MAX, u64::MAX / 2, UnixMillis::MAX.get()] {
        let request = client().expires_in(Millis::new(lifetime)).unwrap();
        let refused = issue(&format, &none, &request, &mut service.rng, at(0));
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Time);
    }
    let policy = RotationPolicy::default();
    assert!(policy.clone().with_max_age(Millis::ZERO).is_err());
    assert!(policy.clone().with_max_age(Millis::new(u64::MAX)).is_err());
    assert!(policy.with_overlap(Millis::new(u64::MAX)).is_err());
}

#[test]
fn h6_customermates_107_never_is_a_word_of_its_own() {
    let mut service = Service::structured();
    let silent = service.issue(&client()).record;
    assert_eq!(
        silent.expires_at,
        Some(at(90 * DAY)),
        "what is not said is not for ever"
    );
    let shortest = lasting(&mut service, 1).record;
    assert_eq!(shortest.expires_at, Some(at(1)));
    assert_eq!(
        service.issue(&client().never_expires()).record.expires_at,
        None
    );
    // The last word counts.
    let request = client().never_expires().expires_in(Millis::new(5)).unwrap();
    assert_eq!(service.issue(&request).record.expires_at, Some(at(5)));
}

#[test]
fn h7_ghsa_fpw6_a_key_without_an_end_can_be_ended() {
    let mut service = Service::structured();
    let issued = service.issue(&client().never_expires());
    for end in [
        None,
        Some(before(DAY)),
        Some(at(DAY)),
        Some(UnixMillis::MAX),
        Some(UnixMillis::MIN),
    ] {
        let mut record = issued.record.clone();
        record.expires_at = end;
        let revoked = revoke(&record, "leaked", at(0)).unwrap().record;
        for now in [UnixMillis::MIN, at(0), UnixMillis::MAX] {
            let code = code_at(&service, &issued, &revoked, now);
            assert_eq!(code, Some(DenialCode::KeyRevoked), "{end:?}");
            assert!(!revoked.is_live(now));
        }
    }
}

#[test]
fn h8_ghsa_3rw9_wmc8_8948_the_earliest_of_all_ends_counts() {
    let mut service = Service::structured();
    let source = lasting(&mut service, 10 * HOUR).record;
    let (format, none) = (service.format.clone(), PepperRing::none());
    // A derived key ends with its source, and with the source's overlap.
    let open = IssueRequest::new("Acme's shop").unwrap();
    let rng = &mut service.rng;
    let derived = delegate(&source, &format, &none, &open, rng, at(1)).unwrap();
    assert_eq!(derived.record.expires_at, source.expires_at);
    let policy = RotationPolicy::default()
        .with_overlap(Millis::from_hours(2))
        .unwrap();
    let rotated = rotate(&source, &[], &policy, &format, &none, rng, at(1)).unwrap();
    let derived = delegate(&rotated.changed[0], &format, &none, &open, rng, at(2)).unwrap();
    assert_eq!(derived.record.expires_at, Some(at(1 + 2 * HOUR)));
    let past = delegate(&source, &format, &none, &open, rng, at(10 * HOUR));
    assert_eq!(past.unwrap_err().kind(), ErrorKind::State);
    // The earlier of expiry and overlap ends a key.
    let mut both = source;
    both.replaced_by = Some(rotated.successor.id);
    for (expiry, overlap, end) in [(5, 9, 5), (9, 5, 5), (5, 5, 5)] {
        (both.expires_at, both.overlap_until) = (Some(at(expiry)), Some(at(overlap)));
        assert_eq!(both.ends_at(), Some(at(end)));
        assert!(both.is_live(at(end - 1)) && !both.is_live(at(end)));
    }
}

#[test]
fn h9_cve_2021_3144_an_ended_key_spends_nothing_and_gets_no_last_use() {
    let mut service = Service::structured();
    let hourly = RateLimit::new(5, Millis::from_hours(1)).unwrap();
    let request = client().uses(1).unwrap().rate_limit(hourly);
    let issued = service.issue(&request.expires_in(Millis::new(HOUR)).unwrap());
    let mut usage = Usage::of(&issued.record);
    let before_it = usage;
    let key = issued.key.expose().as_bytes();
    let (record, ask) = (Some(&issued.record), Request::new());
    for now in [at(HOUR), at(HOUR + 1)] {
        assert!(!service.ask(key, record, &ask, &mut usage, now).is_allow());
        assert_eq!(usage, before_it);
    }
    assert!(
        service
            .ask(key, record, &ask, &mut usage, at(HOUR - 1))
            .is_allow()
    );
    assert_eq!(usage.remaining, Some(0));
}

#[test]
fn h10_cve_2020_26892_one_instant_decides_all_and_it_is_given() {
    let mut service = Service::structured();
    let issued = lasting(&mut service, HOUR);
    // The same arguments give the same answer, in whatever order the instants come.
    let instants = [
        at(HOUR),
        at(0),
        at(HOUR - 1),
        at(HOUR),
        before(DAY),
        at(HOUR - 1),
    ];
    let told: Vec<_> = instants
        .iter()
        .map(|now| code_at(&service, &issued, &issued.record, *now))
        .collect();
    let expired = Some(DenialCode::KeyExpired);
    assert_eq!(told, [expired, None, None, expired, None, None]);
    // Only the constructor for callers reads a clock, and nothing else calls it.
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
    let mut files = 0;
    for folder in ["key", "policy", "record", "decision", "lifecycle"] {
        for file in std::fs::read_dir(format!("{source}/{folder}")).unwrap() {
            let path = file.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            files += 1;
            for clock in ["SystemTime", "Instant::", "std::time", "::now()"] {
                assert!(!text.contains(clock), "{} reads {clock}", path.display());
            }
        }
    }
    assert!(files > 30, "{files} files were looked through");
}

#[test]
fn h11_rustsec_2021_0073_no_instant_or_duration_overflows() {
    let extremes = [
        0,
        1,
        u64::MAX,
        u64::MAX / 2,
        (1 << 63) - 1,
        1 << 63,
        1 << 53,
    ];
    for (a, b) in extremes
        .iter()
        .flat_map(|a| extremes.iter().map(move |b| (*a, *b)))
    {
        let made = UnixMillis::new(a);
        assert_eq!(
            made.is_ok(),
            (UnixMillis::MIN.get()..=UnixMillis::MAX.get()).contains(&a)
        );
        for instant in [UnixMillis::MIN, at(0), UnixMillis::MAX] {
            let sum = instant.plus(Millis::new(b));
            let exact = u128::from(instant.get()) + u128::from(b);
            let fits = exact <= u128::from(UnixMillis::MAX.get());
            assert_eq!(sum.is_ok(), fits);
            assert!(sum.is_err() || sum.is_ok_and(|sum| u128::from(sum.get()) == exact));
        }
        assert_eq!(
            Millis::new(b).secs_ceil(),
            b / 1_000 + u64::from(b % 1_000 != 0)
        );
        let limit = RateLimit::with_burst(a as u32, Millis::new(b), b as u32);
        if let Ok(limit) = limit {
            for now in [UnixMillis::MIN, UnixMillis::MAX] {
                let state = RateState::from_bits(a);
                black_box(limit.admit(state, now).map(RateState::to_bits)).ok();
                let quota = limit.quota(state, now);
                assert!(quota.remaining() <= limit.burst());
                black_box((quota.reset(), quota.retry_after()));
            }
        }
    }
}
