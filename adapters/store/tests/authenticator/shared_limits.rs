//! Rate limits that several processes count in one place.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use core::time::Duration;
use std::sync::Arc;

use keystile::{
    Cause, Decision, DenialCode, IssueRequest, Issued, KeyId, Leases, Millis, RateLimit, Request,
    Requirement, UnixMillis,
};
use keystile_store::{
    Authenticator, AuthenticatorBuilder, Limits, LimitsFuture, MemoryLimits, Rest, StoreError,
    Take, Taken, UnavailableKind,
};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::scripted::{Scripted, code, issued_as, over};

/// Limits in memory that count their calls, and fail or wait as a test requires.
struct Watched {
    limits: MemoryLimits,
    takes: AtomicU64,
    returned: AtomicU32,
    state: watch::Sender<State>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Answers,
    Fails,
    /// For one lineage.
    IsDamaged(KeyId),
    Hangs,
}

#[derive(Debug, thiserror::Error)]
#[error("no route to the limits")]
struct NoRoute;

impl Watched {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            limits: MemoryLimits::with_clock(clock),
            takes: AtomicU64::new(0),
            returned: AtomicU32::new(0),
            state: watch::Sender::new(State::Answers),
        })
    }

    fn takes(&self) -> u64 {
        self.takes.load(Ordering::SeqCst)
    }

    fn now(&self, state: State) {
        self.state.send_replace(state);
    }
}

impl Limits for Watched {
    fn take<'a>(&'a self, take: &'a Take) -> LimitsFuture<'a, Taken> {
        self.takes.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            let mut state = self.state.subscribe();
            let state = *state
                .wait_for(|state| *state != State::Hangs)
                .await
                .unwrap();
            if state == State::Fails {
                return Err(StoreError::unavailable(NoRoute));
            }
            if state == State::IsDamaged(take.lineage) {
                let kind = UnavailableKind::DamagedState;
                return Err(StoreError::unavailable_because(kind, NoRoute));
            }
            // A round trip, so that others come meanwhile.
            sleep(Duration::from_millis(1)).await;
            self.limits.take(take).await
        })
    }

    fn give_back<'a>(&'a self, rest: &'a [Rest]) -> LimitsFuture<'a, ()> {
        let tokens: u32 = rest.iter().map(|rest| rest.tokens).sum();
        self.returned.fetch_add(tokens, Ordering::SeqCst);
        self.limits.give_back(rest)
    }
}

std::thread_local! {
    /// Tests run each on a thread of their own, with a clock that the paused one moves.
    static BEGUN: Instant = Instant::now();
}

/// A wall clock that goes on with the test's time.
fn clock() -> Result<UnixMillis, keystile::Error> {
    let elapsed = BEGUN.with(Instant::elapsed).as_millis();
    UnixMillis::new(1_790_000_000_000 + u64::try_from(elapsed).unwrap())
}

fn now() -> UnixMillis {
    clock().unwrap()
}

fn process(
    store: &Arc<Scripted>,
    limits: &Arc<Watched>,
    leases: Leases,
) -> AuthenticatorBuilder<Scripted> {
    let limits = Arc::clone(limits);
    over(store).clock(clock).limits(limits).leases(leases)
}

fn leases(millis: u64) -> Leases {
    Leases::new(Millis::new(millis), 2).unwrap()
}

async fn hourly(store: &Arc<Scripted>, count: u32) -> Issued {
    let limit = RateLimit::new(count, Millis::from_hours(1)).unwrap();
    issued_as(
        &**store,
        IssueRequest::new("Acme").unwrap().rate_limit(limit),
    )
    .await
}

async fn decide(process: &Authenticator<Scripted>, key: &Issued) -> Decision {
    let text = key.key.expose().as_bytes();
    process.check(text, &Request::new(), now()).await.decision
}

/// How many of so many requests pass that all processes get at once.
async fn passed(processes: &[Authenticator<Scripted>], key: &Issued, each: usize) -> usize {
    let mut asking = tokio::task::JoinSet::new();
    for process in processes {
        for _ in 0..each {
            let (process, key) = (process.clone(), key.key.expose().to_owned());
            asking.spawn_local(async move {
                let answer = process.check(key.as_bytes(), &Request::new(), now()).await;
                answer.decision
            });
        }
    }
    let mut passed = 0;
    while let Some(decision) = asking.join_next().await {
        match decision.unwrap() {
            Decision::Allow(_) => passed += 1,
            Decision::Deny(denial) => assert_eq!(denial.code(), DenialCode::RateLimited),
        }
    }
    passed
}

