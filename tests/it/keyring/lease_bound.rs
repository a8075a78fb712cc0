//! Several keyrings that take tokens of one limit: what passes in all of them together.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::common::keyring_with_store::KeyringWithStore;
use crate::common::service::{START, Service, client};
use crate::common::test_rng::TestRng;
use keystile::{
    Check, Decision, Grant, KeyRecord, Leases, Millis, RateLimit, RateState, Request, TokenTicket,
    UnixMillis, UnusedTokens,
};

/// The one place in which the limit is counted, written otherwise than the limit itself: a bucket
/// that holds whole numbers of `1 / window` tokens.
struct Bucket {
    limit: RateLimit,
    level: u64,
    at: u64,
    /// The limit's own state beside it, which has to come to the same.
    state: RateState,
}

impl Bucket {
    fn new(limit: RateLimit) -> Self {
        let level = u64::from(limit.burst()) * limit.window().get();
        Self {
            limit,
            level,
            at: 0,
            state: RateState::default(),
        }
    }

    fn fill(&mut self, now: u64) {
        let more = (now - self.at) * u64::from(self.limit.limit());
        self.add(more);
        self.at = now;
    }

    fn add(&mut self, more: u64) {
        let full = u64::from(self.limit.burst()) * self.limit.window().get();
        self.level = (self.level + more).min(full);
    }

    fn take(&mut self, count: u32, now: u64) -> u32 {
        self.fill(now);
        let window = self.limit.window().get();
        let taken = (self.level / window).min(count.into());
        self.level -= taken * window;
        let (same, state) = self.limit.take(self.state, instant(now), count);
        assert_eq!(
            u64::from(same),
            taken,
            "the limit counts as the bucket does"
        );
        self.state = state;
        same
    }

    /// Takes tokens back, if they come in time.
    fn give_back(&mut self, tokens: u32, taken_at: u64, within: u64, now: u64) -> bool {
        self.fill(now);
        let is_timely = now - taken_at <= within;
        if is_timely {
            self.add(u64::from(tokens) * self.limit.window().get());
            self.state = self.limit.give_back(self.state, tokens);
        }
        is_timely
    }
}

