//! Checks archives as their users get them: unpacked in a new folder, with only what is in them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::pack::check_sums;
use super::{TARGETS, Target, build, empty};
use crate::capi;
use crate::workspace::{TaskResult, Workspace, output, run};

/// Where Debian has the C library of arm64 for programs that qemu runs.
const ARM64_SYSTEM: &str = "/usr/aarch64-linux-gnu";
const OLDEST_GLIBC: [u32; 2] = [2, 17];

/// How the examples are compiled and run for a target.
struct Toolchain {
    target: &'static str,
    compiler: &'static [&'static str],
    runner: &'static [&'static str],
    /// How the library is linked.
    link: Link,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Link {
    Shared,
    /// The archive of keystile; the C library stays shared.
    Archive,
    /// Everything, into one file that needs nothing.
    All,
}

const QEMU: &[&str] = &["qemu-aarch64", "-L", ARM64_SYSTEM];
const ZIG_ARM64: &[&str] = &["python-zig", "cc", "-target", "aarch64-linux-gnu.2.17"];
const ZIG_OLD: &[&str] = &["python-zig", "cc", "-target", "x86_64-linux-gnu.2.17"];
const ZIG_ARM64_MUSL: &[&str] = &["python-zig", "cc", "-target", "aarch64-linux-musl"];

const fn with(
    target: &'static str,
    compiler: &'static [&'static str],
    runner: &'static [&'static str],
    link: Link,
) -> Toolchain {
    Toolchain {
        target,
        compiler,
        runner,
        link,
    }
}

const TOOLCHAINS: [Toolchain; 8] = [
    with("linux-x86_64-gnu", &["gcc"], &[], Link::Shared),
    with("linux-x86_64-gnu", &["gcc"], &[], Link::Archive),
    with("linux-x86_64-gnu", ZIG_OLD, &[], Link::Archive),
    with("linux-arm64-gnu", ZIG_ARM64, QEMU, Link::Shared),
    with("linux-arm64-gnu", ZIG_ARM64, QEMU, Link::Archive),
    with("linux-x86_64-musl", &["musl-gcc"], &[], Link::Shared),
    with("linux-x86_64-musl", &["musl-gcc"], &[], Link::All),
    with("linux-arm64-musl", ZIG_ARM64_MUSL, QEMU, Link::All),
];

/// Builds every archive for Linux, and runs the C examples with each.
pub(crate) fn check(workspace: &Workspace) -> TaskResult {
    let to = workspace.target_path("archives/out");
    empty(&to)?;
    let targets: Vec<&Target> = TARGETS
        .iter()
        .filter(|target| !target.binutils.is_mach)
        .collect();
    build(workspace, &to, &targets)?;
    check_sums(workspace, &to)?;
    let unpacked = workspace.target_path("archives/unpacked");
    empty(&unpacked)?;
    fs::create_dir_all(&unpacked).map_err(|error| format!("{}: {error}", unpacked.display()))?;
    let version = capi::version(workspace)?;
    for target in targets {
        let name = format!("keystile-{version}-{}", target.name);
        let mut tar = workspace.command("tar");
        tar.arg("-C").arg(&unpacked).arg("-xzf");
        run(tar.arg(to.join(format!("{name}.tar.gz"))))?;
        let root = unpacked.join(&name);
        names_no_folder(workspace, &root)?;
        if target.glibc.is_some() {
            needs_no_later_glibc(workspace, &root.join("lib/libkeystile.so"))?;
        }
        let toolchains = TOOLCHAINS.iter().filter(|one| one.target == target.name);
        for toolchain in toolchains {
            issues_and_verifies(workspace, &root, toolchain)?;
        }
    }
    Ok(())
}

/// Compiles `issue.c` and `verify.c` and lets the second one judge a key of the first one, and
/// then another key.
fn issues_and_verifies(workspace: &Workspace, root: &Path, toolchain: &Toolchain) -> TaskResult {
    let issue = compile(workspace, root, toolchain, "issue")?;
    let verify = compile(workspace, root, toolchain, "verify")?;
    let issued = output(&mut command(workspace, root, toolchain, &issue))?;
    let changed = issued.replacen("acme_1", "acme_2", 1);
    let input = root.join("issued.txt");
    for (presented, expected) in [(&issued, "ok"), (&changed, "invalid_key")] {
        let failed = |error| format!("{}: {error}", input.display());
        fs::write(&input, presented).map_err(failed)?;
        let lines = File::open(&input).map_err(failed)?;
        let mut judge = command(workspace, root, toolchain, &verify);
        let run = judge.stdin(lines).output();
        let run = run.map_err(|error| format!("{}: {error}", verify.display()))?;
        let decision = String::from_utf8_lossy(&run.stdout);
        println!("{}: {}", toolchain.target, decision.trim());
        if decision.trim() != expected {
            let errors = String::from_utf8_lossy(&run.stderr);
            return Err(format!(
                "{}: expected `{expected}`, got `{}` {errors}",
                verify.display(),
                decision.trim()
            ));
        }
    }
    Ok(())
}

