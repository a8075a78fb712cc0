//! A separate project builds with the installed library: by pkg-config, by CMake, with the
//! shared library and with the archive, and together with another Rust library; also from a
//! staging folder, as packagers install.

use std::fs;
use std::path::Path;

use super::places::Places;
use super::{DOCUMENTS, SYSTEM, install};
use crate::workspace::{TaskResult, Workspace, output, run, succeeds};

const OUTSIDE: &str = "bindings/c/tests/outside";

/// Installs under a new prefix, then uses only that prefix.
pub(crate) fn run_package(workspace: &Workspace) -> TaskResult {
    let folder = workspace.target_path("capi/outside");
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    let prefix = folder.join("prefix");
    let places = Places::new(&prefix, None, None)?;
    install(workspace, &places)?;
    for file in ["LICENSE-MIT", "LICENSE-APACHE", "THIRD-PARTY-NOTICES"] {
        is_there(&places.to(DOCUMENTS).join(file))?;
    }
    by_pkg_config(workspace, &folder, &prefix)?;
    by_cmake(workspace, &folder, &prefix)?;
    by_version(workspace, &folder, &prefix)?;
    staged(workspace, &folder)?;
    beside_another(workspace, &folder, &prefix)
}

fn is_there(file: &Path) -> TaskResult {
    match file.exists() {
        true => Ok(()),
        false => Err(format!("{} was not installed", file.display())),
    }
}

/// The lines of the README, as they are there: with the shared library, with the archive beside
/// it, and as one file.
fn by_pkg_config(workspace: &Workspace, folder: &Path, prefix: &Path) -> TaskResult {
    let readme = workspace.path("bindings/c/README.md");
    let readme =
        fs::read_to_string(&readme).map_err(|error| format!("{}: {error}", readme.display()))?;
    let lines = compiler_lines(&readme);
    let [shared, archive, one_file] = lines.as_slice() else {
        return Err(format!(
            "expected three lines that begin with `cc app.c`: {lines:?}"
        ));
    };
    let source = workspace.path(OUTSIDE).join("main.c");
    fs::copy(&source, folder.join("app.c"))
        .map_err(|error| format!("{}: {error}", source.display()))?;
    let found = prefix.join("lib");
    for (line, is_shared) in [(shared, true), (archive, false), (one_file, false)] {
        let mut compiler = workspace.command("sh");
        compiler
            .current_dir(folder)
            .args(["-e", "-c", line])
            .env("PKG_CONFIG_PATH", found.join("pkgconfig"));
        run(&mut compiler)?;
        let mut program = workspace.command(&folder.join("app").display().to_string());
        if is_shared {
            program.env("LD_LIBRARY_PATH", &found);
        }
        run(&mut program)?;
    }
    Ok(())
}

/// The lines of a page that compile a program.
fn compiler_lines(page: &str) -> Vec<&str> {
    let quoted = page.split('`').filter(|text| text.starts_with("cc "));
    quoted.filter(|text| text.contains(" app.c ")).collect()
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

/// CMake finds the versions that are compatible with this one, and no other.
fn by_version(workspace: &Workspace, folder: &Path, prefix: &Path) -> TaskResult {
    for (version, is_found) in [
        ("0.1", true),
        ("0.1.0", true),
        ("0.1.0 EXACT", true),
        ("0", true),
        ("0.1...<0.3", true),
        ("0.2", false),
        ("0.1.99", false),
        ("0.0.1", false),
        ("1.0", false),
        ("0.2...<0.3", false),
    ] {
        let project = folder.join("version");
        fs::create_dir_all(&project).map_err(|error| format!("{}: {error}", project.display()))?;
        let text = format!(
            "cmake_minimum_required(VERSION 3.19)\nproject(version C)\n\
             find_package(keystile {version} REQUIRED)\n"
        );
        fs::write(project.join("CMakeLists.txt"), text)
            .map_err(|error| format!("{}: {error}", project.display()))?;
        let found = succeeds(
            workspace
                .command("cmake")
                .arg("-S")
                .arg(&project)
                .arg("-B")
                .arg(project.join("build"))
                .arg(format!("-DCMAKE_PREFIX_PATH={}", prefix.display())),
        );
        println!("find_package(keystile {version}): {found}");
        if found != is_found {
            return Err(format!(
                "find_package(keystile {version}) found it: {found}; expected {is_found}"
            ));
        }
    }
    Ok(())
}

/// Installs for /usr into a staging folder, with Debian's folder of libraries, and builds there.
fn staged(workspace: &Workspace, folder: &Path) -> TaskResult {
    let staging = folder.join("staging");
    let multiarch = output(workspace.command("gcc").arg("-print-multiarch"))?;
    let libdir = format!("lib/{}", multiarch.trim());
    let places = Places::new("/usr".as_ref(), Some(libdir.as_ref()), Some(&staging))?;
    install(workspace, &places)?;
    let described = places.to_library("pkgconfig/keystile.pc");
    let text = fs::read_to_string(&described).map_err(|error| error.to_string())?;
    if !text.starts_with("prefix=/usr\n") || text.contains("staging") {
        return Err(format!(
            "{}: expected the final prefix, got {text}",
            described.display()
        ));
    }
    let mut asked = workspace.command("pkg-config");
    asked
        .env("PKG_CONFIG_LIBDIR", places.to_library("pkgconfig"))
        .env("PKG_CONFIG_SYSROOT_DIR", &staging)
        // Folders of the system are usually left out.
        .env("PKG_CONFIG_ALLOW_SYSTEM_LIBS", "1")
        .env("PKG_CONFIG_ALLOW_SYSTEM_CFLAGS", "1");
    let flags = output(asked.args(["--cflags", "--libs", "keystile"]))?;
    let program = folder.join("by-staged");
    run(workspace
        .command("gcc")
        .arg("-o")
        .arg(&program)
        .arg(format!("{OUTSIDE}/main.c"))
        .args(flags.split_whitespace()))?;
    run(workspace
        .command(&program.display().to_string())
        .env("LD_LIBRARY_PATH", places.to_library("")))?;
    by_cmake(workspace, &folder.join("staged"), &places.to(""))
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
