//! All shapes of requests, under both status policies, with every event listened to.

use core::fmt::Write as _;
use std::sync::{Arc, Mutex};

use keystile::StatusPolicy;
use tracing::field::{Field, Visit};
use tracing::span;
use tracing::{Event, Metadata, Subscriber};

use crate::driver::{self, Policy};
use crate::service::with_policy;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_shape_gets_its_answer() {
    let heard = Heard::default();
    tracing::subscriber::set_global_default(heard.clone()).unwrap();
    let mut driven = 0;
    for (policy, named) in [
        (Policy::Rfc9110, StatusPolicy::Rfc9110),
        (Policy::Express, StatusPolicy::Express),
    ] {
        let service = with_policy(named).await;
        let (address, keys) = (service.address, service.keys.clone());
        let problems = tokio::task::spawn_blocking(move || {
            let word = |name: &str| match name {
                "route" => Some("/api/profile".to_owned()),
                name => keys.get(name).cloned(),
            };
            let shapes = driver::shapes();
            let outcomes = shapes
                .iter()
                .map(|shape| driver::drive(shape, address, policy, &word).expect(&shape.name));
            outcomes.collect::<Vec<_>>()
        });
        let outcomes = problems.await.unwrap();
        driven += outcomes.len();
        let problems: Vec<_> = outcomes.into_iter().filter_map(Result::err).collect();
        assert!(problems.is_empty(), "{policy:?}:\n{}", problems.join("\n"));

        // F1, F6: of all that was said at any level, nothing was a key's secret.
        let heard = core::mem::take(&mut *heard.0.lock().unwrap());
        for code in ["allowed", "invalid_key", "key_revoked", "rate_limited"] {
            assert!(heard.contains(code), "an event says {code}");
        }
        for (name, key) in &service.keys {
            let secret = &key[key.len() - 49..];
            for part in [&secret[..12], &secret[20..32], &secret[37..]] {
                assert!(!heard.contains(part), "a part of the key `{name}` was told");
            }
        }
    }
    assert!(driven >= 2 * 140, "{driven} shapes");
}

/// Everything that is said, at all levels, by all crates.
#[derive(Clone, Default)]
pub(crate) struct Heard(Arc<Mutex<String>>);

impl Heard {
    /// What was said so far.
    pub(crate) fn text(&self) -> String {
        self.0.lock().unwrap().clone()
    }

    fn note(&self, note: impl FnOnce(&mut Fields<'_>)) {
        note(&mut Fields(&mut self.0.lock().unwrap()));
    }
}

struct Fields<'h>(&'h mut String);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn core::fmt::Debug) {
        writeln!(self.0, "{field}={value:?}").unwrap();
    }
}

impl Subscriber for Heard {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, attributes: &span::Attributes<'_>) -> span::Id {
        self.note(|fields| attributes.record(fields));
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, values: &span::Record<'_>) {
        self.note(|fields| values.record(fields));
    }

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        self.note(|fields| event.record(fields));
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}
