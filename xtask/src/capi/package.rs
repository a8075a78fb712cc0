//! A separate project builds with the installed library: by pkg-config, by CMake, with the
//! shared library and with the archive, and together with another Rust library.

use std::fs;
use std::path::Path;

use super::{SYSTEM, install};
use crate::workspace::{TaskResult, Workspace, output, run};

const OUTSIDE: &str = "bindings/c/tests/outside";

/// Installs under a new prefix, then uses only that prefix.
pub(crate) fn run_package(workspace: &Workspace) -> TaskResult {
    let folder = workspace.target_path("capi/outside");
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    let prefix = folder.join("prefix");
    install(workspace, &prefix)?;
    by_pkg_config(workspace, &folder, &prefix)?;
    by_cmake(workspace, &folder, &prefix)?;
    beside_another(workspace, &folder, &prefix)
}

fn by_pkg_config(workspace: &Workspace, folder: &Path, prefix: &Path) -> TaskResult {
    for is_static in [false, true] {
        let mut asked = workspace.command("pkg-config");
        asked.env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig"));
        asked.args(["--cflags", "--libs"]);
        if is_static {
            asked.arg("--static");
        }
        let flags = output(asked.arg("keystile"))?;
        let program = folder.join(if is_static { "by-archive" } else { "by-shared" });
        let mut compile = workspace.command("gcc");
        compile.arg("-std=c99").arg("-o").arg(&program);
        compile.arg(format!("{OUTSIDE}/main.c"));
        for flag in flags.split_whitespace() {
            // The linker prefers the shared library if both are there.
            match flag {
                "-lkeystile" if is_static => compile.arg("-l:libkeystile.a"),
                flag => compile.arg(flag),
            };
        }
        run(&mut compile)?;
        let mut program = workspace.command(&program.display().to_string());
        if !is_static {
            program.env("LD_LIBRARY_PATH", prefix.join("lib"));
        }
        run(&mut program)?;
    }
    Ok(())
}

fn by_cmake(workspace: &Workspace, folder: &Path, prefix: &Path) -> TaskResult {
    let build = folder.join("cmake");
    run(workspace
        .command("cmake")
        .args(["-S", OUTSIDE, "-B"])
        .arg(&build)
        .arg(format!("-DCMAKE_PREFIX_PATH={}", prefix.display())))?;
    run(workspace.command("cmake").arg("--build").arg(&build))?;
    for program in ["shared", "static"] {
        run(&mut workspace.command(&build.join(program).display().to_string()))?;
    }
    Ok(())
}

fn beside_another(workspace: &Workspace, folder: &Path, prefix: &Path) -> TaskResult {
    let neighbour = folder.join("libneighbour.a");
    run(workspace
        .command("rustc")
        .args(["--edition", "2024", "--crate-type", "staticlib", "-O"])
        .arg(format!("{OUTSIDE}/neighbour.rs"))
        .arg("-o")
        .arg(&neighbour))?;
    let keystile = prefix.join("lib/libkeystile.a");
    for (name, first, second) in [
        ("beside-1", &keystile, &neighbour),
        ("beside-2", &neighbour, &keystile),
    ] {
        let program = folder.join(name);
        run(workspace
            .command("gcc")
            .arg("-I")
            .arg(prefix.join("include"))
            .arg(format!("{OUTSIDE}/beside.c"))
            .args([first, second])
            .args(SYSTEM)
            .arg("-o")
            .arg(&program))?;
        run(&mut workspace.command(&program.display().to_string()))?;
    }
    Ok(())
}
