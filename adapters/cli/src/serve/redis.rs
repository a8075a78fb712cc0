//! The Redis server that counts rate limits.

use core::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use keystile_redis::{RedisLimits, RedisOptions};
use keystile_store::{Limits, StoreError, UnavailableKind};

use crate::failure::Failure;
use crate::io::Io;

const EXPECTED: &str = "must be redis://USER:PASSWORD@HOST:PORT/DATABASE, or rediss:// for TLS";
const EXPECTED_FILE: &str = "--redis-file: its one line must be \
     redis://USER:PASSWORD@HOST:PORT/DATABASE, or rediss:// for TLS";
/// The longest text of a file with a URL.
const FILE_BYTES_MAX: u64 = 4_096;

/// A URL that may contain a password, and is never printed.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct RedisUrl(Box<str>);

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedisUrl")
    }
}

impl RedisUrl {
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        match RedisOptions::new(text) {
            Ok(_) => Ok(Self(text.into())),
            Err(_) => Err(EXPECTED),
        }
    }

    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let mut text = String::new();
        File::open(path)
            .and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text))
            .map_err(|_| Failure::expected("--redis-file: cannot read the file"))?;
        Self::parse(text.trim_end()).map_err(|_| Failure::expected(EXPECTED_FILE))
    }

    /// Connects. A server that does not answer now may do so later, and until then limits cannot
    /// be counted; what will be no better later is a failure.
    pub(super) async fn connect(&self, io: &mut Io<'_>) -> Result<Arc<dyn Limits>, Failure> {
        let options = RedisOptions::new(&self.0).map_err(|error| failure(&error))?;
        let limits = match RedisLimits::connect(options.clone()).await {
            Ok(limits) => limits,
            Err(error) if is_away(&error) => {
                io.note("keystile: the Redis server does not answer; it is tried again");
                RedisLimits::open(options).map_err(|error| failure(&error))?
            }
            Err(error) => return Err(failure(&error)),
        };
        if let Some(policy) = limits.eviction_policy().await {
            io.note(&format!(
                "keystile: the Redis server may forget what was spent: its maxmemory-policy is {policy}, and should be noeviction"
            ));
        }
        Ok(Arc::new(limits))
    }
}

fn is_away(error: &StoreError) -> bool {
    let kind = error.unavailable_kind();
    matches!(
        kind,
        Some(UnavailableKind::Unreachable | UnavailableKind::Late)
    )
}

fn failure(error: &StoreError) -> Failure {
    Failure::expected(match error.unavailable_kind() {
        Some(UnavailableKind::Url) => EXPECTED,
        Some(UnavailableKind::RootCertificates) => {
            "TLS to the Redis server needs the certificate authorities that this system trusts"
        }
        Some(UnavailableKind::Credentials) => "the Redis server rejected the user or the password",
        Some(UnavailableKind::NoDatabase) => "the Redis server has no such database",
        Some(UnavailableKind::NoRight) => {
            "the Redis server's user needs +evalsha +eval +get +set +time, and ~keystile:*"
        }
        Some(UnavailableKind::ReadOnly) => {
            "the Redis server accepts no writes: name the server that does"
        }
        _ => "the Redis server cannot be used: it must be Redis or Valkey, version 7 or later",
    })
}
