//! `keystile template`: lists the named sets of permissions, limits and endpoints.

use clap::{Args, Subcommand};
use keystile::{EndpointRules, PermissionSet, RateLimit, ScopeTemplate};
use serde::Serialize;

use crate::duration::spell_rate;
use crate::failure::{Exit, Failure};
use crate::io::Io;
use crate::view::joined;

/// Show the templates that keys can be issued from.
///
/// A key issued from a template has its permissions, rate limit and endpoints. Other options
/// of issue may narrow them, but not widen them.
///
/// Example:
///   keystile template list
///   keystile issue --client 'Acme Ltd' --template monitoring
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct TemplateArguments {
    #[command(subcommand)]
    command: TemplateCommand,
}

#[derive(Clone, Copy, Debug, Subcommand)]
enum TemplateCommand {
    /// List the templates with their permissions, rate limits and endpoints.
    List,
}

#[derive(Serialize)]
struct TemplateView<'t> {
    name: &'t str,
    permissions: &'t PermissionSet,
    rate_limit: Option<RateLimit>,
    allowed_endpoints: Option<&'t EndpointRules>,
}

/// Carries out `keystile template`.
pub(crate) fn run(
    arguments: &TemplateArguments,
    json: bool,
    io: &mut Io<'_>,
) -> Result<Exit, Failure> {
    let TemplateCommand::List = arguments.command;
    if !json {
        io.line("NAME          RATE LIMIT  ENDPOINTS           PERMISSIONS")?;
    }
    for template in ScopeTemplate::presets() {
        if json {
            io.json(&TemplateView {
                name: template.name.as_str(),
                permissions: &template.permissions,
                rate_limit: template.rate_limit,
                allowed_endpoints: template.allowed_endpoints.as_ref(),
            })?;
            continue;
        }
        let rate = template
            .rate_limit
            .as_ref()
            .map_or("none".to_owned(), spell_rate);
        let endpoints = template
            .allowed_endpoints
            .as_ref()
            .map_or("any".to_owned(), |rules| joined(rules.iter(), "none"));
        let permissions = joined(template.permissions.iter(), "none");
        let name = template.name.as_str();
        io.line(&format!(
            "{name:<12}  {rate:<10}  {endpoints:<18}  {permissions}"
        ))?;
    }
    Ok(Exit::Done)
}
