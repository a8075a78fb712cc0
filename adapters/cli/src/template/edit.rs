//! `keystile template add`, `change` and `remove`.

use clap::Args;
use keystile::{EndpointRules, Millis, PermissionSet, RateLimit, ScopeTemplate, TemplateName};
use keystile::{KeyChange, KeyRecord, UnixMillis};
use keystile_store::{
    StoreError, StoredTemplate, TemplateProblem, add_template, change_template, remove_template,
};

use super::find::{names, unknown};
use super::{NAME, find, print};
use crate::config::Config;
use crate::failure::{Exit, Failure};
use crate::io::Io;
use crate::issue::warn_of_rules;
use crate::{duration, values};

/// Add a template.
///
/// Example:
///   keystile template add pro --permission read --permission 'invoices:*' \
///       --rate-limit 5000/1h --expires-in 365d
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(super) struct AddArguments {
    /// The template's name: 1 to 32 characters of a-z, 0-9, _ or -.
    #[arg(value_name = "NAME", value_parser = values::template)]
    name: TemplateName,
    /// A permission, such as invoices:read; * matches a whole segment. Repeatable.
    #[arg(long = "permission", value_name = "P", value_parser = values::permission)]
    permissions: Vec<String>,
    /// An endpoint rule, such as 'GET,HEAD /api/data/*'. Repeatable [default: any endpoint]
    #[arg(long = "endpoint", value_name = "RULE", value_parser = values::endpoint)]
    endpoints: Vec<String>,
    /// The rate limit, such as 1000/1h or 100/hour [default: none]
    #[arg(long, value_name = "N/TIME", value_parser = duration::rate, allow_hyphen_values = true)]
    rate_limit: Option<RateLimit>,
    /// How many requests may arrive at once [default: the N of --rate-limit]
    #[arg(long, value_name = "N", value_parser = duration::burst, allow_hyphen_values = true, requires = "rate_limit")]
    burst: Option<u32>,
    /// How long a key lives, and the longest that issue may ask for, such as 90d [default: as
    /// long as a key without a template]
    #[arg(long, value_name = "TIME", value_parser = duration::nonzero, allow_hyphen_values = true)]
    expires_in: Option<Millis>,
}

/// Change a template. What is not given stays as it is, and so do the keys that were issued from
/// it, until keystile template apply.
///
/// Example:
///   keystile template change pro --add-permission reports:read --rate-limit 10000/1h
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(super) struct ChangeArguments {
    /// The template's name.
    #[arg(value_name = "NAME", value_parser = values::template)]
    name: TemplateName,
    /// All permissions of the template. Repeatable.
    #[arg(long = "permission", value_name = "P", value_parser = values::permission)]
    permissions: Vec<String>,
    /// Take all permissions away.
    #[arg(long, conflicts_with_all = ["permissions", "added", "removed"])]
    no_permissions: bool,
    /// A permission that the template gets in addition. Repeatable.
    #[arg(long = "add-permission", value_name = "P", value_parser = values::permission)]
    added: Vec<String>,
    /// A permission that is taken from the template, spelled as it was given. Repeatable.
    #[arg(long = "remove-permission", value_name = "P", value_parser = values::permission)]
    removed: Vec<String>,
    /// An endpoint rule that keys are restricted to. Repeatable.
    #[arg(long = "endpoint", value_name = "RULE", value_parser = values::endpoint, conflicts_with = "clear_endpoints")]
    endpoints: Vec<String>,
    /// Allow any endpoint.
    #[arg(long)]
    clear_endpoints: bool,
    /// The rate limit, such as 5000/1h or 100/hour.
    #[arg(long, value_name = "N/TIME", value_parser = duration::rate, allow_hyphen_values = true, conflicts_with = "clear_rate_limit")]
    rate_limit: Option<RateLimit>,
    /// How many requests may arrive at once [default: the N of --rate-limit]
    #[arg(long, value_name = "N", value_parser = duration::burst, allow_hyphen_values = true, requires = "rate_limit")]
    burst: Option<u32>,
    /// Clear the rate limit.
    #[arg(long)]
    clear_rate_limit: bool,
    /// How long a key lives that is issued from now on, such as 90d.
    #[arg(long, value_name = "TIME", value_parser = duration::nonzero, allow_hyphen_values = true, conflicts_with = "clear_expires_in")]
    expires_in: Option<Millis>,
    /// Keys live as long as those without a template.
    #[arg(long)]
    clear_expires_in: bool,
}

/// Remove a template. The keys that were issued from it stay as they are.
///
/// Example:
///   keystile template remove pro
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(super) struct RemoveArguments {
    /// The template's name.
    #[arg(value_name = "NAME", value_parser = values::template)]
    name: TemplateName,
}

