//! The C examples with musl: the archive alone, so that no linker for musl is needed.

use std::fs::{self, File};

use super::TARGETS;
use crate::capi::Library;
use crate::workspace::{TaskResult, Workspace, output, run};

/// Builds the archive, links the examples into one file each, and runs them.
pub(crate) fn check_musl(workspace: &Workspace) -> TaskResult {
    let target = TARGETS
        .iter()
        .find(|target| target.name == "linux-x86_64-musl")
        .ok_or("expected a target for musl")?;
    let archive = Library::archive_for_musl(workspace, target)?;
    let folder = workspace.target_path("capi/musl");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for example in ["issue", "verify"] {
        run(workspace
            .command("musl-gcc")
            .args(["-std=c99", "-static", "-Iinclude", "-o"])
            .arg(folder.join(example))
            .arg(format!("bindings/c/examples/{example}.c"))
            .arg(&archive))?;
        // Neither glibc nor a loader: the file runs on any Linux.
        let listed = output(
            workspace
                .command("readelf")
                .arg("-lW")
                .arg(folder.join(example)),
        )?;
        if listed.contains("INTERP") {
            return Err(format!("{example}: expected a program without a loader"));
        }
    }
    let command = |name: &str| workspace.command(&folder.join(name).display().to_string());
    let issued = output(&mut command("issue"))?;
    let input = folder.join("issued.txt");
    for (presented, expected) in [
        (issued.clone(), "ok"),
        (issued.replacen("acme_1", "acme_2", 1), "invalid_key"),
    ] {
        let failed = |error| format!("{}: {error}", input.display());
        fs::write(&input, presented).map_err(failed)?;
        let lines = File::open(&input).map_err(failed)?;
        let run = command("verify").stdin(lines).output().map_err(failed)?;
        let decision = String::from_utf8_lossy(&run.stdout);
        println!("verify: {}", decision.trim());
        if decision.trim() != expected {
            return Err(format!("expected `{expected}`, got `{}`", decision.trim()));
        }
    }
    Ok(())
}
