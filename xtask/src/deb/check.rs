//! The packages are installed, used, removed and purged by dpkg, on a copy of this machine's
//! files that is thrown away.

use std::fs;
use std::path::PathBuf;

use super::build_with;
use crate::workspace::{TaskResult, Workspace, run, succeeds};

const SCRIPT: &str = "packaging/debian/tests/in-a-copy.sh";

/// Why a copy of the files cannot be made here, or `None` if it can.
fn missing(workspace: &Workspace) -> Option<String> {
    let mut copy = workspace.command("bash");
    let can = succeeds(copy.args([SCRIPT, "true"]));
    (!can).then(|| "this needs root, and the right to mount an overlay".to_owned())
}

/// Builds the packages, lets lintian read them, and installs them.
///
/// The program is the one for debugging, which other steps have built: an optimised one takes
/// many minutes, and this is about its package.
pub(crate) fn check(workspace: &Workspace) -> TaskResult {
    workspace.cargo("build --quiet --package keystile-cli")?;
    let to = workspace.target_path("deb/packages");
    if to.exists() {
        fs::remove_dir_all(&to).map_err(|error| format!("{}: {error}", to.display()))?;
    }
    let program = workspace.target_path("debug/keystile");
    let packages = build_with(workspace, &to, &program, "-Zgzip -z1")?;
    run(workspace
        .command("lintian")
        .args(["--fail-on", "error,warning", "--allow-root"])
        // What these packages are not: an upload to Debian.
        .args(["--suppress-tags", "initial-upload-closes-no-bugs"])
        .args(&packages))?;
    if let Some(why) = missing(workspace) {
        println!("the packages were built and read by lintian, but not installed: {why}");
        return Ok(());
    }
    let checks = workspace.path("packaging/debian/tests/installed.sh");
    let mut copy = workspace.command("bash");
    copy.args([SCRIPT, "bash"]).arg(checks);
    copy.arg(workspace.path("")).args(absolute(&packages)?);
    run(&mut copy)
}

fn absolute(files: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let absolute = |file: &PathBuf| {
        file.canonicalize()
            .map_err(|error| format!("{}: {error}", file.display()))
    };
    files.iter().map(absolute).collect()
}
