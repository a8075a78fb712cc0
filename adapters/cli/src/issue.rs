//! `keystile issue`: creates a key and prints it, once.

use clap::{Args, ValueEnum};
use keystile::{
    EndpointRules, Environment, ErrorKind, IssueRequest, Issued, KeyFormat, KeyRecord,
    LifetimePolicy, Millis, Networks, PermissionSet, Prefix, RateLimit, SysRng, TemplateName,
    UnixMillis,
};
use keystile_store::{Once, Store, StoredTemplate, issue_once, save_issued};
use serde_json::{Value, json};

use crate::config::Config;
use crate::duration::{self, Lifetime, spell_rate};
use crate::failure::{Exit, Failure};
use crate::io::Io;
use crate::once::{OnceArguments, given_only, issued_before, of_lifetime, sorted};
use crate::print_new_key::print_new_key;
use crate::template::find_for;
use crate::view::joined;
use crate::{rfc3339, values};

/// Issue a key and print it, once.
///
/// Only the key goes to standard output; its public id and what it may do go to standard
/// error. The store keeps a digest, so a lost key cannot be shown again. Defaults are the
/// most restrictive: no permissions, expires in 90 days.
///
/// With --json, standard output is one object with key, key_id and record.
///
/// Example:
///   keystile issue --client 'Acme Ltd' --env live --permission invoices:read
///   keystile issue --client 'Acme Ltd' --template integration --rate-limit 100/1h \
///       --network 192.0.2.0/24 --expires-in 30d
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct IssueArguments {
    /// The name of the client that gets the key.
    #[arg(long, value_name = "NAME", value_parser = values::client)]
    client: String,
    /// The e-mail address that notices are sent to.
    #[arg(long, value_name = "ADDRESS", value_parser = values::email)]
    email: Option<String>,
    /// The account or tenant that the key belongs to.
    #[arg(long, value_name = "OWNER", value_parser = values::owner)]
    owner: Option<String>,
    /// The environment that the key is for, such as live or test.
    #[arg(long, visible_alias = "environment", value_name = "E", value_parser = values::environment)]
    env: Option<Environment>,
    /// A permission, such as invoices:read; * matches a whole segment. Repeatable.
    #[arg(long = "permission", value_name = "P", value_parser = values::permission)]
    permissions: Vec<String>,
    /// An endpoint rule, such as 'GET,HEAD /api/data/*'. Repeatable [default: any endpoint]
    #[arg(long = "endpoint", value_name = "RULE", value_parser = values::endpoint)]
    endpoints: Vec<String>,
    /// A template that sets the permissions, rate limit, endpoints and lifetime; other options
    /// may only narrow it.
    #[arg(long, value_name = "NAME", value_parser = values::template)]
    template: Option<TemplateName>,
    /// An address or CIDR block that the key may be used from. Repeatable [default: any
    /// address]
    #[arg(long = "network", value_name = "CIDR", value_parser = values::network)]
    networks: Vec<String>,
    /// The rate limit, such as 1000/1h or 100/hour [default: none]
    #[arg(long, value_name = "N/TIME", value_parser = duration::rate, allow_hyphen_values = true)]
    rate_limit: Option<RateLimit>,
    /// How many requests may arrive at once [default: the N of --rate-limit]
    #[arg(long, value_name = "N", value_parser = duration::burst, allow_hyphen_values = true, requires = "rate_limit")]
    burst: Option<u32>,
    /// How many times the key may be used in total [default: unlimited]
    #[arg(long, value_name = "N", value_parser = values::count, allow_hyphen_values = true)]
    uses: Option<u64>,
    /// How long the key lives, such as 90d, 12h or never [default: 90d, or --max-lifetime if
    /// that is shorter]
    #[arg(long, value_name = "TIME", value_parser = duration::lifetime, allow_hyphen_values = true)]
    expires_in: Option<Lifetime>,
    /// When the key ends: a day, which begins in UTC, or an instant, such as 2027-01-01 or
    /// 2027-01-01T08:00:00Z.
    #[arg(long, value_name = "DATE", value_parser = values::instant, conflicts_with = "expires_in")]
    expires_at: Option<UnixMillis>,
    /// The longest lifetime that a key may get; one that never expires is refused then.
    #[arg(long, value_name = "TIME", value_parser = duration::duration, allow_hyphen_values = true)]
    max_lifetime: Option<Millis>,
    /// Custom JSON, at most 16 KiB.
    #[arg(long, value_name = "JSON", value_parser = values::metadata)]
    metadata: Option<String>,
    /// The key's format. structured: has a public id and a checksum, so that typos are
    /// refused without a lookup. opaque: a prefix and 64 hex digits.
    #[arg(long, value_enum, default_value = "structured")]
    format: Format,
    /// The prefix that the key starts with.
    #[arg(long, value_name = "P", value_parser = values::prefix, default_value = DEFAULT_PREFIX)]
    prefix: Prefix,
    #[command(flatten)]
    once: OnceArguments,
}

