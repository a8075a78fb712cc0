//! `keystile serve`: runs the HTTP service.

mod first_key;
mod limits;
mod log;
#[cfg(feature = "redis")]
mod redis;

use core::net::SocketAddr;
use core::time::Duration;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use keystile::{
    CredentialSources, KeyFormat, Millis, Networks, Prefix, RateLimitFields, StatusPolicy,
    UnixMillis, Verifier,
};
use keystile_serve::{Service, Settings, shutdown_signal};
use keystile_store::{AfterBound, Authenticator, AuthenticatorBuilder, missing_peppers};
use tokio::net::TcpListener;

use crate::any_store::AnyStore;
use crate::config::Config;
use crate::duration::{self, LimitOrOff};
use crate::failure::{Exit, Failure};
use crate::io::Io;
use crate::issue::{DEFAULT_PREFIX, lifetimes};
use crate::request_arguments::Profile;
use crate::values;

use self::limits::LimitsArguments;
use self::log::{LogFormat, LogLevel};

pub(crate) use self::limits::OnLoss;

/// Run the HTTP service: verification, forward authentication and an admin API.
///
/// If the store has never had an admin key, the first start issues one and prints it on
/// standard output, once, or writes it to --admin-key-file. It may do everything, and never
/// expires. Everything else goes to standard error.
///
/// POST /v1/verify checks the key in its header. Gateways call /v1/authorize. Keys are
/// managed under /v1/keys with an admin key. /openapi.json describes the whole API.
///
/// On SIGTERM or SIGINT, it finishes the requests in progress and exits with 0.
///
/// Example:
///   keystile serve --listen 127.0.0.1:8080 --store sqlite:keystile.db
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct ServeArguments {
    /// The address to listen on, for plain HTTP; port 0 picks a free port.
    #[arg(long, value_name = "ADDRESS", value_parser = listen, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// The HTTP status of denials: as RFC 9110 defines them, or 403 for invalid keys, as
    /// in the well-known Express recipe.
    #[arg(long, value_enum, default_value = "rfc9110")]
    status_policy: Policy,
    /// The header fields about a key's rate limit: those of a draft of the IETF (6: drafts 3 to
    /// 6; 7; 8: drafts 8 to 10), or "x" for X-RateLimit-Limit, -Remaining and -Reset, the last
    /// as a Unix time in seconds.
    #[arg(long, value_name = "FORM", value_parser = values::rate_limit_fields, default_value = "6")]
    rate_limit_fields: RateLimitFields,
    /// A header that keys are read from, besides X-API-Key: its value is the key and nothing
    /// else. Repeatable.
    #[arg(long = "key-header", value_name = "NAME")]
    key_headers: Vec<String>,
    /// A scheme of Authorization that keys are read from, besides Bearer, such as Api-Key.
    /// Repeatable.
    #[arg(long = "scheme", value_name = "NAME")]
    schemes: Vec<String>,
    /// Read keys from the user name of Authorization: Basic too, as curl -u KEY: sends them.
    #[arg(long)]
    basic: bool,
    /// Read keys only from what --key-header, --scheme and --basic name, and not from X-API-Key
    /// and Authorization: Bearer.
    #[arg(long)]
    no_default_sources: bool,
    /// Which paths of the services are accepted: only those that every router reads alike, or
    /// %2F too, as data inside a segment.
    #[arg(long, value_enum, default_value = "strict")]
    path_profile: Profile,
    /// The file that the first admin key is written to, instead of standard output. It is
    /// created with mode 0600 before the key is saved; a file that exists is refused if there
    /// is a key to write.
    #[arg(long, value_name = "FILE", value_parser = values::file)]
    admin_key_file: Option<PathBuf>,
    /// Start even if KEYSTILE_PEPPER lacks a pepper that keys need. Requests with these keys
    /// get 503.
    #[arg(long)]
    allow_missing_peppers: bool,
    /// The prefix of keys that it issues. Keys with any prefix are accepted.
    #[arg(long, value_name = "P", value_parser = values::prefix, default_value = DEFAULT_PREFIX)]
    prefix: Prefix,
    /// How long a key lives if a request has no lifetime [default: 90d, or --max-lifetime if
    /// that is shorter]
    #[arg(long, value_name = "TIME", value_parser = duration::duration, allow_hyphen_values = true)]
    default_lifetime: Option<Millis>,
    /// The longest lifetime that a key may get, for issuing, changing and rotating; a key that
    /// never expires is refused then. The first admin key never expires [default: any]
    #[arg(long, value_name = "TIME", value_parser = duration::duration, allow_hyphen_values = true)]
    max_lifetime: Option<Millis>,
    /// The address or CIDR block of a gateway or proxy: its X-Forwarded-* headers are
    /// trusted. Repeatable [default: loopback only]
    #[arg(long = "trusted-proxy", value_name = "CIDR", value_parser = values::network)]
    trusted_proxies: Vec<String>,
    /// The limit on invalid keys per client address, or off. Above it, unknown keys get 429;
    /// valid keys still pass, but may have to wait if their records are not cached.
    #[arg(long, value_name = "N/TIME", value_parser = duration::limit_or_off, allow_hyphen_values = true, default_value = "60/1m")]
    invalid_keys: LimitOrOff,
    /// How long a record is cached. Changes made by other processes are normally picked up
    /// within a second; see --revocation-bound if they cannot be read.
    #[arg(long, value_name = "TIME", value_parser = duration::duration, allow_hyphen_values = true, default_value = "5m")]
    cache_ttl: Millis,
    /// How long cached records are used if the changes made by other processes cannot be read.
    /// After that, each record is read again, and requests get 503 while the store is away.
    #[arg(long, value_name = "TIME", value_parser = duration::duration, allow_hyphen_values = true, default_value = "60s")]
    revocation_bound: Millis,
    /// While changes cannot be read, go on with cached records for this long, instead of
    /// --revocation-bound: a revoked key may be accepted for as long.
    #[arg(long, value_name = "TIME", value_parser = duration::duration, allow_hyphen_values = true)]
    serve_stale: Option<Millis>,
    #[command(flatten)]
    limits: LimitsArguments,
    /// The maximum number of open connections; further ones wait.
    #[arg(long, value_name = "N", value_parser = values::count, allow_hyphen_values = true, default_value = "1024")]
    connections: u64,
    /// How long a request may take.
    #[arg(long, value_name = "TIME", value_parser = duration::duration, allow_hyphen_values = true, default_value = "15s")]
    request_timeout: Millis,
    /// How long a client may take to send the headers of a request, or stay idle.
    #[arg(long, value_name = "TIME", value_parser = duration::duration, allow_hyphen_values = true, default_value = "10s")]
    header_timeout: Millis,
    /// How long requests in progress may take to finish after a signal to stop.
    #[arg(long, value_name = "TIME", value_parser = duration::duration, allow_hyphen_values = true, default_value = "10s")]
    grace: Millis,
    /// The format of the log on standard error.
    #[arg(long, value_enum, default_value = "text")]
    log_format: LogFormat,
    /// The level of the log; debug has a line for each decision.
    #[arg(long, value_enum, default_value = "info")]
    log_level: LogLevel,
}

