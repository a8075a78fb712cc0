//! Archives and checksums that depend only on the content of their files.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use sha2::{Digest, Sha256};

use crate::workspace::{TaskResult, Workspace, output, run};

/// The time of everything that is packed, in seconds since 1970: `SOURCE_DATE_EPOCH`, otherwise
/// that of the commit.
pub(crate) fn date(workspace: &Workspace) -> Result<String, String> {
    if let Ok(date) = std::env::var("SOURCE_DATE_EPOCH") {
        return match date.parse::<u32>() {
            Ok(_) => Ok(date),
            Err(_) => Err(format!("SOURCE_DATE_EPOCH must be seconds, got `{date}`")),
        };
    }
    let date = output(workspace.command("git").args(["log", "-1", "--format=%ct"]));
    date.map(|date| date.trim().to_owned()).map_err(|error| {
        format!("{error}; set SOURCE_DATE_EPOCH if this is not a clone of the repository")
    })
}

/// Packs the folder `name` of `work` as `name.tar.gz` in `to`.
pub(super) fn pack(workspace: &Workspace, work: &Path, name: &str, to: &Path) -> TaskResult {
    let tar = to.join(format!("{name}.tar"));
    let program = match cfg!(target_os = "macos") {
        true => "gtar",
        false => "tar",
    };
    run(workspace
        .command(program)
        .args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner"])
        .args(["--mode=u+rwX,go+rX,go-w", "--format=ustar"])
        .arg(format!("--mtime=@{}", date(workspace)?))
        .arg("-C")
        .arg(work)
        .arg("-cf")
        .arg(&tar)
        .arg(name))?;
    run(workspace.command("gzip").args(["-9nf"]).arg(&tar))
}

/// Writes the SHA-256 of each file of a folder to its `SHA256SUMS`, as `sha256sum -c` reads it.
pub(super) fn write_sums(folder: &Path) -> TaskResult {
    let failed = |error| format!("{}: {error}", folder.display());
    let sums = folder.join("SHA256SUMS");
    let mut lines = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_file() && path != sums {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            lines.push((name.into_owned(), sha256(&path)?));
        }
    }
    lines.sort_unstable();
    let text: Vec<String> = lines
        .into_iter()
        .map(|(name, sum)| format!("{sum}  {name}\n"))
        .collect();
    fs::write(&sums, text.concat()).map_err(failed)
}

/// The SHA-256 of a file, in hexadecimal.
pub(crate) fn sha256(path: &Path) -> Result<String, String> {
    let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let digits = Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Ok(digits)
}

/// Checks the files of a folder against its `SHA256SUMS`, with the program that users have.
pub(super) fn check_sums(workspace: &Workspace, folder: &Path) -> TaskResult {
    let mut check: Command = workspace.command("sha256sum");
    check.current_dir(folder).stdout(Stdio::null());
    run(check.args(["--check", "--strict", "SHA256SUMS"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_of_every_other_file_in_order() {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, content) in [("b", "abc"), ("a", ""), ("SHA256SUMS", "old")] {
            fs::write(folder.path().join(name), content).expect("a file");
        }
        write_sums(folder.path()).expect("sums");
        let sums = fs::read_to_string(folder.path().join("SHA256SUMS")).expect("sums");
        let expected = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  a\n\
                        ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  b\n";
        assert_eq!(sums, expected);
    }
}
