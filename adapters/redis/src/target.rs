//! The servers that a URL names, and how a connection to them is made.

use core::time::Duration;
use std::fs;
use std::path::Path;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo};

use crate::connection::Connection;
use crate::fault::Fault;
use crate::options::RedisOptions;

const EXPECTED: Fault =
    Fault::Url("expected redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE] or rediss://…");
#[cfg(any(feature = "cluster", feature = "sentinel"))]
const NO_URLS: Fault = Fault::Url("expected the URL of one server at least");
#[cfg(not(feature = "tls"))]
const NO_TLS: Fault = Fault::Url("rediss:// needs the feature `tls` of keystile-redis");
const NO_ROOTS: Fault =
    Fault::RootCertificates("expected the root certificates to be a PEM file of certificates");
const NOT_TLS: Fault =
    Fault::RootCertificates("root certificates are for a server over TLS: expected rediss://");

/// The servers.
#[derive(Clone)]
pub(crate) enum Target {
    Single(ConnectionInfo),
    #[cfg(feature = "cluster")]
    Cluster(Vec<ConnectionInfo>),
    #[cfg(feature = "sentinel")]
    Sentinel(Vec<ConnectionInfo>, String),
}

impl Target {
    pub(crate) fn single(url: &str) -> Result<Self, Fault> {
        parse(url).map(Self::Single)
    }

    #[cfg(feature = "cluster")]
    pub(crate) fn cluster<'u>(urls: impl IntoIterator<Item = &'u str>) -> Result<Self, Fault> {
        parse_all(urls).map(Self::Cluster)
    }

    #[cfg(feature = "sentinel")]
    pub(crate) fn sentinel<'u>(
        urls: impl IntoIterator<Item = &'u str>,
        master: &str,
    ) -> Result<Self, Fault> {
        Ok(Self::Sentinel(parse_all(urls)?, master.to_owned()))
    }

    fn infos(&self) -> &[ConnectionInfo] {
        match self {
            Self::Single(info) => core::slice::from_ref(info),
            #[cfg(feature = "cluster")]
            Self::Cluster(infos) => infos,
            #[cfg(feature = "sentinel")]
            Self::Sentinel(infos, _) => infos,
        }
    }

    fn is_tls(&self) -> bool {
        let is_tls = |info: &ConnectionInfo| matches!(info.addr(), ConnectionAddr::TcpTls { .. });
        self.infos().iter().any(is_tls)
    }
}

fn parse(url: &str) -> Result<ConnectionInfo, Fault> {
    // What follows # can turn the verification of certificates off.
    let is_known = url.starts_with("redis://") || url.starts_with("rediss://");
    if !is_known || url.contains(['#', '?']) {
        return Err(EXPECTED);
    }
    #[cfg(not(feature = "tls"))]
    if url.starts_with("rediss://") {
        return Err(NO_TLS);
    }
    let info = url.into_connection_info().map_err(|_| EXPECTED)?;
    // Not to need the right for it.
    let settings = info.redis_settings().clone().set_skip_set_lib_name();
    Ok(info.set_redis_settings(settings))
}

#[cfg(any(feature = "cluster", feature = "sentinel"))]
fn parse_all<'u>(urls: impl IntoIterator<Item = &'u str>) -> Result<Vec<ConnectionInfo>, Fault> {
    let infos: Vec<_> = urls.into_iter().map(parse).collect::<Result<_, _>>()?;
    if infos.is_empty() {
        return Err(NO_URLS);
    }
    Ok(infos)
}

/// How connections to the servers are made.
pub(crate) struct Connector {
    target: Target,
    #[cfg(feature = "tls")]
    certificates: Option<redis::TlsCertificates>,
    config: AsyncConnectionConfig,
    #[cfg(feature = "cluster")]
    timeouts: (Duration, Duration),
}

