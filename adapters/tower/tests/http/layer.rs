//! The layer by itself, in front of services that are no axum app.

use core::convert::Infallible;
use core::task::{Context, Poll};
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full};
use keystile::{Environment, Issued, Millis, RateLimit, RotationPolicy, SysRng};
use keystile_store::{Authenticator, MemoryStore};
use keystile_tower::{ApiKeyLayer, Connection, Rejection, VerifiedKey, require};
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::keys;

type Body = Full<Bytes>;

pub(crate) fn authenticator() -> Authenticator<MemoryStore> {
    let store = Arc::new(MemoryStore::new());
    Authenticator::builder(store, keys::verifier())
        .build()
        .unwrap()
}

pub(crate) async fn a_key(
    authenticator: &Authenticator<MemoryStore>,
    request: keystile::IssueRequest,
) -> Issued {
    keys::issued(&**authenticator.store(), &request, keys::now()).await
}

fn asks(key: &Issued) -> Request<Empty<Bytes>> {
    let request = Request::get("/api/profile").header("x-api-key", key.key.expose());
    request.body(Empty::new()).unwrap()
}

/// A service that says which headers of a credential it was shown.
pub(crate) async fn shows(request: Request<Empty<Bytes>>) -> Result<Response<Body>, Infallible> {
    let names = ["x-api-key", "x-acme-key", "authorization"];
    let shown: Vec<_> = names
        .iter()
        .filter_map(|name| request.headers().get(*name))
        .map(|value| format!("{value:?}"))
        .collect();
    let client = request
        .extensions()
        .get::<VerifiedKey>()
        .map(VerifiedKey::client_name);
    let text = format!("{} {}", client.unwrap_or("nobody"), shown.join(" "));
    Ok(Response::new(Full::from(text)))
}

pub(crate) async fn told<S>(service: S, request: Request<Empty<Bytes>>) -> (StatusCode, String)
where
    S: Service<Request<Empty<Bytes>>, Response = Response<Body>, Error = Infallible>,
{
    let response = service.oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (parts.status, String::from_utf8(body.to_vec()).unwrap())
}

/// A service that must be asked whether it is ready, each time and itself.
#[derive(Debug, Default)]
struct Strict {
    is_ready: bool,
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Service<Request<Empty<Bytes>>> for Strict {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = core::future::Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.is_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Empty<Bytes>>) -> Self::Future {
        assert!(
            core::mem::take(&mut self.is_ready),
            "called without being asked"
        );
        core::future::ready(Ok(Response::new(Full::from("called"))))
    }
}

#[tokio::test]
async fn the_service_that_is_called_is_the_one_that_was_ready() {
    let authenticator = authenticator();
    let key = a_key(&authenticator, keys::request("Acme")).await;
    let mut service = ApiKeyLayer::new(authenticator).layer(Strict::default());
    for round in ["fetched", "cached"] {
        let response = service
            .ready()
            .await
            .unwrap()
            .call(asks(&key))
            .await
            .unwrap();
        assert_eq!(response.status(), 200, "{round}");
    }
}

/// The layer waits for a service that is full, and does not exceed the service's limit.
#[tokio::test]
async fn the_service_s_own_limit_holds() {
    let authenticator = authenticator();
    let key = a_key(&authenticator, keys::request("Acme")).await;
    let (sender, receiver) = tokio::sync::watch::channel(false);
    let inner = service_fn(move |_: Request<Empty<Bytes>>| {
        let mut open = receiver.clone();
        async move {
            open.wait_for(|open| *open).await.unwrap();
            Ok::<_, Infallible>(Response::new(Body::default()))
        }
    });
    let limited = tower::limit::ConcurrencyLimit::new(inner, 1);
    let mut service = ApiKeyLayer::new(authenticator).layer(limited);
    let first = tokio::spawn(service.ready().await.unwrap().call(asks(&key)));
    let mut other = service.clone();
    let waiting = tokio::spawn(async move {
        other
            .ready()
            .await
            .unwrap()
            .call(asks(&key))
            .await
            .unwrap()
            .status()
    });
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!waiting.is_finished(), "there is one place");
    sender.send(true).unwrap();
    assert_eq!(first.await.unwrap().unwrap().status(), 200);
    assert_eq!(waiting.await.unwrap(), 200);
}

