//! The keyring as a service sees it: what is cached, for how long, and what is fetched
//! again.
use crate::common::forged::with_wrong_secret;
use crate::common::keyring_with_store::KeyringWithStore;
use crate::common::service::{Service, at, before, client, ring};
use keystile::{
    Cause, Check, Decision, Digest, ErrorKind, Keyring, Millis, Pepper, PepperRing, Request,
    RotationPolicy, StatusPolicy, UnixMillis, end_overlap, rehash, revoke, rotate, suspend,
};

const SECOND: u64 = 1_000;
const HOUR: u64 = 3_600 * SECOND;
/// The defaults.
const TTL: u64 = 300 * SECOND;
const ABSENT_TTL: u64 = 10 * SECOND;

#[test]
fn a_record_is_used_for_its_ttl_and_no_longer() {
    let mut service = Service::structured();
    let issued = service.issue(&client());
    let text = issued.key.expose();
    let backed = KeyringWithStore::new(&service);
    backed.put(&issued.record);
    assert!(backed.allows(text, at(0)));
    assert_eq!(backed.fetches(), 1);
    assert!(backed.allows(text, at(TTL - 1)));
    assert_eq!(backed.fetches(), 0);
    assert!(backed.allows(text, at(TTL)));
    assert_eq!(backed.fetches(), 1);

    // A change that the keyring was not notified of takes effect by then at the latest.
    backed.put(&revoke(&issued.record, "", at(0)).unwrap().record);
    assert!(backed.allows(text, at(TTL + TTL - 1)));
    assert_eq!(backed.refuses(text, at(TTL + TTL)), Some(Cause::Revoked));
}

#[test]
fn a_record_is_not_used_past_its_end_and_then_refused_without_a_fetch_each_time() {
    let mut service = Service::structured();
    let lifetime = Millis::new(TTL + 500);
    let issued = service.issue(&client().expires_in(lifetime).unwrap());
    let text = issued.key.expose();
    let backed = KeyringWithStore::new(&service);
    backed.put(&issued.record);
    assert!(backed.allows(text, at(TTL - 1)));
    assert!(backed.allows(text, at(TTL + 499)));
    assert_eq!(backed.fetches(), 1);
    // It may have been prolonged, so the store is asked, and then not again for a while.
    let end = TTL + 500;
    assert_eq!(backed.refuses(text, at(end)), Some(Cause::Expired));
    assert_eq!(backed.fetches(), 1);
    for now in [end, end + 1, end + ABSENT_TTL - 1] {
        assert_eq!(backed.refuses(text, at(now)), Some(Cause::Expired));
    }
    assert_eq!(backed.fetches(), 0);
    assert_eq!(
        backed.refuses(text, at(end + ABSENT_TTL)),
        Some(Cause::Expired)
    );
    assert_eq!(backed.fetches(), 1);

    let mut longer = backed.record(&issued.record.id);
    longer.expires_at = Some(at(HOUR));
    backed.change(&longer);
    assert!(backed.allows(text, at(end + ABSENT_TTL)));
}

#[test]
fn an_unknown_key_is_refused_without_a_fetch_for_a_shorter_time() {
    let mut service = Service::structured();
    let issued = service.issue(&client());
    let text = issued.key.expose();
    let backed = KeyringWithStore::new(&service);
    assert_eq!(backed.refuses(text, at(0)), Some(Cause::UnknownKey));
    assert_eq!(
        backed.refuses(text, at(ABSENT_TTL - 1)),
        Some(Cause::UnknownKey)
    );
    assert_eq!(
        (backed.fetches(), backed.keyring.stats().absent_hits),
        (1, 1)
    );
    backed.put(&issued.record);
    assert!(backed.allows(text, at(ABSENT_TTL)));

    let never = KeyringWithStore::set_up(&service, |builder| builder.absent_ttl(Millis::ZERO));
    for _ in 0..3 {
        assert_eq!(never.refuses(text, at(0)), Some(Cause::UnknownKey));
    }
    assert_eq!(never.fetches(), 3);
}

