//! One database file, used in turn by the program `keystile` and by services in C, Go and Rust.

mod programs;

use core::time::Duration;
use std::fs;
use std::thread::sleep;
use std::time::Instant;

use super::library::Library;
use super::{Bench, examples};
use crate::golang;
use crate::serve::Serving;
use crate::workspace::{TaskResult, Workspace, output, run as run_command};
use programs::{Answer, Program, Programs};

/// A change is in force elsewhere within about a second, which is printed and not checked, since
/// a machine under load takes longer; the task fails after this.
const CAP: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(40);

/// Runs the programs.
pub(crate) fn run(workspace: &Workspace) -> TaskResult {
    workspace.cargo("build --quiet --package keystile-cli")?;
    let bench = Bench::new(workspace, Library::release(workspace)?)?;
    let c = examples::service(&bench)?;
    golang::link(workspace)?;
    let go = bench.folder.join("go-service");
    let mut build = workspace.command("go");
    build.current_dir(workspace.path("bindings/go"));
    run_command(
        build
            .args(["build", "-o"])
            .arg(&go)
            .arg("./examples/service"),
    )?;
    let folder = bench.folder.join("one-database");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let keystile = workspace.target_path("debug/keystile");
    let keystile =
        fs::canonicalize(&keystile).map_err(|error| format!("{}: {error}", keystile.display()))?;
    let programs = Programs {
        folder,
        keystile,
        c: c.into(),
        go,
    };
    first_use(&programs)?;
    together(&programs)
}

/// A file that the service in C has made is read by the program, and the other way round.
fn first_use(programs: &Programs) -> TaskResult {
    for (first, second) in [(Program::C, Program::Cli), (Program::Cli, Program::C)] {
        let name = programs.folder.join("keys.db");
        let key = programs.issue(first, None)?;
        let listed = output(&mut programs.cli(&["list"]))?;
        if !listed.contains("Acme") {
            return Err(format!(
                "expected the key that {first:?} has issued in: {listed}"
            ));
        }
        programs.issue(second, None)?;
        let answer = programs.ask(Program::Cli, None, &key)?;
        programs::expect(first, &answer, &Answer::allowed(100))?;
        fs::remove_dir_all(&programs.folder)
            .map_err(|error| format!("{}: {error}", name.display()))?;
        fs::create_dir_all(&programs.folder)
            .map_err(|error| format!("{}: {error}", name.display()))?;
    }
    Ok(())
}

/// Each program issues, changes and revokes while the others have the key in memory.
fn together(programs: &Programs) -> TaskResult {
    // The service in C makes the file.
    programs.issue(Program::C, None)?;
    let c = programs.start_c()?;
    let go = programs.start_go()?;
    let rust = Serving::start_with(&programs.keystile, &programs.folder, &["--prefix", "acme"])?;
    let urls = programs::Urls {
        c: c.url.clone(),
        go: go.url.clone(),
        rust: rust.url.clone(),
        admin: rust.key.clone(),
    };
    let mut keys = Vec::new();
    for program in Program::ALL {
        let key = programs.issue(program, Some(&urls))?;
        for other in Program::ALL {
            // An absence would be cached, and nothing has asked for this key before.
            let answer = programs.ask(other, Some(&urls), &key)?;
            programs::expect(other, &answer, &Answer::allowed(100))?;
        }
        println!("a key of {program:?} is taken by all");
        keys.push(key);
    }
    let mut longest = Duration::ZERO;
    // Of a key that another one has issued.
    for (program, key) in Program::ALL.into_iter().zip(keys.iter().cycle().skip(1)) {
        programs.change(program, &urls, key)?;
        longest = longest.max(crosses(
            programs,
            program,
            &urls,
            key,
            "changed",
            &Answer::changed(),
        )?);
        programs.revoke(program, &urls, key)?;
        longest = longest.max(crosses(
            programs,
            program,
            &urls,
            key,
            "revoked",
            &Answer::revoked(),
        )?);
    }
    println!("the longest time from a change to an answer of another program: {longest:?}");
    c.stop()?;
    go.stop()?;
    rust.stop()
}

/// Asks all programs until each has answered as expected; returns how long that took.
fn crosses(
    programs: &Programs,
    by: Program,
    urls: &programs::Urls,
    key: &str,
    what: &str,
    expected: &Answer,
) -> Result<Duration, String> {
    let begun = Instant::now();
    let mut waiting = Program::ALL.to_vec();
    loop {
        let mut left = Vec::new();
        for program in waiting {
            let answer = programs.ask(program, Some(urls), key)?;
            if answer == *expected {
                println!(
                    "{what} by {by:?}, in force in {program:?} after {:?}",
                    begun.elapsed()
                );
            } else if begun.elapsed() > CAP {
                return Err(format!(
                    "{what} by {by:?}: {program:?} answers {answer:?} after {CAP:?}, expected {expected:?}"
                ));
            } else {
                left.push(program);
            }
        }
        if left.is_empty() {
            return Ok(begun.elapsed());
        }
        waiting = left;
        sleep(PAUSE);
    }
}
