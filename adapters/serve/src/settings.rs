//! The settings of the service.

use core::time::Duration;

use keystile::{
    CredentialSources, Error, KeyFormat, Millis, Networks, PathProfile, RateLimit, StatusPolicy,
};

/// The settings of the service.
///
/// ```
/// use keystile::{KeyFormat, Millis, Networks, RateLimit};
/// use keystile_serve::Settings;
///
/// let mut settings = Settings::new()?;
/// settings.format = KeyFormat::structured("acme")?;
/// settings.trusted_proxies = Networks::new(["10.0.0.0/8"])?;
/// settings.invalid_keys = Some(RateLimit::new(20, Millis::from_secs(60))?);
/// assert!(Networks::new(["10.0.0.1/8"]).is_err(), "an address in a network is not the network");
/// # Ok::<(), keystile::Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// The HTTP statuses of denials.
    pub status_policy: StatusPolicy,
    /// The header fields that keys are read from.
    pub sources: CredentialSources,
    /// Which paths of the services behind it are accepted.
    pub path_profile: PathProfile,
    /// The format of keys that it issues. Keys with any prefix are accepted.
    pub format: KeyFormat,
    /// Peers that are trusted about the address, method and path of a request.
    pub trusted_proxies: Networks,
    /// The limit on invalid keys per client address; `None` means no limit. Above it, valid
    /// keys pass at once if their records are cached, and otherwise wait for one of two
    /// lookups, for at most 10 s.
    pub invalid_keys: Option<RateLimit>,
    /// Limits on the resources that clients can use.
    pub limits: Limits,
}

/// Limits on the resources that clients can use.
///
/// ```
/// use core::time::Duration;
/// use keystile_serve::{Limits, Settings};
///
/// let mut settings = Settings::new()?;
/// settings.limits.connections = 10_000;
/// settings.limits.request = Duration::from_secs(5);
/// assert_eq!(settings.limits.body_bytes, Limits::default().body_bytes);
/// # Ok::<(), keystile::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Open connections; further ones wait in the system's queue.
    pub connections: usize,
    /// Header fields in a request; if there are more, the response is 431.
    pub headers: usize,
    /// Bytes of a request line and its headers; if there are more, the response is 431. The
    /// limit is checked after each read, so somewhat more can pass.
    pub header_bytes: usize,
    /// Bytes of a body; if there are more, the response is 413.
    pub body_bytes: usize,
    /// How long the headers of a request may take to arrive, and a connection may stay idle.
    pub header_read: Duration,
    /// How long a request may take, including its body.
    pub request: Duration,
    /// How long requests in progress may take to finish after a signal to stop.
    pub grace: Duration,
}

impl Settings {
    /// Statuses by RFC 9110, keys from `X-API-Key` and `Authorization: Bearer` with the prefix `ks`, only loopback trusted, and 60 invalid
    /// keys a minute per address.
    ///
    /// # Errors
    /// None of these values is invalid; the result is that of the core's constructors, which
    /// check them as they check any text.
    pub fn new() -> Result<Self, Error> {
        Ok(Self {
            status_policy: StatusPolicy::default(),
            sources: CredentialSources::new(),
            path_profile: PathProfile::Strict,
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
