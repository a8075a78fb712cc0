//! Limits that are counted elsewhere: what a keyring asks for, and what it does with the answer.

use std::sync::Arc;

use crate::common::keyring_with_store::KeyringWithStore;
use crate::common::service::{Service, at, before, client};
use keystile::{
    Cause, Check, Decision, Grant, IssueRequest, Issued, KeyRecord, Leases, Millis, PepperRing,
    Quota, RateLimit, RateState, Request, Requirement, RotationPolicy, TokenTicket, UnixMillis,
    UnusedTokens, Usage, revoke, rotate,
};

/// The length of the leases here, and the time for which tokens are used.
const LENGTH: u64 = 1_000;
const USABLE: u64 = 375;

fn leases() -> Leases {
    Leases::new(Millis::new(LENGTH), 1).unwrap()
}

fn per_minute(limit: u32) -> RateLimit {
    RateLimit::new(limit, Millis::from_secs(60)).unwrap()
}

/// A keyring whose limits are counted elsewhere, and one key.
struct Asked {
    backed: KeyringWithStore,
    service: Service,
    issued: Issued,
}

impl Asked {
    fn with(leases: Leases, request: &IssueRequest) -> Self {
        let mut service = Service::structured();
        let issued = service.issue(request);
        let backed = KeyringWithStore::set_up(&service, |builder| {
            builder.shared_limits(leases).capacity(1)
        });
        backed.put(&issued.record);
        Self {
            backed,
            service,
            issued,
        }
    }

    fn new(limit: u32) -> Self {
        Self::with(leases(), &client().rate_limit(per_minute(limit)))
    }

    fn limit(&self) -> RateLimit {
        self.issued.record.rate_limit.unwrap()
    }

    fn text(&self) -> &str {
        self.issued.key.expose()
    }

    /// A check, with the record if it asks for that.
    fn check(&self, now: UnixMillis) -> Check<'_, Arc<KeyRecord>> {
        self.fetched(
            self.backed
                .keyring
                .check(self.text().as_bytes(), &Request::new(), now),
            now,
        )
    }

    fn fetched<'a>(
        &self,
        check: Check<'a, Arc<KeyRecord>>,
        now: UnixMillis,
    ) -> Check<'a, Arc<KeyRecord>> {
        match check {
            Check::NeedsRecord(ticket) => {
                let record = self.backed.fetch(ticket.lookup());
                self.backed.admit(ticket, record.as_ref(), now)
            }
            check => check,
        }
    }

    fn ticket(&self, now: UnixMillis) -> TokenTicket<'_> {
        match self.check(now) {
            Check::NeedsTokens(ticket) => ticket,
            check => panic!("{check:?}"),
        }
    }

    /// What the ticket comes to if so many tokens were taken just now.
    fn granted(&self, tokens: u32, now: UnixMillis) -> Check<'_, Arc<KeyRecord>> {
        let ticket = self.ticket(now);
        let state = ticket.limit().take(RateState::default(), now, tokens).1;
        let grant = Grant::new(tokens, state, now, now);
        self.backed.keyring.grant(ticket, grant, now)
    }

    /// How many pass without another token.
    fn passes(&self, now: UnixMillis) -> u32 {
        let passes = |_: &u32| matches!(self.check(now), Check::Decided(Decision::Allow(_), _));
        (0..10_000).take_while(passes).count().try_into().unwrap()
    }

    fn unused(&self, now: UnixMillis) -> Vec<UnusedTokens> {
        self.backed.keyring.unused_tokens(now)
    }

    fn unused_count(&self, now: UnixMillis) -> u32 {
        self.unused(now).iter().map(|unused| unused.tokens).sum()
    }
}

fn decided<T: core::fmt::Debug>(check: Check<'_, T>) -> Decision {
    match check {
        Check::Decided(decision, value) => {
            assert_eq!(decision.is_allow(), value.is_some());
            decision
        }
        check => panic!("{check:?}"),
    }
}

