//! From arguments to an exit code.

use std::ffi::OsString;

use clap::Parser;

use crate::arguments::{Arguments, Command};
use crate::config::Config;
use crate::failure::{Exit, FAILED, Failure};
use crate::io::{Io, NoteFormat};
use crate::{
    actor, arg_errors, backup, change, completion, demo, events, explain, export, import, inspect,
    issue, list, man, migrate, pepper, plan, prune, restore, revoke, rotate, serve, show, suspend,
    template, verify,
};

/// Runs one command. A failure is reported in one line on standard error.
pub(crate) fn run(arguments: Vec<OsString>, io: &mut Io<'_>) -> u8 {
    let parsed = Arguments::try_parse_from(&arguments);
    io.notes = match &parsed {
        Ok(parsed) => note_format(parsed),
        Err(_) if arguments.iter().any(|argument| argument == "--json") => NoteFormat::Json,
        Err(_) => NoteFormat::Text,
    };
    // Help and the version, which are errors for clap, are only read too.
    let only_reads = parsed
        .as_ref()
        .map_or(true, |parsed| parsed.command.only_reads());
    let done = match parsed {
        Ok(parsed) => carry_out(&parsed, io),
        Err(error) => arg_errors::report(&error, &arguments, io),
    };
    let flushed = io.output.flush().map_err(Failure::from);
    match done.and_then(|exit| flushed.map(|()| exit)) {
        Ok(exit) => exit.code(),
        // As with `keystile list | head -3`: the reader has what it wants.
        Err(Failure::ReaderGone) if only_reads => Exit::Done.code(),
        Err(Failure::ReaderGone) => FAILED,
        Err(failure) => {
            io.error(&failure.to_string());
            FAILED
        }
    }
}

fn note_format(arguments: &Arguments) -> NoteFormat {
    match &arguments.command {
        Command::Serve(serve) if serve.logs_json() => NoteFormat::Log,
        _ if arguments.common.json => NoteFormat::Json,
        _ => NoteFormat::Text,
    }
}

fn carry_out(arguments: &Arguments, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let json = arguments.common.json;
    // These need no store.
    match &arguments.command {
        Command::Demo => return demo::run(run, json, io),
        Command::Inspect(inspect) => return inspect::run(inspect, json, io),
        Command::Completion(completion) => return completion::run(completion, io),
        Command::Man(man) => return man::run(man, io),
        _ => {}
    }
    let config = Config {
        store: arguments.common.store.clone(),
        by: arguments
            .common
            .actor
            .clone()
            .unwrap_or_else(actor::of_this_process),
        peppers: pepper::ring(io.pepper.as_deref())?,
        json,
    };
    let mut runtime = match &arguments.command {
        Command::Serve(_) => tokio::runtime::Builder::new_multi_thread(),
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    runtime
        .enable_all()
        .build()
        .map_err(|_| Failure::expected("cannot start a thread"))?
        .block_on(on_store(&arguments.command, &config, io))
}

async fn on_store(command: &Command, config: &Config, io: &mut Io<'_>) -> Result<Exit, Failure> {
    match command {
        Command::Issue(issue) => issue::run(issue, config, io).await,
        Command::Verify(verify) => verify::run(verify, config, io).await,
        Command::List(list) => list::run(list, config, io).await,
        Command::Show(show) => show::run(show, config, io).await,
        Command::Explain(explain) => explain::run(explain, config, io).await,
        Command::Change(change) => change::run(change, config, io).await,
        Command::Revoke(revoke) => revoke::run(revoke, config, io).await,
        Command::Suspend(key) => suspend::suspend(key, config, io).await,
        Command::Resume(key) => suspend::resume(key, config, io).await,
        Command::Rotate(rotate) => rotate::run(rotate, config, io).await,
        Command::Plan(plan) => plan::run(plan, config, io).await,
        Command::Prune(prune) => prune::run(prune, config, io).await,
        Command::Events(events) => events::run(events, config, io).await,
        Command::Export(export) => export::run(export, config, io).await,
        Command::Import(import) => import::run(import, config, io).await,
        Command::Template(template) => template::run(template, config, io).await,
        Command::Serve(serve) => serve::run(serve, config, io).await,
        Command::Migrate(migrate) => migrate::run(migrate, config, io).await,
        Command::Backup(backup) => backup::run(backup, config, io).await,
        Command::Restore(restore) => restore::run(restore, config, io).await,
        Command::Inspect(_) | Command::Completion(_) | Command::Man(_) | Command::Demo => {
            Ok(Exit::Done)
        }
    }
}
