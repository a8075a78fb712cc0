//! The cost of each part of the core, compared with one SHA-256 of the same key text.
//!
//! `cargo bench --bench core`. A decision costs little more than its hash: compare
//! `core/verify_allow` and `core/reject_typo` with `core/sha256_one_shot` of the same
//! run.

#![allow(missing_docs, reason = "criterion's macros make public items")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "what a benchmark is made of is well formed"
)]

use core::hint::black_box;

use criterion::{
    BenchmarkGroup, Criterion, criterion_group, criterion_main, measurement::WallTime,
};
use keystile::{
    Cause, Decision, Digest, EndpointRules, IssueRequest, Issued, KeyFormat, KeyRecord, Millis,
    PepperRing, PermissionSet, RateLimit, RateState, Request, Requirement, SysRng, UnixMillis,
    Usage, Verifier, issue, verify,
};
use sha2::Sha256;

const METHOD: &str = "GET";
const PATH: &str = "/api/metrics/cpu/load";

/// A key as a service might issue it, and the request that it is used for.
struct Scene {
    format: KeyFormat,
    verifier: Verifier,
    ask: IssueRequest,
    issued: Issued,
    requirement: Requirement,
    now: UnixMillis,
}

impl Scene {
    fn new() -> Self {
        let now = UnixMillis::new(1_790_000_000_000).unwrap();
        let format = KeyFormat::structured("acme").unwrap();
        let ask = IssueRequest::new("Acme Ltd")
            .and_then(|ask| ask.environment("live"))
            .and_then(|ask| ask.permissions(["invoices:read", "metrics:read"]))
            .and_then(|ask| ask.endpoints(["GET,HEAD /api/metrics/*"]))
            .unwrap()
            .rate_limit(RateLimit::new(1_000, Millis::from_hours(1)).unwrap());
        let issued = issue(&format, &PepperRing::none(), &ask, &mut SysRng, now).unwrap();
        Self {
            verifier: Verifier::new(format.clone()),
            format,
            ask,
            issued,
            requirement: Requirement::parse("metrics:read").unwrap(),
            now,
        }
    }

    fn text(&self) -> &[u8] {
        self.issued.key.expose().as_bytes()
    }

    /// From the bytes of a credential to the decision, given the record.
    #[inline]
    fn decide(&self, credential: &[u8], record: Option<&KeyRecord>) -> Decision {
        let key = match self.verifier.parse(credential) {
            Ok(key) => key,
            Err(denial) => return Decision::Deny(denial),
        };
        let request = Request::new()
            .requires(&self.requirement)
            .endpoint(METHOD, PATH);
        // Each decision is made with unused usage, so that the limit is never reached.
        let mut usage = Usage::of(&self.issued.record);
        let decision = verify(&self.verifier, &key, record, &request, &mut usage, self.now);
        black_box(&usage);
        decision
    }
}

fn core(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("core");
    let scene = Scene::new();
    hashing(&mut group, &scene);
    keys(&mut group, &scene);
    decisions(&mut group, &scene);
    rules(&mut group, &scene);
    group.finish();
}

fn hashing(group: &mut BenchmarkGroup<'_, WallTime>, scene: &Scene) {
    let text = scene.text();
    group.bench_function("sha256_one_shot", |bench| {
        bench.iter(|| <Sha256 as sha2::Digest>::digest(black_box(text)));
    });
    group.bench_function("digest", |bench| {
        bench.iter(|| Digest::sha256(black_box(text)));
    });
    assert_eq!(Digest::sha256(text), scene.issued.record.digest);
}

fn keys(group: &mut BenchmarkGroup<'_, WallTime>, scene: &Scene) {
    let none = PepperRing::none();
    group.bench_function("issue", |bench| {
        bench.iter(|| {
            issue(
                &scene.format,
                &none,
                black_box(&scene.ask),
                &mut SysRng,
                scene.now,
            )
            .unwrap()
        });
    });
    let id = scene.issued.record.id;
    group.bench_function("parse", |bench| {
        bench.iter(|| {
            let key = scene.format.parse(black_box(scene.text()));
            assert_eq!(black_box(&key).as_ref().unwrap().claimed_id(), Some(&id));
        });
    });
}

fn decisions(group: &mut BenchmarkGroup<'_, WallTime>, scene: &Scene) {
    let record = &scene.issued.record;
    let mut decision = |name, text: &[u8], record: Option<&KeyRecord>, expected: Option<Cause>| {
        group.bench_function(name, |bench| {
            bench.iter(|| {
                let decision = scene.decide(black_box(text), black_box(record));
                let cause = black_box(&decision).denial().map(|denial| denial.cause());
                assert_eq!(cause, expected);
            });
        });
    };
    decision("verify_allow", scene.text(), Some(record), None);

    // The same id followed by another secret.
    let mut other = record.clone();
    other.digest = Digest::sha256(b"another key");
    decision(
        "verify_wrong_secret",
        scene.text(),
        Some(&other),
        Some(Cause::WrongSecret),
    );
    decision(
        "verify_unknown_id",
        scene.text(),
        None,
        Some(Cause::UnknownKey),
    );

    // One character of the secret is changed: the shape is right, and the check finds it.
    let mut typo = scene.text().to_vec();
    let place = typo.iter_mut().rev().nth(20).unwrap();
    *place = if *place == b'x' { b'y' } else { b'x' };
    decision("reject_typo", &typo, Some(record), Some(Cause::Malformed));
}

fn rules(group: &mut BenchmarkGroup<'_, WallTime>, scene: &Scene) {
    let record = &scene.issued.record;
    let granted: &PermissionSet = &record.permissions;
    group.bench_function("permission", |bench| {
        bench.iter(|| assert!(black_box(&scene.requirement).is_satisfied_by(black_box(granted))));
    });
    let endpoints: &EndpointRules = record.allowed_endpoints.as_ref().unwrap();
    group.bench_function("endpoint", |bench| {
        bench.iter(|| assert!(black_box(endpoints).allows(black_box(METHOD), black_box(PATH))));
    });
    let limit: &RateLimit = record.rate_limit.as_ref().unwrap();
    group.bench_function("limit", |bench| {
        bench.iter(|| {
            let state =
                black_box(limit).admit(black_box(RateState::default()), black_box(scene.now));
            assert!(black_box(&state).is_ok());
        });
    });
}

criterion_group!(benches, core);
criterion_main!(benches);