#[test]
fn h12_what_was_seen_expired_stays_so_when_the_clock_steps_back() {
    let mut service = Service::structured();
    let issued = service.issue(&client().expires_in(Millis::new(HOUR)).unwrap());
    let text = issued.key.expose();
    let other = service.issue(&client());
    let backed = KeyringWithStore::new(&service);
    backed.put(&issued.record);
    backed.put(&other.record);
    assert!(backed.allows(text, at(HOUR - 1)));
    assert_eq!(backed.refuses(text, at(HOUR)), Some(Cause::Expired));
    for back in [1, SECOND, 60 * SECOND] {
        assert_eq!(
            backed.refuses(text, at(HOUR - back)),
            Some(Cause::Expired),
            "{back}"
        );
    }
    // Another key's reading of the clock does not change that, nor does a fetch.
    assert!(backed.allows(other.key.expose(), at(HOUR - 5)));
    backed.change(&issued.record);
    assert_eq!(backed.refuses(text, at(HOUR - 5)), Some(Cause::Expired));
    assert_eq!(backed.fetches(), 4);
    assert_eq!(backed.refuses(text, at(HOUR - 5)), Some(Cause::Expired));
    assert_eq!(
        backed.fetches(),
        0,
        "remembered, even while the clock is behind"
    );
    // A longer step means that the clock was wrong before.
    assert!(backed.allows(text, at(HOUR - 60 * SECOND - 1)));
}

#[test]
fn h12_a_clock_that_is_a_day_wrong_holds_nothing_for_longer() {
    let mut service = Service::structured();
    let issued = service.issue(&client());
    let text = issued.key.expose();
    let unknown = service.issue(&client());
    let backed = KeyringWithStore::new(&service);
    backed.put(&issued.record);
    let day = 24 * HOUR;
    assert!(backed.allows(text, at(day)));
    assert_eq!(
        backed.refuses(unknown.key.expose(), at(day)),
        Some(Cause::UnknownKey)
    );
    backed.put(&revoke(&issued.record, "", at(0)).unwrap().record);
    backed.put(&unknown.record);
    // The record would be fresh for another day, and the refusal too.
    assert_eq!(backed.refuses(text, at(0)), Some(Cause::Revoked));
    assert!(backed.allows(unknown.key.expose(), at(0)));
}

#[test]
fn a_wrong_secret_of_a_cached_key_needs_no_fetch_and_looks_like_an_unknown_key() {
    let mut service = Service::structured();
    let issued = service.issue(&client());
    let unknown = service.issue(&client());
    let wrong = with_wrong_secret(issued.key.expose());
    let backed = KeyringWithStore::new(&service);
    backed.put(&issued.record);
    assert!(backed.allows(issued.key.expose(), at(0)));
    assert_eq!(backed.fetches(), 1);
    let denied = backed.ask(&wrong, &Request::new(), at(0));
    assert_eq!(backed.fetches(), 0);
    let denied = *denied.denial().unwrap();
    assert_eq!(denied.cause(), Cause::WrongSecret);
    assert_eq!(denied.key_id(), None);
    let absent = backed.ask(unknown.key.expose(), &Request::new(), at(0));
    let absent = *absent.denial().unwrap();
    assert_eq!(
        (absent.cause(), absent.code()),
        (Cause::UnknownKey, denied.code())
    );
    let respond = |denial| backed.keyring.respond(denial, None);
    assert_eq!(respond(&absent), respond(&denied));

    // If it is not cached, the store is asked once, and no other key is affected.
    backed.keyring.invalidate(&issued.record.id);
    assert_eq!(backed.refuses(&wrong, at(0)), Some(Cause::WrongSecret));
    assert_eq!(backed.refuses(&wrong, at(0)), Some(Cause::WrongSecret));
    assert!(backed.allows(issued.key.expose(), at(0)));
    assert_eq!(
        backed.fetches(),
        2 + 1,
        "the unknown one, the wrong one, the right one"
    );
}

#[test]
fn the_status_policy_is_that_of_the_keyring() {
    let mut service = Service::structured();
    let issued = service.issue(&client());
    let expected = [(StatusPolicy::Rfc9110, 401), (StatusPolicy::Express, 403)];
    for (policy, status) in expected {
        let backed = KeyringWithStore::set_up(&service, |builder| builder.status_policy(policy));
        let decision = backed.ask(issued.key.expose(), &Request::new(), at(0));
        let response = backed.keyring.respond(decision.denial().unwrap(), None);
        assert_eq!(response.status, status, "{policy:?}");
    }
}

