//! Why a server could not be used.

use std::io;

use keystile_store::{StoreError, UnavailableKind};
use redis::{ErrorKind, RedisError, ServerErrorKind};

const NO_RIGHT: &str = "The user executing the script can't";

/// Why a server could not be used, without the text of a URL or of an answer: a server that
/// does not know `AUTH` repeats the password in its answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("{0}")]
    Url(&'static str),
    #[error("{0}")]
    RootCertificates(&'static str),
    #[error("the Redis server cannot be reached: {0}")]
    Unreachable(String),
    #[error("the Redis server did not answer in time")]
    Late,
    #[error("the Redis server refuses the user or the password, or requires one")]
    Credentials,
    #[error("the Redis server's user may not use a command or a key that is needed")]
    NoRight,
    #[error("the Redis server is a replica, or has too few of them, and refuses to write")]
    ReadOnly,
    #[error("the Redis server has reached its maxmemory and removes nothing")]
    Full,
    #[error("the Redis server does not have the script")]
    NoScript,
    #[error("{0}")]
    Damaged(&'static str),
    #[error("the Redis server refuses the call: {0}")]
    Refused(String),
    #[error("the Redis server's answer is not what was expected")]
    Answer,
}

impl Fault {
    /// What a call or an attempt to connect has come to.
    pub(crate) fn of(error: &RedisError) -> Self {
        if error.is_timeout() {
            return Self::Late;
        }
        match error.kind() {
            ErrorKind::AuthenticationFailed => Self::Credentials,
            ErrorKind::Server(ServerErrorKind::NoPerm) => Self::NoRight,
            ErrorKind::Server(ServerErrorKind::NoScript) => Self::NoScript,
            ErrorKind::Server(ServerErrorKind::ReadOnly) => Self::ReadOnly,
            ErrorKind::Io => Self::Unreachable(error.to_string()),
            ErrorKind::UnexpectedReturnType | ErrorKind::Parse => Self::Answer,
            _ => match error.code() {
                Some("NOAUTH" | "WRONGPASS") => Self::Credentials,
                Some("NOREPLICAS") => Self::ReadOnly,
                Some("OOM") => Self::Full,
                // What Redis 7.0 answers instead of NOPERM if the command is in a script.
                Some("ERR") if error.detail().is_some_and(|text| text.contains(NO_RIGHT)) => {
                    Self::NoRight
                }
                Some("KEYSTILE" | "WRONGTYPE") => {
                    Self::Damaged("the stored state of a rate limit is damaged")
                }
                Some(code) => Self::Refused(code.to_owned()),
                // Such as: there is no master, or the slot has no node.
                None => Self::Unreachable(error.category().to_owned()),
            },
        }
    }

    fn kind(&self) -> UnavailableKind {
        match self {
            Self::Url(_) => UnavailableKind::Url,
            Self::RootCertificates(_) => UnavailableKind::RootCertificates,
            Self::Unreachable(_) => UnavailableKind::Unreachable,
            Self::Late => UnavailableKind::Late,
            Self::Credentials => UnavailableKind::Credentials,
            Self::NoRight => UnavailableKind::NoRight,
            Self::ReadOnly => UnavailableKind::ReadOnly,
            Self::Full => UnavailableKind::Full,
            Self::Damaged(_) => UnavailableKind::DamagedState,
            Self::NoScript | Self::Refused(_) | Self::Answer => UnavailableKind::Other,
        }
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        Self::unavailable_because(fault.kind(), fault)
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Unreachable(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_is_not_shown() {
        for (code, kind) in [
            ("ERR", UnavailableKind::Other),
            ("WRONGPASS", UnavailableKind::Credentials),
            ("OOM", UnavailableKind::Full),
        ] {
            let said = "unknown command 'AUTH', with args beginning with: 'secret'";
            let error = redis::make_extension_error(code.to_owned(), Some(said.to_owned()));
            let fault = Fault::of(&error);
            assert_eq!(fault.kind(), kind);
            assert!(!format!("{fault} {fault:?}").contains("secret"), "{fault}");
        }
    }
}
