//! `keystile change`: changes what a key may do, or whom it belongs to.

use core::cell::RefCell;

use clap::Args;
use keystile::{
    EndpointRules, FieldChange, KeyChange, KeyId, KeyRecord, Millis, Networks, PermissionSet,
    RateLimit, TemplateName, UnixMillis,
};
use keystile_serve::KeyView;
use keystile_store::{OfDerived, Store, StoreError, StoredTemplate, change_derived};

use crate::change_many::{self, Asked, Many};
use crate::config::Config;
use crate::duration::{self, Lifetime};
use crate::failure::{Exit, Failure};
use crate::io::Io;
use crate::issue::{LIFETIME, lifetimes, warn_of_rules};
use crate::template::find_for;
use crate::{rfc3339, values};

/// Change a key. What is not given stays as it is, and so does the key's text.
///
/// A suspended key can be changed, and stays suspended. A key that is revoked, expired or
/// replaced cannot. Without endpoints, networks, a rate limit or uses, a key is not restricted
/// by them, so to clear one gives the key more.
///
/// Prints each field that changed, with its value before and after. With --json, standard
/// output is the key as it is now.
///
/// Many keys are changed by owner, client or template, which apply together if several are given,
/// or by a list of ids. --dry-run prints how many it would be. A key that cannot be changed is
/// named, and the others are changed. If it is stopped, run it again.
///
/// Example:
///   keystile change 1AbCdEfGhIjKlMnO --add-permission invoices:write --rate-limit 5000/1h
///   keystile change --of-owner acme --rate-limit 5000/1h --dry-run
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct ChangeArguments {
    /// The key's public id, as printed by issue and list.
    #[arg(value_name = "ID", value_parser = values::id,
        required_unless_present_any = ["of_owner", "of_client", "of_template", "ids_from"],
        conflicts_with_all = ["of_owner", "of_client", "of_template", "ids_from"])]
    id: Option<KeyId>,
    #[command(flatten)]
    many: Many,
    /// The name of the client that has the key.
    #[arg(long, value_name = "NAME", value_parser = values::client)]
    client: Option<String>,
    /// The e-mail address that notices are sent to.
    #[arg(long, value_name = "ADDRESS", value_parser = values::email, conflicts_with = "clear_email")]
    email: Option<String>,
    /// Clear the e-mail address.
    #[arg(long)]
    clear_email: bool,
    /// The account or tenant that the key belongs to.
    #[arg(long, value_name = "OWNER", value_parser = values::owner, conflicts_with = "clear_owner")]
    owner: Option<String>,
    /// Clear the owner.
    #[arg(long)]
    clear_owner: bool,
    /// All permissions of the key. Repeatable.
    #[arg(long = "permission", value_name = "P", value_parser = values::permission)]
    permissions: Vec<String>,
    /// Take all permissions away.
    #[arg(long, conflicts_with_all = ["permissions", "added", "removed"])]
    no_permissions: bool,
    /// A permission that the key gets in addition. Repeatable.
    #[arg(long = "add-permission", value_name = "P", value_parser = values::permission)]
    added: Vec<String>,
    /// A permission that is taken from the key, spelled as it was granted. Repeatable.
    #[arg(long = "remove-permission", value_name = "P", value_parser = values::permission)]
    removed: Vec<String>,
    /// An endpoint rule that the key is restricted to. Repeatable.
    #[arg(long = "endpoint", value_name = "RULE", value_parser = values::endpoint, conflicts_with = "clear_endpoints")]
    endpoints: Vec<String>,
    /// Allow any endpoint.
    #[arg(long)]
    clear_endpoints: bool,
    /// A template that sets the permissions, rate limit and endpoints; other options may only
    /// narrow it.
    #[arg(long, value_name = "NAME", value_parser = values::template, conflicts_with = "clear_template")]
    template: Option<TemplateName>,
    /// Clear the template's name; the rights stay.
    #[arg(long)]
    clear_template: bool,
    /// An address or CIDR block that the key may be used from. Repeatable.
    #[arg(long = "network", value_name = "CIDR", value_parser = values::network, conflicts_with = "clear_networks")]
    networks: Vec<String>,
    /// Allow any address.
    #[arg(long)]
    clear_networks: bool,
    /// The rate limit, such as 5000/1h or 100/hour.
    #[arg(long, value_name = "N/TIME", value_parser = duration::rate, allow_hyphen_values = true, conflicts_with = "clear_rate_limit")]
    rate_limit: Option<RateLimit>,
    /// How many requests may arrive at once [default: the N of --rate-limit]
    #[arg(long, value_name = "N", value_parser = duration::burst, allow_hyphen_values = true, requires = "rate_limit")]
    burst: Option<u32>,
    /// Clear the rate limit.
    #[arg(long)]
    clear_rate_limit: bool,
    /// How many times the key may be used from now on.
    #[arg(long, value_name = "N", value_parser = values::count, allow_hyphen_values = true, conflicts_with = "clear_uses")]
    uses: Option<u64>,
    /// Count no uses.
    #[arg(long)]
    clear_uses: bool,
    /// How long the key lives from now on, such as 90d, 12h or never.
    #[arg(long, value_name = "TIME", value_parser = duration::lifetime, allow_hyphen_values = true)]
    expires_in: Option<Lifetime>,
    /// When the key ends: a day, which begins in UTC, or an instant, such as 2027-01-01 or
    /// 2027-01-01T08:00:00Z.
    #[arg(long, value_name = "DATE", value_parser = values::instant, conflicts_with = "expires_in")]
    expires_at: Option<UnixMillis>,
    /// The longest lifetime that a key may get; one that never expires is refused then.
    #[arg(long, value_name = "TIME", value_parser = duration::duration, allow_hyphen_values = true)]
    max_lifetime: Option<Millis>,
    /// What becomes of keys that derive from it and would exceed it: suspend, revoke or keep.
    /// Without it, the change is refused if there are any.
    #[arg(long, value_name = "ACTION", value_parser = values::of_derived)]
    derived: Option<OfDerived>,
    /// Custom JSON, at most 16 KiB, which replaces all of it.
    #[arg(long, value_name = "JSON", value_parser = values::metadata, conflicts_with = "clear_metadata")]
    metadata: Option<String>,
    /// Clear the custom JSON.
    #[arg(long)]
    clear_metadata: bool,
}

