//! Which servers are used, and how.

use core::fmt;
use core::time::Duration;
use std::path::PathBuf;

use keystile_store::StoreError;

use crate::target::Target;

const TIMEOUT: Duration = Duration::from_millis(250);
const TIMEOUT_MIN: Duration = Duration::from_millis(1);
const TIMEOUT_MAX: Duration = Duration::from_secs(60);
const PREFIX: &str = "keystile";
const PREFIX_BYTES_MAX: usize = 64;
const CALLS: usize = 1_024;
const CALLS_MAX: usize = 65_536;

/// Which servers are used, and how.
///
/// A URL is `redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE]`; `rediss://` is over TLS, with the
/// certificates that the system trusts or those of [`root_certificates`](Self::root_certificates).
/// The password is in no output.
///
/// ```
/// use core::time::Duration;
/// use keystile_redis::RedisOptions;
/// use keystile_store::UnavailableKind;
///
/// let options = RedisOptions::new("redis://keystile:secret@redis.internal:6379/0")?
///     .timeout(Duration::from_millis(100))
///     .prefix("acme")?;
/// assert!(!format!("{options:?}").contains("secret"));
///
/// let refused = RedisOptions::new("https://redis.internal").unwrap_err();
/// assert_eq!(refused.unavailable_kind(), Some(UnavailableKind::Url));
/// # Ok::<(), keystile_store::StoreError>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct RedisOptions {
    pub(crate) target: Target,
    pub(crate) timeout: Duration,
    pub(crate) prefix: String,
    pub(crate) roots: Option<PathBuf>,
    pub(crate) calls: usize,
}

impl RedisOptions {
    /// One server, or a service's one address of the server that takes writes.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] of the kind `Url`, without the URL.
    pub fn new(url: &str) -> Result<Self, StoreError> {
        Ok(Self::with(Target::single(url)?))
    }

    /// A cluster, of which some servers are named. All URLs need the same user and password.
    ///
    /// # Errors
    /// As [`new`](Self::new), also if there is no URL.
    #[cfg(feature = "cluster")]
    pub fn cluster<'u>(urls: impl IntoIterator<Item = &'u str>) -> Result<Self, StoreError> {
        Ok(Self::with(Target::cluster(urls)?))
    }

    /// The server that these sentinels name as the master of this name. The user, the password,
    /// the database and TLS of the first URL are those of the server; the sentinels are asked
    /// without a password, over TLS if their URL is `rediss://`.
    ///
    /// # Errors
    /// As [`new`](Self::new), also if there is no URL.
    #[cfg(feature = "sentinel")]
    pub fn sentinel<'u>(
        urls: impl IntoIterator<Item = &'u str>,
        master: &str,
    ) -> Result<Self, StoreError> {
        Ok(Self::with(Target::sentinel(urls, master)?))
    }

    fn with(target: Target) -> Self {
        Self {
            target,
            timeout: TIMEOUT,
            prefix: PREFIX.to_owned(),
            roots: None,
            calls: CALLS,
        }
    }

    /// How long a call waits for its turn and its answer together: 250 ms by default, 1 ms to a
    /// minute.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout.clamp(TIMEOUT_MIN, TIMEOUT_MAX);
        self
    }

    /// How all names on the server begin: `keystile` by default. Services that do not share their
    /// keys need different ones on one server.
    ///
    /// # Errors
    /// [`StoreError::Setting`] if it is not 1 to 64 letters, digits, `-`, `_`, `.` and `:`.
    pub fn prefix(mut self, prefix: &str) -> Result<Self, StoreError> {
        // No braces: what is between the first ones decides which server of a cluster has a key.
        let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
        if !(1..=PREFIX_BYTES_MAX).contains(&prefix.len()) || !prefix.bytes().all(is_known) {
            return Err(StoreError::Setting(
                "the prefix of names on a Redis server must be 1 to 64 letters, digits, -, _, . or :",
            ));
        }
        prefix.clone_into(&mut self.prefix);
        Ok(self)
    }

    /// A PEM file of the certificates that may have signed the server's, instead of those that
    /// the system trusts.
    pub fn root_certificates(mut self, path: impl Into<PathBuf>) -> Self {
        self.roots = Some(path.into());
        self
    }

    /// How many calls are under way at most: 1,024 by default, at least 1. Others wait for their
    /// turn, within the [`timeout`](Self::timeout).
    pub fn calls_at_once(mut self, calls: usize) -> Self {
        self.calls = calls.clamp(1, CALLS_MAX);
        self
    }
}

impl fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisOptions")
            .field("timeout", &self.timeout)
            .field("prefix", &self.prefix)
            .field("calls_at_once", &self.calls)
            .finish_non_exhaustive()
    }
}