fn cause<T: core::fmt::Debug>(check: Check<'_, T>) -> Option<Cause> {
    let decision = decided(check);
    decision.denial().map(|denial| denial.cause())
}

#[test]
fn a_key_that_is_refused_for_something_else_asks_for_no_token() {
    let asked = Asked::with(
        leases(),
        &client()
            .rate_limit(per_minute(10))
            .expires_in(Millis::from_secs(5))
            .unwrap(),
    );
    assert!(matches!(asked.check(at(1)), Check::NeedsTokens(_)));
    let key = asked.text().as_bytes();
    let other = Requirement::parse("payroll:pay").unwrap();
    let request = Request::new().requires(&other);
    let check = asked.backed.keyring.check(key, &request, at(2));
    assert_eq!(cause(check), Some(Cause::Permission));
    assert_eq!(cause(asked.check(at(5_000))), Some(Cause::Expired));
    assert_eq!(asked.backed.keyring.stats().tokens_taken, 0);
}

#[test]
fn a_lease_is_used_for_three_eighths_of_its_length_and_its_rest_is_returned_once() {
    let asked = Asked::new(100);
    assert!(decided(asked.granted(5, at(0))).is_allow());
    assert!(decided(asked.check(at(USABLE - 1))).is_allow());
    assert_eq!(asked.unused(at(USABLE - 1)), []);
    let again = asked.ticket(at(USABLE));
    assert_eq!(again.lineage(), asked.issued.record.lineage);
    let unused = asked.unused(at(USABLE));
    assert_eq!(unused.len(), 1);
    assert_eq!((unused[0].tokens, unused[0].taken_at), (3, at(0)));
    assert_eq!(unused[0].within, Millis::new(LENGTH - USABLE));
    assert_eq!(
        (unused[0].lineage, unused[0].limit),
        (again.lineage(), asked.limit())
    );
    assert_eq!(asked.unused_count(at(USABLE)), 0, "once");
    assert!(matches!(asked.check(at(USABLE)), Check::NeedsTokens(_)));
    let stats = asked.backed.keyring.stats();
    assert_eq!((stats.tokens_taken, stats.tokens_returned), (5, 3));
}

#[test]
fn the_time_of_tokens_begins_before_they_are_asked_for() {
    let asked = Asked::new(100);
    let taken = |asked_at, now| {
        let grant = Grant::new(4, RateState::default(), asked_at, at(7));
        let ticket = asked.ticket(now);
        cause(asked.backed.keyring.grant(ticket, grant, now))
    };
    assert_eq!(taken(at(0), at(300)), None);
    assert_eq!(asked.passes(at(USABLE)), 0);
    assert_eq!(asked.unused_count(at(USABLE)), 3);
    // An answer that comes too late still lets its own request pass, and no other.
    assert_eq!(taken(at(1_000), at(1_000 + USABLE)), None);
    assert_eq!(asked.passes(at(1_000 + USABLE)), 0);
    assert_eq!(asked.unused_count(at(1_000 + USABLE)), 3);
    // So does one to a question of the future: the clock was set back meanwhile.
    assert_eq!(taken(at(90_000), at(2_000)), None);
    assert_eq!(asked.passes(at(2_000)), 0);
    assert_eq!(asked.unused_count(at(2_000)), 3);
}

#[test]
fn a_lease_is_not_used_after_the_clock_was_set_back() {
    let asked = Asked::new(100);
    assert!(decided(asked.granted(5, at(0))).is_allow());
    assert!(matches!(asked.check(before(LENGTH)), Check::NeedsTokens(_)));
    assert!(matches!(asked.check(before(126)), Check::NeedsTokens(_)));
    // A thread that read the clock a little earlier is no such case.
    assert!(decided(asked.check(before(125))).is_allow());
    assert_eq!(asked.unused_count(before(126)), 3);
}

