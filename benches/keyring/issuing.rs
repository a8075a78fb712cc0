//! Keys issued per second: the text for the client and the record for the store.

use core::hint::black_box;
use core::time::Duration;

use api_keys_simplified::{ApiKeyManagerV0, Environment};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput};
use prefixed_api_key::PrefixedApiKeyController;

use super::express::ExpressRecipe;
use super::service::{PERMISSIONS, Service};

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = super::group(criterion, "issue");
    group.throughput(Throughput::Elements(1));
    keystile(&mut group);
    prefixed_api_key(&mut group);
    express(&mut group);
    api_keys_simplified(&mut group);
    group.finish();
}

/// A record with two permissions, an endpoint rule and a limit.
fn keystile(group: &mut BenchmarkGroup<'_, WallTime>) {
    let service = Service::with_capacity(1);
    let ask = service.typical(1);
    group.bench_function("keystile", |bench| {
        bench.iter(|| {
            let issued = service.issue(black_box(&ask));
            assert!(issued.key.expose().starts_with("acme_live_1"));
            issued
        });
    });
}

/// A key and its hash, without a record.
fn prefixed_api_key(group: &mut BenchmarkGroup<'_, WallTime>) {
    let controller = PrefixedApiKeyController::configure()
        .prefix("acme".to_owned())
        .seam_defaults()
        .finalize()
        .unwrap();
    group.bench_function("prefixed_api_key", |bench| {
        bench.iter(|| {
            let (key, hash) = controller.try_generate_key_and_hash().unwrap();
            let text = key.to_string();
            assert!(text.starts_with("acme_"));
            (text, hash)
        });
    });
}

/// A key and its entry in the map, which is emptied now and then to stay small.
fn express(group: &mut BenchmarkGroup<'_, WallTime>) {
    group.bench_function("express", |bench| {
        let mut recipe = ExpressRecipe::default();
        let mut issued = 0u32;
        bench.iter(|| {
            if issued.is_multiple_of(10_000) {
                recipe = ExpressRecipe::default();
            }
            issued = issued.wrapping_add(1);
            let text = recipe.issue(black_box("client"), &PERMISSIONS);
            assert!(text.starts_with("dt_"));
            text
        });
    });
}

/// A key and its Argon2id hash.
fn api_keys_simplified(group: &mut BenchmarkGroup<'_, WallTime>) {
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(2));
    group.bench_function("api_keys_simplified", |bench| {
        let manager = ApiKeyManagerV0::init_default_config("acme").unwrap();
        bench.iter(|| {
            let key = manager.generate(Environment::production()).unwrap();
            assert!(key.expose_hash().hash().starts_with("$argon2id$"));
            key
        });
    });
}
