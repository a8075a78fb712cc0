//! `keystile man`: prints manual pages, from the same table as the help.

use clap::{Args, CommandFactory};
use clap_mangen::Man;

use crate::arguments::Arguments;
use crate::failure::{Exit, Failure};
use crate::io::Io;

/// Print the manual page of the program, or of one of its commands.
///
/// Example:
///   keystile man > ~/.local/share/man/man1/keystile.1
///   keystile man issue | man -l -
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct ManArguments {
    /// The command that the page is about [default: the program]
    #[arg(value_name = "COMMAND", value_parser = command)]
    command: Option<String>,
}

/// Carries out `keystile man`.
pub(crate) fn run(arguments: &ManArguments, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let mut program = Arguments::command();
    // Until then, commands do not have the options that all of them share.
    program.build();
    let page = match &arguments.command {
        None => program,
        // Its display name is `keystile-issue`, as pages of commands are named.
        Some(name) => program.find_subcommand(name).ok_or(UNKNOWN)?.clone(),
    };
    Man::new(page).render(io.output)?;
    Ok(Exit::Done)
}

fn command(text: &str) -> Result<String, &'static str> {
    let program = Arguments::command();
    match program.find_subcommand(text) {
        Some(_) => Ok(text.to_owned()),
        None => Err("must be the name of a command, such as issue"),
    }
}

const UNKNOWN: Failure = Failure::expected("<COMMAND>: must be the name of a command");