impl ServeArguments {
    /// Whether each line of the log is JSON.
    pub(crate) const fn logs_json(&self) -> bool {
        matches!(self.log_format, LogFormat::Json)
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Policy {
    Rfc9110,
    Express,
}

/// The highest value of --connections.
const CONNECTIONS_MAX: u64 = 1_000_000;
/// The limits of --revocation-bound.
const BOUND_MIN: Millis = Millis::from_secs(1);
const BOUND_MAX: Millis = Millis::from_hours(24);

/// Carries out `keystile serve`.
pub(crate) async fn run(
    arguments: &ServeArguments,
    config: &Config,
    io: &mut Io<'_>,
) -> Result<Exit, Failure> {
    let settings = settings(arguments)?;
    let after_bound = after_bound(arguments)?;
    let limits = arguments.limits.checked(&config.store)?;
    let lifetimes = lifetimes(arguments.default_lifetime, arguments.max_lifetime)?;
    // From here on, a signal no longer ends the process by itself.
    let stop = shutdown_signal().map_err(|_| Failure::expected("cannot listen for signals"))?;
    let listener = TcpListener::bind(arguments.listen).await.map_err(|_| {
        Failure::expected("--listen: the address must be one of this machine and not be in use")
    })?;
    let address = listener
        .local_addr()
        .map_err(|_| Failure::expected("--listen: cannot listen on this address"))?;
    let opened = config.open_to_serve().await?;
    log::begin(arguments.log_format, arguments.log_level);
    let store = Arc::new(opened.store);
    check_peppers(&store, arguments.allow_missing_peppers, config).await?;
    let key_file = arguments.admin_key_file.as_deref();
    first_key::issue(&store, &settings.format, key_file, config, io).await?;
    let verifier = Verifier::new(KeyFormat::any_structured())
        .with_format(KeyFormat::any_opaque())
        .with_peppers(config.peppers.clone());
    let builder = Authenticator::builder(Arc::clone(&store), verifier)
        .lifetimes(lifetimes)
        .ttl(arguments.cache_ttl)
        .revocation_bound(time(arguments.revocation_bound))
        .after_bound(after_bound)
        .status_policy(settings.responses.status)
        .rate_limit_fields(settings.responses.rate_limit_fields);
    let builder = limits.of(woken(builder, &store), &store, io).await?;
    let authenticator = builder.build()?;
    io.note(&format!("keystile: {limits}"));
    tracing::info!(%address, "serving");
    io.note(&format!("keystile: serving at http://{address}"));
    Service::new(authenticator, settings)
        .serve(listener, stop)
        .await?;
    io.note("keystile: stopped");
    Ok(Exit::Done)
}

fn settings(arguments: &ServeArguments) -> Result<Settings, Failure> {
    let mut settings = Settings::new()?;
    settings.responses.status = match arguments.status_policy {
        Policy::Rfc9110 => StatusPolicy::Rfc9110,
        Policy::Express => StatusPolicy::Express,
    };
    settings.responses.rate_limit_fields = arguments.rate_limit_fields;
    settings.sources = sources(arguments)?;
    settings.path_profile = arguments.path_profile.core();
    settings.format = KeyFormat::structured(arguments.prefix.as_str())?;
    if !arguments.trusted_proxies.is_empty() {
        settings.trusted_proxies = Networks::new(&arguments.trusted_proxies)?;
    }
    settings.invalid_keys = match arguments.invalid_keys {
        LimitOrOff::At(limit) => Some(limit),
        LimitOrOff::Off => None,
    };
    let connections = arguments.connections.min(CONNECTIONS_MAX);
    settings.limits.connections = usize::try_from(connections).unwrap_or(usize::MAX);
    settings.limits.request = time(arguments.request_timeout);
    settings.limits.header_read = time(arguments.header_timeout);
    settings.limits.grace = time(arguments.grace);
    Ok(settings)
}

/// The header fields that keys are read from.
fn sources(arguments: &ServeArguments) -> Result<CredentialSources, Failure> {
    let mut sources = match arguments.no_default_sources {
        true => CredentialSources::none(),
        false => CredentialSources::new(),
    };
    for name in &arguments.key_headers {
        let added = sources.with_header(name);
        sources = added.map_err(Failure::of("--key-header"))?;
    }
    for name in &arguments.schemes {
        let added = sources.with_scheme(name);
        sources = added.map_err(Failure::of("--scheme"))?;
    }
    if arguments.basic {
        sources = sources.with_basic();
    }
    if sources.is_empty() {
        return Err(Failure::expected(
            "--no-default-sources: --key-header, --scheme or --basic must name another source",
        ));
    }
    Ok(sources)
}

/// What follows the revocation bound, before anything is opened.
fn after_bound(arguments: &ServeArguments) -> Result<AfterBound, Failure> {
    let bound = arguments.revocation_bound;
    if !(BOUND_MIN..=BOUND_MAX).contains(&bound) {
        return Err(Failure::expected("--revocation-bound: must be 1s to 1d"));
    }
    match arguments.serve_stale {
        None => Ok(AfterBound::Revalidate),
        Some(limit) if limit > bound && limit <= BOUND_MAX => {
            Ok(AfterBound::ServeStale(time(limit)))
        }
        Some(_) => Err(Failure::expected(
            "--serve-stale: must be longer than --revocation-bound, and at most 1d",
        )),
    }
}

fn time(time: Millis) -> Duration {
    Duration::from_millis(time.get().max(1))
}

/// Fails if a pepper is missing, unless that is allowed.
async fn check_peppers(store: &AnyStore, allowed: bool, config: &Config) -> Result<(), Failure> {
    let missing = missing_peppers(store, &config.peppers, UnixMillis::now()?).await?;
    if missing.is_empty() {
        return Ok(());
    }
    let each = missing.iter().map(|pepper| match pepper.keys {
        1 => format!("{} (1 key)", pepper.version),
        keys => format!("{} ({keys} keys)", pepper.version),
    });
    let list = each.collect::<Vec<_>>().join(", ");
    if allowed {
        tracing::warn!(missing = list, "peppers are missing: their keys get 503");
        return Ok(());
    }
    let text = format!(
        "KEYSTILE_PEPPER lacks peppers that keys in the store need: {list}; add them, or set --allow-missing-peppers"
    );
    Err(Failure::Message(text.into()))
}

/// Subscribes to changes by other processes, if the store can notify of them.
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
        .map_err(|_| "must be IP:PORT, such as 127.0.0.1:8080 or [::1]:8080")
}
