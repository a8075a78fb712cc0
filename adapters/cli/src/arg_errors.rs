//! Wrong arguments, said in one line that never repeats them.
//!
//! clap's own messages quote what was typed, and what was typed may be a key. Of its
//! errors only the names of options that exist, and the texts of our value parsers, are
//! passed on.

use core::error::Error as _;
use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory};

use crate::arguments::Arguments;
use crate::failure::{Exit, Failure};
use crate::surroundings::Surroundings;

/// Prints what was asked for, such as help, or says what was expected.
pub(crate) fn answer(
    error: &clap::Error,
    arguments: &[OsString],
    surroundings: &mut Surroundings<'_>,
) -> Result<Exit, Failure> {
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    ) {
        let text = error.render().to_string();
        surroundings.output.write_all(text.as_bytes())?;
        return Ok(Exit::Done);
    }
    Err(Failure::Said(expected(error, arguments).into()))
}

fn expected(error: &clap::Error, arguments: &[OsString]) -> String {
    let mut program = Arguments::command();
    // Until then, arguments do not know how they are written.
    program.build();
    let command = named(&program, arguments);
    let (subject, see) = match command {
        Some(name) => (name, format!("see keystile {name} --help")),
        None => ("keystile", "see keystile --help".to_owned()),
    };
    let options = options(&program);
    let about = |kind| known(error, kind, &options).join(", ");
    let option = about(ContextKind::InvalidArg);
    match error.kind() {
        ErrorKind::ValueValidation => match error.source() {
            Some(source) => format!("{option}: {source}"),
            None => format!("{option}: {see}"),
        },
        ErrorKind::InvalidValue if is_missing_value(error) => {
            format!("{option} needs a value; {see}")
        }
        ErrorKind::InvalidValue => {
            format!(
                "{option} is one of: {}",
                texts(error, ContextKind::ValidValue).join(", ")
            )
        }
        ErrorKind::MissingRequiredArgument => format!("{subject} needs {option}; {see}"),
        ErrorKind::ArgumentConflict if about(ContextKind::PriorArg) == option => {
            format!("{option} is given once; {see}")
        }
        ErrorKind::ArgumentConflict => {
            format!(
                "{option} does not go with {}; {see}",
                about(ContextKind::PriorArg)
            )
        }
        ErrorKind::UnknownArgument | ErrorKind::TooManyValues => {
            let keys = if takes_keys(command) {
                "; a key comes from standard input or KEYSTILE_KEY"
            } else {
                ""
            };
            let meant = about(ContextKind::SuggestedArg);
            if meant.is_empty() {
                format!("{subject} takes no such argument{keys}; {see}")
            } else {
                format!("{subject} takes no such argument (did you mean {meant}?){keys}; {see}")
            }
        }
        ErrorKind::InvalidSubcommand
        | ErrorKind::MissingSubcommand
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let at = command.and_then(|name| program.find_subcommand(name));
            let names: Vec<&str> = at
                .unwrap_or(&program)
                .get_subcommands()
                .map(Command::get_name)
                .filter(|name| *name != "help")
                .collect();
            format!("{subject} needs a command: {}; {see}", names.join(", "))
        }
        ErrorKind::InvalidUtf8 => format!("arguments are UTF-8; {see}"),
        _ if option.is_empty() => format!("the arguments are not as expected; {see}"),
        _ => format!("{option} is not as expected; {see}"),
    }
}

/// The first argument that is the name of a command.
fn named<'p>(program: &'p Command, arguments: &[OsString]) -> Option<&'p str> {
    arguments
        .iter()
        .skip(1)
        .find_map(|argument| program.find_subcommand(argument))
        .map(Command::get_name)
}

fn takes_keys(command: Option<&str>) -> bool {
    matches!(command, Some("verify" | "inspect"))
}

/// Every option and operand of every command, as clap writes them in its messages.
fn options(program: &Command) -> Vec<String> {
    let of_one = |command: &Command| -> Vec<String> {
        command
            .get_arguments()
            .flat_map(|argument| {
                let long = argument.get_long().map(|long| format!("--{long}"));
                core::iter::once(argument.to_string()).chain(long)
            })
            .collect()
    };
    program
        .get_subcommands()
        .flat_map(Command::get_subcommands)
        .chain(program.get_subcommands())
        .chain([program])
        .flat_map(of_one)
        .collect()
}

/// What the context says, as far as it is the name of an option; never what was typed.
fn known(error: &clap::Error, kind: ContextKind, options: &[String]) -> Vec<String> {
    let mut names = texts(error, kind);
    names.retain(|name| options.contains(name));
    names
}

fn texts(error: &clap::Error, kind: ContextKind) -> Vec<String> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => vec![text.clone()],
        Some(ContextValue::Strings(texts)) => texts.clone(),
        _ => Vec::new(),
    }
}

/// clap says that a value is missing as an empty wrong value.
fn is_missing_value(error: &clap::Error) -> bool {
    matches!(error.get(ContextKind::InvalidValue), Some(ContextValue::String(value)) if value.is_empty())
        && texts(error, ContextKind::ValidValue).is_empty()
}