#[test]
fn an_opaque_key_is_found_by_its_digest_and_cached_by_its_text() {
    let mut service = Service::opaque();
    let issued = service.issue(&client());
    let text = issued.key.expose();
    let backed = KeyringWithStore::new(&service);
    assert_eq!(backed.refuses(text, at(0)), Some(Cause::UnknownKey));
    assert_eq!(backed.refuses(text, at(0)), Some(Cause::UnknownKey));
    assert_eq!(backed.fetches(), 1);
    // Any invalidation may mean that it was issued, since its text contains no id.
    backed.put(&issued.record);
    backed.keyring.invalidate(&issued.record.id);
    assert!(backed.allows(text, at(0)));
    assert!(backed.allows(text, at(1)));
    assert_eq!(backed.fetches(), 1);
    backed.change(&suspend(&issued.record, at(0)).unwrap().record);
    assert_eq!(backed.refuses(text, at(2)), Some(Cause::Suspended));
    assert_eq!(backed.fetches(), 1);
    let other = format!("{}0", &text[..text.len() - 1]);
    let other = if other == text {
        format!("{}1", &text[..text.len() - 1])
    } else {
        other
    };
    assert_eq!(backed.refuses(&other, at(2)), Some(Cause::UnknownKey));
}

#[test]
fn peppers_are_those_of_the_verifier_and_an_outdated_digest_is_reported_each_time() {
    let mut service = Service::structured();
    let old = PepperRing::new(Pepper::new(1, &[1; 32]).unwrap());
    service.verifier = service.verifier.with_peppers(old);
    let issued = service.issue(&client());
    let text = issued.key.expose();
    service.verifier = service.verifier.with_peppers(ring());
    let backed = KeyringWithStore::new(&service);
    backed.put(&issued.record);
    let needs_rehash = |decision| match decision {
        Decision::Allow(allowed) => allowed.needs_rehash,
        Decision::Deny(_) => panic!("refused"),
    };
    for now in 0..3 {
        assert!(needs_rehash(backed.ask(text, &Request::new(), at(now))));
    }
    let key = service.verifier.parse(text.as_bytes()).unwrap();
    let change = rehash(&issued.record, &key, &ring(), at(3)).unwrap();
    backed.change(&change.record);
    assert!(!needs_rehash(backed.ask(text, &Request::new(), at(4))));

    // Under a pepper that is no longer in the ring it is refused, and the audit log has
    // the reason.
    service.verifier = service.verifier.with_peppers(PepperRing::none());
    let without = KeyringWithStore::new(&service);
    without.put(&issued.record);
    assert_eq!(without.refuses(text, at(0)), Some(Cause::PepperUnavailable));
    assert_eq!(without.refuses(text, at(0)), Some(Cause::PepperUnavailable));
    assert_eq!(without.fetches(), 1);
}

#[test]
fn the_first_use_of_a_successor_reports_whose_overlap_it_ends() {
    let mut service = Service::structured();
    let issued = service.issue(&client());
    let (format, none) = (service.format.clone(), PepperRing::none());
    let policy = RotationPolicy::default().with_end_on_first_use(true);
    let rng = &mut service.rng;
    let rotated = rotate(&issued.record, &[], &policy, &format, &none, rng, at(0)).unwrap();
    let (old, new) = (&rotated.changed[0], &rotated.successor);
    let backed = KeyringWithStore::new(&service);
    backed.put(&issued.record);
    assert!(backed.allows(issued.key.expose(), at(0)));
    backed.change(old);
    backed.change(new);
    let allowed = |text: &str| match backed.ask(text, &Request::new(), at(1)) {
        Decision::Allow(allowed) => allowed,
        Decision::Deny(denial) => panic!("{denial:?}"),
    };
    let by_old = allowed(issued.key.expose());
    assert_eq!(by_old.notice.unwrap().replaced_by, new.id);
    assert_eq!(by_old.ends_overlap_of, None);
    for _ in 0..2 {
        let by_new = allowed(rotated.key.expose());
        assert_eq!(by_new.ends_overlap_of, Some(old.id));
        assert_eq!(by_new.lineage, old.id);
    }
    for record in &end_overlap(old, new, at(1)).unwrap() {
        backed.change(record);
    }
    assert_eq!(allowed(rotated.key.expose()).ends_overlap_of, None);
    assert_eq!(
        backed.refuses(issued.key.expose(), at(1)),
        Some(Cause::Replaced)
    );
}

#[test]
fn a_keyring_is_built_within_its_limits() {
    let service = Service::structured();
    let builder = || Keyring::builder(service.verifier.clone());
    let refused = [
        builder().capacity(0),
        builder().capacity(100_000_001),
        builder().ttl(Millis::ZERO),
        builder().ttl(Millis::new(24 * HOUR + 1)),
        builder()
            .ttl(Millis::from_secs(5))
            .absent_ttl(Millis::from_secs(6)),
    ];
    for builder in refused {
        assert_eq!(builder.build().unwrap_err().kind(), ErrorKind::Limit);
    }
    let short = builder().ttl(Millis::from_secs(5));
    assert!(
        short.build().is_ok(),
        "absent keys are cached no longer than others"
    );
    assert!(
        builder()
            .capacity(1)
            .ttl(Millis::new(24 * HOUR))
            .build()
            .is_ok()
    );
}

