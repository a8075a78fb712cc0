//! One check on one thread, and the one hash that anyone else needs at least.

use core::hint::black_box;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion};
use keystile::{Cause, Decision, Digest, KeyRecord, Usage, verify};
use sha2::Sha256;

use super::service::{KeyText, Service, cause, text_of};

/// Keys that are used in turn.
const KEYS: usize = 1_000;
/// Keys whose records were just fetched.
const FETCHED: usize = 16;
/// Invented keys that are used in turn: so few that they do not overwrite each other in
/// the cache of unknown keys.
const UNKNOWN: usize = 100;

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = super::group(criterion, "hot_path");
    let service = Service::with_capacity(2 * KEYS);
    let (texts, records): (Vec<KeyText>, Vec<KeyRecord>) = (0..KEYS)
        .map(|number| service.issue_cached(&service.typical(number)))
        .unzip();
    floor(&mut group, &texts);
    let digests = texts.iter().map(|text| Digest::sha256(text));
    assert!(digests.eq(records.iter().map(|record| record.digest)));
    warm_allow(&mut group, &service, &texts);
    cold(&mut group, &service, &texts, &records);
    rejects(&mut group, &service, &texts);
    group.finish();
}

/// SHA-256 of the same key texts: the least that hashing a key per request can cost.
fn floor(group: &mut BenchmarkGroup<'_, WallTime>, texts: &[KeyText]) {
    group.bench_function("sha256_one_shot", |bench| {
        let mut turns = texts.iter().cycle();
        bench.iter(|| <Sha256 as sha2::Digest>::digest(black_box(turns.next().unwrap())));
    });
}

/// Header bytes → extract → check → allow, with permission, endpoint and limit judged.
fn warm_allow(group: &mut BenchmarkGroup<'_, WallTime>, service: &Service, texts: &[KeyText]) {
    group.bench_function("warm_allow", |bench| {
        let mut turns = texts.iter().cycle();
        bench.iter(|| assert!(service.admits(black_box(turns.next().unwrap()))));
    });
}

/// The cost of a decision if nothing is cached and the store has just returned the
/// record. So few keys are used in turn that their records stay in the processor's cache.
fn cold(
    group: &mut BenchmarkGroup<'_, WallTime>,
    service: &Service,
    texts: &[KeyText],
    records: &[KeyRecord],
) {
    let fetched = || texts.iter().zip(records).take(FETCHED).cycle();
    // Only the core, as in a service without a keyring: parse, check digits, SHA-256,
    // comparison in constant time, all checks of the record, limit.
    group.bench_function("cold_allow", |bench| {
        let mut turns = fetched();
        bench.iter(|| {
            let (text, record) = turns.next().unwrap();
            let key = service.verifier.parse(black_box(text)).unwrap();
            let mut usage = Usage::of(record);
            let decision = verify(
                &service.verifier,
                &key,
                Some(black_box(record)),
                &service.request(),
                &mut usage,
                service.now,
            );
            black_box(&usage);
            assert!(matches!(&decision, Decision::Allow(_)));
        });
    });
    // With the keyring: a check that misses, then the admission, which copies the record
    // into an entry. The time includes the invalidation that makes the check miss.
    group.bench_function("cold_admit", |bench| {
        let mut turns = fetched();
        bench.iter(|| {
            let (text, record) = turns.next().unwrap();
            service.keyring.invalidate(&record.id);
            service.fetch(black_box(text), Some(record), None);
        });
    });
}

/// Credentials that are refused, from their bytes to the refusal.
fn rejects(group: &mut BenchmarkGroup<'_, WallTime>, service: &Service, texts: &[KeyText]) {
    let mut reject = |name, texts: &[KeyText], expected| {
        group.bench_function(name, |bench| {
            let mut turns = texts.iter().cycle();
            bench.iter(|| {
                let text = black_box(turns.next().unwrap());
                let check = service.keyring.check(text, &service.request(), service.now);
                assert_eq!(cause(&check), Some(expected));
            });
        });
    };
    // One character of the secret of a cached key is changed.
    let typos: Vec<KeyText> = texts.iter().map(with_typo).collect();
    reject("reject_typo", &typos, Cause::Malformed);

    // Well formed, but never issued. The store was asked once, and its answer is cached
    // for ten seconds.
    let unknown: Vec<KeyText> = (0..UNKNOWN)
        .map(|number| {
            let text = text_of(&service.issue(&service.typical(number)));
            service.fetch(&text, None, Some(Cause::UnknownKey));
            text
        })
        .collect();
    reject("reject_unknown_id", &unknown, Cause::UnknownKey);

    // Well formed, with the id of a key that is cached and another key's secret.
    let wrong: Vec<KeyText> = texts
        .windows(2)
        .map(|pair| with_secret_of(&pair[0], &pair[1]))
        .collect();
    reject("reject_wrong_secret", &wrong, Cause::WrongSecret);
}

fn with_typo(text: &KeyText) -> KeyText {
    let mut typo = *text;
    let place = typo.iter_mut().rev().nth(20).unwrap();
    *place = if *place == b'x' { b'y' } else { b'x' };
    typo
}

/// `own` with the secret of `other`, and the check digits that make it well formed.
fn with_secret_of(own: &KeyText, other: &KeyText) -> KeyText {
    const TAIL: usize = 49;
    const CHECK: usize = 6;
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut text = *own;
    let at = text.len() - TAIL;
    text[at..].copy_from_slice(&other[at..]);
    let (covered, check) = text.split_last_chunk_mut::<CHECK>().unwrap();
    let mut rest = usize::try_from(crc32(covered)).unwrap();
    for digit in check.iter_mut().rev() {
        *digit = ALPHABET[rest % ALPHABET.len()];
        rest /= ALPHABET.len();
    }
    text
}

/// CRC-32 of IEEE 802.3, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            crc >> 1 ^ if crc & 1 == 1 { 0xEDB8_8320 } else { 0 }
        })
    })
}