impl Connector {
    /// Reads the root certificates, and connects to nothing yet.
    pub(crate) fn new(options: &RedisOptions, connect_timeout: Duration) -> Result<Self, Fault> {
        let target = options.target.clone();
        if options.roots.is_some() && !target.is_tls() {
            return Err(NOT_TLS);
        }
        #[cfg(feature = "tls")]
        if target.is_tls() {
            // The library below takes the process's default, and panics if there could be two.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        Ok(Self {
            #[cfg(feature = "tls")]
            certificates: options.roots.as_deref().map(read_roots).transpose()?,
            config: AsyncConnectionConfig::new()
                .set_connection_timeout(Some(connect_timeout))
                .set_response_timeout(Some(options.timeout)),
            #[cfg(feature = "cluster")]
            timeouts: (connect_timeout, options.timeout),
            target,
        })
    }

    pub(crate) async fn connect(&self) -> Result<Connection, Fault> {
        match &self.target {
            #[cfg(feature = "cluster")]
            Target::Cluster(infos) => self.connect_to_cluster(infos).await,
            _ => self.connect_to_one().await.map(Connection::Single),
        }
    }

    async fn connect_to_one(&self) -> Result<MultiplexedConnection, Fault> {
        let client = self.client(0).await?;
        let connection = client.get_multiplexed_async_connection_with_config(&self.config);
        let mut connection = connection.await.map_err(|error| Fault::of(&error))?;
        // A server that hangs accepts connections, too.
        let answer = redis::cmd("PING").exec_async(&mut connection).await;
        answer.map_err(|error| Fault::of(&error))?;
        Ok(connection)
    }

    /// One server: that which takes the writes, or any of a cluster, which all know of each
    /// message.
    pub(crate) async fn client(&self, attempt: usize) -> Result<Client, Fault> {
        #[cfg(feature = "sentinel")]
        if let Target::Sentinel(sentinels, master) = &self.target {
            return self.master(sentinels, master).await;
        }
        let infos = self.target.infos();
        let at = attempt.checked_rem(infos.len()).unwrap_or(0);
        self.open(infos.get(at).ok_or(EXPECTED)?.clone())
    }

    fn open(&self, info: ConnectionInfo) -> Result<Client, Fault> {
        #[cfg(feature = "tls")]
        if let (ConnectionAddr::TcpTls { .. }, Some(certificates)) =
            (info.addr(), &self.certificates)
        {
            return Client::build_with_tls(info, certificates.clone()).map_err(|_| NO_ROOTS);
        }
        Client::open(info).map_err(|error| Fault::of(&error))
    }

    #[cfg(feature = "cluster")]
    async fn connect_to_cluster(&self, infos: &[ConnectionInfo]) -> Result<Connection, Fault> {
        let (connect_timeout, timeout) = self.timeouts;
        let connect = async |retries| {
            let client = redis::cluster::ClusterClientBuilder::new(infos.to_vec())
                .retries(retries)
                .connection_timeout(connect_timeout)
                .response_timeout(timeout);
            #[cfg(feature = "tls")]
            let client = match &self.certificates {
                Some(certificates) => client.certs(certificates.clone()),
                None => client,
            };
            let client = client.build().map_err(|error| Fault::of(&error))?;
            let connection = client.get_async_connection().await;
            connection.map_err(|error| Fault::of(&error))
        };
        Ok(Connection::Cluster {
            repeating: connect(RETRIES).await?,
            once: connect(0).await?,
        })
    }

    #[cfg(feature = "sentinel")]
    async fn master(&self, sentinels: &[ConnectionInfo], master: &str) -> Result<Client, Fault> {
        use redis::sentinel::{Sentinel, SentinelNodeConnectionInfo};
        let login = sentinels.first().ok_or(EXPECTED)?;
        let without_login = |info: &ConnectionInfo| {
            let settings = redis::RedisConnectionInfo::default().set_skip_set_lib_name();
            info.clone().set_redis_settings(settings)
        };
        let sentinels = sentinels.iter().map(without_login).collect();
        let mut sentinel: Sentinel =
            Sentinel::build(sentinels).map_err(|error| Fault::of(&error))?;
        let node = SentinelNodeConnectionInfo::default()
            .set_redis_connection_info(login.redis_settings().clone());
        let node = match login.addr() {
            ConnectionAddr::TcpTls { .. } => node.set_tls_mode(redis::TlsMode::Secure),
            _ => node,
        };
        let client = sentinel.async_master_for(master, Some(&node)).await;
        let client = client.map_err(|error| Fault::of(&error))?;
        self.open(client.get_connection_info().clone())
    }
}

/// How often a cluster's client repeats a call that was answered by the wrong server or by none.
#[cfg(feature = "cluster")]
const RETRIES: u32 = 3;

#[cfg(feature = "tls")]
fn read_roots(path: &Path) -> Result<redis::TlsCertificates, Fault> {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    let pem = fs::read(path).map_err(|_| NO_ROOTS)?;
    let mut certificates = CertificateDer::pem_slice_iter(&pem).peekable();
    if certificates.peek().is_none() || certificates.any(|found| found.is_err()) {
        return Err(NO_ROOTS);
    }
    Ok(redis::TlsCertificates {
        client_tls: None,
        root_cert: Some(pem),
    })
}
