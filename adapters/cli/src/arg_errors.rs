//! Reports wrong arguments in one line that never repeats them.
//!
//! clap's own messages quote what was typed, which may be a key. Only the names of existing
//! options and commands, and the messages of our own parsers, are taken from its errors.

use core::error::Error as _;
use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory};

use crate::arguments::Arguments;
use crate::failure::{Exit, Failure};
use crate::io::Io;

/// Prints help or the version if that was requested; otherwise returns what was expected.
pub(crate) fn report(
    error: &clap::Error,
    arguments: &[OsString],
    io: &mut Io<'_>,
) -> Result<Exit, Failure> {
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    ) {
        let text = error.render().to_string();
        io.output.write_all(text.as_bytes())?;
        return Ok(Exit::Done);
    }
    Err(Failure::Message(expected(error, arguments).into()))
}

fn expected(error: &clap::Error, arguments: &[OsString]) -> String {
    let mut program = Arguments::command();
    // Before this, arguments cannot be formatted.
    program.build();
    let command = named(&program, arguments, error);
    let (at, see) = match command {
        Some(name) => (format!("{name}: "), format!("see keystile {name} --help")),
        None => (String::new(), "see keystile --help".to_owned()),
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
            format!("{option} expects a value; {see}")
        }
        ErrorKind::InvalidValue => {
            format!(
                "{option}: must be one of {}",
                texts(error, ContextKind::ValidValue).join(", ")
            )
        }
        ErrorKind::MissingRequiredArgument => format!("{at}{option} is required; {see}"),
        ErrorKind::ArgumentConflict if about(ContextKind::PriorArg) == option => {
            format!("{option} must be given only once; {see}")
        }
        ErrorKind::ArgumentConflict => {
            format!(
                "{option} cannot be combined with {}; {see}",
                about(ContextKind::PriorArg)
            )
        }
        ErrorKind::UnknownArgument | ErrorKind::TooManyValues => {
            let keys = if takes_keys(command) {
                "; keys are read from standard input or KEYSTILE_KEY"
            } else {
                ""
            };
            let meant = about(ContextKind::SuggestedArg);
            if meant.is_empty() {
                format!("{at}unknown argument{keys}; {see}")
            } else {
                format!("{at}unknown argument (did you mean {meant}?){keys}; {see}")
            }
        }
        ErrorKind::InvalidSubcommand => {
            let names = subcommands(&program, command);
            // clap puts the closest name last.
            let close: Vec<String> = texts(error, ContextKind::SuggestedSubcommand)
                .into_iter()
                .filter(|name| names.contains(&name.as_str()))
                .rev()
                .collect();
            let typed = texts(error, ContextKind::InvalidSubcommand);
            let synonym = typed.first().and_then(|typed| synonym(typed));
            let meant = match (synonym.filter(|name| names.contains(name)), &*close) {
                (Some(name), _) => format!(" (did you mean {name}?)"),
                (None, []) => String::new(),
                (None, close) => format!(" (did you mean {}?)", close.join(", ")),
            };
            let names = names.join(", ");
            format!("{at}unknown command{meant}; expected one of: {names}; {see}")
        }
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let names = subcommands(&program, command).join(", ");
            format!("{at}expected a command: {names}; {see}")
        }
        ErrorKind::InvalidUtf8 => format!("arguments must be UTF-8; {see}"),
        _ if option.is_empty() => format!("{at}invalid arguments; {see}"),
        _ => format!("{option}: invalid value; {see}"),
    }
}

/// The first argument that is the name of a command, before any unknown command.
fn named<'p>(program: &'p Command, arguments: &[OsString], error: &clap::Error) -> Option<&'p str> {
    let unknown = texts(error, ContextKind::InvalidSubcommand);
    arguments
        .iter()
        .skip(1)
        .take_while(|argument| !unknown.iter().any(|unknown| *argument == unknown.as_str()))
        .find_map(|argument| program.find_subcommand(argument))
        .map(Command::get_name)
}

/// The command that does what other programs call this.
fn synonym(typed: &str) -> Option<&'static str> {
    SYNONYMS
        .iter()
        .find(|(_, others)| others.contains(&typed))
        .map(|(name, _)| *name)
}

/// The names of the subcommands of a command, or of the program.
fn subcommands<'p>(program: &'p Command, command: Option<&str>) -> Vec<&'p str> {
    command
        .and_then(|name| program.find_subcommand(name))
        .unwrap_or(program)
        .get_subcommands()
        .map(Command::get_name)
        .filter(|name| *name != "help")
        .collect()
}

fn takes_keys(command: Option<&str>) -> bool {
    matches!(command, Some("verify" | "inspect"))
}

/// Every option and operand of every command, as clap formats them in its messages.
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

/// The names of options in a context of the error; never what was typed.
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

/// Whether a value is missing, which clap reports as an empty wrong value.
fn is_missing_value(error: &clap::Error) -> bool {
    matches!(error.get(ContextKind::InvalidValue), Some(ContextValue::String(value)) if value.is_empty())
        && texts(error, ContextKind::ValidValue).is_empty()
}

/// Commands, and what people type who do not know their names.
const SYNONYMS: [(&str, &[&str]); 15] = [
    (
        "issue",
        &["create", "add", "new", "generate", "gen", "make"],
    ),
    ("verify", &["check", "validate", "test", "auth"]),
    ("list", &["ls", "keys", "search", "find"]),
    ("show", &["get", "describe", "info", "view", "cat"]),
    (
        "change",
        &["update", "edit", "set", "modify", "patch", "rename"],
    ),
    ("revoke", &["delete", "del", "remove", "rm", "expire"]),
    ("suspend", &["disable", "pause", "block", "lock"]),
    (
        "resume",
        &["enable", "unsuspend", "unblock", "unlock", "activate"],
    ),
    (
        "rotate",
        &["renew", "regenerate", "roll", "replace", "refresh"],
    ),
    ("prune", &["purge", "clean", "cleanup", "gc"]),
    ("events", &["log", "logs", "audit", "history"]),
    ("serve", &["server", "start", "run", "daemon"]),
    ("migrate", &["init", "adopt", "upgrade", "setup"]),
    ("backup", &["export", "dump", "save"]),
    ("inspect", &["parse", "decode", "diagnose"]),
];
