//! What can be set of the service.

use core::time::Duration;

use keystile::{Error, KeyFormat, Millis, Networks, RateLimit, StatusPolicy};

/// What can be set of the service.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// Which status a denial is answered with.
    pub status_policy: StatusPolicy,
    /// How the keys that it issues are spelled. Keys of every prefix are read.
    pub format: KeyFormat,
    /// Peers whose word is taken for a request's address, method and path.
    pub trusted_proxies: Networks,
    /// How many invalid keys are taken from one address; as many as come where there is no
    /// such bound. A valid key passes from any address all the same.
    pub invalid_keys: Option<RateLimit>,
    /// Bounds on what clients may take up.
    pub limits: Limits,
}

/// Bounds on what clients may take up.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Connections at once; who comes on top waits in the system's queue.
    pub connections: usize,
    /// Header fields in a request; with more it is answered with 431.
    pub headers: usize,
    /// Bytes of a request line and its headers; with more it is answered with 431.
    pub header_bytes: usize,
    /// Bytes of a body; with more it is answered with 413.
    pub body_bytes: usize,
    /// How long a request's headers may take to come in, and a connection may stay idle.
    pub header_read: Duration,
    /// How long a request may take, its body included.
    pub request: Duration,
    /// How long what is under way may go on after a stop was asked for.
    pub grace: Duration,
}

impl Settings {
    /// Statuses by RFC 9110; keys with the prefix `ks`; this machine alone trusted; 60
    /// invalid keys a minute from one address.
    ///
    /// # Errors
    /// None that these values give.
    pub fn new() -> Result<Self, Error> {
        Ok(Self {
            status_policy: StatusPolicy::default(),
            format: KeyFormat::structured("ks")?,
            trusted_proxies: Networks::new(["127.0.0.0/8", "::1"])?,
            invalid_keys: Some(RateLimit::new(60, Millis::from_secs(60))?),
            limits: Limits::default(),
        })
    }
}

impl Default for Limits {
    /// 1,024 connections; 100 headers in 32 KiB; bodies of 64 KiB; 10 s for headers, 15 s
    /// for a request, 10 s of grace.
    fn default() -> Self {
        Self {
            connections: 1_024,
            headers: 100,
            header_bytes: 32 * 1_024,
            body_bytes: 64 * 1_024,
            header_read: Duration::from_secs(10),
            request: Duration::from_secs(15),
            grace: Duration::from_secs(10),
        }
    }
}
