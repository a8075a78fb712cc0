//! `keystile serve`: the store over HTTP.

mod log;

use core::net::SocketAddr;
use core::time::Duration;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use keystile::{KeyFormat, Millis, Networks, Prefix, StatusPolicy, UnixMillis, Verifier};
use keystile_serve::{Service, Settings, first_admin_key, shutdown_signal};
use keystile_store::{Authenticator, AuthenticatorBuilder, revoke};
use tokio::net::TcpListener;

use crate::any_store::AnyStore;
use crate::duration::{self, Bound};
use crate::failure::{Exit, Failure};
use crate::handover;
use crate::issue::DEFAULT_PREFIX;
use crate::setting::Setting;
use crate::surroundings::Surroundings;
use crate::values;

use self::log::{LogFormat, LogLevel};

/// Serve the store over HTTP: verification, forward authentication, an admin API.
///
/// On a store without an admin key, one is issued at the first start and printed on
/// standard output, once: it may do everything, and never expires. All else that is said
/// goes to standard error.
///
/// POST /v1/verify decides about the key in its header. Gateways ask /v1/authorize. Keys
/// are managed under /v1/keys with an admin key. /openapi.json describes it all.
///
/// SIGTERM and SIGINT stop it: what is under way is finished, and the exit code is 0.
///
/// Example:
///   keystile serve --listen 127.0.0.1:8080 --store sqlite:keystile.db
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct ServeArguments {
    /// The address to listen at; a port of 0 is any free one. It speaks plain HTTP.
    #[arg(long, value_name = "ADDRESS", value_parser = listen, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Which status a denial gets: as RFC 9110 has it, or 403 for invalid keys as in the
    /// well-known Express recipe.
    #[arg(long, value_enum, default_value = "rfc9110")]
    status_policy: Policy,
    /// What the keys begin with that it issues. Keys of every prefix are read.
    #[arg(long, value_name = "P", value_parser = values::prefix, default_value = DEFAULT_PREFIX)]
    prefix: Prefix,
    /// An address or a block of them that a gateway or a proxy asks from: it is believed
    /// where a request comes from, and what was asked for. Any number of times; this
    /// machine alone where it is not said.
    #[arg(long = "trusted-proxy", value_name = "CIDR", value_parser = values::network)]
    trusted_proxies: Vec<String>,
    /// How many invalid keys are taken from one address, or off; with more it is answered
    /// 429. A valid key passes from any address all the same.
    #[arg(long, value_name = "N/TIME", value_parser = duration::bound, allow_hyphen_values = true, default_value = "60/1m")]
    invalid_keys: Bound,
    /// How long a record is used without asking the store again. Changes by other
    /// processes are heard of within about a second all the same.
    #[arg(long, value_name = "TIME", value_parser = duration::duration, allow_hyphen_values = true, default_value = "5m")]
    cache_ttl: Millis,
    /// Connections at once; more wait.
    #[arg(long, value_name = "N", value_parser = values::count, allow_hyphen_values = true, default_value = "1024")]
    connections: u64,
    /// How long a request may take.
    #[arg(long, value_name = "TIME", value_parser = duration::duration, allow_hyphen_values = true, default_value = "15s")]
    request_timeout: Millis,
    /// How long a client may take for the headers of a request, and stay idle.
    #[arg(long, value_name = "TIME", value_parser = duration::duration, allow_hyphen_values = true, default_value = "10s")]
    header_timeout: Millis,
    /// How long what is under way may go on after a stop was asked for.
    #[arg(long, value_name = "TIME", value_parser = duration::duration, allow_hyphen_values = true, default_value = "10s")]
    grace: Millis,
    /// How the log on standard error is written.
    #[arg(long, value_enum, default_value = "text")]
    log_format: LogFormat,
    /// What is logged; debug has a line for each decision.
    #[arg(long, value_enum, default_value = "info")]
    log_level: LogLevel,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Policy {
    Rfc9110,
    Express,
}

/// Most connections that can be asked for.
const CONNECTIONS_MAX: u64 = 1_000_000;

/// Carries out `keystile serve`.
pub(crate) async fn run(
    arguments: &ServeArguments,
    setting: &Setting,
    surroundings: &mut Surroundings<'_>,
) -> Result<Exit, Failure> {
    let settings = settings(arguments)?;
    // From here on a signal is not the end by itself.
    let stop = shutdown_signal().map_err(|_| Failure::expected("signals cannot be listened to"))?;
    let listener = TcpListener::bind(arguments.listen).await.map_err(|_| {
        Failure::expected("--listen cannot be listened at: it is in use, or not of this machine")
    })?;
    let address = listener
        .local_addr()
        .map_err(|_| Failure::expected("--listen cannot be listened at"))?;
    let opened = setting.open().await?;
    log::begin(arguments.log_format, arguments.log_level);
    let store = Arc::new(opened.store);
    hand_over_first_key(&store, &settings.format, setting, surroundings).await?;
    let verifier = Verifier::new(KeyFormat::any_structured())
        .with_format(KeyFormat::any_opaque())
        .with_peppers(setting.peppers.clone());
    let builder = Authenticator::builder(Arc::clone(&store), verifier)
        .ttl(arguments.cache_ttl)
        .status_policy(settings.status_policy);
    let authenticator = woken(builder, &store).build()?;
    tracing::info!(%address, "serving");
    surroundings.remark(&format!("keystile: serving at http://{address}"));
    Service::new(authenticator, settings)
        .serve(listener, stop)
        .await?;
    surroundings.remark("keystile: stopped");
    Ok(Exit::Done)
}

fn settings(arguments: &ServeArguments) -> Result<Settings, Failure> {
    let time = |time: Millis| Duration::from_millis(time.get().max(1));
    let mut settings = Settings::new()?;
    settings.status_policy = match arguments.status_policy {
        Policy::Rfc9110 => StatusPolicy::Rfc9110,
        Policy::Express => StatusPolicy::Express,
    };
    settings.format = KeyFormat::structured(arguments.prefix.as_str())?;
    if !arguments.trusted_proxies.is_empty() {
        settings.trusted_proxies = Networks::new(&arguments.trusted_proxies)?;
    }
    settings.invalid_keys = match arguments.invalid_keys {
        Bound::At(limit) => Some(limit),
        Bound::Off => None,
    };
    let connections = arguments.connections.min(CONNECTIONS_MAX);
    settings.limits.connections = usize::try_from(connections).unwrap_or(usize::MAX);
    settings.limits.request = time(arguments.request_timeout);
    settings.limits.header_read = time(arguments.header_timeout);
    settings.limits.grace = time(arguments.grace);
    Ok(settings)
}

/// Issues the first admin key where there was none, and shows it.
async fn hand_over_first_key(
    store: &AnyStore,
    format: &KeyFormat,
    setting: &Setting,
    surroundings: &mut Surroundings<'_>,
) -> Result<(), Failure> {
    let now = UnixMillis::now()?;
    let Some(issued) = first_admin_key(store, format, &setting.peppers, now).await? else {
        return Ok(());
    };
    let (key, record) = (&issued.key, &issued.record);
    let shown = handover::show(key, record, None, now, setting.json, surroundings);
    if let Err(lost) = shown {
        revoke(store, &record.id, "it could not be shown", now).await?;
        return Err(lost);
    }
    surroundings.remark(&format!("keystile: issued the admin key {}", record.id));
    surroundings.remark("It is shown this once; it may do everything, and never expires.");
    Ok(())
}

/// Hears at once of what other processes change, where the store can say so.
fn woken(
    builder: AuthenticatorBuilder<AnyStore>,
    store: &AnyStore,
) -> AuthenticatorBuilder<AnyStore> {
    match store {
        #[cfg(feature = "postgres")]
        AnyStore::Postgres(server) => builder.change_signal(server.subscribe()),
        _ => builder,
    }
}

fn listen(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse()
        .map_err(|_| "an address to listen at is IP:PORT, such as 127.0.0.1:8080 or [::1]:8080")
}
