//! `keystile template`: named sets of permissions, limits, endpoints and lifetimes.

mod apply;
mod edit;
mod find;

use clap::{Args, Subcommand};
use keystile::TemplateName;
use keystile_serve::TemplateView;
use keystile_store::{Store, StoredTemplate};
use serde::Serialize;

use self::apply::ApplyArguments;
use self::edit::{AddArguments, ChangeArguments, RemoveArguments};
pub(crate) use self::find::{find, find_for};
use crate::config::Config;
use crate::duration::{spell, spell_rate};
use crate::failure::{Exit, Failure};
use crate::io::Io;
use crate::values;
use crate::view::joined;

/// Show and change the templates that keys can be issued from.
///
/// A key issued from a template has its permissions, rate limit, endpoints and lifetime. Other
/// options of issue may narrow them, but not widen them. monitoring, integration and admin are
/// always there; others are kept in the store.
///
/// Example:
///   keystile template add pro --permission read --rate-limit 5000/1h --expires-in 365d
///   keystile issue --client 'Acme Ltd' --template pro
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct TemplateArguments {
    #[command(subcommand)]
    command: TemplateCommand,
}

#[derive(Debug, Subcommand)]
enum TemplateCommand {
    /// List the templates with their permissions, rate limits, lifetimes and endpoints. Without a
    /// store, these are the presets.
    List,
    Show(ShowArguments),
    Add(Box<AddArguments>),
    Change(Box<ChangeArguments>),
    Apply(ApplyArguments),
    Remove(RemoveArguments),
}

/// Show a template.
///
/// Example:
///   keystile template show pro
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
struct ShowArguments {
    /// The template's name.
    #[arg(value_name = "NAME", value_parser = values::template)]
    name: TemplateName,
}

impl TemplateArguments {
    pub(crate) const fn only_reads(&self) -> bool {
        matches!(
            self.command,
            TemplateCommand::List | TemplateCommand::Show(_)
        )
    }
}

/// Carries out `keystile template`.
pub(crate) async fn run(
    arguments: &TemplateArguments,
    config: &Config,
    io: &mut Io<'_>,
) -> Result<Exit, Failure> {
    match &arguments.command {
        TemplateCommand::List => list(config, io).await,
        TemplateCommand::Show(show) => {
            let template = find(config, &show.name, NAME).await?;
            print(&template, config, io)
        }
        TemplateCommand::Add(add) => edit::add(add, config, io).await,
        TemplateCommand::Change(change) => edit::change(change, config, io).await,
        TemplateCommand::Apply(apply) => apply::run(apply, config, io).await,
        TemplateCommand::Remove(remove) => edit::remove(remove, config, io).await,
    }
}

/// What a name is called in messages, if it is no option's.
const NAME: &str = "NAME";
/// How many templates are held in memory at once.
const PAGE: usize = 200;

/// The last line of a list in JSON, if rows are damaged.
#[derive(Serialize)]
struct DamageLine {
    damaged: Vec<DamageView>,
}

#[derive(Serialize)]
struct DamageView {
    template: Option<String>,
    column: &'static str,
    expected: &'static str,
}

async fn list(config: &Config, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let opened = config.open_if_exists().await?;
    if !config.json {
        io.line("NAME          RATE LIMIT  EXPIRES IN  ENDPOINTS           PERMISSIONS")?;
    }
    for preset in StoredTemplate::presets() {
        print_row(&preset, config, io)?;
    }
    let mut damaged = Vec::new();
    let mut after = None;
    while let Some(opened) = &opened {
        let page = opened.store.list_templates(after.as_deref(), PAGE).await?;
        for template in &page.templates {
            print_row(template, config, io)?;
        }
        damaged.extend(page.damaged);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    if damaged.is_empty() {
        return Ok(Exit::Done);
    }
    for damage in &damaged {
        io.note(&format!(
            "keystile: the store contains a damaged row: {damage}"
        ));
    }
    if config.json {
        let damaged = damaged.iter().map(|damage| DamageView {
            template: damage.name.as_ref().map(ToString::to_string),
            column: damage.column,
            expected: damage.expected,
        });
        let damaged = damaged.collect();
        io.json(&DamageLine { damaged })?;
    }
    Ok(Exit::Damaged)
}

fn print_row(stored: &StoredTemplate, config: &Config, io: &mut Io<'_>) -> Result<(), Failure> {
    if config.json {
        return io.json(&TemplateView::new(stored));
    }
    let shown = Shown::of(stored);
    io.line(&format!(
        "{:<12}  {:<10}  {:<10}  {:<18}  {}",
        stored.name().as_str(),
        shown.rate_limit,
        shown.lifetime,
        shown.endpoints,
        shown.permissions
    ))
}

/// Prints a template, one field per line.
fn print(stored: &StoredTemplate, config: &Config, io: &mut Io<'_>) -> Result<Exit, Failure> {
    if config.json {
        io.json(&TemplateView::new(stored))?;
        return Ok(Exit::Done);
    }
    let shown = Shown::of(stored);
    io.line(stored.name().as_str())?;
    for (name, value) in [
        ("permissions", shown.permissions),
        ("endpoints", shown.endpoints),
        ("rate limit", shown.rate_limit),
        ("expires in", shown.lifetime),
    ] {
        io.line(&format!("  {name:<12} {value}"))?;
    }
    Ok(Exit::Done)
}

/// The fields of a template as people read them.
struct Shown {
    permissions: String,
    endpoints: String,
    rate_limit: String,
    lifetime: String,
}

impl Shown {
    fn of(stored: &StoredTemplate) -> Self {
        let template = &stored.template;
        let rate = template.rate_limit.as_ref();
        let endpoints = template.allowed_endpoints.as_ref();
        Self {
            permissions: joined(template.permissions.iter(), "none"),
            endpoints: endpoints.map_or("any".to_owned(), |rules| joined(rules.iter(), "none")),
            rate_limit: rate.map_or("none".to_owned(), spell_rate),
            lifetime: stored.lifetime.map_or("default".to_owned(), spell),
        }
    }
}