#[test]
fn a_refusal_is_remembered_until_one_would_pass_or_for_the_length_of_a_lease() {
    for (window, wait) in [(600, 10), (60_000, 1_000), (3_600_000, 1_000)] {
        let limit = RateLimit::new(60, Millis::new(window)).unwrap();
        let asked = Asked::with(leases(), &client().rate_limit(limit));
        let spent = limit.take(RateState::default(), at(0), 60).1;
        let refused = Grant::new(0, spent, at(0), at(0));
        let denied = decided(
            asked
                .backed
                .keyring
                .grant(asked.ticket(at(0)), refused, at(0)),
        );
        let retry = denied.denial().unwrap().retry_after();
        assert_eq!(retry, Some(Millis::new(window / 60)));
        for now in [0, 1, wait - 1] {
            let denied = decided(asked.check(at(now)));
            let denial = denied.denial().unwrap();
            assert_eq!(denial.cause(), Cause::RateLimit);
            let left = Millis::new(window / 60 - now);
            assert_eq!(denial.retry_after(), Some(left), "as time goes on");
        }
        assert_eq!(asked.backed.keyring.stats().refused_from_memory, 3);
        assert!(matches!(asked.check(at(wait)), Check::NeedsTokens(_)));
        // After the clock was set back, the limit is asked again.
        assert!(matches!(asked.check(before(LENGTH)), Check::NeedsTokens(_)));
    }
}

#[test]
fn a_refusal_takes_no_tokens_away_that_another_thread_has_brought() {
    let asked = Asked::new(100);
    let (one, other) = (asked.ticket(at(0)), asked.ticket(at(0)));
    let keyring = &asked.backed.keyring;
    let some = Grant::new(3, RateState::default(), at(0), at(0));
    assert_eq!(cause(keyring.grant(one, some, at(0))), None);
    let none = Grant::new(0, RateState::default(), at(0), at(0));
    assert_eq!(
        cause(keyring.grant(other, none, at(0))),
        None,
        "one of them"
    );
    assert_eq!(asked.passes(at(0)), 1);
}

#[test]
fn as_many_tokens_are_asked_for_as_are_used() {
    let fast = RateLimit::new(64, Millis::from_secs(1)).unwrap();
    let asked = Asked::with(leases(), &client().rate_limit(fast));
    let most = 16; // A quarter of a burst, and of what passes in a length.
    let mut seen = Vec::new();
    for turn in 0..7 {
        let tokens = asked.ticket(at(turn)).tokens();
        seen.push(tokens);
        assert!(decided(asked.granted(tokens, at(turn))).is_allow());
        assert_eq!(asked.passes(at(turn)), tokens - 1);
    }
    assert_eq!(seen, [1, 2, 4, 8, 16, 16, 16]);
    assert_eq!(most, 16);
    // Several threads that find the same lease used up ask for no more.
    let tickets = [
        asked.ticket(at(7)),
        asked.ticket(at(7)),
        asked.ticket(at(7)),
    ];
    assert!(tickets.iter().all(|ticket| ticket.tokens() == 16));
    // Used up late: as many. Half of it left or more: half as many.
    let mut now = 1_000;
    for (used, expected) in [(15, 16), (8, 16), (7, 8), (0, 4), (0, 2), (0, 1), (0, 1)] {
        let tokens = asked.ticket(at(now)).tokens();
        assert!(decided(asked.granted(tokens, at(now))).is_allow());
        let late = at(now + 200);
        for _ in 0..used.min(tokens - 1) {
            assert!(decided(asked.check(late)).is_allow());
        }
        let _ = asked.unused(at(now + USABLE));
        now += 1_000;
        assert_eq!(asked.ticket(at(now)).tokens(), expected, "{used}");
    }
}

