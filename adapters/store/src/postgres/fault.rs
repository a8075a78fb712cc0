//! The errors of a server, without the values that they may contain.

use core::time::Duration;

use deadpool_postgres::PoolError;
use tokio_postgres::error::SqlState;

use crate::error::{StoreError, UnavailableKind};

/// Why a statement failed: an error of the store, or of the driver.
#[derive(Debug)]
pub(super) enum Fault {
    Store(StoreError),
    Driver(tokio_postgres::Error),
}

impl Fault {
    fn state(&self) -> Option<&SqlState> {
        match self {
            Self::Store(_) => None,
            Self::Driver(error) => error.code(),
        }
    }

    /// Whether the server undid it only because of a concurrent transaction.
    pub(super) fn is_passing(&self) -> bool {
        let passing = [
            &SqlState::T_R_DEADLOCK_DETECTED,
            &SqlState::T_R_SERIALIZATION_FAILURE,
        ];
        self.state().is_some_and(|state| passing.contains(&state))
    }

    /// Whether a lock was not free in time.
    pub(super) fn is_lock(&self) -> bool {
        self.is_passing() || self.state() == Some(&SqlState::LOCK_NOT_AVAILABLE)
    }

    /// Whether another row has the id or the digest.
    pub(super) fn is_duplicate(&self) -> bool {
        self.state() == Some(&SqlState::UNIQUE_VIOLATION)
    }

    /// Whether a guard of `0002_guards.sql` refused it.
    pub(super) fn is_guarded(&self) -> bool {
        let code = self.state().map(SqlState::code);
        matches!(code, Some("KS001" | "KS002"))
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Driver(error)
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Store(error) => error,
            Fault::Driver(error) => Reason::from(error).into(),
        }
    }
}

/// Why a server could not be used. The detail of a server's error can contain values of a
/// row, and so a digest: this keeps only the code and the message.
#[derive(Debug, thiserror::Error)]
pub(super) enum Reason {
    #[error("the PostgreSQL server answered {code}: {message}")]
    Answered { code: String, message: String },
    #[error("the PostgreSQL server cannot be reached: {0}")]
    Unreachable(String),
    #[error("the PostgreSQL server did not answer within {0:?}")]
    Late(Duration),
    #[error("no connection to the PostgreSQL server was free within {0:?}")]
    Busy(Duration),
    #[error("the pool of connections to the PostgreSQL server is closed")]
    Closed,
    #[error("other programs keep rows or tables locked for too long: try again, to continue")]
    Locked,
    #[error("the tables are of version {found}, and this program knows them up to {known}")]
    TooNew { found: i32, known: usize },
    #[error("{0}")]
    Url(&'static str),
    #[error("{0}")]
    RootCertificates(&'static str),
}

impl From<Reason> for StoreError {
    fn from(reason: Reason) -> Self {
        Self::unavailable_because(reason.kind(), reason)
    }
}

impl From<tokio_postgres::Error> for Reason {
    fn from(error: tokio_postgres::Error) -> Self {
        if let Some(answer) = error.as_db_error() {
            return Self::Answered {
                code: answer.code().code().to_owned(),
                message: answer.message().to_owned(),
            };
        }
        // These texts come from the operating system and the driver, and contain no values.
        let source = core::error::Error::source(&error);
        let io = source.and_then(|source| source.downcast_ref::<std::io::Error>());
        Self::Unreachable(match io {
            Some(io) => io.kind().to_string(),
            None => error.to_string(),
        })
    }
}

impl Reason {
    fn kind(&self) -> UnavailableKind {
        match self {
            Self::Answered { code, .. } => kind_of_state(code),
            Self::Unreachable(_) | Self::Closed => UnavailableKind::Unreachable,
            Self::Late(_) | Self::Busy(_) => UnavailableKind::Late,
            Self::Locked => UnavailableKind::Locked,
            Self::TooNew { .. } => UnavailableKind::TooNew,
            Self::Url(_) => UnavailableKind::Url,
            Self::RootCertificates(_) => UnavailableKind::RootCertificates,
        }
    }

    pub(super) fn of_pool(error: PoolError, waited: Duration) -> Self {
        match error {
            PoolError::Backend(error) => error.into(),
            PoolError::Closed => Self::Closed,
            PoolError::Timeout(_) => Self::Busy(waited),
            _ => Self::Unreachable("the pool made no connection".to_owned()),
        }
    }
}

/// What an SQLSTATE means here. Class 28 is all about who the user is.
fn kind_of_state(code: &str) -> UnavailableKind {
    match code {
        "3D000" => UnavailableKind::NoDatabase,
        "42501" => UnavailableKind::NoRight,
        "42P01" => UnavailableKind::NoTables,
        "57014" => UnavailableKind::Late,
        _ if code.starts_with("28") => UnavailableKind::Credentials,
        _ => UnavailableKind::Other,
    }
}
