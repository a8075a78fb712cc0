//! The shapes of requests that the middleware is driven with, at the admin API and at the
//! gate, under both status policies.

use std::collections::HashMap;

use keystile::{Millis, Networks, RateLimit, StatusPolicy};

use crate::driver::{self, Policy, Shape};
use crate::keys;
use crate::service::Running;

const POLICIES: [(Policy, StatusPolicy); 2] = [
    (Policy::Rfc9110, StatusPolicy::Rfc9110),
    (Policy::Express, StatusPolicy::Express),
];

/// The guarded route that the shapes are driven at.
const ADMIN: &str = "/v1/keys";
const GATE: &str = "/v1/authorize/envoy/api/profile";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_shape_gets_its_answer_of_the_admin_api() {
    for (policy, named) in POLICIES {
        let running = Running::with(|settings| {
            settings.responses.status = named;
            settings.trusted_proxies = Networks::new(["203.0.113.0/24"]).unwrap();
            // More invalid keys come from here than are taken from one address.
            settings.invalid_keys = None;
        })
        .await;
        // Those that may pass here must hold what this route asks.
        let mut words = running.keys.clone();
        for (name, request) in [
            ("key", keys::request("Acme")),
            ("other", keys::request("Bolt")),
            ("once", keys::request("Acme").uses(1).unwrap()),
            (
                "limited",
                keys::request("Acme").rate_limit(RateLimit::new(1, Millis::from_hours(1)).unwrap()),
            ),
        ] {
            let request = request.permissions(["keystile:keys:read"]).unwrap();
            words.insert(name, running.issue(request).await.0);
        }
        let shapes = driver::shapes();
        let of_this = shapes
            .into_iter()
            .filter(|shape| !shape.send.contains("/api"));
        // The guard is at the routes: what is not there is not there, for everybody.
        let of_this = of_this.filter(|shape| {
            let no_route = |expected: &String| expected.contains("path_not_canonical");
            !shape.expect.iter().any(no_route)
                && !shape.send.contains("nowhere")
                && !shape.send.contains("POST {route}")
                && !shape.send.contains("?next=")
                && !is_elsewhere(shape)
        });
        drive(&running, policy, ADMIN, words, of_this.collect(), 70).await;
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_shape_gets_its_answer_of_the_gate() {
    for (policy, named) in POLICIES {
        let running = Running::with(|settings| {
            settings.responses.status = named;
            // More invalid keys come from here than are taken from one address.
            settings.invalid_keys = None;
        })
        .await;
        let shapes = driver::shapes().into_iter().filter(|shape| {
            // The gate has any path and any method; the service behind it has its own.
            let of_a_service = ["404", "405"].iter().any(|status| {
                shape
                    .expect
                    .iter()
                    .any(|expected| expected.contains(status))
            });
            !of_a_service
                && !is_elsewhere(shape)
                && !shape.name.contains("permission")
                && !shape.send.contains("http://")
                // Above the prefix there is nothing.
                && !shape.send.contains("GET /nowhere")
                && !shape.send.contains("X-Forwarded-")
        });
        let shapes = shapes.map(|mut shape| {
            for method in ["GET", "POST", "DELETE"] {
                for path in ["/api", "//api", "/{long"] {
                    let plain = format!("{method} {path}");
                    let asked = format!("{method} /v1/authorize/envoy{path}");
                    shape.send = shape.send.replace(&plain, &asked);
                }
            }
            shape
        });
        let words = running.keys.clone();
        drive(&running, policy, GATE, words, shapes.collect(), 100).await;
        running.stop().await;
    }
}

/// `OPTIONS *` and `CONNECT` have no path, and so no route here.
fn is_elsewhere(shape: &Shape) -> bool {
    shape.send.starts_with("OPTIONS *") || shape.send.starts_with("CONNECT")
}

async fn drive(
    running: &Running,
    policy: Policy,
    route: &'static str,
    words: HashMap<&'static str, String>,
    shapes: Vec<Shape>,
    least: usize,
) {
    let mut shapes = shapes;
    for shape in &mut shapes {
        // The bound on headers is tighter here.
        if shape.name == "a value of 200 KiB" {
            shape.expect = vec!["431".to_owned()];
        }
    }
    let count = shapes.len();
    assert!(count >= least, "{count} shapes");
    let address = running.address;
    let driven = tokio::task::spawn_blocking(move || {
        let word = |name: &str| match name {
            "route" => Some(route.to_owned()),
            name => words.get(name).cloned(),
        };
        let outcomes = shapes
            .iter()
            .filter_map(|shape| driver::drive(shape, address, policy, &word)?.err());
        outcomes.collect::<Vec<_>>()
    });
    let problems = driven.await.unwrap();
    assert!(problems.is_empty(), "{policy:?}:\n{}", problems.join("\n"));
}
