//! TLS is used if the URL requires it, only with the host that it names, and never dropped.

use core::time::Duration;

use keystile_store::{PostgresStore, Store, StoreError};
use tokio::time::timeout;

use crate::keys::{kept, request};
use crate::server::Server;

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

async fn refused(url: &str) -> String {
    let answered = match PostgresStore::open(url) {
        Ok(store) => store.last_event().await,
        // This system may not trust any authority.
        Err(error) => Err(error),
    };
    match answered {
        Err(StoreError::Unavailable { source: reason, .. }) => reason.to_string(),
        other => panic!("{url}: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_is_used_if_the_url_requires_it() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root.pem");
    std::fs::write(&root, &certificate).unwrap();
    let root = root.to_str().unwrap();

    let port = free_port();
    let settings = [
        &format!("port={port}"),
        "listen_addresses=127.0.0.1",
        "ssl=on",
    ];
    let files = [("server.crt", &*certificate), ("server.key", &*key)];
    let Some(server) = Server::with(&settings, &files) else {
        return;
    };
    let url = |host: &str, query: &str| {
        let url = server.port_url(host, port, "postgres");
        format!("{url}?{query}")
    };
    for mode in ["require", "verify-ca", "verify-full"] {
        let query = format!("sslmode={mode}&sslrootcert={root}");
        let store = PostgresStore::open(&url("localhost", &query)).unwrap();
        store.migrate().await.expect(mode);
        let there = PostgresStore::open_existing(&url("localhost", &query)).await;
        let there = there.unwrap();
        // The listener's connection is not one of the pool's.
        let sleeper = there.subscribe();
        let quiet = Duration::from_millis(700);
        while timeout(quiet, sleeper.notified()).await.is_ok() {}
        kept(&store, &request()).await;
        let woken = timeout(Duration::from_secs(30), sleeper.notified()).await;
        woken.expect("a wake over TLS");
        // An authority that did not sign the certificate, and a host that it does not name.
        let unknown = format!("sslmode={mode}");
        let (text, query) = (refused(&url("localhost", &unknown)).await, &query);
        let none = "trusts no certificate authority";
        assert!(text.contains("reached") || text.contains(none), "{text}");
        let text = refused(&url("127.0.0.1", query)).await;
        assert!(text.contains("reached"), "{text}");
    }
    // This server refuses connections without TLS, so those above used TLS.
    for query in ["sslmode=disable", "sslmode=prefer", ""] {
        let text = refused(&url("localhost", query)).await;
        assert!(text.contains("28000"), "{query}: {text}");
    }
}

/// If TLS is required and the server lacks it, the connection fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_tls_is_refused() {
    let port = free_port();
    let settings = [&format!("port={port}"), "listen_addresses=127.0.0.1"];
    let rules = "host all all 127.0.0.1/32 trust\nlocal all all trust\n";
    let Some(server) = Server::with(&settings, &[("pg_hba.conf", rules)]) else {
        return;
    };
    let url = server.port_url("localhost", port, "postgres");
    PostgresStore::open(&url).unwrap().migrate().await.unwrap();
    for mode in ["require", "verify-ca", "verify-full"] {
        let text = refused(&format!("{url}?sslmode={mode}")).await;
        let none = "trusts no certificate authority";
        assert!(text.contains("reached") || text.contains(none), "{text}");
    }
}
