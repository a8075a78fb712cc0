//! A project of somebody else builds against what was installed: by pkg-config, by CMake,
//! with the shared library and with the archive, and beside another Rust library.

use std::fs;
use std::path::Path;

use super::{SYSTEM, install};
use crate::house::{Done, House, output, run};

const OUTSIDE: &str = "bindings/c/tests/outside";

/// Installs under a new prefix, then knows nothing but that prefix.
pub(crate) fn run_package(house: &House) -> Done {
    let place = house.target_path("capi/outside");
    if place.exists() {
        fs::remove_dir_all(&place).map_err(|error| format!("{}: {error}", place.display()))?;
    }
    let prefix = place.join("prefix");
    install(house, &prefix)?;
    by_pkg_config(house, &place, &prefix)?;
    by_cmake(house, &place, &prefix)?;
    beside_another(house, &place, &prefix)
}

fn by_pkg_config(house: &House, place: &Path, prefix: &Path) -> Done {
    for is_static in [false, true] {
        let mut asked = house.command("pkg-config");
        asked.env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig"));
        asked.args(["--cflags", "--libs"]);
        if is_static {
            asked.arg("--static");
        }
        let flags = output(asked.arg("keystile"))?;
        let program = place.join(if is_static { "by-archive" } else { "by-shared" });
        let mut compile = house.command("gcc");
        compile.arg("-std=c99").arg("-o").arg(&program);
        compile.arg(format!("{OUTSIDE}/main.c"));
        for flag in flags.split_whitespace() {
            // The linker takes the shared library where both are there.
            match flag {
                "-lkeystile" if is_static => compile.arg("-l:libkeystile.a"),
                flag => compile.arg(flag),
            };
        }
        run(&mut compile)?;
        let mut program = house.command(&program.display().to_string());
        if !is_static {
            program.env("LD_LIBRARY_PATH", prefix.join("lib"));
        }
        run(&mut program)?;
    }
    Ok(())
}

fn by_cmake(house: &House, place: &Path, prefix: &Path) -> Done {
    let build = place.join("cmake");
    run(house
        .command("cmake")
        .args(["-S", OUTSIDE, "-B"])
        .arg(&build)
        .arg(format!("-DCMAKE_PREFIX_PATH={}", prefix.display())))?;
    run(house.command("cmake").arg("--build").arg(&build))?;
    for program in ["shared", "static"] {
        run(&mut house.command(&build.join(program).display().to_string()))?;
    }
    Ok(())
}

fn beside_another(house: &House, place: &Path, prefix: &Path) -> Done {
    let neighbour = place.join("libneighbour.a");
    run(house
        .command("rustc")
        .args(["--edition", "2024", "--crate-type", "staticlib", "-O"])
        .arg(format!("{OUTSIDE}/neighbour.rs"))
        .arg("-o")
        .arg(&neighbour))?;
    let own = prefix.join("lib/libkeystile.a");
    for (name, first, second) in [
        ("beside-1", &own, &neighbour),
        ("beside-2", &neighbour, &own),
    ] {
        let program = place.join(name);
        run(house
            .command("gcc")
            .arg("-I")
            .arg(prefix.join("include"))
            .arg(format!("{OUTSIDE}/beside.c"))
            .args([first, second])
            .args(SYSTEM)
            .arg("-o")
            .arg(&program))?;
        run(&mut house.command(&program.display().to_string()))?;
    }
    Ok(())
}