/// The options that limit how long a key lives.
pub(crate) const LIFETIME: &str = "--expires-in and --max-lifetime";

/// The prefix of keys if none is given.
pub(crate) const DEFAULT_PREFIX: &str = "ks";

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Structured,
    Opaque,
}

/// Carries out `keystile issue`.
pub(crate) async fn run(
    arguments: &IssueArguments,
    config: &Config,
    io: &mut Io<'_>,
) -> Result<Exit, Failure> {
    let now = UnixMillis::now()?;
    warn_of_rules(&arguments.endpoints, io);
    let once = arguments.once.request(&config.by, &asked(arguments)?)?;
    let issued = match new_key(arguments, config, now).await {
        Ok(issued) => issued,
        // The time of the request may be over by now, and the template be another: the answer
        // is the first one's.
        Err(failure) => {
            let Some(request) = &once else {
                return Err(failure);
            };
            let Ok(opened) = config.open().await else {
                return Err(failure);
            };
            let verb = async { Err::<(), _>(failure) };
            return match issue_once(&opened.store, request, now, verb).await? {
                Once::Before(key_id) => {
                    issued_before(&opened.store, &key_id, now, config, io).await
                }
                Once::Now(()) => Ok(Exit::Done),
            };
        }
    };
    let opened = config.open_to_issue().await?;
    if let Some(request) = &once {
        let acting = opened.store.acting_as(&config.by).once(request, now);
        let done = issue_once(&opened.store, request, now, save_issued(&acting, &issued)).await?;
        if let Once::Before(key_id) = done {
            return issued_before(&opened.store, &key_id, now, config, io).await;
        }
    } else {
        save_issued(&opened.store.acting_as(&config.by), &issued).await?;
    }
    print_new_key(&issued.key, &issued.record, None, now, config.json, io)?;
    if !config.json {
        describe(&issued.record, io);
    }
    opened.note_if_new(io);
    Ok(Exit::Done)
}

/// What is asked for, for the digest of the request.
fn asked(arguments: &IssueArguments) -> Result<Value, Failure> {
    let limit = duration::with_burst(arguments.rate_limit, arguments.burst)?;
    let metadata = arguments.metadata.as_deref();
    Ok(given_only(json!({
        "verb": "issue",
        "client": arguments.client,
        "email": arguments.email,
        "owner": arguments.owner,
        "environment": arguments.env.as_ref().map(ToString::to_string),
        "permissions": sorted(&arguments.permissions),
        "endpoints": sorted(&arguments.endpoints),
        "template": arguments.template.as_ref().map(ToString::to_string),
        "networks": sorted(&arguments.networks),
        "rate_limit": limit,
        "uses": arguments.uses,
        "expires_in_ms": of_lifetime(arguments.expires_in),
        "expires_at": arguments.expires_at.map(UnixMillis::get),
        "max_lifetime_ms": arguments.max_lifetime.map(Millis::get),
        "metadata": metadata,
        "format": match arguments.format {
            Format::Structured => "structured",
            Format::Opaque => "opaque",
        },
        "prefix": arguments.prefix.as_str(),
    })))
}

