//! The files of a release of the Go module: the module itself, and for each platform a module
//! with one small archive, so that `go get` needs no Rust and a build unpacks one archive.

use std::fs;
use std::path::{Path, PathBuf};

use super::{MODULE, copy, platform};
use crate::capi;
use crate::workspace::{TaskResult, Workspace, output, run};

/// The module's path, as Go programs import it.
pub(super) const PATH: &str = "github.com/keystile/keystile/bindings/go";
/// The folder of the module for Redis, and the end of its path.
pub(super) const REDIS_FOLDER: &str = "keystileredis";
/// The platforms that a release should have an archive for.
const PLATFORMS: [&str; 6] = [
    "linux_amd64",
    "linux_arm64",
    "linux_amd64_musl",
    "linux_arm64_musl",
    "darwin_amd64",
    "darwin_arm64",
];

/// An archive of the library, and its platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Archive {
    pub(crate) platform: String,
    pub(crate) path: PathBuf,
}

/// `cargo xtask go-dist`: writes the files of a release to a folder, with this machine's
/// archive and those that other machines built.
pub(crate) fn dist(workspace: &Workspace, to: &Path, others: &[Archive]) -> TaskResult {
    let mut archives = others.to_vec();
    if !archives.iter().any(|other| other.platform == platform()) {
        let local = Archive {
            platform: platform(),
            path: capi::archive(workspace)?,
        };
        archives.push(local);
    }
    if let Some(unknown) = archives
        .iter()
        .find(|archive| !PLATFORMS.contains(&archive.platform.as_str()))
    {
        let known = PLATFORMS.join(", ");
        return Err(format!(
            "unknown platform `{}`; expected one of {known}",
            unknown.platform
        ));
    }
    archives.sort_by(|one, other| one.platform.cmp(&other.platform));
    let version = format!("v{}", capi::version(workspace)?);
    let module = to.join(MODULE);
    copy_module(workspace, &module)?;
    write_links(&module, &archives)?;
    for archive in &archives {
        write_archive(workspace, &module, archive)?;
    }
    require(workspace, &module, &archives, &version)?;
    require_release(workspace, &module.join(REDIS_FOLDER), &version)?;
    println!("\nwrote {}", module.display());
    for platform in PLATFORMS {
        if !archives.iter().any(|archive| archive.platform == platform) {
            println!("no archive for {platform}: its users need the tag keystile_pkgconfig");
        }
    }
    println!("commit the tree on a branch of releases, and tag that commit:");
    for archive in &archives {
        println!("  git tag {MODULE}/lib/{}/{version}", archive.platform);
    }
    println!("  git tag {MODULE}/{version}");
    println!("  git tag {MODULE}/{REDIS_FOLDER}/{version}");
    Ok(())
}

/// Copies the files under version control, without tests that only this repository can run.
fn copy_module(workspace: &Workspace, module: &Path) -> TaskResult {
    if module.exists() {
        fs::remove_dir_all(module).map_err(|error| format!("{}: {error}", module.display()))?;
    }
    let files = output(workspace.command("git").args(["ls-files", MODULE]))?;
    for file in files.lines() {
        let inside = file.strip_prefix(MODULE).unwrap_or(file);
        let inside = inside.trim_start_matches('/');
        // Documentation sites show examples, which are in test files.
        let name = inside.rsplit('/').next().unwrap_or(inside);
        let is_example = name.starts_with("example") || inside == "store_test.go";
        let is_left_out = (inside.ends_with("_test.go") && !is_example)
            || inside.starts_with("testdata/")
            || inside.starts_with("keystileredis/testdata/")
            || inside.starts_with("examples/routers/")
            || inside.ends_with("link_archive.go")
            || inside == ".gitignore";
        if !is_left_out {
            copy(&workspace.path(file), &module.join(inside))?;
        }
    }
    for licence in ["LICENSE-MIT", "LICENSE-APACHE"] {
        for folder in [module, &module.join(REDIS_FOLDER)] {
            copy(&workspace.path(licence), &folder.join(licence))?;
        }
    }
    Ok(())
}

