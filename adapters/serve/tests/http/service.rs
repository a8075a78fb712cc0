//! The service on a socket, over a store in memory with a key of every kind.

use core::net::SocketAddr;
use std::collections::HashMap;
use std::sync::Arc;

use keystile::{IssueRequest, KeyFormat, LifetimePolicy, PepperRing, StatusPolicy};
use keystile_serve::{Service, Settings, first_admin_key};
use keystile_store::{Authenticator, MemoryStore, Store, StoreError};
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::driver::{self, Answer};
use crate::keys;

/// A running service.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) document: String,
    /// Holds the permission `*`.
    pub(crate) admin: String,
    pub(crate) keys: HashMap<&'static str, String>,
    stop: oneshot::Sender<()>,
    served: JoinHandle<Result<(), StoreError>>,
}

impl Running {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with_policy(policy: StatusPolicy) -> Self {
        Self::with(|settings| settings.responses.status = policy).await
    }

    pub(crate) async fn with(set: impl FnOnce(&mut Settings)) -> Self {
        Self::built(set, LifetimePolicy::default()).await
    }

    pub(crate) async fn with_lifetimes(lifetimes: LifetimePolicy) -> Self {
        Self::built(|_| {}, lifetimes).await
    }

    async fn built(set: impl FnOnce(&mut Settings), lifetimes: LifetimePolicy) -> Self {
        let store = Arc::new(MemoryStore::new());
        Self::over(Arc::clone(&store), store, set, lifetimes).await
    }

    /// The service over another store, which keeps its keys in this one.
    pub(crate) async fn over<S: Store + 'static>(
        store: Arc<MemoryStore>,
        served: Arc<S>,
        set: impl FnOnce(&mut Settings),
        lifetimes: LifetimePolicy,
    ) -> Self {
        let format = KeyFormat::structured("ks").unwrap();
        let none = PepperRing::none();
        let admin = first_admin_key(&*store, &format, &none, keys::now()).await;
        let admin = admin.unwrap().unwrap().key.expose().to_owned();
        let keys = keys::of_every_kind(&*store).await;
        let mut settings = Settings::new().unwrap();
        set(&mut settings);
        let authenticator = Authenticator::builder(served, keys::verifier().with_format(format))
            .lifetimes(lifetimes)
            .build()
            .unwrap();
        let service = Service::new(authenticator, settings);
        let document = service.document().unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, asked) = oneshot::channel();
        let served = tokio::spawn(service.serve(listener, async move {
            let _ = asked.await;
        }));
        Self {
            address,
            store,
            document,
            admin,
            keys,
            stop,
            served,
        }
    }

    /// Stops it, and waits until it has.
    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        self.served.await.unwrap().unwrap();
    }

    /// Issues a key past the service.
    pub(crate) async fn issue(&self, request: IssueRequest) -> (String, String) {
        let issued = keys::issued(&*self.store, &request, keys::now()).await;
        (issued.key.expose().to_owned(), issued.record.id.to_string())
    }

    /// The answer to some bytes.
    pub(crate) async fn raw(&self, bytes: Vec<u8>) -> Answer {
        let address = self.address;
        let asked = tokio::task::spawn_blocking(move || driver::answer(address, &bytes));
        asked.await.unwrap().expect("an answer")
    }

    /// The answer to a request with these header lines, and this JSON as a body.
    pub(crate) async fn ask(
        &self,
        request: &str,
        headers: &[String],
        body: Option<&Value>,
    ) -> Answer {
        let mut lines: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
        let body = body.map(ToString::to_string).unwrap_or_default();
        if !body.is_empty() {
            lines.push_str("Content-Type: application/json\r\n");
        }
        let length = body.len();
        let text = format!(
            "{request} HTTP/1.1\r\nHost: a.example\r\n{lines}Content-Length: {length}\r\n\r\n{body}"
        );
        self.raw(text.into_bytes()).await
    }

    /// The status and the JSON that a caller of the admin API gets.
    pub(crate) async fn call(
        &self,
        key: &str,
        request: &str,
        body: Option<&Value>,
    ) -> (u16, Value) {
        let answer = self
            .ask(request, &[format!("X-API-Key: {key}")], body)
            .await;
        if answer.body.is_empty() {
            return (answer.status, Value::Null);
        }
        let json = serde_json::from_str(&answer.body);
        (answer.status, json.expect("JSON"))
    }
}
