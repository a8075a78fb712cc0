//! `keystile` on the command line: issue, verify, rotate and revoke API keys.
//!
//! Each command stands in a file of its own. They read and write [`Surroundings`] alone,
//! work on any store, and end with exit code 0, 1 (a key was denied) or 2 (anything else).

#![forbid(unsafe_code)]

mod answer;
mod any_store;
mod arguments;
mod clock;
mod demo;
mod duration;
mod events;
mod failure;
mod handover;
mod inspect;
mod issue;
mod list;
mod pepper;
mod plan;
mod presented;
mod program;
mod revoke;
mod rotate;
mod serve;
mod setting;
mod show;
mod store_url;
mod surroundings;
mod suspend;
mod template;
mod usage;
mod values;
mod verify;
mod view;
mod walk;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use crate::surroundings::Surroundings;

fn main() -> ExitCode {
    // A panic would be a bug, and its text might hold anything: say none of it.
    std::panic::set_hook(Box::new(|_| {
        let _ = writeln!(
            std::io::stderr(),
            "keystile: internal error; please report it"
        );
        std::process::exit(failure::FAILED.into());
    }));
    let input = std::io::stdin();
    let code = program::run(
        std::env::args_os(),
        &mut Surroundings {
            input_is_terminal: input.is_terminal(),
            input: &mut input.lock(),
            output: &mut std::io::stdout().lock(),
            // Not locked: what serves writes its log there from all its threads.
            errors: &mut std::io::stderr(),
            key: std::env::var_os(presented::VARIABLE),
            pepper: std::env::var_os(pepper::VARIABLE),
        },
    );
    ExitCode::from(code)
}
