//! Keys that other code changes, and an authenticator that has all of them cached.

use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

use keystile::{
    Environment, IssueRequest, Issued, KeyFormat, Millis, PepperRing, RateLimit, Request,
    Requirement, SysRng, UnixMillis, Verifier, issue,
};
use keystile_store::{Answer, Authenticator, Batch, Store};
use tokio::sync::Notify;

use crate::cases::{CASES, Case, statement};

/// A change by other code is in force within 2 s. A machine that is busy with other tests may take
/// longer, so only the end of this time is a failure; without the change's event it would be 300 s.
const WITHIN: Duration = Duration::from_secs(20);
/// What is not heard of in this time would have been.
const QUIET: Duration = Duration::from_secs(2);

/// A key for each of some changes.
pub(crate) struct Keys(Vec<Key>);

struct Key {
    issued: Issued,
    name: &'static str,
    denied: bool,
}

/// An authenticator over a store.
pub(crate) struct Heard<S> {
    authenticator: Authenticator<S>,
    requirement: Requirement,
    environment: Environment,
}

fn format() -> KeyFormat {
    KeyFormat::structured("acme").unwrap()
}

fn key(name: &'static str, denied: bool) -> Key {
    let limit = RateLimit::new(1_000_000, Millis::from_hours(1)).unwrap();
    let request = IssueRequest::new("Acme Ltd")
        .unwrap()
        .environment("live")
        .unwrap()
        .permissions(["read"])
        .unwrap()
        .rate_limit(limit);
    let now = UnixMillis::now().unwrap();
    let issued = issue(&format(), &PepperRing::none(), &request, &mut SysRng, now).unwrap();
    Key {
        issued,
        name,
        denied,
    }
}

impl Keys {
    /// A key for each of the cases.
    pub(crate) async fn issue(store: &impl Store) -> Self {
        let keys = CASES.iter().map(|case| key(case.postgres, case.denied));
        Self::save(store, keys.collect()).await
    }

    /// Keys that a single statement changes, so that all of them are denied.
    pub(crate) async fn issue_many(store: &impl Store, count: usize) -> Self {
        let keys = (0..count).map(|_| key("one statement for many rows", true));
        Self::save(store, keys.collect()).await
    }

    async fn save(store: &impl Store, keys: Vec<Key>) -> Self {
        let mut batch = Batch::new();
        for key in &keys {
            batch.inserts.push(key.issued.record.clone());
            batch.events.push(key.issued.event.clone());
        }
        store.commit(&batch).await.unwrap();
        Self(keys)
    }

    /// The statement of each case, for its key.
    pub(crate) fn statements(
        &self,
        sql: impl Fn(&Case) -> &'static str,
    ) -> impl Iterator<Item = (String, &'static str)> {
        let cases = self.0.iter().zip(&CASES).zip(1..);
        cases.map(move |((key, case), number)| {
            let text = statement(sql(case), key.issued.record.id.as_str(), number);
            (text, sql(case))
        })
    }

    /// Each change has left an event with the version that the record then had, and with who
    /// made it.
    pub(crate) async fn have_events(&self, store: &impl Store) {
        for key in &self.0 {
            let id = key.issued.record.id;
            let events = store.events(Some(&id), 0, 99).await.unwrap().events;
            let [(_, issued), (_, event), ..] = &events[..] else {
                panic!("{}: no event of it: {events:?}", key.name)
            };
            assert_eq!((issued.version, issued.actor.as_deref()), (Some(1), None));
            assert!(event.version > Some(1), "{}: {event:?}", key.name);
            assert!(event.actor.is_some(), "{}: {event:?}", key.name);
            // The authenticator may have ended an overlap because of it, but nothing else.
            let mut own = events.iter().skip(2);
            let own = own.all(|(_, own)| own.actor.as_deref() == Some("keystile"));
            assert!(own, "{}: {events:?}", key.name);
        }
    }
}

impl<S: Store + 'static> Heard<S> {
    /// An authenticator that has read the events up to now, and has these keys cached.
    pub(crate) async fn start(store: &Arc<S>, keys: &Keys, signal: Option<Arc<Notify>>) -> Self {
        let verifier = Verifier::new(format());
        let mut builder = Authenticator::builder(Arc::clone(store), verifier);
        if let Some(signal) = signal {
            builder = builder.change_signal(signal);
        }
        let heard = Self {
            authenticator: builder.build().unwrap(),
            requirement: Requirement::parse("read").unwrap(),
            environment: Environment::new("live").unwrap(),
        };
        // Otherwise its first look would invalidate what was cached before.
        while heard.authenticator.stats().keyring.invalidations == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        heard.admit(keys).await;
        heard
    }

    /// Caches these keys, which are allowed.
    pub(crate) async fn admit(&self, keys: &Keys) {
        for key in &keys.0 {
            let answer = self.ask(key).await;
            assert!(answer.decision.is_allow(), "{}: {answer:?}", key.name);
        }
    }

    /// Waits until each change is in force.
    pub(crate) async fn all_are_in_force(&self, keys: &Keys) {
        let start = Instant::now();
        let mut waiting: Vec<&Key> = keys.0.iter().collect();
        while !waiting.is_empty() {
            let elapsed = start.elapsed();
            let mut still = Vec::new();
            for key in waiting {
                let answer = self.ask(key).await;
                if !is_in_force(key, &answer) {
                    still.push(key);
                }
            }
            waiting = still;
            if elapsed > WITHIN {
                let names: Vec<_> = waiting.iter().map(|key| key.name).collect();
                assert!(
                    names.is_empty(),
                    "not in force after {elapsed:?}: {names:#?}"
                );
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits for longer than that, and no change is in force.
    pub(crate) async fn none_is_in_force(&self, keys: &Keys) {
        tokio::time::sleep(QUIET).await;
        for key in &keys.0 {
            let answer = self.ask(key).await;
            assert!(!is_in_force(key, &answer), "{}: {answer:?}", key.name);
        }
    }

    pub(crate) async fn stop(&self) {
        self.authenticator.stop().await.unwrap();
    }

    async fn ask(&self, key: &Key) -> Answer {
        let request = Request::new()
            .requires(&self.requirement)
            .environment(&self.environment)
            .endpoint("GET", "/api/data")
            .address("192.0.2.9".parse::<core::net::IpAddr>().unwrap());
        let text = key.issued.key.expose().as_bytes();
        let now = UnixMillis::now().unwrap();
        self.authenticator.check(text, &request, now).await
    }
}

fn is_in_force(key: &Key, answer: &Answer) -> bool {
    match &answer.record {
        None => key.denied,
        Some(record) => !key.denied && record.version > key.issued.record.version,
    }
}
