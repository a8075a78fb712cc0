//! `keystile verify`: decides whether keys are allowed.

use core::net::IpAddr;

use clap::Args;
use keystile::{
    By, Cause, Decision, Denial, Environment, Finding, KeyFormat, KeyRecord, Request, Requirement,
    StatusPolicy, UnixMillis, Verifier,
};
use keystile_serve::DecisionView;
use keystile_store::{Store, check};

use crate::config::Config;
use crate::failure::{Exit, Failure};
use crate::io::Io;
use crate::key_input::KeyInput;
use crate::{answer, damage, inspect, values};

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
/// retry_after_seconds, remaining_uses, replaced_by and ends_at.
///
/// Exits with 0 if all keys are allowed, 1 if one is denied, 2 on an error.
///
/// Example:
///   echo "$KEY" | keystile verify --requires invoices:read
///   echo "$KEY" | keystile verify --method GET --path /api/invoices/7 --ip 192.0.2.7
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct VerifyArguments {
    /// Permissions that the request needs, such as 'admin OR (read AND audit)'.
    #[arg(long, value_name = "REQ", value_parser = values::requirement)]
    requires: Option<Requirement>,
    /// The request's method.
    #[arg(long, value_name = "M", value_parser = values::method, requires = "path")]
    #[arg(default_value = "GET")]
    method: String,
    /// The request's path as the router sees it, without the query.
    #[arg(long, value_name = "P", value_parser = values::path)]
    path: Option<String>,
    /// The client's IP address.
    #[arg(long, value_name = "IP", value_parser = values::address)]
    ip: Option<IpAddr>,
    /// The environment of the service; keys of any other environment, or of none, are
    /// denied.
    #[arg(long, visible_alias = "environment", value_name = "E", value_parser = values::environment)]
    env: Option<Environment>,
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
    let requirement = arguments.requires.as_ref();
    let mut request = Request::new()
        .requires(requirement)
        .address(arguments.ip)
        .environment(&arguments.env);
    if let Some(path) = &arguments.path {
        request = request.endpoint(&arguments.method, path);
    }
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
        let checked = if key.is_empty() {
            Ok((Decision::Deny(Denial::new(Cause::MissingCredential)), None))
        } else {
            check(&store, &verifier, key, &request, UnixMillis::now()?)
                .await
                .map(|checked| {
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
        print(&decision, record.as_ref(), requirement, config.json, io)?;
    }
    match failed {
        Some(error) => Err(Failure::from(error)),
        None => Ok(exit),
    }
}

fn print(
    decision: &Decision,
    record: Option<&KeyRecord>,
    requirement: Option<&Requirement>,
    json: bool,
    io: &mut Io<'_>,
) -> Result<(), Failure> {
    if json {
        let policy = StatusPolicy::Rfc9110;
        io.json(&DecisionView::new(decision, record, requirement, policy))
    } else {
        io.line(&answer::line(decision, record, requirement))
    }
}
