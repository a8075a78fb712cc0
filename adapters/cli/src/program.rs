//! From arguments to an exit code.

use std::ffi::OsString;

use clap::Parser;

use crate::arguments::{Arguments, Command};
use crate::failure::{Exit, FAILED, Failure};
use crate::setting::Setting;
use crate::surroundings::Surroundings;
use crate::{
    arg_errors, demo, events, inspect, issue, list, pepper, plan, revoke, rotate, serve, show,
    suspend, template, verify,
};

/// Runs one command. A failure is reported in one line on standard error.
pub(crate) fn run(arguments: Vec<OsString>, surroundings: &mut Surroundings<'_>) -> u8 {
    let done = match Arguments::try_parse_from(&arguments) {
        Ok(parsed) => carry_out(&parsed, surroundings),
        Err(error) => arg_errors::report(&error, &arguments, surroundings),
    };
    let flushed = surroundings.output.flush().map_err(Failure::from);
    match done.and_then(|exit| flushed.map(|()| exit)) {
        Ok(exit) => exit.code(),
        Err(Failure::ReaderGone) => FAILED,
        Err(failure) => {
            surroundings.remark(&format!("keystile: {failure}"));
            FAILED
        }
    }
}

fn carry_out(arguments: &Arguments, surroundings: &mut Surroundings<'_>) -> Result<Exit, Failure> {
    let json = arguments.common.json;
    // These need no store.
    match &arguments.command {
        Command::Demo => return demo::run(run, json, surroundings),
        Command::Inspect(inspect) => return inspect::run(inspect, json, surroundings),
        Command::Template(template) => return template::run(template, json, surroundings),
        _ => {}
    }
    let setting = Setting {
        store: arguments.common.store.clone(),
        peppers: pepper::ring(surroundings.pepper.as_deref())?,
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
        .block_on(on_store(&arguments.command, &setting, surroundings))
}

async fn on_store(
    command: &Command,
    setting: &Setting,
    surroundings: &mut Surroundings<'_>,
) -> Result<Exit, Failure> {
    match command {
        Command::Issue(issue) => issue::run(issue, setting, surroundings).await,
        Command::Verify(verify) => verify::run(verify, setting, surroundings).await,
        Command::List(list) => list::run(list, setting, surroundings).await,
        Command::Show(show) => show::run(show, setting, surroundings).await,
        Command::Revoke(revoke) => revoke::run(revoke, setting, surroundings).await,
        Command::Suspend(key) => suspend::suspend(key, setting, surroundings).await,
        Command::Resume(key) => suspend::resume(key, setting, surroundings).await,
        Command::Rotate(rotate) => rotate::run(rotate, setting, surroundings).await,
        Command::Plan(plan) => plan::run(plan, setting, surroundings).await,
        Command::Events(events) => events::run(events, setting, surroundings).await,
        Command::Serve(serve) => serve::run(serve, setting, surroundings).await,
        Command::Template(_) | Command::Inspect(_) | Command::Demo => Ok(Exit::Done),
    }
}
