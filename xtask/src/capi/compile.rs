//! Cargo as it compiles what is shipped: the same source gives the same bytes in every folder.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use crate::workspace::{Workspace, output};

/// Separates flags in `CARGO_ENCODED_RUSTFLAGS`, which may contain spaces in this way.
const BETWEEN_FLAGS: &str = "\u{1f}";

/// `cargo` with flags that keep the folders of this machine out of what it compiles. Panics name
/// the file that they come from, and Cargo passes the full path of each file of a dependency.
/// `more` are further flags of the compiler.
///
/// # Errors
/// A sentence, if the compiler does not answer where its own files are.
pub(crate) fn cargo(workspace: &Workspace, more: &[&str]) -> Result<Command, String> {
    let mut command = workspace.command("cargo");
    command.env("CARGO_ENCODED_RUSTFLAGS", flags(workspace, more)?);
    Ok(command)
}

fn flags(workspace: &Workspace, more: &[&str]) -> Result<String, String> {
    let mut flags: Vec<String> = env::var("RUSTFLAGS")
        .unwrap_or_default()
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    let rustc = |words: &[&str]| output(workspace.command("rustc").args(words));
    let sysroot = rustc(&["--print", "sysroot"])?;
    let library = PathBuf::from(sysroot.trim()).join("lib/rustlib/src/rust");
    // What the compiler calls its own source if `rust-src` is not installed.
    let commit = rustc(&["--version", "--verbose"])?;
    let commit = commit
        .lines()
        .find_map(|line| line.strip_prefix("commit-hash: "))
        .unwrap_or("unknown");
    // The last mapping that matches is used, and Cargo's home may be inside the workspace.
    for (from, to) in [
        (workspace.path(""), "/keystile".to_owned()),
        (cargo_home(), "/cargo".to_owned()),
        (library, format!("/rustc/{commit}")),
    ] {
        let from = from.display().to_string();
        let from = from.trim_end_matches('/');
        flags.push(format!("--remap-path-prefix={from}={to}"));
    }
    flags.extend(more.iter().map(|flag| (*flag).to_owned()));
    Ok(flags.join(BETWEEN_FLAGS))
}

fn cargo_home() -> PathBuf {
    let beside_the_user = || env::home_dir().unwrap_or_default().join(".cargo");
    env::var_os("CARGO_HOME").map_or_else(beside_the_user, PathBuf::from)
}