#[test]
fn a_lease_of_no_length_is_one_token_for_one_request() {
    let none = Leases::new(Millis::ZERO, 1).unwrap();
    let asked = Asked::with(none, &client().rate_limit(per_minute(1_000)));
    for turn in 0..5 {
        assert_eq!(asked.ticket(at(turn)).tokens(), 1);
        assert!(decided(asked.granted(1, at(turn))).is_allow());
    }
    // Also of an answer with more.
    assert!(decided(asked.granted(3, at(9))).is_allow());
    assert_eq!(asked.passes(at(9)), 0);
    let spent = Grant::new(
        0,
        asked.limit().take(RateState::default(), at(9), 1_000).1,
        at(9),
        at(9),
    );
    let refused = asked
        .backed
        .keyring
        .grant(asked.ticket(at(9)), spent, at(9));
    assert_eq!(cause(refused), Some(Cause::RateLimit));
    assert!(
        matches!(asked.check(at(9)), Check::NeedsTokens(_)),
        "it is asked again"
    );
    assert_eq!(asked.unused_count(at(9)), 2);
}

#[test]
fn the_quota_is_that_of_the_limit_less_what_is_still_in_the_lease() {
    let asked = Asked::new(100);
    let remaining = |decision: &Decision| match decision {
        Decision::Allow(allowed) => allowed.quota.as_ref().map(Quota::remaining),
        Decision::Deny(_) => None,
    };
    assert_eq!(remaining(&decided(asked.granted(10, at(0)))), Some(99));
    for left in (90..99).rev() {
        assert_eq!(remaining(&decided(asked.check(at(0)))), Some(left));
    }
    let usage = asked
        .backed
        .keyring
        .usage(&asked.issued.record, Usage::default(), at(0));
    assert_eq!(asked.limit().quota(usage.rate, at(0)).remaining(), 90);
}

#[test]
fn no_key_that_was_revoked_meanwhile_is_let_pass_and_its_tokens_are_left() {
    let asked = Asked::new(100);
    let ticket = asked.ticket(at(0));
    let revoked = revoke(&asked.issued.record, "leaked", at(0))
        .unwrap()
        .record;
    asked.backed.change(&revoked);
    let grant = Grant::new(4, RateState::default(), at(0), at(0));
    let check = asked.backed.keyring.grant(ticket, grant, at(0));
    assert!(matches!(check, Check::NeedsRecord(_)));
    assert_eq!(cause(asked.fetched(check, at(0))), Some(Cause::Revoked));
    assert_eq!(asked.unused_count(at(0)), 0, "their time is not over");
    let all = asked.backed.keyring.all_unused_tokens();
    assert_eq!(all.iter().map(|unused| unused.tokens).sum::<u32>(), 4);
    assert_eq!(asked.backed.keyring.all_unused_tokens(), []);
}

#[test]
fn tokens_go_over_to_the_next_entry_unless_the_limit_is_another() {
    let asked = Asked::new(100);
    assert!(decided(asked.granted(5, at(0))).is_allow());
    let mut record = asked.issued.record.clone();
    record.version += 1;
    asked.backed.change(&record);
    assert_eq!(asked.passes(at(1)), 4, "without asking");
    assert!(decided(asked.granted(5, at(1))).is_allow());
    let waiting = asked.ticket_when_used_up(4, at(1));
    record.rate_limit = Some(per_minute(50));
    record.version += 1;
    asked.backed.change(&record);
    // The tokens of the old limit let no request pass by the new one.
    let grant = Grant::new(2, RateState::default(), at(1), at(1));
    let check = asked.backed.keyring.grant(waiting, grant, at(1));
    let Check::NeedsTokens(ticket) = asked.fetched(check, at(1)) else {
        panic!("asked by the new limit");
    };
    assert_eq!(ticket.limit(), per_minute(50));
    let unused = asked.unused(at(1));
    assert!(unused.iter().all(|unused| unused.limit == per_minute(100)));
    assert_eq!(unused.iter().map(|unused| unused.tokens).sum::<u32>(), 2);
}

impl Asked {
    fn ticket_when_used_up(&self, count: u32, now: UnixMillis) -> TokenTicket<'_> {
        assert_eq!(self.passes(now), count);
        self.ticket(now)
    }
}

