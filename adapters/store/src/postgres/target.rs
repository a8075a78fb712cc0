//! The server of a URL, and how to connect to it.

use core::task::{Context, Poll};
use core::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, RecyclingMethod};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_postgres::config::SslMode;
use tokio_postgres::{AsyncMessage, Client, Config, Connection, NoTls, Socket};
#[cfg(feature = "postgres-tls")]
use tokio_postgres_rustls::MakeRustlsConnect;

use super::fault::{Fault, Reason};
use crate::error::StoreError;

const EXPECTED: Reason = Reason::Url(
    "expected postgres://USER:PASSWORD@HOST:PORT/DATABASE, with no \
     parameters but those of a connection",
);
const EXPECTED_MODE: Reason = Reason::Url(
    "expected sslmode to be given once, as disable, allow, prefer, require, verify-ca or verify-full",
);
const EXPECTED_ROOT: Reason = Reason::RootCertificates(
    "expected sslrootcert to be a path without `%`, given once, \
     together with an sslmode of require, verify-ca or verify-full",
);
#[cfg(not(feature = "postgres-tls"))]
const NO_TLS: Reason = Reason::Url(
    "sslmode requires TLS: build with the feature postgres-tls, pass a custom \
     pool that uses TLS, or set sslmode=disable if the network itself is trusted",
);
/// A server that disappears without closing the connection is detected after this and three
/// probes.
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVE_PROBES: u32 = 3;

/// A server, and how to connect to it.
#[derive(Clone)]
pub(super) struct Target {
    config: Config,
    tls: Tls,
}

#[derive(Clone)]
enum Tls {
    None,
    #[cfg(feature = "postgres-tls")]
    Verified(MakeRustlsConnect),
}

/// The asynchronous messages of a connection; the connection makes progress only while this
/// is polled.
pub(super) type Messages = Box<
    dyn FnMut(&mut Context<'_>) -> Poll<Option<Result<AsyncMessage, tokio_postgres::Error>>> + Send,
>;

impl Target {
    /// Parses a URL. The error holds no part of it.
    pub(super) fn parse(url: &str, connect_timeout: Duration) -> Result<Self, StoreError> {
        if !["postgres://", "postgresql://"]
            .iter()
            .any(|scheme| url.starts_with(scheme))
        {
            return Err(EXPECTED.into());
        }
        let (rest, mode, root) = split(url)?;
        let tls = match mode {
            None | Some("disable" | "allow" | "prefer") => match root {
                None => Tls::None,
                Some(_) => return Err(EXPECTED_ROOT.into()),
            },
            Some(_) => Tls::verified(root)?,
        };
        let mut config: Config = rest.parse().map_err(|_| EXPECTED)?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(EXPECTED.into());
        }
        // The driver decoded an sslmode that `split` did not recognize.
        if config.get_ssl_mode() != SslMode::Prefer {
            return Err(EXPECTED_MODE.into());
        }
        // Never opportunistic: if TLS is requested, there is no connection without it.
        config.ssl_mode(match tls {
            Tls::None => SslMode::Disable,
            #[cfg(feature = "postgres-tls")]
            Tls::Verified(_) => SslMode::Require,
        });
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(connect_timeout);
        }
        config.keepalives_idle(KEEPALIVE);
        config.keepalives_interval(KEEPALIVE);
        config.keepalives_retries(KEEPALIVE_PROBES);
        if config.get_application_name().is_none() {
            config.application_name("keystile");
        }
        Ok(Self { config, tls })
    }

    /// Makes a pool's connections.
    pub(super) fn manager(&self) -> Manager {
        let fast = ManagerConfig {
            recycling_method: RecyclingMethod::Fast,
        };
        let config = self.config.clone();
        match &self.tls {
            Tls::None => Manager::from_config(config, NoTls, fast),
            #[cfg(feature = "postgres-tls")]
            Tls::Verified(tls) => Manager::from_config(config, tls.clone(), fast),
        }
    }

    /// A connection outside the pool, whose messages the caller receives.
    pub(super) async fn connect(&self) -> Result<(Client, Messages), Fault> {
        match &self.tls {
            Tls::None => {
                let (client, connection) = self.config.connect(NoTls).await?;
                Ok((client, messages(connection)))
            }
            #[cfg(feature = "postgres-tls")]
            Tls::Verified(tls) => {
                let (client, connection) = self.config.connect(tls.clone()).await?;
                Ok((client, messages(connection)))
            }
        }
    }
}

impl Tls {
    #[cfg(feature = "postgres-tls")]
    fn verified(root: Option<&str>) -> Result<Self, Reason> {
        super::tls::verified(root).map(Self::Verified)
    }

    #[cfg(not(feature = "postgres-tls"))]
    const fn verified(_: Option<&str>) -> Result<Self, Reason> {
        Err(NO_TLS)
    }
}

fn messages<T>(mut connection: Connection<Socket, T>) -> Messages
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    Box::new(move |context| connection.poll_message(context))
}

/// A URL without its TLS parameters, which the driver supports only in part; `sslmode`; and
/// `sslrootcert`.
type Split<'u> = (String, Option<&'u str>, Option<&'u str>);

fn split(url: &str) -> Result<Split<'_>, Reason> {
    let Some((before, query)) = url.split_once('?') else {
        return Ok((url.to_owned(), None, None));
    };
    let (mut modes, mut roots, mut others) = (Vec::new(), Vec::new(), Vec::new());
    for pair in query.split('&') {
        match pair.split_once('=') {
            Some(("sslmode", mode)) => modes.push(mode),
            Some(("sslrootcert", root)) => roots.push(root),
            _ => others.push(pair),
        }
    }
    let known = [
        "disable",
        "allow",
        "prefer",
        "require",
        "verify-ca",
        "verify-full",
    ];
    let mode = match modes[..] {
        [] => None,
        [mode] if known.contains(&mode) => Some(mode),
        _ => return Err(EXPECTED_MODE),
    };
    let root = match roots[..] {
        [] => None,
        [root] if !root.contains('%') => Some(root),
        _ => return Err(EXPECTED_ROOT),
    };
    let others = others.join("&");
    Ok((format!("{before}?{others}"), mode, root))
}
