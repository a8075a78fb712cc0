//! The store on PostgreSQL: its tests start a server of their own.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::house::{Done, House, run};

/// What the tests start a server with.
const PROGRAMS: [&str; 3] = ["initdb", "postgres", "pg_isready"];
/// Where Debian puts them, which is in no search path.
const DEBIAN: &str = "/usr/lib/postgresql";

/// Why the tests could start no server, or nothing where they can.
pub(crate) fn missing() -> Option<String> {
    let in_path = env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = env::split_paths(&in_path).collect();
    let versions = fs::read_dir(DEBIAN).into_iter().flatten().flatten();
    folders.extend(versions.map(|version| version.path().join("bin")));
    let reason = "PostgreSQL's server is not installed; try `apt install postgresql`";
    (!folders.iter().any(|folder| is_complete(folder))).then(|| reason.to_owned())
}

fn is_complete(folder: &Path) -> bool {
    PROGRAMS.iter().all(|program| folder.join(program).exists())
}

/// The tests of the store and of the program, none of which may be skipped for want of a
/// server. The selection is that of all tests, so that nothing is built anew.
pub(crate) fn tests(house: &House) -> Done {
    let line = "test --workspace --all-features --test postgres --test program";
    let mut cargo = house.command("cargo");
    let cargo = cargo.args(line.split_whitespace());
    run(cargo.env("KEYSTILE_REQUIRE_POSTGRES", "1"))
}