/// Carries out `keystile change`.
pub(crate) async fn run(
    arguments: &ChangeArguments,
    config: &Config,
    io: &mut Io<'_>,
) -> Result<Exit, Failure> {
    let now = UnixMillis::now()?;
    warn_of_rules(&arguments.endpoints, io);
    let template = find_for(config, arguments.template.as_ref()).await?;
    let requested = requested(arguments, template, now)?
        .within(&lifetimes(None, arguments.max_lifetime)?)
        .map_err(Failure::of(LIFETIME))?;
    let opened = config.open().await?;
    let before: RefCell<Option<KeyRecord>> = RefCell::new(None);
    let keep = |record: &KeyRecord, _: &KeyRecord| {
        before.replace(Some(record.clone()));
        Ok::<(), StoreError>(())
    };
    let of_derived = arguments.derived.unwrap_or_default();
    let store = opened.store.acting_as(&config.by);
    let many = &arguments.many;
    let Some(id) = arguments.id.as_ref().filter(|_| !many.dry_run) else {
        let asked = Asked {
            requested: &requested,
            of_derived,
            now,
        };
        let id = arguments.id.as_ref();
        return change_many::run(many, id, &asked, &store, config, io).await;
    };
    let changed = change_derived(&store, id, &requested, of_derived, now, keep).await?;
    let (outcome, derived) = (changed.outcome, changed.derived.len());
    if derived > 0 {
        io.note(&format!(
            "changed with it: {derived} keys that derive from it"
        ));
    }
    let record = outcome.record().ok_or(StoreError::NotFound)?;
    if config.json {
        io.json(&KeyView::new(record, now))?;
        return Ok(Exit::Done);
    }
    let done = if outcome.is_changed() {
        "changed"
    } else {
        "nothing to change:"
    };
    io.line(&format!("{done} {}  {}", record.id, record.client_name))?;
    let before = before.into_inner();
    for change in before
        .iter()
        .flat_map(|old| FieldChange::between(old, record))
    {
        io.line(&line(&change))?;
    }
    Ok(Exit::Done)
}

