//! Many threads on one keyring, under ThreadSanitizer.
//!
//! Valgrind's thread checkers know locks but no atomics, and would report each of them. The
//! sanitizer has to see all the code there is, so the standard library is built with it too.
//! These are unstable options of Cargo and of the compiler, which stable ones take as well
//! when they are told to.

use std::fs;
use std::path::Path;

use super::{SOURCES, SYSTEM};
use crate::house::{Done, House, output, run};

const TARGET: &str = "x86_64-unknown-linux-gnu";
const TURNS: &str = "50000";
/// The exit code by which the sanitizer says that it found a race.
const RACE: i32 = 66;

/// Runs the program, and its racy control, which has to be caught.
pub(crate) fn run_threads(house: &House) -> Done {
    let place = house.target_path("capi/threads");
    fs::create_dir_all(&place).map_err(|error| format!("{}: {error}", place.display()))?;
    run(house
        .command("cargo")
        .args(["build", "-Zbuild-std", "--package", "keystile-capi"])
        .arg("--release")
        .args(["--target", TARGET, "--target-dir"])
        .arg(&place)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", "-Zsanitizer=thread"))?;
    let runtimes = format!("{}/lib/rustlib/{TARGET}/lib", sysroot(house)?);
    let runtime = fs::read_dir(&runtimes)
        .map_err(|error| format!("{runtimes}: {error}"))?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.to_string_lossy().ends_with("_rt.tsan.a"))
        .ok_or("the compiler brings no runtime of ThreadSanitizer")?;
    let object = place.join("threads.o");
    let program = place.join("threads");
    // The C side is instrumented too, and all is linked with the one runtime of Rust.
    run(house
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
    run(house
        .command("gcc")
        .arg(&object)
        .arg(place.join(TARGET).join("release/libkeystile.a"))
        .arg("-Wl,--whole-archive")
        .arg(&runtime)
        .args(["-Wl,--no-whole-archive", "-rdynamic"])
        .args(SYSTEM)
        .args(["-lstdc++", "-o"])
        .arg(&program))?;
    // The sanitizer wants its memory where no randomised layout has put something else.
    let threads = || {
        let mut command = house.command("setarch");
        command.env("TSAN_OPTIONS", format!("suppressions={SOURCES}/tsan.supp"));
        command.arg("-R").arg(&program).arg(TURNS);
        command
    };
    run(&mut threads())?;
    match threads().arg("racy").output() {
        Ok(output) if output.status.code() == Some(RACE) => {
            println!("the racy control is caught");
            Ok(())
        }
        other => Err(format!("the racy control was not caught: {other:?}")),
    }
}

/// Why the standard library cannot be built, where its source is missing.
pub(crate) fn without_source(house: &House) -> Option<String> {
    let source = sysroot(house).map(|root| format!("{root}/lib/rustlib/src/rust/library"));
    let found = source.is_ok_and(|source| Path::new(&source).is_dir());
    (!found).then(|| {
        "the source of the standard library is not installed; try `rustup component add rust-src`"
            .to_owned()
    })
}

fn sysroot(house: &House) -> Result<String, String> {
    let sysroot = output(house.command("rustc").args(["--print", "sysroot"]))?;
    Ok(sysroot.trim().to_owned())
}
