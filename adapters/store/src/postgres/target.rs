//! Which server a URL names, and how it is reached.

use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use deadpool_postgres::tokio_postgres::{Client, Config, NoTls};
use tokio_postgres::AsyncMessage;
use tokio_postgres::config::SslMode;

use super::fault::{Fault, Reason};
use crate::error::StoreError;

const EXPECTED: &str = "expected postgres://USER:PASSWORD@HOST:PORT/DATABASE, with no \
     parameters but those of a connection";
const EXPECTED_MODE: &str = "expected sslmode to be given once, as disable, allow, prefer, require, verify-ca or verify-full";
const NO_TLS: &str = "sslmode asks for TLS: give a pool of your own that speaks it, \
     or say sslmode=disable where the network itself is trusted";
/// A server that is gone without a word is noticed after this and three probes.
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVE_PROBES: u32 = 3;

/// A server, and how it is reached.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) config: Config,
}

/// What a connection hears that was not asked for; it must be polled for anything to come.
pub(super) type Messages = Box<
    dyn FnMut(&mut Context<'_>) -> Poll<Option<Result<AsyncMessage, tokio_postgres::Error>>> + Send,
>;

impl Target {
    /// Reads a URL. No part of it is in the error.
    pub(super) fn parse(url: &str, connect_timeout: Duration) -> Result<Self, StoreError> {
        let refused = |expected| StoreError::unavailable(Reason::Url(expected));
        if !["postgres://", "postgresql://"]
            .iter()
            .any(|scheme| url.starts_with(scheme))
        {
            return Err(refused(EXPECTED));
        }
        let (rest, mode) = split_mode(url).map_err(refused)?;
        if !matches!(mode, None | Some("disable" | "allow" | "prefer")) {
            return Err(refused(NO_TLS));
        }
        let mut config: Config = rest.parse().map_err(|_| refused(EXPECTED))?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(refused(EXPECTED));
        }
        // One that was spelled so that it was not found above.
        if config.get_ssl_mode() != SslMode::Prefer {
            return Err(refused(EXPECTED_MODE));
        }
        config.ssl_mode(SslMode::Disable);
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(connect_timeout);
        }
        config.keepalives_idle(KEEPALIVE);
        config.keepalives_interval(KEEPALIVE);
        config.keepalives_retries(KEEPALIVE_PROBES);
        if config.get_application_name().is_none() {
            config.application_name("keystile");
        }
        Ok(Self { config })
    }

    /// A connection outside the pool, whose messages the caller hears.
    pub(super) async fn connect(&self) -> Result<(Client, Messages), Fault> {
        let (client, mut connection) = self.config.connect(NoTls).await?;
        let messages = Box::new(move |context: &mut Context<'_>| {
            Pin::new(&mut connection).get_mut().poll_message(context)
        });
        Ok((client, messages))
    }
}

/// The URL without its `sslmode`, of which the driver knows only a half, and that.
fn split_mode(url: &str) -> Result<(String, Option<&str>), &'static str> {
    let Some((before, query)) = url.split_once('?') else {
        return Ok((url.to_owned(), None));
    };
    let mut modes = Vec::new();
    let mut others = Vec::new();
    for pair in query.split('&') {
        match pair.split_once('=') {
            Some(("sslmode", mode)) => modes.push(mode),
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
    let others = others.join("&");
    Ok((format!("{before}?{others}"), mode))
}
