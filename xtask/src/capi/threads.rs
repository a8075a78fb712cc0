//! Many threads on one keyring, under ThreadSanitizer.
//!
//! Valgrind's thread checkers know locks but not atomics, and would report each of them. The
//! sanitizer must instrument all code, so the standard library is built with it too. Both are
//! unstable options of Cargo and of the compiler, which stable ones accept as well with
//! `RUSTC_BOOTSTRAP`.

use std::fs;
use std::path::Path;

use super::{SOURCES, SYSTEM};
use crate::workspace::{TaskResult, Workspace, output, run};

const TARGET: &str = "x86_64-unknown-linux-gnu";
const TURNS: &str = "50000";
/// The sanitizer's exit code when it found a race.
const RACE: i32 = 66;

/// Runs the program, and its racy control, which must be reported.
pub(crate) fn run_threads(workspace: &Workspace) -> TaskResult {
    let folder = workspace.target_path("capi/threads");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    run(workspace
        .command("cargo")
        .args(["build", "-Zbuild-std", "--package", "keystile-capi"])
        .arg("--release")
        .args(["--target", TARGET, "--target-dir"])
        .arg(&folder)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", "-Zsanitizer=thread"))?;
    let runtimes = format!("{}/lib/rustlib/{TARGET}/lib", sysroot(workspace)?);
    let runtime = fs::read_dir(&runtimes)
        .map_err(|error| format!("{runtimes}: {error}"))?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.to_string_lossy().ends_with("_rt.tsan.a"))
        .ok_or("expected the compiler to have ThreadSanitizer's runtime, *_rt.tsan.a")?;
    let object = folder.join("threads.o");
    let program = folder.join("threads");
    // The C side is instrumented too, and all is linked with the one runtime of Rust.
    run(workspace
        .command("gcc")
        .args([
            "-std=gnu99",
            "-g",
            "-fsanitize=thread",
            "-I",
            "include",
            "-c",
        ])
        .arg(format!("{SOURCES}/threads.c"))
        .arg("-o")
        .arg(&object))?;
    run(workspace
        .command("gcc")
        .arg(&object)
        .arg(folder.join(TARGET).join("release/libkeystile.a"))
        .arg("-Wl,--whole-archive")
        .arg(&runtime)
        .args(["-Wl,--no-whole-archive", "-rdynamic"])
        .args(SYSTEM)
        .args(["-lstdc++", "-o"])
        .arg(&program))?;
    // The sanitizer needs fixed address ranges, which a randomised layout may have taken.
    let threads = || {
        let mut command = workspace.command("setarch");
        command.env("TSAN_OPTIONS", format!("suppressions={SOURCES}/tsan.supp"));
        command.arg("-R").arg(&program).arg(TURNS);
        command
    };
    run(&mut threads())?;
    match threads().arg("racy").output() {
        Ok(output) if output.status.code() == Some(RACE) => {
            println!("the sanitizer reports the racy control, as it should");
            Ok(())
        }
        other => Err(format!(
            "expected ThreadSanitizer to report the racy control, which it did not: {other:?}"
        )),
    }
}

/// Why the standard library cannot be built, or `None` if its source is there.
pub(crate) fn missing_source(workspace: &Workspace) -> Option<String> {
    let source = sysroot(workspace).map(|root| format!("{root}/lib/rustlib/src/rust/library"));
    let found = source.is_ok_and(|source| Path::new(&source).is_dir());
    (!found).then(|| {
        "the source of the standard library is not installed; try `rustup component add rust-src`"
            .to_owned()
    })
}

fn sysroot(workspace: &Workspace) -> Result<String, String> {
    let sysroot = output(workspace.command("rustc").args(["--print", "sysroot"]))?;
    Ok(sysroot.trim().to_owned())
}
