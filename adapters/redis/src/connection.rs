//! A connection to one server, or to those of a cluster.

use redis::aio::MultiplexedConnection;
use redis::{Cmd, RedisResult, Value};

/// A handle on a connection: many calls share it, and each gets the answer to its own command.
#[derive(Clone)]
pub(crate) enum Connection {
    Single(MultiplexedConnection),
    /// The client of a cluster follows keys to other servers and connects again by itself.
    #[cfg(feature = "cluster")]
    Cluster {
        /// Repeats a command of which it does not know whether it was carried out.
        repeating: redis::cluster_async::ClusterConnection,
        /// Repeats none.
        once: redis::cluster_async::ClusterConnection,
    },
}

/// Whether a command may be carried out twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// If no answer came, again.
    Allowed,
    Never,
}

impl Connection {
    #[cfg_attr(
        not(feature = "cluster"),
        allow(unused_variables, reason = "one server repeats nothing by itself")
    )]
    pub(crate) async fn send(&mut self, command: &Cmd, repeat: Repeat) -> RedisResult<Value> {
        match self {
            Self::Single(connection) => command.query_async(connection).await,
            #[cfg(feature = "cluster")]
            Self::Cluster { repeating, once } => match repeat {
                Repeat::Allowed => command.query_async(repeating).await,
                Repeat::Never => command.query_async(once).await,
            },
        }
    }

    /// Whether another one has to be made if this one fails.
    pub(crate) const fn must_be_replaced(&self) -> bool {
        matches!(self, Self::Single(_))
    }
}