#[tokio::test(start_paused = true)]
async fn three_processes_let_one_limit_pass_with_and_without_leases() {
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            for length in [0, 1_000] {
                let (store, limits) = (Scripted::new(), Watched::new());
                let key = hourly(&store, 100).await;
                let build = || process(&store, &limits, leases(length)).build().unwrap();
                let processes = [build(), build(), build()];
                let mut all = 0;
                // What a process holds and has no use for is given back within a length.
                for _ in 0..6 {
                    all += passed(&processes, &key, 40).await;
                    sleep(Duration::from_millis(1_000)).await;
                }
                assert_eq!(all, 100, "of 720 requests, with leases of {length} ms");
            }
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_hot_key_asks_ten_times_less_often_than_it_is_used() {
    let (store, limits) = (Scripted::new(), Watched::new());
    let limit = RateLimit::new(10_000, Millis::from_secs(1)).unwrap();
    let request = IssueRequest::new("Acme").unwrap().rate_limit(limit);
    let key = issued_as(&*store, request).await;
    let process = process(&store, &limits, leases(1_000)).build().unwrap();
    for _ in 0..2_000 {
        assert!(decide(&process, &key).await.is_allow());
    }
    assert!(limits.takes() * 10 <= 2_000, "{} calls", limits.takes());
    let stats = process.stats();
    assert_eq!(stats.limits_asked, limits.takes());
    assert!(stats.keyring.tokens_taken >= 2_000);
}

#[tokio::test(start_paused = true)]
async fn what_was_not_used_is_given_back_in_time_and_when_the_process_stops() {
    let (store, limits) = (Scripted::new(), Watched::new());
    let limit = RateLimit::new(1_000, Millis::from_secs(1)).unwrap();
    let request = IssueRequest::new("Acme").unwrap().rate_limit(limit);
    let key = issued_as(&*store, request).await;
    let process = process(&store, &limits, leases(1_000)).build().unwrap();
    let mut used = 0;
    while process.stats().keyring.tokens_taken < 40 {
        assert!(decide(&process, &key).await.is_allow());
        used += 1;
    }
    sleep(Duration::from_millis(1_000)).await;
    let back = u64::from(limits.returned.load(Ordering::SeqCst));
    assert_eq!(back, process.stats().keyring.tokens_taken - used);
    assert!(back > 0);
    let before = process.stats().keyring.tokens_taken;
    while process.stats().keyring.tokens_taken < before + 3 {
        assert!(decide(&process, &key).await.is_allow());
        used += 1;
    }
    let taken = process.stats().keyring.tokens_taken;
    process.stop().await.unwrap();
    let back = u64::from(limits.returned.load(Ordering::SeqCst));
    assert_eq!(back, taken - used);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_asked_for_a_request_that_is_refused_anyway() {
    let (store, limits) = (Scripted::new(), Watched::new());
    let key = hourly(&store, 10).await;
    let process = process(&store, &limits, leases(1_000)).build().unwrap();
    let write = Requirement::parse("write").unwrap();
    let request = Request::new().requires(&write);
    for _ in 0..3 {
        let answer = process
            .check(key.key.expose().as_bytes(), &request, now())
            .await;
        assert_eq!(code(&answer), Some(DenialCode::PermissionMissing));
    }
    assert_eq!(limits.takes(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_flood_on_a_spent_key_is_no_flood_of_calls() {
    let (store, limits) = (Scripted::new(), Watched::new());
    let key = hourly(&store, 1).await;
    let process = process(&store, &limits, leases(1_000)).build().unwrap();
    assert!(decide(&process, &key).await.is_allow());
    for _ in 0..1_000 {
        assert!(!decide(&process, &key).await.is_allow());
    }
    assert_eq!(limits.takes(), 2);
}

#[tokio::test(start_paused = true)]
async fn without_its_limits_a_process_refuses_and_says_why() {
    let (store, limits) = (Scripted::new(), Watched::new());
    let (key, free) = (
        hourly(&store, 10).await,
        issued_as(&*store, IssueRequest::new("Acme").unwrap()).await,
    );
    let process = process(&store, &limits, leases(0)).build().unwrap();
    limits.now(State::Fails);
    let answer = process
        .check(key.key.expose().as_bytes(), &Request::new(), now())
        .await;
    assert_eq!(
        answer.decision.denial().unwrap().cause(),
        Cause::StoreUnavailable
    );
    assert!(matches!(
        *answer.failure.unwrap(),
        StoreError::Unavailable { .. }
    ));
    assert!(decide(&process, &free).await.is_allow(), "it has no limit");
    let stats = process.stats();
    assert_eq!((stats.limits_failed, stats.keyring.degraded), (1, 1));
    limits.now(State::Answers);
    assert!(
        decide(&process, &key).await.is_allow(),
        "and goes on by itself"
    );
}

#[tokio::test(start_paused = true)]
async fn without_its_limits_each_process_lets_its_share_pass() {
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            let (store, limits) = (Scripted::new(), Watched::new());
            let key = hourly(&store, 10).await;
            let shared = leases(1_000).with_share(2).unwrap();
            let build = || process(&store, &limits, shared).build().unwrap();
            let processes = [build(), build()];
            // The first has let one pass while they were counted in one place.
            assert_eq!(passed(&processes[..1], &key, 1).await, 1);
            sleep(Duration::from_millis(1_000)).await;
            limits.now(State::Fails);
            let [one, other] = &processes;
            assert_eq!(passed(core::slice::from_ref(one), &key, 10).await, 4);
            assert_eq!(passed(core::slice::from_ref(other), &key, 10).await, 5);
            assert!(one.stats().keyring.degraded >= 4);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn while_the_limits_hang_one_request_waits_and_the_others_do_not() {
    for length in [0, 1_000] {
        hangs(length).await;
    }
}

async fn hangs(length: u64) {
    let (store, limits) = (Scripted::new(), Watched::new());
    let key = hourly(&store, 10).await;
    let wait = Duration::from_millis(300);
    let process = process(&store, &limits, leases(length))
        .limits_timeout(wait)
        .build()
        .unwrap();
    limits.now(State::Hangs);
    let begun = Instant::now();
    assert!(!decide(&process, &key).await.is_allow());
    assert_eq!(begun.elapsed(), wait);
    let first = decide(&process, &key);
    let mut first = core::pin::pin!(first);
    tokio::select! {
        biased;
        _ = &mut first => panic!("it waits"),
        () = tokio::task::yield_now() => {}
    }
    let before = Instant::now();
    for _ in 0..100 {
        assert!(!decide(&process, &key).await.is_allow());
    }
    assert_eq!(before.elapsed(), Duration::ZERO);
    assert!(!first.await.is_allow());
    assert_eq!(limits.takes(), 2);
}

#[tokio::test(start_paused = true)]
async fn tokens_are_not_used_after_their_time_by_a_request_that_waited() {
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            let (store, limits) = (Scripted::new(), Watched::new());
            let key = hourly(&store, 1_000).await;
            let wait = Duration::from_secs(4);
            let process = process(&store, &limits, leases(1_000)).limits_timeout(wait);
            let process = process.build().unwrap();
            assert!(decide(&process, &key).await.is_allow());
            limits.now(State::Hangs);
            let asking = (0..8).map(|_| {
                let (process, key) = (process.clone(), key.key.expose().to_owned());
                tokio::task::spawn_local(async move {
                    process.check(key.as_bytes(), &Request::new(), now()).await
                })
            });
            let asking: Vec<_> = asking.collect();
            sleep(Duration::from_millis(3_000)).await;
            limits.now(State::Answers);
            for asked in asking {
                let answer = asked.await.unwrap();
                assert!(answer.decision.is_allow());
            }
            // What the first call has taken was too old for the others: they asked again, and it
            // is given back.
            sleep(Duration::from_millis(1_000)).await;
            let stats = process.stats().keyring;
            assert_eq!(stats.tokens_taken - stats.tokens_returned, 9);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn explain_shows_what_all_have_spent_and_spends_nothing() {
    let (store, limits) = (Scripted::new(), Watched::new());
    let key = hourly(&store, 10).await;
    let [one, other] = [(), ()].map(|()| process(&store, &limits, leases(0)).build().unwrap());
    for _ in 0..3 {
        assert!(decide(&one, &key).await.is_allow());
    }
    for _ in 0..3 {
        let text = key.key.expose().as_bytes();
        let answer = other.own_key(text, &Request::new(), now()).await;
        let Decision::Allow(allowed) = answer.decision else {
            panic!("it is valid")
        };
        assert_eq!(allowed.quota.unwrap().remaining(), 7);
    }
    limits.now(State::Fails);
    let explained = other.explain(&key.record.id, &Request::new(), now()).await;
    assert!(matches!(explained, Err(StoreError::Unavailable { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_lineage_whose_state_cannot_be_read_is_refused_and_stops_no_other() {
    let (store, limits) = (Scripted::new(), Watched::new());
    let (key, other) = (hourly(&store, 10).await, hourly(&store, 10).await);
    let shared = leases(0).with_share(2).unwrap();
    let process = process(&store, &limits, shared).build().unwrap();
    limits.now(State::IsDamaged(key.record.lineage));
    for _ in 0..3 {
        let text = key.key.expose().as_bytes();
        let answer = process.check(text, &Request::new(), now()).await;
        assert_eq!(code(&answer), Some(DenialCode::StoreUnavailable));
        let kind = answer.failure.unwrap().unavailable_kind();
        assert_eq!(kind, Some(UnavailableKind::DamagedState));
        assert!(decide(&process, &other).await.is_allow());
    }
    assert_eq!(
        process.stats().keyring.degraded,
        0,
        "its share would be a guess"
    );
}
