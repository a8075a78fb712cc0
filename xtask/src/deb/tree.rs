//! The files of one package, before they are packed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::workspace::{TaskResult, Workspace, output, run};

const FILE: u32 = 0o644;
const PROGRAM: u32 = 0o755;

/// A folder whose content is packed.
#[derive(Debug)]
pub(super) struct Tree {
    root: PathBuf,
}

impl Tree {
    pub(super) fn empty(root: PathBuf) -> Result<Self, String> {
        match fs::remove_dir_all(&root) {
            Err(error) if root.exists() => Err(format!("{}: {error}", root.display())),
            _ => Ok(Self { root }),
        }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Writes a file that everyone can read.
    pub(super) fn write(&self, inside: &str, text: &str) -> TaskResult {
        self.write_with(inside, text, FILE)
    }

    /// Writes a file with these permissions.
    pub(super) fn write_with(&self, inside: &str, text: &str, mode: u32) -> TaskResult {
        let to = self.root.join(inside);
        self.make_folder_of(&to)?;
        let failed = |error| format!("{}: {error}", to.display());
        fs::write(&to, text).map_err(failed)?;
        fs::set_permissions(&to, fs::Permissions::from_mode(mode)).map_err(failed)
    }

    /// Writes a script that dpkg runs.
    pub(super) fn write_script(&self, name: &str, text: &str) -> TaskResult {
        self.write_with(&format!("DEBIAN/{name}"), text, PROGRAM)
    }

    /// Writes a compressed file, to the name with `.gz`, without a time in it.
    pub(super) fn write_gzipped(
        &self,
        workspace: &Workspace,
        inside: &str,
        text: &str,
    ) -> TaskResult {
        self.write(inside, text)?;
        let mut gzip = workspace.command("gzip");
        run(gzip.args(["-9nf"]).arg(self.root.join(inside)))
    }

    /// Copies a program without what only a debugger reads.
    pub(super) fn copy_stripped(
        &self,
        workspace: &Workspace,
        from: &Path,
        inside: &str,
    ) -> TaskResult {
        let to = self.root.join(inside);
        self.make_folder_of(&to)?;
        let mut strip = workspace.command("strip");
        strip.args(["--strip-all", "--remove-section=.comment", "-o"]);
        run(strip.arg(&to).arg(from))
    }

    /// Moves a file or a link from another tree.
    pub(super) fn take(&self, from: &Self, inside: &str) -> TaskResult {
        let to = self.root.join(inside);
        self.make_folder_of(&to)?;
        let moved = fs::rename(from.root.join(inside), &to);
        moved.map_err(|error| format!("{}: {error}", to.display()))
    }

    /// Writes the sums of all files, which `dpkg --verify` compares.
    pub(super) fn write_sums(&self, workspace: &Workspace) -> TaskResult {
        let mut files = Vec::new();
        self.walk(&self.root, &mut |path, is_link| {
            let inside = path.strip_prefix(&self.root).unwrap_or(path);
            let is_control = inside.starts_with("DEBIAN");
            let mode = if is_control { None } else { usual_mode(path) };
            if let Some(mode) = mode.filter(|_| !is_link && !inside.starts_with("etc")) {
                let _ = fs::set_permissions(path, fs::Permissions::from_mode(mode));
            }
            if !is_control && !is_link && path.is_file() && !inside.starts_with("etc") {
                files.push(inside.to_owned());
            }
        })?;
        files.sort_unstable();
        let mut sums = workspace.command("md5sum");
        let sums = output(sums.current_dir(&self.root).args(&files))?;
        self.write("DEBIAN/md5sums", &sums)
    }

    /// The size of the files, as the control file has it.
    pub(super) fn kibibytes(&self) -> Result<u64, String> {
        let mut sum = 0_u64;
        self.walk(&self.root, &mut |path, _| {
            let size = fs::symlink_metadata(path).map_or(0, |data| data.len());
            sum = sum.saturating_add(size.div_ceil(1024).max(1));
        })?;
        Ok(sum)
    }

    /// Every file, link and folder below one; links are not followed.
    fn walk(&self, folder: &Path, visit: &mut dyn FnMut(&Path, bool)) -> TaskResult {
        let failed = |error| format!("{}: {error}", folder.display());
        visit(folder, false);
        for entry in fs::read_dir(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let kind = entry.file_type().map_err(failed)?;
            match kind.is_dir() {
                true => self.walk(&entry.path(), visit)?,
                false => visit(&entry.path(), kind.is_symlink()),
            }
        }
        Ok(())
    }

    fn make_folder_of(&self, file: &Path) -> TaskResult {
        let folder = file.parent().unwrap_or(&self.root);
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))
    }
}

/// The mode that does not depend on the umask of who builds.
fn usual_mode(path: &Path) -> Option<u32> {
    let in_bin = path
        .parent()
        .is_some_and(|folder| folder.ends_with("usr/bin"));
    match path.is_dir() || in_bin {
        true => Some(PROGRAM),
        false => Some(FILE),
    }
}
