//! The gate over an authenticator and a store in memory.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails where the product must not"
)]

use core::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use keystile::{
    IssueRequest, KeyFormat, Millis, PepperRing, RateLimit, Request, Requirement, StatusPolicy,
    SysRng, UnixMillis, Verifier, issue,
};
use keystile_http::{Gate, GateOutcome, RequestContext};
use keystile_store::{Authenticator, MemoryStore};

const UNKNOWN: &str = "acme_invented";

struct Fixture {
    authenticator: Authenticator<MemoryStore>,
    key: String,
    revoked: String,
    now: UnixMillis,
}

async fn fixture() -> Fixture {
    let format = KeyFormat::structured("acme").unwrap();
    let verifier = Verifier::new(format.clone());
    let store = Arc::new(MemoryStore::new());
    let authenticator = Authenticator::builder(store, verifier).build().unwrap();
    let now = UnixMillis::new(1_790_000_000_000).unwrap();
    let mut issued = Vec::new();
    for name in ["Acme Ltd", "Former Ltd"] {
        let request = IssueRequest::new(name).unwrap();
        let new = issue(&format, &PepperRing::none(), &request, &mut SysRng, now).unwrap();
        authenticator.save_issued(&new).await.unwrap();
        issued.push(new);
    }
    let id = &issued[1].record.id;
    authenticator.revoke(id, "it left", now).await.unwrap();
    let [key, revoked] = [0, 1].map(|index: usize| issued[index].key.expose().to_owned());
    Fixture {
        authenticator,
        key,
        revoked,
        now,
    }
}

fn with_key(key: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("x-api-key", key.parse().unwrap());
    headers
}

/// The code of a refusal; `allowed` for a request that passes.
async fn code(
    gate: &Gate<Authenticator<MemoryStore>>,
    headers: &HeaderMap,
    address: Option<IpAddr>,
    now: UnixMillis,
) -> &'static str {
    let context = RequestContext::new(headers, Request::new(), address, now);
    match gate.check(&context).await {
        Ok(_) => "allowed",
        Err(denied) => denied.code(),
    }
}

#[tokio::test]
async fn memory_answers_after_the_store_did() {
    let Fixture {
        authenticator,
        key,
        now,
        ..
    } = fixture().await;
    let gate = Gate::new(authenticator);
    let headers = with_key(&key);
    let context = RequestContext::new(&headers, Request::new(), None, now);
    let GateOutcome::NeedsStore = gate.try_check(&context) else {
        panic!("nothing is cached yet");
    };
    assert!(!format!("{context:?}").contains(&key));
    let passed = gate.check_with_store(&context).await.unwrap();
    assert_eq!(&*passed.record.client_name, "Acme Ltd");
    let GateOutcome::Passed(passed) = gate.try_check(&context) else {
        panic!("it is cached");
    };
    assert_eq!(passed.allowed.key_id, passed.record.id);
}

#[tokio::test]
async fn a_refusal_names_what_is_missing() {
    let Fixture {
        authenticator,
        key,
        now,
        ..
    } = fixture().await;
    let gate = Gate::new(authenticator);
    let requirement = Requirement::parse("invoices:read").unwrap();
    let headers = with_key(&key);
    let request = Request::new().requires(&requirement);
    let context = RequestContext::new(&headers, request, None, now);
    let denied = gate.check(&context).await.unwrap_err();
    let rejection = denied.rejection(StatusPolicy::Rfc9110, Some(&requirement));
    assert_eq!(rejection.status(), 403);
    assert!(rejection.body().contains(r#""missing":["invoices:read"]"#));
}

/// Only a key that is not known counts, and only if the client's address is known.
#[tokio::test]
async fn only_unknown_keys_of_a_known_address_are_counted() {
    let Fixture {
        authenticator,
        key,
        revoked,
        now,
    } = fixture().await;
    let none = RateLimit::new(0, Millis::from_hours(1)).unwrap();
    let limited = Gate::new(authenticator.clone()).with_invalid_key_limit(none);
    let unlimited = Gate::new(authenticator).with_invalid_key_limit(None);
    let address = "192.0.2.1".parse().ok();
    for (headers, counted, expected) in [
        (with_key(UNKNOWN), "too_many_invalid_keys", "invalid_key"),
        (HeaderMap::new(), "missing_credential", "missing_credential"),
        (with_key(&revoked), "key_revoked", "key_revoked"),
        (with_key(&key), "allowed", "allowed"),
    ] {
        assert_eq!(code(&limited, &headers, address, now).await, counted);
        assert_eq!(code(&limited, &headers, None, now).await, expected);
        assert_eq!(code(&unlimited, &headers, address, now).await, expected);
    }
}

#[tokio::test]
async fn a_wait_is_answered_in_whole_seconds() {
    let Fixture {
        authenticator, now, ..
    } = fixture().await;
    let one = RateLimit::new(1, Millis::new(1_500)).unwrap();
    let gate = Gate::new(authenticator).with_invalid_key_limit(one);
    let headers = with_key(UNKNOWN);
    let address = "192.0.2.1".parse().ok();
    let context = RequestContext::new(&headers, Request::new(), address, now);
    let first = gate.check(&context).await.unwrap_err();
    assert_eq!(first.code(), "invalid_key");
    let second = gate.check(&context).await.unwrap_err();
    let rejection = second.rejection(StatusPolicy::Express, None);
    let response = rejection.into_response::<Bytes>();
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["retry-after"], "2");
}

/// A store that cannot answer makes a 503, never an allow.
#[tokio::test]
async fn nothing_passes_without_the_store() {
    let Fixture {
        authenticator,
        key,
        now,
        ..
    } = fixture().await;
    authenticator.stop().await.unwrap();
    let gate = Gate::new(authenticator);
    let headers = with_key(&key);
    let context = RequestContext::new(&headers, Request::new(), None, now);
    let denied = gate.check(&context).await.unwrap_err();
    let rejection = denied.rejection(StatusPolicy::Express, None);
    let response = rejection.into_response::<Bytes>();
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["retry-after"], "1");
}
