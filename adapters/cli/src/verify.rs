//! `keystile verify`: decides whether keys are allowed.

use clap::Args;
use keystile::{
    By, Cause, Decision, Denial, Finding, KeyFormat, StatusPolicy, UnixMillis, Verifier,
};
use keystile_serve::DecisionView;
use keystile_store::{Store, check, check_dry};

use crate::config::Config;
use crate::failure::{Exit, Failure};
use crate::io::Io;
use crate::key_input::KeyInput;
use crate::request_arguments::RequestArguments;
use crate::{answer, damage, inspect};

/// Decide whether keys are allowed. An allowed request counts towards the key's limits.
///
/// Keys are read from standard input, one per line, or from KEYSTILE_KEY; never from an
/// argument, which every user of the machine could see. There is one line of output per key,
/// in the same order. Keys of any prefix and format are accepted, except those with a keyed
/// check.
///
/// A key that has white space, quotes, or the name of a header or variable around it is denied,
/// and named on standard error.
///
/// What is not given is not checked: without --requires, no permission is needed. But a key
/// that is restricted to endpoints or networks is denied if --path or --ip is missing.
///
/// With --json, each answer is an object with decision (allow or deny), code (the name of the
/// denial, null if allowed), status (HTTP), message, key_id and client_name (once the secret
/// is verified), missing (permissions), limit, remaining, reset_seconds,
/// retry_after_seconds, remaining_uses, replaced_by and ends_at; of an allowed key also owner,
/// environment, permissions, template, metadata, expires_at and headers (the header fields for
/// the response). With --dry-run, the numbers are those that would be left.
///
/// Exits with 0 if all keys are allowed, 1 if one is denied, 2 on an error.
///
/// Example:
///   echo "$KEY" | keystile verify --requires invoices:read
///   echo "$KEY" | keystile verify --method GET --path /api/invoices/7 --ip 192.0.2.7
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct VerifyArguments {
    #[command(flatten)]
    request: RequestArguments,
    /// Only try it: count nothing towards the keys' limits and uses, and record no last use.
    #[arg(long, conflicts_with = "rehash")]
    dry_run: bool,
    /// Renew the digest of an allowed key if it was not made with the current pepper, as
    /// serve does.
    #[arg(long)]
    rehash: bool,
}

/// Carries out `keystile verify`.
pub(crate) async fn run(
    arguments: &VerifyArguments,
    config: &Config,
    io: &mut Io<'_>,
) -> Result<Exit, Failure> {
    let requirement = arguments.request.requires.as_ref();
    let request = arguments.request.request();
    // Someone who looks at a key should not change what other processes need to check it.
    let peppers = match arguments.rehash {
        true => config.peppers.clone(),
        false => config.peppers.clone().without_current(),
    };
    let verifier = Verifier::new(KeyFormat::any_structured())
        .with_format(KeyFormat::any_opaque())
        .with_peppers(peppers);

    let opened = config.open().await?;
    let keystile = By::keystile();
    let store = opened.store.acting_as(&keystile);
    let mut keys = KeyInput::new(io);
    let mut exit = Exit::Done;
    let mut failed = None;
    let mut number: u64 = 0;
    while let Some(key) = keys.next(io.input)? {
        number = number.saturating_add(1);
        // It is denied as it is: what a service gets has to be the key and nothing else.
        if inspect::is_wrapped(key) {
            let hint = Finding::Wrapped.hint();
            io.note(&format!("keystile: key {number} is wrapped: {hint}"));
        }
        let now = UnixMillis::now()?;
        let checked = if key.is_empty() {
            Ok((Decision::Deny(Denial::new(Cause::MissingCredential)), None))
        } else {
            let checked = match arguments.dry_run {
                true => check_dry(&store, &verifier, key, &request, now).await,
                false => check(&store, &verifier, key, &request, now).await,
            };
            checked.map(|checked| {
                if let Some(row) = &checked.damage {
                    io.note(&damage::note(row));
                }
                (checked.decision, checked.record)
            })
        };
        // Deny this key, and go on with the others: a caller that reads only the answers must
        // neither see an allow nor attribute an answer to the wrong key.
        let (decision, record) = checked.unwrap_or_else(|error| {
            failed.get_or_insert(error);
            (Decision::Deny(Denial::new(Cause::StoreUnavailable)), None)
        });
        if !decision.is_allow() {
            exit = Exit::Denied;
        }
        let record = record.as_ref();
        if config.json {
            let policy = StatusPolicy::Rfc9110;
            let view = DecisionView::new(&decision, record, requirement, policy, now);
            io.json(&view)?;
        } else {
            io.line(&answer::line(&decision, record, requirement))?;
        }
    }
    match failed {
        Some(error) => Err(Failure::from(error)),
        None => Ok(exit),
    }
}
