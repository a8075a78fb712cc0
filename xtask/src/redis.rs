//! The tests on Redis, which start their own servers.

use std::env;

use crate::tests_run::run_tests;
use crate::workspace::{TaskResult, Workspace};

const REQUIRED: &str = "KEYSTILE_REQUIRE_REDIS";
/// The programs that the tests start servers with, and their Debian packages.
const PROGRAMS: [(&str, &str); 2] = [
    ("redis-server", "redis-server"),
    ("redis-sentinel", "redis-sentinel"),
];

/// Why the tests cannot start a server, or `None` if they can.
pub(crate) fn missing() -> Option<String> {
    let in_path = env::var_os("PATH").unwrap_or_default();
    let is_there = |program: &str| env::split_paths(&in_path).any(|at| at.join(program).exists());
    let lacking = PROGRAMS.iter().find(|(program, _)| !is_there(program));
    lacking.map(|(program, package)| {
        format!("`{program}` is not installed; try `apt install {package}`")
    })
}

/// The variable that makes a test fail and not skip without a server, if there is one.
pub(crate) fn required() -> Option<(&'static str, &'static str)> {
    missing().is_none().then_some((REQUIRED, "1"))
}

/// Runs the tests of the crate for Redis; none of them may be skipped for lack of a server.
pub(crate) fn tests(workspace: &Workspace) -> TaskResult {
    run(workspace, "test --workspace --all-features --test redis")
}

/// Runs those that take longer: a cluster of three servers, and three sentinels.
pub(crate) fn clusters(workspace: &Workspace) -> TaskResult {
    run(
        workspace,
        "test --workspace --all-features --test redis -- --ignored --test-threads 1",
    )
}

fn run(workspace: &Workspace, line: &str) -> TaskResult {
    let mut cargo = workspace.command("cargo");
    let cargo = cargo.args(line.split_whitespace());
    run_tests(cargo.env(REQUIRED, "1"))
}
