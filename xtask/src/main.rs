//! `cargo xtask test`: one command that runs every check of the project.
#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this program reports to the person who runs it"
)]

mod archives;
mod args;
mod book;
mod capi;
mod deb;
mod dependencies;
mod fuzz;
mod golang;
mod msrv;
mod need;
mod no_std;
mod notices;
mod openapi_client;
mod packaging;
mod postgres;
mod publish;
mod ratios;
mod redis;
mod report;
mod reproducible;
mod sbom;
mod serve;
mod shipped;
mod steps;
mod tests_run;
mod together;
mod workspace;

use std::process::ExitCode;
use std::time::Instant;

use args::{Args, Task};
use report::{Outcome, Report};
use steps::{STEPS, Step};
use workspace::Workspace;

const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let names: Vec<&str> = every_step().map(|step| step.name).collect();
    match args::parse(std::env::args().skip(1), &names) {
        Ok(Task::Help) => {
            print!("{}", help());
            ExitCode::SUCCESS
        }
        Ok(Task::Test(args)) => test(&args),
        Ok(Task::Header) => {
            let workspace = Workspace::here();
            let written = capi::header(&workspace)
                .and_then(|()| golang::copy_sources(&workspace))
                .and_then(|()| publish::copy_sources(&workspace));
            finish(written)
        }
        Ok(Task::Install(places)) => finish(capi::install(&Workspace::here(), &places)),
        Ok(Task::Deb(to)) => finish(deb::build(&Workspace::here(), &to)),
        Ok(Task::Archives(to, targets)) => {
            finish(archives::build(&Workspace::here(), &to, &targets))
        }
        Ok(Task::BenchCapi) => finish(capi::bench(&Workspace::here())),
        Ok(Task::Ratios { quick }) => finish(ratios::run(&Workspace::here(), quick)),
        Ok(Task::GoLib) => finish(golang::library(&Workspace::here())),
        Ok(Task::GoDist(to, archives)) => finish(golang::dist(&Workspace::here(), &to, &archives)),
        Ok(Task::BenchGo) => finish(golang::bench(&Workspace::here())),
        Ok(Task::AbiBaseline) => finish(capi::baseline(&Workspace::here())),
        Err(message) => {
            eprintln!("error: {message}\n\n{}", args::USAGE);
            ExitCode::from(EXIT_USAGE)
        }
    }
}

fn finish(result: workspace::TaskResult) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("error: {reason}");
            ExitCode::FAILURE
        }
    }
}

/// A failed step does not end the run, so that one run reports everything that is wrong.
fn test(args: &Args) -> ExitCode {
    let workspace = Workspace::here();
    let mut report = Report::default();
    let usual = STEPS.iter().chain(packaging::STEPS);
    let named = packaging::NAMED
        .iter()
        .filter(|step| args.only.iter().any(|name| name == step.name));
    for step in usual.filter(|step| args.selects(step.name)).chain(named) {
        println!("\n== {}: {}", step.name, step.about);
        let start = Instant::now();
        let outcome = run(step, &workspace, &report);
        let took = start.elapsed();
        println!("== {} {outcome} ({:.1} s)", step.name, took.as_secs_f64());
        report.add(step.name, outcome, took);
    }
    print!("\n{}", report.closing(args.require_all));
    if report.is_good(args.require_all) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// The steps of an ordinary run, then those that run only if they are named.
fn every_step() -> impl Iterator<Item = &'static Step> {
    STEPS.iter().chain(packaging::STEPS).chain(packaging::NAMED)
}

fn run(step: &Step, workspace: &Workspace, report: &Report) -> Outcome {
    if let Some(reason) = step.needs.iter().find_map(|need| need.missing(workspace)) {
        return Outcome::Skipped(reason);
    }
    if let Some(whole) = step.included_in.filter(|name| report.has_passed(name)) {
        println!("the step {whole} has run these tests and skipped none of them");
        return Outcome::Passed;
    }
    match (step.run)(workspace) {
        Ok(()) => Outcome::Passed,
        Err(reason) => Outcome::Failed(reason),
    }
}

fn help() -> String {
    let mut text = format!("{}\n\nsteps:\n", args::USAGE);
    for step in every_step() {
        text.push_str(&format!("  {:<18}{}\n", step.name, step.about));
    }
    text
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    const PART: Step = Step {
        name: "part",
        about: "",
        needs: &[],
        included_in: Some("whole"),
        run: |_| Err("it ran".to_owned()),
    };

    #[test]
    fn a_part_runs_unless_the_whole_has_passed() {
        let workspace = Workspace::here();
        let after = |whole: Option<Outcome>| {
            let mut report = Report::default();
            if let Some(outcome) = whole {
                report.add("whole", outcome, Duration::ZERO);
            }
            run(&PART, &workspace, &report)
        };
        let ran = Outcome::Failed("it ran".to_owned());
        assert_eq!(after(Some(Outcome::Passed)), Outcome::Passed);
        assert_eq!(after(None), ran);
        assert_eq!(after(Some(Outcome::Failed("1".to_owned()))), ran);
        assert_eq!(after(Some(Outcome::Skipped("1".to_owned()))), ran);
    }
}