fn compile(
    workspace: &Workspace,
    root: &Path,
    toolchain: &Toolchain,
    example: &str,
) -> Result<PathBuf, String> {
    let program = root.join(example);
    let mut asked = workspace.command("pkg-config");
    // Only this folder: another keystile may be installed.
    asked.env("PKG_CONFIG_LIBDIR", root.join("lib/pkgconfig"));
    let flags = output(asked.args(["--static", "--cflags", "--libs", "keystile"]))?;
    let mut words = toolchain.compiler.iter();
    let mut compile = workspace.command(words.next().unwrap_or(&"cc"));
    compile.args(words).arg("-o").arg(&program);
    compile.arg(format!("bindings/c/examples/{example}.c"));
    if toolchain.link == Link::All {
        compile.arg("-static");
    }
    for flag in flags.split_whitespace() {
        match flag {
            "-lkeystile" if toolchain.link != Link::Shared => {
                compile.arg(root.join("lib/libkeystile.a"))
            }
            flag => compile.arg(flag),
        };
    }
    let is_zig = toolchain.compiler.first() == Some(&"python-zig");
    // gcc and clang link an unwinder without being asked; archives for musl have one.
    if is_zig && toolchain.link == Link::Archive {
        compile.arg("-lunwind");
    }
    run(&mut compile)?;
    Ok(program)
}

fn command(workspace: &Workspace, root: &Path, toolchain: &Toolchain, program: &Path) -> Command {
    let mut words = toolchain.runner.iter();
    let folder = root.join("lib");
    match words.next() {
        Some(runner) => {
            let mut command = workspace.command(runner);
            command.args(words).arg("-E");
            command.arg(format!("LD_LIBRARY_PATH={}", folder.display()));
            command.arg(program);
            command
        }
        None => {
            let mut command = workspace.command(&program.display().to_string());
            command.env("LD_LIBRARY_PATH", folder);
            command
        }
    }
}

/// No file below this one names a folder of the machine that built it.
pub(crate) fn names_no_folder(workspace: &Workspace, root: &Path) -> TaskResult {
    let home = std::env::home_dir().unwrap_or_default();
    for folder in [workspace.path(""), home] {
        let folder = folder.display().to_string();
        let mut grep = workspace.command("grep");
        grep.args(["-rlF", folder.trim_end_matches('/')]).arg(root);
        let found = grep.output().map_err(|error| format!("grep: {error}"))?;
        let found = String::from_utf8_lossy(&found.stdout).into_owned();
        if !found.is_empty() {
            return Err(format!("files name the folder {folder}: {found}"));
        }
    }
    Ok(())
}

/// The shared library asks for no symbol of a glibc that is later than the oldest one.
fn needs_no_later_glibc(workspace: &Workspace, library: &Path) -> TaskResult {
    let listed = output(workspace.command("readelf").arg("-VW").arg(library))?;
    let needed = latest_glibc(&listed);
    println!("{} needs glibc {needed:?}", library.display());
    match needed <= OLDEST_GLIBC && needed != [0, 0] {
        true => Ok(()),
        false => Err(format!(
            "{}: needs glibc {needed:?}, expected at most {OLDEST_GLIBC:?}",
            library.display()
        )),
    }
}

/// The latest version among the `GLIBC_2.x` in the output of `readelf -V`.
fn latest_glibc(listed: &str) -> [u32; 2] {
    let version = |text: &str| {
        let mut parts = text.split('.').map(|part| {
            let digits = part.split(|c: char| !c.is_ascii_digit()).next();
            digits.unwrap_or_default().parse().unwrap_or(0)
        });
        [parts.next().unwrap_or(0), parts.next().unwrap_or(0)]
    };
    let after = listed.split("GLIBC_").skip(1).map(version);
    after.max().unwrap_or([0, 0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_glibc_is_by_number_and_not_by_letter() {
        let listed = "Name: GLIBC_2.2.5  Flags: none\n Name: GLIBC_2.17  Flags\n 2 (GLIBC_2.3)\n";
        assert_eq!(latest_glibc(listed), [2, 17]);
        assert_eq!(latest_glibc("nothing"), [0, 0]);
    }

    #[test]
    fn every_archive_for_linux_is_run() {
        for target in TARGETS.iter().filter(|target| !target.binutils.is_mach) {
            assert!(
                TOOLCHAINS.iter().any(|one| one.target == target.name),
                "{}",
                target.name
            );
        }
    }
}
