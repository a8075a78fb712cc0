//! The way of one process to the server, which a test can cut.

use core::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixStream};
use tokio::sync::watch;

/// What becomes of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    Open,
    /// They are kept, and arrive when the way is open again.
    Stalled,
    /// Connections end, and new ones too.
    Closed,
}

pub(super) struct Proxy {
    port: u16,
    database: String,
    link: watch::Sender<Link>,
}

impl Proxy {
    /// A proxy to the database of this URL, which is one of a socket in a folder.
    pub(super) async fn start(url: &str) -> Self {
        let (_, rest) = url.split_once('@').unwrap();
        let (folder, database) = rest.split_once('/').unwrap();
        let socket = format!("{}/.s.PGSQL.5432", folder.replace("%2F", "/"));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let link = watch::Sender::new(Link::Open);
        let states = link.subscribe();
        tokio::spawn(async move {
            // It ends with the test's runtime.
            while let Ok((client, _)) = listener.accept().await {
                let (socket, states) = (socket.clone(), states.clone());
                tokio::spawn(async move {
                    if *states.borrow() == Link::Closed {
                        return;
                    }
                    let Ok(server) = UnixStream::connect(socket).await else {
                        return;
                    };
                    let (from_client, to_client) = client.into_split();
                    let (from_server, to_server) = server.into_split();
                    tokio::select! {
                        () = pump(from_client, to_server, states.clone()) => {}
                        () = pump(from_server, to_client, states) => {}
                    }
                });
            }
        });
        Self {
            port,
            database: database.to_owned(),
            link,
        }
    }

    pub(super) fn url(&self) -> String {
        format!(
            "postgres://keystile@127.0.0.1:{}/{}",
            self.port, self.database
        )
    }

    pub(super) fn set(&self, link: Link) {
        self.link.send_replace(link);
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut states: watch::Receiver<Link>,
) {
    let mut closing = states.clone();
    let carry = async {
        let mut bytes = vec![0; 16_384];
        loop {
            let Ok(read @ 1..) = from.read(&mut bytes).await else {
                return;
            };
            if states.wait_for(|link| *link == Link::Open).await.is_err()
                || to.write_all(&bytes[..read]).await.is_err()
            {
                return;
            }
        }
    };
    tokio::select! {
        () = carry => {}
        _ = closing.wait_for(|link| *link == Link::Closed) => {}
    }
    // A server may notice only a moment later that its client has gone.
    tokio::time::sleep(Duration::from_millis(1)).await;
}
