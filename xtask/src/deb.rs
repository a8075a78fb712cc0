//! `cargo xtask deb`: the Debian packages of the library, of its development files, and of the
//! program with its service.

mod check;
mod control;
mod library;
mod program;
mod tree;

use std::fs;
use std::path::{Path, PathBuf};

use crate::archives::date;
use crate::capi;
use crate::workspace::{TaskResult, Workspace, output, run};
use control::Package;
use tree::Tree;

pub(crate) use check::check;

/// The revision of the package; a change of only the packaging makes the next one.
const REVISION: &str = "1";

/// Builds the packages as they are released, and writes them to a folder.
pub(crate) fn build(workspace: &Workspace, to: &Path) -> TaskResult {
    let mut cargo = capi::cargo(workspace, &[])?;
    run(cargo.args([
        "build",
        "--locked",
        "--release",
        "--package",
        "keystile-cli",
    ]))?;
    let program = workspace.target_path("release/keystile");
    build_with(workspace, to, &program, "-Zxz").map(drop)
}

/// Builds the packages with this program and compression; returns their files.
fn build_with(
    workspace: &Workspace,
    to: &Path,
    program: &Path,
    compression: &str,
) -> Result<Vec<PathBuf>, String> {
    let debian = Debian::new(workspace, compression)?;
    fs::create_dir_all(to).map_err(|error| format!("{}: {error}", to.display()))?;
    let mut files = Vec::new();
    for (package, tree) in library::packages(&debian)? {
        files.push(debian.pack(&package, &tree, to)?);
    }
    let (package, tree) = program::package(&debian, program)?;
    files.push(debian.pack(&package, &tree, to)?);
    Ok(files)
}

/// What all packages of one build share.
struct Debian<'a> {
    workspace: &'a Workspace,
    /// `0.1.0-1`.
    version: String,
    /// The version of the source, `0.1.0`.
    upstream: String,
    /// `amd64`.
    architecture: String,
    /// `x86_64-linux-gnu`.
    multiarch: String,
    maintainer: String,
    date: String,
    compression: String,
}

impl<'a> Debian<'a> {
    fn new(workspace: &'a Workspace, compression: &str) -> Result<Self, String> {
        let asked = |program: &str, word: &str| {
            let text = output(workspace.command(program).arg(word))?;
            Ok::<_, String>(text.trim().to_owned())
        };
        let upstream = capi::version(workspace)?;
        let variable =
            |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
        Ok(Self {
            workspace,
            version: format!("{upstream}-{REVISION}"),
            upstream,
            architecture: asked("dpkg", "--print-architecture")?,
            multiarch: asked("dpkg-architecture", "-qDEB_HOST_MULTIARCH")?,
            maintainer: format!(
                "{} <{}>",
                variable("DEBFULLNAME", "The keystile authors"),
                variable("DEBEMAIL", "keystile@users.noreply.github.com")
            ),
            date: date(workspace)?,
            compression: compression.to_owned(),
        })
    }

    /// A tree for a package, which has the documents that every package must have.
    fn tree(&self, package: &str) -> Result<Tree, String> {
        let tree = Tree::empty(self.workspace.target_path("deb").join(package))?;
        let documents = format!("usr/share/doc/{package}");
        let dated = |form: &str| {
            let mut date = self.workspace.command("date");
            let at = format!("@{}", self.date);
            output(date.args([form, "--utc", "--date", &at]))
        };
        tree.write(
            &format!("{documents}/copyright"),
            &control::copyright(self.workspace, dated("+%Y")?.trim())?,
        )?;
        let when = dated("--rfc-email")?;
        let log = control::changelog(self, when.trim());
        tree.write_gzipped(
            self.workspace,
            &format!("{documents}/changelog.Debian"),
            &log,
        )?;
        let upstream = self.workspace.path("CHANGELOG.md");
        let upstream = fs::read_to_string(upstream).map_err(|error| error.to_string())?;
        tree.write_gzipped(self.workspace, &format!("{documents}/changelog"), &upstream)?;
        Ok(tree)
    }

    /// The packages that the programs and libraries of a tree need, as Debian computes them.
    fn needed(&self, file: &Path) -> Result<String, String> {
        let folder = self.workspace.target_path("deb/needed");
        fs::create_dir_all(folder.join("debian")).map_err(|error| error.to_string())?;
        let control = "Source: keystile\n\nPackage: keystile\nArchitecture: any\n";
        fs::write(folder.join("debian/control"), control).map_err(|error| error.to_string())?;
        let mut computed = self.workspace.command("dpkg-shlibdeps");
        let computed = output(computed.current_dir(folder).arg("-O").arg("-e").arg(file))?;
        let list = computed.trim().strip_prefix("shlibs:Depends=");
        list.map(str::to_owned)
            .ok_or_else(|| format!("dpkg-shlibdeps printed `{}`", computed.trim()))
    }

    fn pack(&self, package: &Package, tree: &Tree, to: &Path) -> Result<PathBuf, String> {
        tree.write_sums(self.workspace)?;
        let size = tree.kibibytes()?;
        tree.write("DEBIAN/control", &package.control(self, size))?;
        let name = format!(
            "{}_{}_{}.deb",
            package.name, self.version, self.architecture
        );
        let file = to.join(name);
        let mut pack = self.workspace.command("dpkg-deb");
        pack.env("SOURCE_DATE_EPOCH", &self.date)
            .args(["--root-owner-group", "--build"])
            .args(self.compression.split_whitespace());
        run(pack.arg(tree.root()).arg(&file))?;
        Ok(file)
    }
}