/// One file for each platform that has an archive, and one for all others.
fn write_links(module: &Path, archives: &[Archive]) -> TaskResult {
    let folder = module.join("internal/capi");
    for archive in archives {
        let name = &archive.platform;
        let when = condition(name);
        let flag = match name.ends_with("_musl") {
            true => "// #cgo CFLAGS: -DKEYSTILE_GO_MUSL\n",
            false => "",
        };
        let text = format!(
            "//go:build cgo && !keystile_pkgconfig && {when}\n\n\
             package capi\n\n\
             // #include \"libc.h\"\n\
             {flag}import \"C\"\n\n\
             import _ \"{PATH}/lib/{name}\" // The archive.\n"
        );
        write(&folder.join(format!("link_{name}.go")), &text)?;
    }
    let known: Vec<String> = archives
        .iter()
        .map(|archive| format!("({})", condition(&archive.platform)))
        .collect();
    let text = format!(
        "//go:build cgo && !keystile_pkgconfig && !({})\n\n\
         package capi\n\n\
         // No archive is shipped for this platform: install the C library, and build with the tag.\n\
         var _ = keystile_has_no_archive_for_this_platform_build_with_the_tag_keystile_pkgconfig\n",
        known.join(" || ")
    );
    write(&folder.join("link_none.go"), &text)
}

/// When a platform's file is compiled. The C library is a tag, because Go does not know it.
fn condition(platform: &str) -> String {
    let when = platform.replace('_', " && ");
    match platform.starts_with("linux") && !platform.ends_with("_musl") {
        true => format!("{when} && !musl"),
        false => when,
    }
}

/// Writes a module that contains only an archive.
fn write_archive(workspace: &Workspace, module: &Path, archive: &Archive) -> TaskResult {
    let name = &archive.platform;
    let folder = module.join("lib").join(name);
    let system = match name.starts_with("linux") {
        true => " -lpthread -lm -ldl",
        false => "",
    };
    copy(&archive.path, &folder.join("libkeystile.a"))?;
    copy(&workspace.path("LICENSE-MIT"), &folder.join("LICENSE-MIT"))?;
    copy(
        &workspace.path("LICENSE-APACHE"),
        &folder.join("LICENSE-APACHE"),
    )?;
    write(
        &folder.join("go.mod"),
        &format!("module {PATH}/lib/{name}\n\ngo 1.24.0\n"),
    )?;
    let text = format!(
        "// Package {name} is the archive of libkeystile for one platform. The module keystile\n\
         // imports it; no other code has to.\n\
         package {name}\n\n\
         // #cgo LDFLAGS: ${{SRCDIR}}/libkeystile.a{system}\n\
         import \"C\"\n"
    );
    write(&folder.join("archive.go"), &text)
}

/// Makes the module require the archives of its own version.
fn require(
    workspace: &Workspace,
    module: &Path,
    archives: &[Archive],
    version: &str,
) -> TaskResult {
    let mut go = workspace.command("go");
    go.current_dir(module).args(["mod", "edit"]);
    for archive in archives {
        go.arg(format!(
            "-require={PATH}/lib/{}@{version}",
            archive.platform
        ));
    }
    run(&mut go)
}

/// Makes a module beside the main one require its release, and not the folder.
fn require_release(workspace: &Workspace, module: &Path, version: &str) -> TaskResult {
    let mut go = workspace.command("go");
    go.current_dir(module).args(["mod", "edit"]);
    go.arg(format!("-require={PATH}@{version}"));
    go.arg(format!("-dropreplace={PATH}"));
    run(&mut go)
}

pub(super) fn write(to: &Path, text: &str) -> TaskResult {
    let folder = to.parent().unwrap_or(Path::new("."));
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(to, text));
    written.map_err(|error| format!("{}: {error}", to.display()))
}

#[cfg(test)]
mod tests {
    use super::{PLATFORMS, condition};

    #[test]
    fn a_platform_is_a_condition_of_its_files() {
        assert_eq!(condition("linux_amd64"), "linux && amd64 && !musl");
        assert_eq!(condition("linux_arm64_musl"), "linux && arm64 && musl");
        assert_eq!(condition("darwin_arm64"), "darwin && arm64");
        let all: std::collections::HashSet<_> =
            PLATFORMS.iter().map(|name| condition(name)).collect();
        assert_eq!(all.len(), PLATFORMS.len());
    }
}