#[test]
fn what_is_left_of_an_evicted_key_is_returned() {
    let mut asked = Asked::new(100);
    assert!(decided(asked.granted(5, at(0))).is_allow());
    let other = asked.service.issue(&client());
    asked.backed.put(&other.record);
    for _ in 0..3 {
        assert!(asked.backed.allows(other.key.expose(), at(1)));
    }
    assert!(asked.backed.keyring.stats().evictions > 0);
    assert_eq!(asked.unused_count(at(1)), 4);
    assert!(matches!(asked.check(at(1)), Check::NeedsTokens(_)));
}

#[test]
fn while_tokens_cannot_be_taken_the_share_decides_and_was_kept_warm() {
    let limit = per_minute(40);
    let shared = leases().with_share(4).unwrap();
    for (share, warm, expected) in [(None, 3, 0), (Some(shared), 0, 10), (Some(shared), 3, 7)] {
        let leases = share.unwrap_or(leases());
        let asked = Asked::with(leases, &client().rate_limit(limit));
        if warm > 0 {
            assert!(decided(asked.granted(warm, at(0))).is_allow());
            assert_eq!(asked.passes(at(0)), warm - 1);
        }
        let alone = || {
            let degraded = Grant::degraded();
            let ticket = asked.ticket(at(0));
            decided(asked.backed.keyring.grant(ticket, degraded, at(0)))
        };
        let passed = (0..40).filter(|_| alone().is_allow()).count();
        assert_eq!(passed, expected, "{share:?} {warm}");
        let denied = alone();
        let denial = denied.denial().unwrap();
        match share {
            None => assert_eq!(denial.cause(), Cause::StoreUnavailable),
            Some(_) => {
                assert_eq!(denial.cause(), Cause::RateLimit);
                assert_eq!(denial.retry_after(), Some(Millis::from_secs(6)));
            }
        }
        assert_eq!(denial.key_id(), Some(&asked.issued.record.id));
        assert_eq!(asked.backed.keyring.stats().degraded, 41);
    }
}

#[test]
fn a_limit_of_which_no_share_is_left_refuses_while_tokens_cannot_be_taken() {
    let shared = leases().with_share(4).unwrap();
    let asked = Asked::with(shared, &client().rate_limit(per_minute(3)));
    let check = asked
        .backed
        .keyring
        .grant(asked.ticket(at(0)), Grant::degraded(), at(0));
    assert_eq!(cause(check), Some(Cause::StoreUnavailable));
}

#[test]
fn uses_are_counted_as_without_shared_limits_and_a_key_without_any_asks_for_no_token() {
    let request = client().rate_limit(per_minute(100)).uses(3).unwrap();
    let asked = Asked::with(leases(), &request);
    let remaining = |decision: Decision| match decision {
        Decision::Allow(allowed) => allowed.remaining_uses,
        Decision::Deny(_) => None,
    };
    assert_eq!(remaining(decided(asked.granted(2, at(0)))), Some(2));
    assert_eq!(remaining(decided(asked.check(at(0)))), Some(1));
    assert_eq!(remaining(decided(asked.granted(9, at(0)))), Some(0));
    assert_eq!(cause(asked.check(at(0))), Some(Cause::UsesSpent));
    assert_eq!(cause(asked.check(at(USABLE))), Some(Cause::UsesSpent));
    assert_eq!(asked.unused_count(at(USABLE)), 8);
    let uses = asked.backed.keyring.drain_uses();
    assert_eq!((uses[0].count, uses[0].rate), (3, None));
}