/// A message under way to the limit, or its answer.
enum Message<'a> {
    Ask(TokenTicket<'a>, UnixMillis),
    Answer(TokenTicket<'a>, Grant, u64),
    Back(UnusedTokens),
}

/// A process: its keyring, and its clock's offset and error.
struct Process {
    backed: KeyringWithStore,
    offset: u64,
    per_mille: u64,
    mail: VecDeque<(u64, Message<'static>)>,
}

impl Process {
    fn clock(&self, time: u64) -> UnixMillis {
        instant(time + time * self.per_mille / 1_000 + self.offset)
    }
}

fn instant(time: u64) -> UnixMillis {
    UnixMillis::new(START + time).unwrap()
}

/// What all processes let pass and when, and what became of the tokens.
#[derive(Default)]
struct Outcome {
    passed: Vec<u64>,
    granted: u64,
    unused: u64,
}

/// A run of random requests, delays and clocks.
fn run(seed: u64, limit: RateLimit, leases: Leases, latency: u64) -> Outcome {
    let mut rng = TestRng::seeded(seed);
    let mut service = Service::structured();
    let issued = service.issue(&client().rate_limit(limit));
    // The tickets borrow it for as long as the test runs.
    let text: &'static [u8] = issued.key.expose().as_bytes().to_vec().leak();
    let mut processes: Vec<Process> = (0..3)
        .map(|_| {
            let backed =
                KeyringWithStore::set_up(&service, |builder| builder.shared_limits(leases));
            backed.put(&issued.record);
            Process {
                backed,
                offset: rng.below(100_000),
                per_mille: rng.below(2),
                mail: VecDeque::new(),
            }
        })
        .collect();
    let (mut bucket, mut outcome) = (Bucket::new(limit), Outcome::default());
    let mut time = 0;
    for turn in 0..3_000 {
        // Bursts, and pauses after which the limit is full.
        time += match rng.below(40) {
            0 => rng.below(3_000),
            1..10 => rng.below(50),
            _ => rng.below(2),
        };
        let at = usize::try_from(rng.below(3)).unwrap();
        let process = &mut processes[at];
        let now = process.clock(time);
        if turn % 7 == 0 {
            for unused in process.backed.keyring.unused_tokens(now) {
                outcome.unused += u64::from(unused.tokens);
                let arrives = time + rng.below(latency);
                process.mail.push_back((arrives, Message::Back(unused)));
            }
        }
        if turn % 101 == 0 {
            process.backed.keyring.invalidate(&issued.record.id);
        }
        let keyring = &process.backed.keyring;
        let due = process
            .mail
            .iter()
            .position(|(arrives, _)| *arrives <= time);
        let mut replies = VecDeque::new();
        match due.and_then(|due| process.mail.remove(due)) {
            Some((_, Message::Ask(ticket, asked_at))) => {
                let tokens = bucket.take(ticket.tokens(), time);
                outcome.granted += u64::from(tokens);
                let state = bucket.state.moved(instant(time), now);
                let grant = Grant::new(tokens, state, asked_at, instant(time));
                let arrives = time + rng.below(latency);
                replies.push_back((arrives, Message::Answer(ticket, grant, time)));
            }
            Some((_, Message::Answer(ticket, grant, at))) => {
                let check = keyring.grant(ticket, grant, now);
                // It waits for the limit, which has let it pass before.
                note(process, check, at, time, now, &mut outcome, &mut replies);
            }
            Some((_, Message::Back(unused))) => {
                let taken_at = unused.taken_at.get() - START;
                let _ = bucket.give_back(unused.tokens, taken_at, unused.within.get(), time);
            }
            None => {
                let check = keyring.check(text, &Request::new(), now);
                note(process, check, time, time, now, &mut outcome, &mut replies);
            }
        }
        processes[at].mail.append(&mut replies);
    }
    for process in &processes {
        for (_, message) in &process.mail {
            if let Message::Answer(_, grant, _) = message {
                outcome.unused += tokens_of(grant);
            }
        }
        let unused = process.backed.keyring.all_unused_tokens();
        let unused = unused.iter().map(|unused| u64::from(unused.tokens));
        outcome.unused += unused.sum::<u64>();
        assert_eq!(process.backed.keyring.stats().tokens_lost, 0);
    }
    outcome
}

fn tokens_of(grant: &Grant) -> u64 {
    let shown = format!("{grant:?}");
    let (_, rest) = shown.split_once("tokens: ").unwrap();
    rest.split_once(',').unwrap().0.parse().unwrap()
}

fn note(
    process: &Process,
    mut check: Check<'static, Arc<KeyRecord>>,
    passed_at: u64,
    time: u64,
    now: UnixMillis,
    outcome: &mut Outcome,
    replies: &mut VecDeque<(u64, Message<'static>)>,
) {
    if let Check::NeedsRecord(ticket) = check {
        let record = process.backed.fetch(ticket.lookup());
        check = process.backed.admit(ticket, record.as_ref(), now);
    }
    match check {
        Check::Decided(Decision::Allow(_), _) => outcome.passed.push(passed_at),
        Check::Decided(..) => {}
        Check::NeedsTokens(ticket) => replies.push_back((time, Message::Ask(ticket, now))),
        Check::NeedsRecord(_) => panic!("nothing was invalidated"),
    }
}

/// The most that passed in any time beyond what the bound lets pass in it.
fn excess(passed: &mut [u64], limit: RateLimit, length: u64) -> i64 {
    passed.sort_unstable();
    let mut most = i64::MIN;
    for (from, first) in passed.iter().enumerate() {
        for (to, last) in passed.iter().enumerate().skip(from) {
            let span = last - first + length;
            let bound =
                u64::from(limit.burst()) + u64::from(limit.limit()) * span / limit.window().get();
            let count = u64::try_from(to - from + 1).unwrap();
            most = most.max(i64::try_from(count).unwrap() - i64::try_from(bound).unwrap());
        }
    }
    most
}

#[test]
fn in_any_time_no_more_passes_than_the_bound_and_each_token_has_one_end() {
    for seed in 0..24 {
        let (limit, burst) = [(100, 40), (1_000, 100), (7, 30), (200, 200)][seed as usize % 4];
        let limit = RateLimit::with_burst(limit, Millis::from_secs(1), burst).unwrap();
        let length = [0, 1, 400, 1_000][seed as usize / 4 % 4];
        let leases = Leases::new(Millis::new(length), 1).unwrap();
        let mut outcome = run(seed, limit, leases, 1 + length / 2);
        assert!(outcome.passed.len() > 100, "{}", outcome.passed.len());
        let passed = outcome.passed.len() as u64;
        assert_eq!(outcome.granted, passed + outcome.unused, "{seed}");
        // A clock that is fast ends a lease early; a slow one is not made here.
        let excess = excess(&mut outcome.passed, limit, length);
        assert!(excess <= 0, "{seed}: {excess} more");
    }
}

/// Why tokens are not used for three quarters of a length and taken back within the whole of it:
/// what one process gives back, another may take while the first bursts.
#[test]
fn tokens_that_are_used_and_taken_back_for_longer_would_exceed_the_bound() {
    let limit = RateLimit::with_burst(100, Millis::from_secs(1), 100).unwrap();
    let most = |usable: u64, within: u64| {
        let mut bucket = Bucket::new(limit);
        // As many as the limit has again by the last instant at which they are taken back.
        let held = u32::try_from(within / 10).unwrap();
        assert_eq!(bucket.take(held, 0), held);
        let full = bucket.take(100, within);
        assert!(bucket.give_back(held, 0, within, within));
        let back = bucket.take(100, within);
        // All of these are used at their last instant, with what the limit gives until then.
        full + back + bucket.take(100, within + usable)
    };
    let bound = 100 + 100; // In no time, with a length of a second.
    assert!(most(375, 625) <= bound, "{}", most(375, 625));
    assert!(most(750, 1_000) > bound);
}

/// A client that sends a burst, waits, sends a few requests slowly and then a burst again.
#[test]
fn a_client_that_becomes_slow_and_fast_again_stays_within_the_bound() {
    let limit = RateLimit::with_burst(16, Millis::from_secs(1), 1_200).unwrap();
    let leases = Leases::new(Millis::from_secs(1), 1).unwrap();
    let mut service = Service::structured();
    let issued = service.issue(&client().rate_limit(limit));
    let text: &'static [u8] = issued.key.expose().as_bytes().to_vec().leak();
    let backed = KeyringWithStore::set_up(&service, |builder| builder.shared_limits(leases));
    backed.put(&issued.record);
    let keyring = &backed.keyring;
    let mut bucket = Bucket::new(limit);
    let ask = |time: u64, bucket: &mut Bucket| {
        let now = instant(time);
        let mut check = keyring.check(text, &Request::new(), now);
        if let Check::NeedsRecord(ticket) = check {
            let record = backed.fetch(ticket.lookup());
            check = backed.admit(ticket, record.as_ref(), now);
        }
        if let Check::NeedsTokens(ticket) = check {
            let tokens = bucket.take(ticket.tokens(), time);
            check = keyring.grant(ticket, Grant::new(tokens, bucket.state, now, now), now);
        }
        matches!(check, Check::Decided(Decision::Allow(_), _))
    };
    for _ in 0..1_000 {
        assert!(ask(0, &mut bucket));
    }
    let mut time = 200_000;
    drop(keyring.unused_tokens(instant(time)));
    for _ in 0..4 {
        time += 390;
        assert!(ask(time, &mut bucket));
        for unused in keyring.unused_tokens(instant(time)) {
            let taken_at = unused.taken_at.get() - START;
            let within = unused.within.get();
            let _ = bucket.give_back(unused.tokens, taken_at, within, time);
        }
    }
    time += 370;
    let mut passed = 0;
    while ask(time, &mut bucket) {
        passed += 1;
    }
    // In no time, with a length of a second.
    assert!(passed <= 1_200 + 16, "{passed} passed at once");
}
