//! The store for SQLite in C: one program tests its rules, under the sanitizers and valgrind too.

use std::path::Path;
use std::process::Command;

use super::library::Library;
use super::{Bench, memcheck};
use crate::workspace::{TaskResult, Workspace, run};

const ADDRESS: [&str; 3] = [
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
    "-fno-omit-frame-pointer",
];
const SOURCES: [&str; 5] = [
    "sqlite_store.c",
    "sqlite_store_support.c",
    "sqlite_store_rows.c",
    "sqlite_store_waits.c",
    "sqlite_store_memory.c",
];
/// The library itself is tested with all of its code instrumented; here only the store is.
const THREADS: [&str; 1] = ["-fsanitize=thread"];
/// Without what takes minutes where each instruction is watched.
const QUICK: [&str; 1] = ["quick"];

/// Runs the program as it is, under each sanitizer, and under valgrind.
pub(crate) fn store(workspace: &Workspace) -> TaskResult {
    let bench = Bench::new(workspace, Library::release(workspace)?)?;
    let plain = compile(&bench, "clang", "store", &[])?;
    run_on_a_new_file(&mut workspace.command(&plain), &[])?;
    let gcc = compile(&bench, "gcc", "store", &[])?;
    run_on_a_new_file(memcheck(workspace).arg(&gcc), &QUICK)?;
    let address = compile(&bench, "gcc", "store-asan", &ADDRESS)?;
    run_on_a_new_file(&mut workspace.command(&address), &[])?;
    let threads = compile(&bench, "gcc", "store-tsan", &THREADS)?;
    // The sanitizer needs fixed address ranges, which a randomised layout may have taken.
    let mut fixed = workspace.command("setarch");
    run_on_a_new_file(fixed.arg("-R").arg(&threads), &QUICK)
}

fn compile(
    bench: &Bench<'_>,
    compiler: &str,
    name: &str,
    flags: &[&str],
) -> Result<String, String> {
    let store = bench.store()?;
    let mut sources = SOURCES.to_vec();
    sources.extend(store.iter().map(String::as_str));
    let mut all = vec!["-Wconversion", "-Wshadow", "-lsqlite3"];
    all.extend(flags);
    bench.compile(compiler, "c99", name, &sources, &all)
}

/// In memory, if that is a folder: each write is synchronised, which takes most of the time.
fn run_on_a_new_file(command: &mut Command, options: &[&str]) -> TaskResult {
    let shared = Path::new("/dev/shm");
    let folder = if shared.is_dir() {
        tempfile::tempdir_in(shared)
    } else {
        tempfile::tempdir()
    };
    let folder = folder.map_err(|error| format!("a folder: {error}"))?;
    run(command.arg(folder.path()).args(options))
}
