//! The same check by what people use instead.
//!
//! None of them checks an endpoint, a limit or an expiry. All are given the key as text,
//! with the header already read. If a crate leaves the lookup to its caller, there is
//! none.

use core::hint::black_box;
use core::time::Duration;
use std::collections::HashMap;

use api_keys_simplified::{ApiKeyManagerV0, Environment, ExposeSecret, KeyStatus, SecureString};
use criterion::Criterion;
use prefixed_api_key::{PrefixedApiKey, PrefixedApiKeyController};
use sha2::{Digest, Sha256};

use super::express::ExpressRecipe;
use super::service::{PERMISSIONS, REQUIRED, Service, text_of};

const KEYS: usize = 1_000;

pub(crate) fn bench(criterion: &mut Criterion) {
    prefixed_api_key(criterion);
    express(criterion);
    hashmap_sha256(criterion);
    api_keys_simplified(criterion);
}

/// Parsed, then checked against its hash.
fn prefixed_api_key(criterion: &mut Criterion) {
    let mut group = super::group(criterion, "peers");
    let controller = PrefixedApiKeyController::configure()
        .prefix("acme".to_owned())
        .seam_defaults()
        .finalize()
        .unwrap();
    let keys: Vec<(String, String)> = (0..KEYS)
        .map(|_| {
            let (key, hash) = controller.try_generate_key_and_hash().unwrap();
            (key.to_string(), hash)
        })
        .collect();
    group.bench_function("prefixed_api_key", |bench| {
        let mut turns = keys.iter().cycle();
        bench.iter(|| {
            let (text, hash) = turns.next().unwrap();
            let key = PrefixedApiKey::from_string(black_box(text)).unwrap();
            assert!(controller.check_hash(&key, black_box(hash)));
        });
    });
    group.finish();
}

/// SHA-256, hex, lookup, last use, permission list.
fn express(criterion: &mut Criterion) {
    let mut group = super::group(criterion, "peers");
    let now = Service::with_capacity(1).now;
    let mut recipe = ExpressRecipe::default();
    let keys: Vec<String> = (0..KEYS)
        .map(|number| recipe.issue(&format!("client {number}"), &PERMISSIONS))
        .collect();
    group.bench_function("express", |bench| {
        let mut turns = keys.iter().cycle();
        bench.iter(|| {
            let data = recipe.validate(black_box(turns.next().map(String::as_str)), now);
            let data = data.unwrap();
            data.has(black_box(REQUIRED)).unwrap();
            black_box(&data.client_name);
        });
    });
    assert_eq!(recipe.validate(None, now).err(), Some(401));
    assert_eq!(recipe.validate(Some("dt_00"), now).err(), Some(403));
    let data = recipe.validate(Some(&keys[0]), now).ok().unwrap();
    assert_eq!(data.has("metrics:write"), Err(403));
    group.finish();
}

/// The minimum that one could write: SHA-256 of a keystile key, a lookup, a permission.
fn hashmap_sha256(criterion: &mut Criterion) {
    let mut group = super::group(criterion, "peers");
    let service = Service::with_capacity(1);
    let texts: Vec<_> = (0..KEYS)
        .map(|number| text_of(&service.issue(&service.typical(number))))
        .collect();
    let known: HashMap<[u8; 32], Vec<String>> = texts
        .iter()
        .map(|text| {
            (
                Sha256::digest(text).into(),
                PERMISSIONS.map(str::to_owned).into(),
            )
        })
        .collect();
    group.bench_function("hashmap_sha256", |bench| {
        let mut turns = texts.iter().cycle();
        bench.iter(|| {
            let digest: [u8; 32] = Sha256::digest(black_box(turns.next().unwrap())).into();
            let permissions = known.get(&digest).unwrap();
            assert!(permissions.iter().any(|own| own == black_box(REQUIRED)));
        });
    });
    group.finish();
}

/// Argon2id with the crate's defaults: tens of milliseconds, so a few samples are enough.
fn api_keys_simplified(criterion: &mut Criterion) {
    let mut group = super::group(criterion, "peers");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(2));
    group.bench_function("api_keys_simplified", |bench| {
        let manager = ApiKeyManagerV0::init_default_config("acme").unwrap();
        let key = manager.generate(Environment::production()).unwrap();
        let (text, hash) = (key.key().expose_secret(), key.expose_hash().hash());
        bench.iter(|| {
            let presented = SecureString::from(black_box(text));
            let status = manager.verify(&presented, black_box(hash)).unwrap();
            assert_eq!(status, KeyStatus::Valid);
        });
    });
    group.finish();
}
