//! `keystile verify`: is this key allowed?

use core::net::IpAddr;

use clap::Args;
use keystile::{
    Cause, Decision, Denial, Environment, KeyFormat, KeyRecord, Request, Requirement, UnixMillis,
    Verifier,
};
use keystile_store::{Checked, check};

use crate::failure::{Exit, Failure};
use crate::presented::Presented;
use crate::setting::Setting;
use crate::surroundings::Surroundings;
use crate::{answer, values};

/// Decide about presented keys, and spend what an allowed request costs.
///
/// The key comes from standard input, or from KEYSTILE_KEY; never from an argument, which
/// every user of the machine could read. Several keys, one a line, get one answer a line
/// in the same order. Keys of every prefix and format in the store are read, but for those
/// whose check is keyed.
///
/// What is not said is not asked: without --requires no permission is needed. But a key
/// that is restricted to endpoints or networks is refused where --path or --ip is missing.
///
/// With --json each answer is an object with decision (allow or deny), code (the denial's
/// name, null where allowed), status (HTTP), message, key_id and client_name (once the
/// secret is proved), missing (permissions), limit, remaining, reset_seconds,
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
    /// The request's path as it is dispatched, without its query.
    #[arg(long, value_name = "P", value_parser = values::path)]
    path: Option<String>,
    /// The address that the request comes from.
    #[arg(long, value_name = "IP", value_parser = values::address)]
    ip: Option<IpAddr>,
    /// The environment that asks; keys of any other, or of none, are denied.
    #[arg(long, visible_alias = "environment", value_name = "E", value_parser = values::environment)]
    env: Option<Environment>,
}

/// Carries out `keystile verify`.
pub(crate) async fn run(
    arguments: &VerifyArguments,
    setting: &Setting,
    surroundings: &mut Surroundings<'_>,
) -> Result<Exit, Failure> {
    let requirement = arguments.requires.as_ref();
    let mut request = Request::new()
        .requires(requirement)
        .address(arguments.ip)
        .environment(&arguments.env);
    if let Some(path) = &arguments.path {
        request = request.endpoint(&arguments.method, path);
    }
    let verifier = Verifier::new(KeyFormat::any_structured())
        .with_format(KeyFormat::any_opaque())
        .with_peppers(setting.peppers.clone());

    let opened = setting.open().await?;
    let mut keys = Presented::new(surroundings);
    let mut exit = Exit::Done;
    let mut failed = None;
    while let Some(key) = keys.next(surroundings.input)? {
        let checked = if key.is_empty() {
            Ok((Decision::Deny(Denial::new(Cause::MissingCredential)), None))
        } else {
            check(&opened.store, &verifier, key, &request, UnixMillis::now()?)
                .await
                .map(
                    |Checked {
                         decision, record, ..
                     }| (decision, record),
                )
        };
        // An answer all the same, and to the keys behind it too: whoever reads only these
        // must not take one for an allow, nor for the answer to another.
        let (decision, record) = checked.unwrap_or_else(|error| {
            failed.get_or_insert(error);
            (Decision::Deny(Denial::new(Cause::StoreUnavailable)), None)
        });
        if !decision.is_allow() {
            exit = Exit::Denied;
        }
        print(
            &decision,
            record.as_ref(),
            requirement,
            setting.json,
            surroundings,
        )?;
    }
    opened.tell_if_new(surroundings);
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
    surroundings: &mut Surroundings<'_>,
) -> Result<(), Failure> {
    if json {
        surroundings.json(&answer::object(decision, record, requirement))
    } else {
        surroundings.line(&answer::line(decision, record, requirement))
    }
}