#[tokio::test]
async fn the_credential_is_taken_off_unless_it_is_to_be_kept() {
    let authenticator = authenticator();
    let key = a_key(&authenticator, keys::request("Acme")).await;
    let text = key.key.expose();
    let builder = || {
        ApiKeyLayer::builder(authenticator.clone())
            .key_header("X-Acme-Key")
            .unwrap()
    };
    let names = [
        ("x-api-key", text.to_owned()),
        ("x-acme-key", text.to_owned()),
        ("authorization", format!("bearer {text}")),
    ];
    for (name, value) in &names {
        let request = || {
            let request = Request::get("/api/profile").header(*name, value);
            request
                .header("authorization", "Digest abc")
                .body(Empty::new())
                .unwrap()
        };
        for _ in ["fetched", "cached"] {
            let taken = told(builder().build().layer(service_fn(shows)), request()).await;
            // The other scheme stays, also in the header that carried the key.
            let expected = "Acme \"Digest abc\"".to_owned();
            assert_eq!(taken, (StatusCode::OK, expected), "{name}");
        }
        let kept = builder().keep_credential().build().layer(service_fn(shows));
        let (_, shown) = told(kept, request()).await;
        assert!(
            shown.contains("Sensitive") && !shown.contains(text),
            "{shown}"
        );
    }
}

#[tokio::test]
async fn plain_connections_are_refused_where_told_to() {
    let authenticator = authenticator();
    let key = a_key(&authenticator, keys::request("Acme")).await;
    let proxies = keystile::Networks::new(["10.0.0.0/8"]).unwrap();
    let layer = ApiKeyLayer::builder(authenticator)
        .encrypted_only()
        .trusted_proxies(proxies)
        .build();
    let (client, proxy) = ("192.0.2.1".parse().unwrap(), "10.0.0.1".parse().unwrap());
    let table = [
        (None, None, false),
        (None, Some("https"), false),
        (Some(Connection::plain(client)), None, false),
        (Some(Connection::plain(client)), Some("https"), false),
        (Some(Connection::encrypted(client)), None, true),
        (Some(Connection::encrypted(client)), Some("http"), true),
        (Some(Connection::plain(proxy)), None, false),
        (Some(Connection::plain(proxy)), Some("http"), false),
        (Some(Connection::plain(proxy)), Some("https"), true),
        (Some(Connection::encrypted(proxy)), Some("http"), false),
    ];
    for (connection, proto, passes) in table {
        let mut request = asks(&key);
        if let Some(connection) = connection {
            request.extensions_mut().insert(connection);
        }
        if let Some(proto) = proto {
            let value = proto.parse().unwrap();
            request.headers_mut().insert("x-forwarded-proto", value);
        }
        let (status, text) = told(layer.layer(service_fn(shows)), request).await;
        assert_eq!(status == 200, passes, "{connection:?} {proto:?}");
        assert_eq!(text.contains("encryption_required"), !passes);
    }
}

#[tokio::test]
async fn an_optional_key_may_be_missing_and_not_wrong() {
    let authenticator = authenticator();
    let key = a_key(&authenticator, keys::request("Acme")).await;
    let layer = ApiKeyLayer::new(authenticator).optional();
    let service = || layer.layer(service_fn(shows));
    let bare = || Request::get("/").body(Empty::new()).unwrap();
    assert_eq!(told(service(), bare()).await.1, "nobody ");
    assert_eq!(told(service(), asks(&key)).await.1, "Acme ");
    let mut wrong = asks(&key);
    wrong
        .headers_mut()
        .insert("x-api-key", "wrong".parse().unwrap());
    assert_eq!(told(service(), wrong).await.0, 401);
}

#[tokio::test]
async fn keys_of_another_environment_are_refused() {
    let authenticator = authenticator();
    let live = keys::request("Acme").environment("live").unwrap();
    let (live, none) = (
        a_key(&authenticator, live).await,
        a_key(&authenticator, keys::request("Acme")).await,
    );
    let layer = ApiKeyLayer::builder(authenticator)
        .environment(Environment::new("live").unwrap())
        .build();
    assert_eq!(
        told(layer.layer(service_fn(shows)), asks(&live)).await.0,
        200
    );
    let (status, text) = told(layer.layer(service_fn(shows)), asks(&none)).await;
    assert_eq!(status, 403);
    assert!(text.contains("wrong_environment"));
}

