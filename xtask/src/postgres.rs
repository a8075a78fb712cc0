//! The tests on PostgreSQL, which start their own servers.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::tests_run::run_tests;
use crate::workspace::{TaskResult, Workspace};

const REQUIRED: &str = "KEYSTILE_REQUIRE_POSTGRES";
/// The programs that the tests start a server with.
const PROGRAMS: [&str; 3] = ["initdb", "postgres", "pg_isready"];
/// Where Debian installs them, outside the search path.
const DEBIAN: &str = "/usr/lib/postgresql";

/// Why the tests cannot start a server, or `None` if they can.
pub(crate) fn missing() -> Option<String> {
    let reason = "PostgreSQL's server is not installed; try `apt install postgresql`";
    programs().is_none().then(|| reason.to_owned())
}

/// The folder of the server's programs.
pub(crate) fn programs() -> Option<PathBuf> {
    let in_path = env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = env::split_paths(&in_path).collect();
    let versions = fs::read_dir(DEBIAN).into_iter().flatten().flatten();
    folders.extend(versions.map(|version| version.path().join("bin")));
    folders.into_iter().find(|folder| is_complete(folder))
}

fn is_complete(folder: &Path) -> bool {
    PROGRAMS.iter().all(|program| folder.join(program).exists())
}

/// The variable that makes a test fail and not skip without a server, if there is one.
pub(crate) fn required() -> Option<(&'static str, &'static str)> {
    missing().is_none().then_some((REQUIRED, "1"))
}

/// Runs the tests of the store and of the CLI; none of them may be skipped for lack of a
/// server. The packages and features are those of the step `tests`, so that nothing is built
/// again.
pub(crate) fn tests(workspace: &Workspace) -> TaskResult {
    let line = "test --workspace --all-features --test postgres --test program";
    let mut cargo = workspace.command("cargo");
    let cargo = cargo.args(line.split_whitespace());
    run_tests(cargo.env(REQUIRED, "1"))
}