#[test]
fn nothing_that_is_printed_shows_a_key_or_its_digest() {
    let mut service = Service::structured();
    let issued = service.issue(&client());
    let text = issued.key.expose();
    let backed = KeyringWithStore::new(&service);
    backed.put(&issued.record);
    let check = backed
        .keyring
        .check(text.as_bytes(), &Request::new(), at(0));
    let Check::NeedsRecord(ticket) = &check else {
        panic!("decided without a record");
    };
    let mut printed = format!("{check:?} {ticket:?} {:?}", ticket.lookup());
    printed += &format!(
        "{:?} {:?}",
        backed.ask(text, &Request::new(), at(0)),
        backed.keyring
    );
    printed += &format!("{:?}", Keyring::builder(service.verifier.clone()));
    printed += &format!(
        "{:?} {:?}",
        backed.keyring.stats(),
        backed.keyring.drain_uses()
    );
    let secret = &text[text.len() - 49..];
    let digest = Digest::sha256(text.as_bytes()).to_string();
    let digest = digest.trim_start_matches("sha256:");
    for part in (0..=secret.len() - 6).map(|at| &secret[at..at + 6]) {
        assert!(!printed.contains(part), "a part of the secret is printed");
    }
    assert!(!printed.contains(&digest[..8]));
    assert!(printed.contains("Keyring") && printed.contains(issued.record.id.as_str()));
}

#[test]
fn a_ticket_can_be_restored_from_its_number() {
    let mut service = Service::structured();
    let issued = service.issue(&client());
    let text = issued.key.expose().as_bytes();
    let backed = KeyringWithStore::new(&service);
    let request = Request::new();
    let Check::NeedsRecord(first) = backed.keyring.check(text, &request, at(0)) else {
        panic!("decided without a record");
    };
    let anew = |as_of| backed.keyring.ticket(text, &request, as_of).unwrap();
    backed.keyring.invalidate(&issued.record.id);
    let stale = backed.admit(anew(first.as_of()), Some(&issued.record), at(0));
    let Check::NeedsRecord(second) = stale else {
        panic!("an invalidation went unnoticed");
    };
    assert!(second.as_of() > first.as_of());
    let fresh = backed.admit(anew(second.as_of()), Some(&issued.record), at(0));
    assert!(matches!(fresh, Check::Decided(Decision::Allow(_), _)));
    assert!(backed.keyring.ticket(b"acme_live_", &request, 0).is_err());
}

#[test]
fn the_end_of_time_is_an_end() {
    let mut service = Service::structured();
    let issued = service.issue(&client().never_expires());
    let backed = KeyringWithStore::new(&service);
    backed.put(&issued.record);
    assert!(backed.allows(issued.key.expose(), UnixMillis::MAX));
    assert!(backed.allows(issued.key.expose(), UnixMillis::MIN));
    assert!(backed.allows(issued.key.expose(), before(HOUR)));
}

#[test]
fn stats_count_what_was_done() {
    let mut service = Service::structured();
    let keys: Vec<_> = (0..3).map(|_| service.issue(&client())).collect();
    let backed = KeyringWithStore::set_up(&service, |builder| builder.capacity(2));
    for key in &keys[..2] {
        backed.put(&key.record);
    }
    for key in &keys {
        backed.allows(key.key.expose(), at(0));
        backed.allows(key.key.expose(), at(0));
    }
    let Check::NeedsRecord(ticket) = ({
        backed.keyring.invalidate(&keys[0].record.id);
        backed
            .keyring
            .check(keys[0].key.expose().as_bytes(), &Request::new(), at(0))
    }) else {
        panic!("decided by an invalidated record");
    };
    backed.keyring.invalidate_owner("nobody");
    backed.keyring.invalidate_all();
    let again = backed.admit(ticket, Some(&keys[0].record), at(0));
    assert!(matches!(again, Check::NeedsRecord(_)));
    let stats = backed.keyring.stats();
    assert_eq!(stats.entries, 2);
    assert_eq!((stats.fetches, stats.overtaken), (4, 1));
    assert_eq!((stats.invalidations, stats.absent_hits), (3, 1));
    assert_eq!((stats.evictions, stats.uses_lost), (0, 0));
    backed.put(&keys[2].record);
    backed.keyring.invalidate(&keys[2].record.id);
    assert!(backed.allows(keys[2].key.expose(), at(0)));
    let stats = backed.keyring.stats();
    assert_eq!((stats.entries, stats.evictions), (2, 1));
}