#[test]
fn each_key_of_a_lineage_asks_for_the_lineage() {
    let mut service = Service::structured();
    let first = service.issue(&client().rate_limit(per_minute(100)));
    let (format, none) = (service.format.clone(), PepperRing::none());
    let rng = &mut service.rng;
    let policy = RotationPolicy::default();
    let rotated = rotate(&first.record, &[], &policy, &format, &none, rng, at(0)).unwrap();
    let shared = leases().with_share(1).unwrap();
    let backed = KeyringWithStore::set_up(&service, |builder| builder.shared_limits(shared));
    backed.put(&rotated.changed[0]);
    backed.put(&rotated.successor);
    let texts = [first.key.expose(), rotated.key.expose()];
    for text in texts {
        let Check::NeedsRecord(ticket) =
            backed
                .keyring
                .check(text.as_bytes(), &Request::new(), at(0))
        else {
            panic!("not cached");
        };
        let record = backed.fetch(ticket.lookup());
        let Check::NeedsTokens(ticket) = backed.admit(ticket, record.as_ref(), at(0)) else {
            panic!("no tokens");
        };
        assert_eq!(ticket.lineage(), first.record.id);
        let grant = Grant::new(3, RateState::default(), at(0), at(0));
        assert_eq!(cause(backed.keyring.grant(ticket, grant, at(0))), None);
    }
    // Each has a lease of its own.
    for text in texts.iter().cycle().take(4) {
        assert!(backed.cached(text, at(0)).unwrap().is_allow());
    }
    assert!(
        texts
            .iter()
            .all(|text| backed.cached(text, at(0)).is_none())
    );
    // The share is one for both: six of a hundred are spent.
    let mut passed = 0;
    for text in texts.iter().cycle().take(200) {
        let check = backed
            .keyring
            .check(text.as_bytes(), &Request::new(), at(0));
        let Check::NeedsTokens(ticket) = check else {
            panic!("{check:?}")
        };
        passed +=
            u32::from(decided(backed.keyring.grant(ticket, Grant::degraded(), at(0))).is_allow());
    }
    assert_eq!(passed, 94);
}

#[test]
fn a_ticket_of_another_credential_lets_nothing_pass() {
    let mut asked = Asked::new(100);
    let other = asked.service.issue(&client().rate_limit(per_minute(100)));
    let record = asked.issued.record.clone();
    let request = Request::new();
    drop(asked.check(at(0)));
    for text in [other.key.expose(), "acme_live_typo", ""] {
        let limit = per_minute(100);
        let ticket =
            TokenTicket::from_parts(text.as_bytes(), &request, record.id, record.lineage, limit);
        let grant = Grant::new(2, RateState::default(), at(0), at(0));
        let check = asked.backed.keyring.grant(ticket, grant, at(0));
        let allowed = matches!(&check, Check::Decided(decision, _) if decision.is_allow());
        assert!(!allowed, "{check:?}");
    }
    assert_eq!(asked.passes(at(0)), 6, "the tokens are the lineage's");
}

#[test]
fn a_keyring_without_shared_limits_asks_for_no_tokens() {
    let mut service = Service::structured();
    let issued = service.issue(&client().rate_limit(per_minute(5)).uses(9).unwrap());
    let backed = KeyringWithStore::new(&service);
    backed.put(&issued.record);
    let passed = (0..20).filter(|_| backed.allows(issued.key.expose(), at(0)));
    assert_eq!(passed.count(), 5);
    assert_eq!(backed.keyring.leases(), None);
    assert_eq!(backed.keyring.all_unused_tokens(), []);
}

#[test]
fn leases_out_of_range_are_refused_by_name() {
    let second = Millis::from_secs(1);
    let refused =
        |leases: Result<Leases, keystile::Error>| leases.unwrap_err().field().map(str::to_owned);
    assert_eq!(
        refused(Leases::new(Millis::new(10_001), 1)).as_deref(),
        Some("leases.length")
    );
    for processes in [0, 100_001] {
        let field = refused(Leases::new(second, processes));
        assert_eq!(field.as_deref(), Some("leases.processes"));
        let field = refused(Leases::default().with_share(processes));
        assert_eq!(field.as_deref(), Some("leases.share"));
    }
    assert!(Leases::new(Millis::new(10_000), 100_000).is_ok());
}