fn line(change: &FieldChange) -> String {
    let field = &change.field;
    if change.from.is_none() && change.to.is_none() {
        return format!("  {field}");
    }
    let shown = |value: &Option<Box<str>>| match value.as_deref() {
        Some("") => "none".to_owned(),
        Some(millis) if &**field == "expires_at" => {
            let instant = millis.parse().ok().and_then(|it| UnixMillis::new(it).ok());
            instant.map_or_else(|| millis.to_owned(), rfc3339::in_seconds)
        }
        Some(value) => value.to_owned(),
        None if &**field == "expires_at" => "never".to_owned(),
        None => "not set".to_owned(),
    };
    format!(
        "  {field:<18} {} -> {}",
        shown(&change.from),
        shown(&change.to)
    )
}

fn requested(
    arguments: &ChangeArguments,
    template: Option<StoredTemplate>,
    now: UnixMillis,
) -> Result<KeyChange, Failure> {
    let mut change = KeyChange::new();
    if let Some(name) = &arguments.client {
        change = change.client_name(name)?;
    }
    if arguments.email.is_some() || arguments.clear_email {
        change = change.email(arguments.email.as_deref())?;
    }
    if arguments.owner.is_some() || arguments.clear_owner {
        change = change.owner(arguments.owner.as_deref())?;
    }
    if arguments.template.is_some() || arguments.clear_template {
        change = change.template(template.map(|stored| stored.template));
    }
    if !arguments.permissions.is_empty() || arguments.no_permissions {
        change = change.permissions(
            PermissionSet::new(&arguments.permissions).map_err(Failure::of("--permission"))?,
        );
    }
    if !arguments.added.is_empty() {
        change = change.add_permissions(
            PermissionSet::new(&arguments.added).map_err(Failure::of("--add-permission"))?,
        );
    }
    if !arguments.removed.is_empty() {
        change = change.remove_permissions(
            PermissionSet::new(&arguments.removed).map_err(Failure::of("--remove-permission"))?,
        );
    }
    if !arguments.endpoints.is_empty() {
        change = change.endpoints(
            EndpointRules::new(&arguments.endpoints).map_err(Failure::of("--endpoint"))?,
        );
    } else if arguments.clear_endpoints {
        change = change.endpoints(None);
    }
    if !arguments.networks.is_empty() {
        change =
            change.networks(Networks::new(&arguments.networks).map_err(Failure::of("--network"))?);
    } else if arguments.clear_networks {
        change = change.networks(None);
    }
    if arguments.rate_limit.is_some() || arguments.clear_rate_limit {
        let limit = duration::with_burst(arguments.rate_limit, arguments.burst)?;
        change = change.rate_limit(limit);
    }
    if arguments.uses.is_some() || arguments.clear_uses {
        change = change.uses(arguments.uses)?;
    }
    if let Some(end) = arguments.expires_at {
        change = change.expires_in(duration::until(end, now)?)?;
    }
    match arguments.expires_in {
        None => {}
        Some(Lifetime::For(span)) => change = change.expires_in(span)?,
        Some(Lifetime::Ever) => change = change.never_expires(),
    }
    if arguments.metadata.is_some() || arguments.clear_metadata {
        change = change.metadata(arguments.metadata.as_deref())?;
    }
    Ok(change)
}
