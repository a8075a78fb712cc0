//! `keystile rotate`: replaces a key with a new one.

use clap::Args;
use keystile::{KeyId, Millis, RotationPolicy, SysRng, UnixMillis};
use keystile_store::{Once, Store, issue_once, rotate};
use serde_json::{Value, json};

use crate::config::Config;
use crate::duration::{self, Lifetime};
use crate::failure::{Exit, Failure};
use crate::io::Io;
use crate::issue::{LIFETIME, lifetimes};
use crate::once::{OnceArguments, given_only, issued_before, of_lifetime};
use crate::print_new_key::{Replaced, print_new_key};
use crate::{rfc3339, values};

/// Replace a key with a new one, and print the new key, once.
///
/// The new key has the permissions and limits of the old one, and shares its rate limit and
/// uses. It lives as long as the old one was given, from now on: an hour stays an hour, and never
/// stays never. The old key keeps working for the overlap, but never past its own expiry. Only the
/// new key goes to standard output. A key that is suspended, revoked, expired or already
/// replaced cannot be rotated.
///
/// The new key has a CRC-32 check, or 32 random bytes if its format is opaque. If your
/// service accepts only keys with a keyed check or of another length, rotate them there.
///
/// With --json, standard output is one object with key, key_id, replaces (the old id),
/// replaced_ends_at and record.
///
/// Example:
///   keystile rotate 1AbCdEfGhIjKlMnO --overlap 24h
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct RotateArguments {
    /// The key's public id, as printed by issue and list.
    #[arg(value_name = "ID", value_parser = values::id)]
    id: KeyId,
    /// How long the old key keeps working, at most half of the new key's lifetime; 0s ends it
    /// at once [default: 7d]
    #[arg(long, value_name = "TIME", value_parser = duration::duration, allow_hyphen_values = true)]
    overlap: Option<Millis>,
    /// End the overlap as soon as the new key is used.
    #[arg(long)]
    end_on_first_use: bool,
    /// How long the new key lives, such as 90d, 12h or never [default: as long as the old key
    /// was given]
    #[arg(long, alias = "max-age", value_name = "TIME", value_parser = duration::lifetime, allow_hyphen_values = true)]
    expires_in: Option<Lifetime>,
    /// The longest lifetime that the new key may get; one that never expires is refused then.
    #[arg(long, value_name = "TIME", value_parser = duration::duration, allow_hyphen_values = true)]
    max_lifetime: Option<Millis>,
    #[command(flatten)]
    once: OnceArguments,
}

/// Carries out `keystile rotate`.
pub(crate) async fn run(
    arguments: &RotateArguments,
    config: &Config,
    io: &mut Io<'_>,
) -> Result<Exit, Failure> {
    let policy = policy(arguments)?;
    let opened = config.open().await?;
    let now = UnixMillis::now()?;
    let id = &arguments.id;
    let peppers = &config.peppers;
    let store = opened.store.acting_as(&config.by);
    let rotated = match &arguments.once.request(&config.by, &asked(arguments))? {
        None => rotate(&store, id, &policy, None, peppers, &mut SysRng, now).await?,
        Some(request) => {
            let acting = store.once(request, now);
            let mut rng = SysRng;
            let rotated = rotate(&acting, id, &policy, None, peppers, &mut rng, now);
            match issue_once(&opened.store, request, now, rotated).await? {
                Once::Now(rotated) => rotated,
                Once::Before(new) => {
                    return issued_before(&opened.store, &new, now, config, io).await;
                }
            }
        }
    };

    let old = rotated.changed.iter().find(|record| record.id == *id);
    let end = old.and_then(|record| record.ends_at()).unwrap_or(now);
    let successor = &rotated.successor;
    let replaced = Replaced {
        key_id: id.as_str(),
        ends_at: keystile_serve::rfc3339(end),
    };
    print_new_key(
        &rotated.key,
        successor,
        Some(&replaced),
        now,
        config.json,
        io,
    )?;
    if !config.json {
        let client = &successor.client_name;
        io.note(&format!(
            "issued {} for {client}, replacing {id}",
            successor.id
        ));
        let expires = successor
            .expires_at
            .map_or("never".to_owned(), rfc3339::in_seconds);
        io.note(&format!("  the new key expires  {expires}"));
        io.note(&format!(
            "  the old key ends     {}",
            rfc3339::in_seconds(end)
        ));
        if policy.ends_on_first_use() {
            io.note("  or as soon as the new key is used");
        }
        io.note("This is the only time the key is shown; the store keeps only its digest.");
    }
    Ok(Exit::Done)
}

/// What is asked for, for the digest of the request.
fn asked(arguments: &RotateArguments) -> Value {
    given_only(json!({
        "verb": "rotate",
        "id": arguments.id.as_str(),
        "overlap_ms": arguments.overlap.map(Millis::get),
        "end_on_first_use": arguments.end_on_first_use,
        "expires_in_ms": of_lifetime(arguments.expires_in),
        "max_lifetime_ms": arguments.max_lifetime.map(Millis::get),
    }))
}

fn policy(arguments: &RotateArguments) -> Result<RotationPolicy, Failure> {
    let mut policy = RotationPolicy::default().with_end_on_first_use(arguments.end_on_first_use);
    if let Some(overlap) = arguments.overlap {
        policy = policy
            .with_overlap(overlap)
            .map_err(Failure::of("--overlap"))?;
    }
    policy = match arguments.expires_in {
        None => policy,
        Some(Lifetime::For(span)) => policy
            .with_lifetime(span)
            .map_err(Failure::of("--expires-in"))?,
        Some(Lifetime::Ever) => policy.with_endless_lifetime(),
    };
    policy
        .within(&lifetimes(None, arguments.max_lifetime)?)
        .map_err(Failure::of(LIFETIME))
}
