//! What is counted of decisions, with the feature `metrics`.
#![cfg(feature = "metrics")]
#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "tests")]

use core::convert::Infallible;
use core::sync::atomic::{AtomicU64, Ordering};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::Body;
use http::{Request, Response};
use keystile::{IssueRequest, KeyFormat, PepperRing, SysRng, UnixMillis, Verifier, issue};
use keystile_store::{Authenticator, MemoryStore};
use keystile_tower::ApiKeyLayer;
use metrics::{
    Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
    with_local_recorder,
};
use tower::{Layer, ServiceExt, service_fn};

/// Counters, by their whole names.
#[derive(Default)]
struct Counters(Mutex<BTreeMap<String, Arc<AtomicU64>>>);

impl Recorder for Counters {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let labels = key.labels().map(|label| (label.key(), label.value()));
        let name = format!("{} {:?}", key.name(), Vec::from_iter(labels));
        Counter::from_arc(Arc::clone(self.0.lock().unwrap().entry(name).or_default()))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

async fn requests() {
    let format = KeyFormat::structured("acme").unwrap();
    let store = Arc::new(MemoryStore::new());
    let authenticator = Authenticator::builder(store, Verifier::new(format.clone()))
        .build()
        .unwrap();
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = UnixMillis::new(since.as_secs() * 1_000).unwrap();
    let request = IssueRequest::new("Acme").unwrap();
    let issued = issue(&format, &PepperRing::none(), &request, &mut SysRng, now).unwrap();
    authenticator.save_issued(&issued).await.unwrap();
    let app = service_fn(async |_: Request<()>| Ok::<_, Infallible>(Response::new(Body::empty())));
    let anyone = ApiKeyLayer::new(authenticator);
    let writers = anyone.requires("write").unwrap();
    let own = issued.key.expose();
    for (layer, key) in [
        (&anyone, Some(own)),
        (&anyone, Some(own)),
        (&anyone, Some("acme_live_nonsense")),
        (&anyone, None),
        (&writers, Some(own)),
    ] {
        let mut request = Request::new(());
        if let Some(key) = key {
            request
                .headers_mut()
                .insert("x-api-key", key.parse().unwrap());
        }
        layer.layer(app).oneshot(request).await.unwrap();
    }
}

#[test]
fn each_decision_is_counted_by_its_code_and_by_nothing_of_the_key() {
    let counters = Counters::default();
    with_local_recorder(&counters, || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_time().build().unwrap().block_on(requests());
    });
    let counted = counters.0.into_inner().unwrap();
    let counted = counted.iter().map(|(name, count)| {
        let name = name.strip_prefix("keystile_decisions_total ").unwrap();
        (name, count.load(Ordering::Relaxed))
    });
    assert_eq!(
        Vec::from_iter(counted),
        [
            (r#"[("code", "allowed")]"#, 2),
            (r#"[("code", "invalid_key")]"#, 1),
            (r#"[("code", "missing_credential")]"#, 1),
            (r#"[("code", "permission_missing")]"#, 1),
        ]
    );
}
