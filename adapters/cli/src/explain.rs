//! `keystile explain`: why a request with a key would be denied, without the key's text.

use clap::Args;
use keystile::{ExplainedCheck, KeyFormat, KeyId, StatusPolicy, UnixMillis, Verifier};
use keystile_serve::ExplanationView;
use keystile_store::explain;

use crate::config::Config;
use crate::failure::{Exit, Failure};
use crate::io::Io;
use crate::request_arguments::RequestArguments;
use crate::{answer, values};

/// Explain the decision that a request with a key would get, without the key's text.
///
/// Prints the decision, and a line for each check in the order in which they are made: whether
/// the request passes it, its name, and the values that it compares. The first check that denies
/// the request decides; those after it are listed too. Nothing is counted and nothing is written.
///
/// What is not given is not checked, as in verify. The secret is taken as verified. If the
/// key's digest needs a pepper, KEYSTILE_PEPPER has to have it, as for verify.
///
/// With --json, prints an object with key_id, client_name, decision (allow or deny), code (the
/// name of the denial, null if allowed), status (HTTP), message, missing (permissions),
/// refused_by (the name of the first check that denies, or null) and checks: a list of objects
/// with check, passes, code and compared.
///
/// Exits with 0 if the request would be allowed, 1 if it would be denied, 2 on an error.
///
/// Example:
///   keystile explain 1AbCdEfGhIjKlMnO --requires invoices:read --path /api/invoices/7
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct ExplainArguments {
    /// The key's public id, as printed by issue and list.
    #[arg(value_name = "ID", value_parser = values::id)]
    id: KeyId,
    #[command(flatten)]
    request: RequestArguments,
}

/// Carries out `keystile explain`.
pub(crate) async fn run(
    arguments: &ExplainArguments,
    config: &Config,
    io: &mut Io<'_>,
) -> Result<Exit, Failure> {
    let (request, requirement) = (
        arguments.request.request(),
        arguments.request.requires.as_ref(),
    );
    let verifier = Verifier::new(KeyFormat::any_structured())
        .with_format(KeyFormat::any_opaque())
        .with_peppers(config.peppers.clone().without_current());
    let opened = config.open().await?;
    let now = UnixMillis::now()?;
    let explained = explain(&opened.store, &verifier, &arguments.id, &request, now).await?;
    let (record, explanation) = (&explained.record, &explained.explanation);
    if config.json {
        let policy = StatusPolicy::Rfc9110;
        io.json(&ExplanationView::new(&explained, requirement, policy))?;
    } else {
        io.line(&answer::line(
            &explanation.decision,
            Some(record),
            requirement,
        ))?;
        for check in &explanation.checks {
            io.line(&row(check))?;
        }
    }
    Ok(match explanation.decision.is_allow() {
        true => Exit::Done,
        false => Exit::Denied,
    })
}

fn row(check: &ExplainedCheck) -> String {
    let verdict = match check.refusal {
        None => "passes",
        Some(_) => "denies",
    };
    format!(
        "  {verdict}  {:<11}  {}",
        check.step.as_str(),
        check.compared
    )
}
