//! The command line: the commands, and the options that all of them share.

use clap::{Args, Parser, Subcommand};
use keystile::By;

use crate::actor;
use crate::backup::BackupArguments;
use crate::change::ChangeArguments;
use crate::completion::CompletionArguments;
use crate::events::EventsArguments;
use crate::explain::ExplainArguments;
use crate::export::ExportArguments;
use crate::import::ImportArguments;
use crate::inspect::InspectArguments;
use crate::issue::IssueArguments;
use crate::list::ListArguments;
use crate::man::ManArguments;
use crate::migrate::MigrateArguments;
use crate::plan::PlanArguments;
use crate::prune::PruneArguments;
use crate::restore::RestoreArguments;
use crate::revoke::RevokeArguments;
use crate::rotate::RotateArguments;
use crate::serve::ServeArguments;
use crate::show::ShowArguments;
use crate::store_url::StoreUrl;
use crate::suspend::{ResumeArguments, SuspendArguments};
use crate::template::TemplateArguments;
use crate::verify::VerifyArguments;

const EXAMPLES: &str = "\
Example:
  KEY=$(keystile issue --client 'Acme Ltd' --permission invoices:read)
  echo \"$KEY\" | keystile verify --requires invoices:read

Exit codes:
  0  done; every key was allowed
  1  a key was denied (verify, explain), a text is not a well-formed key (inspect), what
     was found has to be accepted or corrected first (migrate), or lines were left out
     (import)
  2  any other failure; one line on standard error explains it, with --json an object
     with error

Environment:
  KEYSTILE_STORE   the store, if --store is not given. Use it for a URL that contains a
                   password: other users of this machine can see arguments
  KEYSTILE_REDIS_URL
                   the Redis server for serve, if --redis is not given
  KEYSTILE_ACTOR   who you are, if --actor is not given
  KEYSTILE_KEY     the key for verify and inspect, instead of standard input
  KEYSTILE_PEPPER  VERSION:HEX, a secret of at least 32 bytes that digests are keyed
                   with; add retired peppers after commas. none,VERSION:HEX is a pepper
                   that is known, and not yet current";

/// Issue, verify, change, rotate and revoke API keys.
///
/// A key is shown once, when it is issued. The store keeps only its digest and what it may
/// do.
#[derive(Debug, Parser)]
#[command(name = "keystile", bin_name = "keystile", version, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The options that all commands share.
#[derive(Args, Debug)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Common {
    /// Where the records are: sqlite:PATH, postgres://USER@HOST/DATABASE, or memory: for a
    /// store that lasts as long as the command. issue creates a file that does not exist,
    /// serve also tables in an empty database; only its owner can read the file.
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "KEYSTILE_STORE",
        hide_env = true
    )]
    #[arg(default_value = "sqlite:keystile.db", value_parser = StoreUrl::parse)]
    pub(crate) store: StoreUrl,
    /// Who you are, for the audit log [default: user@host, or KEYSTILE_ACTOR].
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        env = actor::VARIABLE,
        hide_env = true,
        value_parser = actor::parse
    )]
    pub(crate) actor: Option<By>,
    /// Write JSON, one object per line. Times are RFC 3339 in UTC.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Issue(Box<IssueArguments>),
    Verify(VerifyArguments),
    List(ListArguments),
    Show(ShowArguments),
    Explain(ExplainArguments),
    Change(Box<ChangeArguments>),
    Revoke(RevokeArguments),
    Suspend(SuspendArguments),
    Resume(ResumeArguments),
    Rotate(RotateArguments),
    Plan(PlanArguments),
    Prune(PruneArguments),
    Events(Box<EventsArguments>),
    Template(TemplateArguments),
    Serve(Box<ServeArguments>),
    Migrate(MigrateArguments),
    Backup(BackupArguments),
    Restore(RestoreArguments),
    Export(Box<ExportArguments>),
    Import(ImportArguments),
    Inspect(InspectArguments),
    Completion(CompletionArguments),
    Man(ManArguments),
    /// Show the life of a key, on a store in a temporary directory.
    ///
    /// Issues keys, which are then allowed, denied, explained, changed, rotated and revoked. Prints
    /// each command and its output, and removes the directory at the end.
    ///
    /// Example:
    ///   keystile demo
    #[command(verbatim_doc_comment)]
    Demo,
}

impl Command {
    /// Whether it only prints what there is, so that it does not matter if its reader wants
    /// only the first lines. The exit code of `verify`, `explain`, `inspect` and `migrate` is an answer,
    /// which must not become 0 before every line was written; all others change something.
    pub(crate) const fn only_reads(&self) -> bool {
        match self {
            Self::List(_)
            | Self::Show(_)
            | Self::Plan(_)
            | Self::Export(_)
            | Self::Completion(_)
            | Self::Man(_)
            | Self::Demo => true,
            Self::Events(events) => events.only_reads(),
            Self::Template(template) => template.only_reads(),
            _ => false,
        }
    }
}
