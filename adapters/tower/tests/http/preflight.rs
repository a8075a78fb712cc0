//! CORS preflights, which browsers send without a key.

use http::{Request, StatusCode};
use http_body_util::Empty;
use keystile_tower::{ApiKeyLayer, require};
use tower::{Layer, service_fn};

use crate::keys;
use crate::layer::{a_key, asks, authenticator, shows, told};

fn preflight() -> Request<Empty<bytes::Bytes>> {
    Request::options("/")
        .header("origin", "https://app.example")
        .header("access-control-request-method", "DELETE")
        .body(Empty::new())
        .unwrap()
}

#[tokio::test]
async fn preflights_pass_only_where_asked_for() {
    let authenticator = authenticator();
    let key = a_key(&authenticator, keys::request("Acme")).await;
    let refusing = ApiKeyLayer::new(authenticator.clone());
    assert_eq!(
        told(refusing.layer(service_fn(shows)), preflight()).await.0,
        401
    );

    let passing = ApiKeyLayer::builder(authenticator)
        .pass_preflights()
        .build();
    let service = || passing.layer(service_fn(shows));
    assert_eq!(
        told(service(), preflight()).await,
        (StatusCode::OK, "nobody ".to_owned())
    );
    let mut with_key = preflight();
    with_key.headers_mut().extend(asks(&key).headers().clone());
    let told_of_it = told(service(), with_key).await;
    assert_eq!(
        told_of_it,
        (StatusCode::OK, "nobody ".to_owned()),
        "never as someone, nor with the key"
    );

    for name in ["origin", "access-control-request-method"] {
        let mut other = preflight();
        other.headers_mut().remove(name);
        assert_eq!(told(service(), other).await.0, 401, "without {name}");
    }
    for target in ["/a/../b", "/%61", "*"] {
        let mut other = preflight();
        *other.uri_mut() = target.parse().unwrap();
        assert_eq!(told(service(), other).await.0, 401, "{target}");
    }
    // A route that requires something is asked by the real request.
    let requires = || require("admin").unwrap().layer(service_fn(shows));
    assert_eq!(told(passing.layer(requires()), preflight()).await.0, 200);
    assert_eq!(
        told(requires(), preflight()).await.0,
        401,
        "without a layer"
    );
    let mut real = preflight();
    *real.method_mut() = http::Method::DELETE;
    assert_eq!(told(service(), real).await.0, 401);
}
