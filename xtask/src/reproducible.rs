//! Two builds of the library, in two folders and with two homes of Cargo, have the same bytes.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::archives::{names_no_folder, sha256};
use crate::capi;
use crate::workspace::{TaskResult, Workspace, output, run};

/// Builds here and in a copy of the source, and compares.
pub(crate) fn check(workspace: &Workspace) -> TaskResult {
    let folder = workspace.target_path("reproducible");
    match fs::remove_dir_all(&folder) {
        Err(error) if folder.exists() => return Err(format!("{}: {error}", folder.display())),
        _ => {}
    }
    // Its length differs too, which would move what comes after a path in a file.
    let copy = folder.join("a-copy-of-the-source-in-another-folder");
    copy_source(workspace, &copy)?;
    let home = folder.join("cargo-home");
    let failed = |error| format!("{}: {error}", home.display());
    fs::create_dir_all(&home).map_err(failed)?;
    // The same packages under another path, without a second download.
    symlink(cargo_home().join("registry"), home.join("registry")).map_err(failed)?;

    let [first, second] = [folder.join("first"), folder.join("second")];
    install(workspace, &first, None)?;
    install(workspace, &second, Some((&copy, &home)))?;
    let version = capi::version(workspace)?;
    for file in [
        format!("libkeystile.so.{version}"),
        "libkeystile.a".to_owned(),
    ] {
        let [one, other] = [
            first.join("lib").join(&file),
            second.join("lib").join(&file),
        ];
        let [one, other] = [sha256(&one)?, sha256(&other)?];
        println!("{file}: {one}");
        if one != other {
            return Err(format!("{file}: {one} here, and {other} in the copy"));
        }
    }
    for prefix in [&first, &second] {
        names_no_folder(workspace, &prefix.join("lib/libkeystile.a"))?;
        names_no_folder(
            workspace,
            &prefix.join("lib").join(format!("libkeystile.so.{version}")),
        )?;
    }
    Ok(())
}

/// Runs `cargo xtask install` for this workspace or for a copy, by this same program.
fn install(workspace: &Workspace, prefix: &Path, copy: Option<(&Path, &Path)>) -> TaskResult {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut install = workspace.command(&program.display().to_string());
    install.args(["install", "--prefix"]).arg(prefix);
    if let Some((folder, home)) = copy {
        install
            .current_dir(folder)
            .env("CARGO_MANIFEST_DIR", folder.join("xtask"))
            .env("CARGO_HOME", home)
            .env_remove("CARGO_TARGET_DIR");
    }
    run(&mut install)
}

/// Copies the files under version control and those that will be.
fn copy_source(workspace: &Workspace, to: &Path) -> TaskResult {
    let mut git = workspace.command("git");
    git.args(["ls-files", "--cached", "--others", "--exclude-standard"]);
    for file in output(&mut git)?.lines() {
        let from = workspace.path(file);
        let to = to.join(file);
        let folder = to.parent().unwrap_or(&to);
        let failed = |error| format!("{}: {error}", to.display());
        fs::create_dir_all(folder).map_err(failed)?;
        if from.is_file() {
            fs::copy(&from, &to).map_err(failed)?;
        }
    }
    Ok(())
}

fn cargo_home() -> std::path::PathBuf {
    std::env::var_os("CARGO_HOME").map_or_else(
        || std::env::home_dir().unwrap_or_default().join(".cargo"),
        Into::into,
    )
}