/// Whatever can be refused is refused before the store is opened, and so created.
async fn new_key(
    arguments: &IssueArguments,
    config: &Config,
    now: UnixMillis,
) -> Result<Issued, Failure> {
    let template = find_for(config, arguments.template.as_ref()).await?;
    let request = request(arguments, template.as_ref(), now)?
        .within(&lifetimes(None, arguments.max_lifetime)?)
        .map_err(Failure::of(LIFETIME))?;
    let prefix = arguments.prefix.as_str();
    let format = match arguments.format {
        Format::Structured => KeyFormat::structured(prefix)?,
        Format::Opaque => KeyFormat::opaque(prefix)?,
    };
    let issued = keystile::issue(&format, &config.peppers, &request, &mut SysRng, now);
    issued.map_err(|error| match error.kind() {
        ErrorKind::Exceeds => Failure::of("--template")(error),
        ErrorKind::Time => Failure::of("--expires-in")(error),
        _ => error.into(),
    })
}

fn request(
    arguments: &IssueArguments,
    template: Option<&StoredTemplate>,
    now: UnixMillis,
) -> Result<IssueRequest, Failure> {
    let mut request = IssueRequest::new(&arguments.client)?
        .email(arguments.email.as_deref())?
        .owner(arguments.owner.as_deref())?
        .rate_limit(duration::with_burst(arguments.rate_limit, arguments.burst)?)
        .uses(arguments.uses)?
        .metadata(arguments.metadata.as_deref())?;
    if let Some(template) = template {
        request = template.request(request)?;
    }
    request.environment = arguments.env;
    request.permissions =
        given(&arguments.permissions, PermissionSet::new).map_err(Failure::of("--permission"))?;
    request.endpoints =
        given(&arguments.endpoints, EndpointRules::new).map_err(Failure::of("--endpoint"))?;
    request.networks =
        given(&arguments.networks, Networks::new).map_err(Failure::of("--network"))?;
    if let Some(end) = arguments.expires_at {
        return Ok(request.expires_in(duration::until(end, now)?)?);
    }
    Ok(match arguments.expires_in {
        None => request,
        Some(Lifetime::For(span)) => request.expires_in(span)?,
        Some(Lifetime::Ever) => request.never_expires(),
    })
}

/// Warns about endpoint rules that match nothing that they were meant for: they are legal.
pub(crate) fn warn_of_rules(rules: &[String], io: &mut Io<'_>) {
    let Ok(rules) = EndpointRules::new(rules) else {
        return;
    };
    for (rule, why) in rules.never_matching() {
        let hint = why.hint();
        io.note(&format!(
            "keystile: warning: --endpoint '{rule}' never matches: {why}; {hint}"
        ));
    }
}

/// How long keys may live. The default is 90 days, or the longest if that is shorter.
pub(crate) fn lifetimes(
    default: Option<Millis>,
    longest: Option<Millis>,
) -> Result<LifetimePolicy, Failure> {
    let usual = LifetimePolicy::default().default_lifetime();
    let default = default.unwrap_or(longest.map_or(usual, |longest| longest.min(usual)));
    LifetimePolicy::new(default, longest).map_err(Failure::of(match longest {
        Some(_) => "--default-lifetime and --max-lifetime",
        None => "--default-lifetime",
    }))
}

/// The checked list of an option that may be repeated; none if it was not used.
fn given<'a, T>(
    texts: &'a [String],
    check: impl FnOnce(&'a [String]) -> Result<T, keystile::Error>,
) -> Result<Option<T>, keystile::Error> {
    (!texts.is_empty()).then(|| check(texts)).transpose()
}

/// Prints what the new key may do, on standard error.
fn describe(record: &KeyRecord, io: &mut Io<'_>) {
    io.note(&format!("issued {} for {}", record.id, record.client_name));
    let mut row = |name: &str, value: &str| io.note(&format!("  {name:<12} {value}"));
    row("permissions", &joined(record.permissions.iter(), "none"));
    let endpoints = record.allowed_endpoints.as_ref();
    row(
        "endpoints",
        &endpoints.map_or("any".to_owned(), |rules| joined(rules.iter(), "none")),
    );
    if let Some(networks) = &record.allowed_networks {
        row("networks", &joined(networks.iter(), "none"));
    }
    row(
        "rate limit",
        &record
            .rate_limit
            .as_ref()
            .map_or("none".to_owned(), spell_rate),
    );
    if let Some(uses) = record.remaining_uses {
        row("uses", &uses.to_string());
    }
    row(
        "expires",
        &record
            .expires_at
            .map_or("never".to_owned(), rfc3339::in_seconds),
    );
    io.note("This is the only time the key is shown; the store keeps only its digest.");
}
