//! How a connection begins: passwords, rights, TLS, and errors that disclose nothing.

use core::error::Error;
use core::time::Duration;
use std::fs;

use keystile_redis::{RedisLimits, RedisOptions};
use keystile_store::{Limits, StoreError, Take, UnavailableKind};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use super::server::{Server, free_port};
use super::{daily, lineage, options, take};

const PASSWORD: &str = "correct-horse-battery";

/// The error and all that caused it, as a log would have them.
fn shown(error: &StoreError) -> String {
    let mut text = format!("{error:?}: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

async fn refused(options: RedisOptions) -> Option<UnavailableKind> {
    let error = RedisLimits::connect(options).await.unwrap_err();
    assert!(!shown(&error).contains(PASSWORD), "{}", shown(&error));
    error.unavailable_kind()
}

#[tokio::test]
async fn a_wrong_password_and_a_server_that_is_away_have_errors_of_their_own() {
    let line = format!("requirepass {PASSWORD}");
    let Some(server) = Server::with(&[&line], &[]) else {
        return;
    };
    let with = |login: &str| {
        RedisOptions::new(&format!("redis://{login}127.0.0.1:{}", server.port)).unwrap()
    };
    let right = RedisLimits::connect(with(&format!(":{PASSWORD}@")))
        .await
        .unwrap();
    assert_eq!(take(&right, daily(10), 1).await.unwrap().tokens, 1);
    assert!(!format!("{right:?} {:?}", with(&format!(":{PASSWORD}@"))).contains(PASSWORD));
    for login in [
        String::new(),
        ":other@".to_owned(),
        format!("someone:{PASSWORD}@"),
        format!(":{PASSWORD}x@"),
    ] {
        let kind = refused(with(&login)).await;
        assert_eq!(kind, Some(UnavailableKind::Credentials), "{login:?}");
    }
    let away = format!("redis://:{PASSWORD}@127.0.0.1:{}", free_port());
    let kind = refused(RedisOptions::new(&away).unwrap()).await;
    assert_eq!(kind, Some(UnavailableKind::Unreachable));
}

/// A server that does not know the command repeats the password in its answer.
#[tokio::test]
async fn an_answer_that_repeats_the_password_is_not_shown() {
    let Some(server) = Server::with(&["rename-command AUTH \"\""], &[]) else {
        return;
    };
    let url = format!("redis://:{PASSWORD}@127.0.0.1:{}", server.port);
    assert!(refused(RedisOptions::new(&url).unwrap()).await.is_some());
}

#[test]
fn a_url_that_cannot_be_used_is_refused_without_its_text() {
    for url in [
        "",
        "redis",
        "redis://",
        "redis:/x",
        "http://u:correct-horse-battery@h",
        "redis://u:correct-horse-battery@h:port",
        "redis://u:correct-horse-battery@h:6379/database",
        "rediss://u:correct-horse-battery@h/#insecure",
        "redis://u:correct-horse-battery@h/?protocol=resp3",
        " redis://u:correct-horse-battery@h",
    ] {
        let error = RedisOptions::new(url).unwrap_err();
        assert_eq!(
            error.unavailable_kind(),
            Some(UnavailableKind::Url),
            "{url}"
        );
        assert!(
            !shown(&error).contains(PASSWORD),
            "{url}: {}",
            shown(&error)
        );
    }
    let options = RedisOptions::new("redis://127.0.0.1").unwrap();
    for prefix in ["", "a{b}c", "a b", "ü", &"x".repeat(65)] {
        let refused = options.clone().prefix(prefix);
        assert!(matches!(refused, Err(StoreError::Setting(_))), "{prefix:?}");
    }
}

/// The rights that the crate's documentation names suffice, and each of them is needed.
#[tokio::test]
async fn a_user_needs_the_documented_rights() {
    let Some(server) = Server::start() else {
        return;
    };
    let documented = include_str!("../../src/lib.rs");
    let line = documented
        .lines()
        .find(|line| line.contains("ACL SETUSER keystile"));
    let rights = line.unwrap().split_once(">PASSWORD ").unwrap().1;
    let rights: Vec<&str> = rights.split_whitespace().collect();
    assert_eq!(rights.len(), 10, "{rights:?}");
    let url = format!("redis://keystile:{PASSWORD}@127.0.0.1:{}", server.port);
    let password = format!(">{PASSWORD}");
    let set = |rights: &[&str]| {
        let user = ["ACL", "SETUSER", "keystile", "reset", "on", &password];
        server.command::<()>(&[&user[..], rights].concat());
    };
    set(&rights);
    let limits = RedisLimits::connect(RedisOptions::new(&url).unwrap())
        .await
        .unwrap();
    let ask = Take::new(lineage(), daily(10), 4);
    let taken = limits.take(&ask).await.unwrap();
    assert_eq!(taken.tokens, 4);
    assert_eq!(limits.eviction_policy().await, None, "not known");
    let rest = keystile_store::Rest::new(&ask, &taken, 1, keystile::Millis::from_hours(1));
    limits.give_back(&[rest]).await.unwrap();
    assert_eq!(take(&limits, daily(10), 10).await.unwrap().tokens, 7);
    for lacking in [
        "~keystile:*",
        "+evalsha",
        "+eval",
        "+get",
        "+set",
        "+time",
        "+ping",
    ] {
        let fewer: Vec<&str> = rights
            .iter()
            .copied()
            .filter(|one| *one != lacking)
            .collect();
        set(&fewer);
        server.command::<()>(&["SCRIPT", "FLUSH"]);
        let kind = refused(RedisOptions::new(&url).unwrap()).await;
        assert_eq!(kind, Some(UnavailableKind::NoRight), "{lacking}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tls_the_certificate_is_verified() {
    let (other, issuer) = (authority(), authority());
    let key = KeyPair::generate().unwrap();
    let names = ["localhost".to_owned()];
    let certificate = CertificateParams::new(names)
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    let port = free_port();
    let settings = [
        format!("tls-port {port}"),
        "tls-cert-file FOLDER/cert.pem".to_owned(),
        "tls-key-file FOLDER/key.pem".to_owned(),
        "tls-auth-clients no".to_owned(),
    ];
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let files = [
        ("cert.pem", &*certificate.pem()),
        ("key.pem", &*key.serialize_pem()),
    ];
    let Some(server) = Server::with(&settings, &files) else {
        return;
    };
    let root = server.folder.path().join("root.pem");
    let wrong_root = server.folder.path().join("other.pem");
    let no_root = server.folder.path().join("none.pem");
    fs::write(&root, issuer.pem()).unwrap();
    fs::write(&wrong_root, other.pem()).unwrap();
    fs::write(&no_root, "not a certificate").unwrap();
    let with = |scheme: &str, host: &str| {
        let url = format!("{scheme}://{host}:{port}");
        RedisOptions::new(&url)
            .unwrap()
            .timeout(Duration::from_secs(10))
    };

    let limits = RedisLimits::connect(with("rediss", "localhost").root_certificates(&root)).await;
    assert_eq!(
        take(&limits.unwrap(), daily(10), 1).await.unwrap().tokens,
        1
    );
    for (wrong, kind) in [
        (with("rediss", "localhost"), UnavailableKind::Unreachable),
        (
            with("rediss", "localhost").root_certificates(&wrong_root),
            UnavailableKind::Unreachable,
        ),
        (
            with("rediss", "127.0.0.1").root_certificates(&root),
            UnavailableKind::Unreachable,
        ),
        (
            with("rediss", "localhost").root_certificates(&no_root),
            UnavailableKind::RootCertificates,
        ),
        (
            options(&server).root_certificates(&root),
            UnavailableKind::RootCertificates,
        ),
    ] {
        assert_eq!(refused(wrong).await, Some(kind));
    }
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}
