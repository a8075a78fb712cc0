//! The command line: which commands there are, and what all of them take.

use clap::{Args, Parser, Subcommand};

use crate::events::EventsArguments;
use crate::inspect::InspectArguments;
use crate::issue::IssueArguments;
use crate::list::ListArguments;
use crate::plan::PlanArguments;
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
  1  a key was denied (verify), or is not a well-formed key (inspect)
  2  anything else: one line on standard error says what was expected

Environment:
  KEYSTILE_STORE   the store, where --store is not given; others on this machine can see
                   arguments, and should not see a password in one
  KEYSTILE_KEY     the key for verify and inspect; standard input is then not read
  KEYSTILE_PEPPER  VERSION:HEX, a secret of 32 bytes or more that digests are made
                   under; retired ones follow behind commas";

/// Issue, verify, rotate and revoke API keys.
///
/// A key is shown once, when it is issued. The store keeps its digest, and what it may do.
#[derive(Debug, Parser)]
#[command(name = "keystile", bin_name = "keystile", version, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What all commands take.
#[derive(Args, Debug)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Common {
    /// Where the records are: sqlite:PATH, postgres://USER@HOST/DATABASE, or memory: for a
    /// store that ends with the command. What is not there is made on first use, a file
    /// readable by its owner alone.
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "KEYSTILE_STORE",
        hide_env = true
    )]
    #[arg(default_value = "sqlite:keystile.db", value_parser = StoreUrl::parse)]
    pub(crate) store: StoreUrl,
    /// Write JSON, one object a line. Instants are RFC 3339 in UTC.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// What is to be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Issue(Box<IssueArguments>),
    Verify(VerifyArguments),
    List(ListArguments),
    Show(ShowArguments),
    Revoke(RevokeArguments),
    Suspend(SuspendArguments),
    Resume(ResumeArguments),
    Rotate(RotateArguments),
    Plan(PlanArguments),
    Events(EventsArguments),
    Template(TemplateArguments),
    Serve(Box<ServeArguments>),
    Inspect(InspectArguments),
    /// Walk through the life of a key, on a store in a temporary folder.
    ///
    /// Issues a key and sees it allowed, refused, limited, rotated and revoked. Prints each
    /// request and its answer. Leaves nothing behind.
    ///
    /// Example:
    ///   keystile demo
    #[command(verbatim_doc_comment)]
    Demo,
}