pub(super) async fn add(
    arguments: &AddArguments,
    config: &Config,
    io: &mut Io<'_>,
) -> Result<Exit, Failure> {
    warn_of_rules(&arguments.endpoints, io);
    let permissions =
        PermissionSet::new(&arguments.permissions).map_err(Failure::of("--permission"))?;
    let mut template = ScopeTemplate::new(arguments.name.clone(), permissions);
    template.rate_limit = duration::with_burst(arguments.rate_limit, arguments.burst)?;
    if !arguments.endpoints.is_empty() {
        let rules = EndpointRules::new(&arguments.endpoints).map_err(Failure::of("--endpoint"))?;
        template.allowed_endpoints = Some(rules);
    }
    let now = UnixMillis::now()?;
    let lifetime = arguments.expires_in;
    // Refused before a store is created.
    StoredTemplate::new(template.clone(), lifetime, now).check()?;
    let opened = config.open_to_issue().await?;
    let added = add_template(&opened.store, template, lifetime, now).await?;
    print(&added, config, io)?;
    opened.note_if_new(io);
    Ok(Exit::Done)
}

pub(super) async fn change(
    arguments: &ChangeArguments,
    config: &Config,
    io: &mut Io<'_>,
) -> Result<Exit, Failure> {
    let now = UnixMillis::now()?;
    warn_of_rules(&arguments.endpoints, io);
    let found = find(config, &arguments.name, NAME).await?;
    found.check()?;
    let (template, lifetime) = changed(arguments, &found, now)?;
    let opened = config.open().await?;
    let changed = change_template(&opened.store, &found, template, lifetime, now).await?;
    print(&changed, config, io)?;
    if changed.template != found.template {
        let name = changed.name();
        io.note(&format!(
            "Its keys stay as they are until keystile template apply {name}."
        ));
    }
    Ok(Exit::Done)
}

/// What a template is to be.
fn changed(
    arguments: &ChangeArguments,
    found: &StoredTemplate,
    now: UnixMillis,
) -> Result<(ScopeTemplate, Option<Millis>), Failure> {
    let mut template = found.template.clone();
    let set = |texts: &[String], option| PermissionSet::new(texts).map_err(Failure::of(option));
    let mut change = KeyChange::new();
    if !arguments.permissions.is_empty() || arguments.no_permissions {
        change = change.permissions(set(&arguments.permissions, "--permission")?);
    }
    if !arguments.added.is_empty() {
        change = change.add_permissions(set(&arguments.added, "--add-permission")?);
    }
    if !arguments.removed.is_empty() {
        change = change.remove_permissions(set(&arguments.removed, "--remove-permission")?);
    }
    template.permissions = permissions(&template, &change, now)?;
    if !arguments.endpoints.is_empty() {
        let rules = EndpointRules::new(&arguments.endpoints).map_err(Failure::of("--endpoint"))?;
        template.allowed_endpoints = Some(rules);
    } else if arguments.clear_endpoints {
        template.allowed_endpoints = None;
    }
    if arguments.rate_limit.is_some() || arguments.clear_rate_limit {
        template.rate_limit = duration::with_burst(arguments.rate_limit, arguments.burst)?;
    }
    let lifetime = match arguments.clear_expires_in {
        true => None,
        false => arguments.expires_in.or(found.lifetime),
    };
    Ok((template, lifetime))
}

/// The permissions after a change, by the rules that keys have, of a key that is never stored.
fn permissions(
    template: &ScopeTemplate,
    change: &KeyChange,
    now: UnixMillis,
) -> Result<PermissionSet, Failure> {
    let id = "1000000000000000".parse()?;
    let mut stand_in = KeyRecord::new(id, keystile::Digest::sha256(b""), "-", "-", now)?;
    stand_in.permissions.clone_from(&template.permissions);
    if !change.alters(&stand_in, now)? {
        return Ok(stand_in.permissions);
    }
    Ok(keystile::change(&stand_in, change, now)?.record.permissions)
}

pub(super) async fn remove(
    arguments: &RemoveArguments,
    config: &Config,
    io: &mut Io<'_>,
) -> Result<Exit, Failure> {
    let name = &arguments.name;
    let opened = config.open().await?;
    match remove_template(&opened.store, name, None).await {
        Err(StoreError::Template(TemplateProblem::NotFound)) => {
            return Err(unknown(name, NAME, &names(&opened.store).await?));
        }
        removed => removed?,
    }
    if config.json {
        io.json(&serde_json::json!({ "removed": name.as_str() }))?;
    } else {
        io.line(&format!("removed {name}"))?;
    }
    Ok(Exit::Done)
}
