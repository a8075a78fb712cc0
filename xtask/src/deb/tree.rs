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

    /// Writes the sums of all files, which `dpkg --verify` compares, and gives files and folders
    /// the modes that do not depend on who builds.
    pub(super) fn write_sums(&self, workspace: &Workspace) -> TaskResult {
        self.make_folder_of(&self.root.join("DEBIAN/md5sums"))?;
        let mut files = Vec::new();
        self.walk(&self.root, &mut |path, is_link| {
            let inside = path.strip_prefix(&self.root).unwrap_or(path);
            let is_control = inside.starts_with("DEBIAN");
            // Control files have theirs already; their folder has that of the umask.
            if !is_link && (!is_control || path.is_dir()) {
                let mode = fs::Permissions::from_mode(usual_mode(path));
                let _ = fs::set_permissions(path, mode);
            }
            if !is_control && !is_link && path.is_file() {
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
fn usual_mode(path: &Path) -> u32 {
    let in_bin = path
        .parent()
        .is_some_and(|folder| folder.ends_with("usr/bin"));
    match path.is_dir() || in_bin {
        true => PROGRAM,
        false => FILE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_and_files_have_modes_that_do_not_depend_on_the_umask() {
        let folder = tempfile::tempdir().expect("a folder");
        let tree = Tree::empty(folder.path().join("tree")).expect("a tree");
        tree.write("usr/bin/keystile", "x").expect("a program");
        tree.write("usr/include/keystile.h", "x").expect("a file");
        tree.write_script("postinst", "x").expect("a script");
        let at = |inside: &str| tree.root().join(inside);
        // As if the umask were 077.
        for inside in ["", "usr", "usr/bin", "usr/include", "DEBIAN"] {
            fs::set_permissions(at(inside), fs::Permissions::from_mode(0o700)).expect("a mode");
        }
        tree.write_sums(&Workspace::here()).expect("sums");
        for (inside, expected) in [
            ("", 0o755),
            ("DEBIAN", 0o755),
            ("DEBIAN/postinst", 0o755),
            ("DEBIAN/md5sums", 0o644),
            ("usr/bin", 0o755),
            ("usr/bin/keystile", 0o755),
            ("usr/include", 0o755),
            ("usr/include/keystile.h", 0o644),
        ] {
            let mode = fs::metadata(at(inside))
                .expect("a file")
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, expected, "{inside}");
        }
    }
}
