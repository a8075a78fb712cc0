//! What goes wrong with a server, and what of it may be told.

use core::time::Duration;

use deadpool_postgres::PoolError;
use tokio_postgres::error::SqlState;

use crate::error::StoreError;

/// Why a statement was not carried out: the store's own reason, or the driver's.
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

    /// Whether the server undid it only because others were in the way.
    pub(super) fn is_passing(&self) -> bool {
        let passing = [
            &SqlState::T_R_DEADLOCK_DETECTED,
            &SqlState::T_R_SERIALIZATION_FAILURE,
        ];
        self.state().is_some_and(|state| passing.contains(&state))
    }

    /// The id or the digest is another row's.
    pub(super) fn is_duplicate(&self) -> bool {
        self.state() == Some(&SqlState::UNIQUE_VIOLATION)
    }

    /// A guard of `0002_guards.sql` refused it.
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
            Fault::Driver(error) => Self::unavailable(Reason::from(error)),
        }
    }
}

/// Why a server could not be used. Details of a server's errors show values of the row that
/// they are about, and so a digest: of them this keeps the code and the message alone.
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
    #[error("the tables are not there, or not up to date: migrate first")]
    NoTables,
    #[error("the tables are of version {found}, and this program knows them up to {known}")]
    TooNew { found: i32, known: usize },
    #[error("{0}")]
    Url(&'static str),
}

impl From<tokio_postgres::Error> for Reason {
    fn from(error: tokio_postgres::Error) -> Self {
        if let Some(answer) = error.as_db_error() {
            return Self::Answered {
                code: answer.code().code().to_owned(),
                message: answer.message().to_owned(),
            };
        }
        // These texts are of the operating system and of the driver, without values.
        let source = core::error::Error::source(&error);
        let io = source.and_then(|source| source.downcast_ref::<std::io::Error>());
        Self::Unreachable(match io {
            Some(io) => io.kind().to_string(),
            None => error.to_string(),
        })
    }
}

impl Reason {
    pub(super) fn of_pool(error: PoolError, waited: Duration) -> Self {
        match error {
            PoolError::Backend(error) => error.into(),
            PoolError::Closed => Self::Closed,
            PoolError::Timeout(_) => Self::Busy(waited),
            _ => Self::Unreachable("the pool made no connection".to_owned()),
        }
    }
}
