//! `cargo xtask test`: one command that runs every check of the project.
#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "telling a person what happens is what this program is for"
)]

mod args;
mod capi;
mod dependencies;
mod fuzz;
mod golang;
mod house;
mod no_std;
mod postgres;
mod ratios;
mod report;
mod serve;
mod steps;

use std::process::ExitCode;
use std::time::Instant;

use args::{Args, Task};
use house::House;
use report::{Outcome, Report};
use steps::{STEPS, Step};

const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let names: Vec<&str> = STEPS.iter().map(|step| step.name).collect();
    match args::parse(std::env::args().skip(1), &names) {
        Ok(Task::Help) => {
            print!("{}", help());
            ExitCode::SUCCESS
        }
        Ok(Task::Test(args)) => test(&args),
        Ok(Task::Header) => {
            let house = House::here();
            chore(capi::header(&house).and_then(|()| golang::copy_sources(&house)))
        }
        Ok(Task::Install(prefix)) => chore(capi::install(&House::here(), &prefix)),
        Ok(Task::BenchCapi) => chore(capi::bench(&House::here())),
        Ok(Task::Ratios { quick }) => chore(ratios::run(&House::here(), quick)),
        Ok(Task::GoLib) => chore(golang::library(&House::here())),
        Ok(Task::GoDist(to, archives)) => chore(golang::dist(&House::here(), &to, &archives)),
        Ok(Task::BenchGo) => chore(golang::bench(&House::here())),
        Ok(Task::AbiBaseline) => chore(capi::baseline(&House::here())),
        Err(message) => {
            eprintln!("error: {message}\n\n{}", args::USAGE);
            ExitCode::from(EXIT_USAGE)
        }
    }
}

fn chore(done: house::Done) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("error: {reason}");
            ExitCode::FAILURE
        }
    }
}

/// A failed step does not end the run: one run tells everything that is wrong.
fn test(args: &Args) -> ExitCode {
    let house = House::here();
    let mut report = Report::default();
    for step in STEPS.iter().filter(|step| args.selects(step.name)) {
        println!("\n== {}: {}", step.name, step.about);
        let start = Instant::now();
        let outcome = run(step, &house);
        println!(
            "== {} {outcome} ({:.1} s)",
            step.name,
            start.elapsed().as_secs_f64()
        );
        report.add(step.name, outcome);
    }
    print!("\n{}", report.closing(args.require_all));
    if report.is_good(args.require_all) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn run(step: &Step, house: &House) -> Outcome {
    if let Some(reason) = step.needs.iter().find_map(|need| need.missing(house)) {
        return Outcome::Skipped(reason);
    }
    match (step.run)(house) {
        Ok(()) => Outcome::Passed,
        Err(reason) => Outcome::Failed(reason),
    }
}

fn help() -> String {
    let mut text = format!("{}\n\nsteps:\n", args::USAGE);
    for step in STEPS {
        text.push_str(&format!("  {:<18}{}\n", step.name, step.about));
    }
    text
}
