//! `keystile` on the command line: issue, verify, rotate and revoke API keys.
//!
//! Each command has its own file. Commands read and write only [`Io`], work on any
//! store, and exit with 0 (done), 1 (a key was denied) or 2 (any other failure).

#![forbid(unsafe_code)]

mod actor;
mod answer;
mod any_store;
mod arg_errors;
mod arguments;
mod backup;
mod bulk;
mod change;
mod change_many;
mod completion;
mod config;
mod damage;
mod demo;
mod duration;
mod events;
mod explain;
mod export;
mod failure;
mod filters;
mod import;
mod inspect;
mod io;
mod issue;
mod key_input;
mod list;
mod man;
mod migrate;
mod nearest;
mod once;
mod pepper;
mod plan;
mod print_new_key;
mod program;
mod progress;
mod prune;
mod request_arguments;
mod restore;
mod revoke;
mod rfc3339;
mod rotate;
mod script;
mod serve;
mod show;
mod store_url;
mod suspend;
mod template;
mod values;
mod verify;
mod view;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use crate::io::Io;

fn main() -> ExitCode {
    // A panic is a bug, and its message might contain a key: print none of it.
    std::panic::set_hook(Box::new(|_| {
        let _ = writeln!(
            std::io::stderr(),
            "keystile: internal error; please report it"
        );
        std::process::exit(failure::FAILED.into());
    }));
    let input = std::io::stdin();
    let code = program::run(
        std::env::args_os().collect(),
        &mut Io {
            input_is_terminal: input.is_terminal(),
            input: &mut input.lock(),
            output: &mut std::io::stdout().lock(),
            // Not locked: `serve` logs to it from all its threads.
            errors_are_terminal: std::io::stderr().is_terminal(),
            errors: &mut std::io::stderr(),
            key: std::env::var_os(key_input::VARIABLE),
            pepper: std::env::var_os(pepper::VARIABLE),
            notes: io::NoteFormat::Text,
        },
    );
    ExitCode::from(code)
}