#[tokio::test]
async fn a_route_s_requirement_costs_nothing_where_it_is_not_met() {
    let authenticator = authenticator();
    let limit = RateLimit::new(2, Millis::from_hours(1)).unwrap();
    let reader = keys::request("Acme").permissions(["read"]).unwrap();
    let key = a_key(&authenticator, reader.rate_limit(limit)).await;
    let keys = ApiKeyLayer::new(authenticator);
    let writes = keys.requires("read AND write").unwrap();
    for _ in 0..5 {
        let (status, text) = told(writes.layer(service_fn(shows)), asks(&key)).await;
        assert_eq!(status, 403);
        assert!(text.ends_with(r#""missing":["write"]}"#), "{text}");
    }
    assert_eq!(told(keys.layer(service_fn(shows)), asks(&key)).await.0, 200);
    // Inside the layer, a request has been counted.
    let inside = keys.layer(require("write").unwrap().layer(service_fn(shows)));
    let response = inside.clone().oneshot(asks(&key)).await.unwrap();
    assert_eq!(response.status(), 403);
    assert_eq!(response.headers()["ratelimit-remaining"], "0");
    assert_eq!(inside.oneshot(asks(&key)).await.unwrap().status(), 429);
    assert!(
        keys.requires("read AND").is_err(),
        "a typing error is none at run time"
    );
}

#[tokio::test]
async fn a_requirement_alone_lets_nothing_pass() {
    let guarded = require("read").unwrap().layer(service_fn(shows));
    let request = Request::get("/")
        .header("x-api-key", "any")
        .body(Empty::new());
    let response = guarded.oneshot(request.unwrap()).await.unwrap();
    assert_eq!(response.status(), 401);
}

#[tokio::test]
async fn a_key_that_is_being_replaced_says_so_and_the_service_has_the_last_word() {
    let authenticator = authenticator();
    let key = a_key(&authenticator, keys::request("Acme")).await;
    let policy = RotationPolicy::default();
    authenticator
        .rotate(&key.record.id, &policy, None, &mut SysRng, keys::now())
        .await
        .unwrap();
    let keys = ApiKeyLayer::new(authenticator);
    let response = keys
        .layer(service_fn(shows))
        .oneshot(asks(&key))
        .await
        .unwrap();
    let headers = response.headers();
    assert!(headers["deprecation"].to_str().unwrap().starts_with('@'));
    assert!(headers["sunset"].to_str().unwrap().ends_with(" GMT"));
    let own = service_fn(async |_: Request<Empty<Bytes>>| {
        let response = Response::builder().header("sunset", "its own");
        Ok::<_, Infallible>(response.body(Body::default()).unwrap())
    });
    let response = keys.layer(own).oneshot(asks(&key)).await.unwrap();
    assert_eq!(response.headers()["sunset"], "its own");
}

#[tokio::test]
async fn without_a_clock_or_after_the_end_nothing_passes() {
    let authenticator = authenticator();
    let key = a_key(&authenticator, keys::request("Acme")).await;
    let timeless = ApiKeyLayer::builder(authenticator.clone())
        .clock(|| None)
        .build();
    assert_eq!(
        told(timeless.layer(service_fn(shows)), asks(&key)).await.0,
        503
    );
    let keys = ApiKeyLayer::new(authenticator.clone());
    assert_eq!(told(keys.layer(service_fn(shows)), asks(&key)).await.0, 200);
    authenticator.stop().await.unwrap();
    assert_eq!(told(keys.layer(service_fn(shows)), asks(&key)).await.0, 503);
}

#[test]
fn nothing_that_is_printed_has_a_key_in_it() {
    let denial = keystile::Denial::new(keystile::Cause::MissingCredential);
    let refusal = Rejection::of(&denial, keystile::StatusPolicy::Rfc9110, None);
    assert_eq!(
        refusal.to_string(),
        "the request was refused: missing_credential"
    );
    assert_eq!(refusal.status(), 401);
    assert!(refusal.body().contains(refusal.code()));
}

#[cfg(feature = "basic")]
#[tokio::test]
async fn a_key_may_be_the_user_name_of_http_basic() {
    let authenticator = authenticator();
    let key = a_key(&authenticator, keys::request("Acme")).await;
    let layer = ApiKeyLayer::builder(authenticator).basic().build();
    let value = format!(
        "Basic {}",
        base64(format!("{}:", key.key.expose()).as_bytes())
    );
    let request = Request::get("/").header("authorization", value);
    let request = request.body(Empty::new()).unwrap();
    assert_eq!(
        told(layer.layer(service_fn(shows)), request).await.1,
        "Acme "
    );
}

#[cfg(feature = "basic")]
fn base64(bytes: &[u8]) -> String {
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk
            .iter()
            .fold(0, |word: u32, byte| word << 8 | u32::from(*byte));
        let word = word << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = digits[(word >> (18 - 6 * place)) as usize & 63];
            text.push(if place > chunk.len() {
                '='
            } else {
                char::from(digit)
            });
        }
    }
    text
}
